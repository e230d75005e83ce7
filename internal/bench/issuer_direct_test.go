package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDirect_OneConnection: requests go on one connection; when the server has closed
// it meanwhile, on a new one, and none is lost or done twice.
func TestDirect_OneConnection(t *testing.T) {
	var seen []string
	conns := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen, conns[r.RemoteAddr] = append(seen, string(body)), true
		if string(body) == "c" {
			w.Header().Set("Connection", "close")
		}
		w.Write(append(body, '!'))
	}))
	defer s.Close()
	client := &http.Client{Transport: &direct{}}
	post := func(body string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		return client.Do(req)
	}
	for i, body := range []string{"a", "b", "c", "d", "e"} {
		if body == "e" {
			s.CloseClientConnections()
		}
		res, err := post(body)
		if err != nil {
			t.Fatalf("request %s: %v", body, err)
		}
		if data, err := io.ReadAll(res.Body); err != nil || string(data) != body+"!" || len(seen) != i+1 {
			t.Errorf("request %s: %q, %v, seen %q", body, data, err, seen)
		}
	}
	if len(conns) != 3 {
		t.Errorf("%d connections, want three: until the server closed one, and another", len(conns))
	}
	s.Close()
	if res, err := post("f"); err == nil {
		t.Errorf("an answer of nobody: %s", res.Status)
	}
}
