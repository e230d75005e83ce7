package httpd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// network serves a house as a machine of its network sees it; the address is that of
// who calls, without a port.
func network(t *testing.T, h *home.Home, address func() string) *httptest.Server {
	t.Helper()
	handler, err := httpd.New(httpd.Config{Home: h, Frames: &lrphttp.Server{Frames: h.FrameBy, Wait: h.Wait}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = net.JoinHostPort(address(), "40000")
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestIntruder_ARemovedDeviceLosesAccessAtItsNextContact: what it had proven holds no
// more, and to prove it again does not help.
func TestIntruder_ARemovedDeviceLosesAccessAtItsNextContact(t *testing.T) {
	_, h, module := house(t, cenc.SchemeCENC)
	srv := network(t, h, func() string { return "192.168.1.20" })
	leaf, key := hometest.Keyed(t, "Tablet")
	tablet := admitted(t, h, "Tablet", []byte("delivery"), leaf)
	if _, err := h.Watch(t.Context(), hometest.OwnFilm(t, "Holidays.mp4")); err != nil || len(h.Films()) != 1 {
		t.Fatal(err, h.Films())
	}
	client := &lrphttp.Client{URL: srv.URL, Who: hometest.Who(leaf, key, tablet, module.State.Device), Now: h.Now}
	link, err := client.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asks := []struct {
		method, path string
		body         any
		member       int // status for a device of the house
	}{
		{"GET", "/content/" + filmPath + "/content.json", nil, http.StatusOK},
		{"GET", home.PathFilms, nil, http.StatusOK},
		{"GET", home.PathFilms + "/" + h.Films()[0].ID.String(), nil, http.StatusOK},
		{"POST", home.PathLogs + "/" + tablet.String(), map[string]any{}, http.StatusUnprocessableEntity},
		{"POST", home.PathLogs + "/" + tablet.String() + "/segments", map[string]any{}, http.StatusUnprocessableEntity},
	}
	for _, a := range asks {
		if res, body := get(t, a.method, srv.URL+a.path, a.body, on(link)); res.StatusCode != a.member {
			t.Errorf("a device of the house: %s: %d %s, want %d", a.path, res.StatusCode, body, a.member)
		}
		if res, body := get(t, a.method, srv.URL+a.path, a.body); res.StatusCode != http.StatusForbidden || code(t, body) != "unproven" {
			t.Errorf("a stranger: %s: %d %s", a.path, res.StatusCode, body)
		}
	}
	child := childOf(t, h)
	if err := h.BindDevice(tablet, child.ID); err != nil {
		t.Fatal(err)
	}
	for _, a := range asks[:3] { // own films are for adults, as long as nobody rated them
		res, body := get(t, a.method, srv.URL+a.path, a.body, on(link))
		if file := strings.HasPrefix(a.path, home.PathFilms+"/"); file && (res.StatusCode != http.StatusForbidden || code(t, body) != "adults") || !file && res.StatusCode != a.member || bytes.Contains(body, []byte("Holidays")) {
			t.Errorf("a child's device: %s: %d %s", a.path, res.StatusCode, body)
		}
	}
	if err := h.Rate(h.Films()[0].ID, new(uint8)); err != nil { // for everybody
		t.Fatal(err)
	}
	for _, a := range asks[:3] {
		if res, body := get(t, a.method, srv.URL+a.path, a.body, on(link)); res.StatusCode != a.member {
			t.Errorf("a child's device, of what is for everybody: %s: %d %s", a.path, res.StatusCode, body)
		}
	}
	if err := h.RemoveDevice(t.Context(), tablet); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again {
			client.Unproven(link)
			if link, err = client.Link(t.Context()); err != nil {
				return // it cannot even say who it is
			}
		}
		for _, a := range asks {
			if res, body := get(t, a.method, srv.URL+a.path, a.body, on(link)); res.StatusCode != http.StatusForbidden || code(t, body) != "unproven" {
				t.Errorf("put out of the house, proven again %v: %s: %d %s", again, a.path, res.StatusCode, body)
			}
		}
	}
}

// childOf has an adult and a child live in a house.
func childOf(t *testing.T, h *home.Home) home.Person {
	t.Helper()
	name, pin, kind, young, called, age := "Ada", "1111", home.Adult, home.Child, "Ben", uint8(9)
	if _, err := h.AddPerson(home.PersonChange{Name: &name, Kind: &kind, PIN: &pin}); err != nil {
		t.Fatal(err)
	}
	p, err := h.AddPerson(home.PersonChange{Name: &called, Kind: &young, Age: &age})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestIntruder_PathsLeadNowhereElse writes paths as no browser would, as the owner, who
// may ask for everything.
func TestIntruder_PathsLeadNowhereElse(t *testing.T) {
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	const secret = "what lies beside the film"
	for _, name := range []string{filepath.Join(folder, "notes.txt"), filepath.Join(folder, "..", "secret.txt")} {
		if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(folder, "..", "secret.txt"), filepath.Join(folder, "link.txt")); err != nil {
		t.Fatal(err)
	}
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: hometest.New(t, keys), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	own := hometest.OwnFilm(t, "own.mp4")
	for _, name := range []string{filepath.Join(own, "notes.txt"), filepath.Join(own, "..", "secret.txt")} {
		if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Watch(t.Context(), own); err != nil || len(h.Films()) != 1 {
		t.Fatal(err, h.Films())
	}
	srv := serve(t, h)
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, base := range []string{"/content/" + filmPath + "/", "/content/", "/static/", "/static/vendor/", "/play/x/", "/house/v1/logs/x/", "/title/", "/watch/", home.PathFilms + "/", home.PathFilms + "/" + h.Films()[0].ID.String() + "/", "/film/"} {
		for _, way := range []string{
			"notes.txt", "link.txt", "keys.lkd", "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", "..\\secret.txt", "..%5csecret.txt", "....//secret.txt", ".%00./secret.txt",
			"/etc/passwd", "%2fetc%2fpasswd", "../../../../../../../../etc/passwd", "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "..%252f..%252fetc%252fpasswd", "%c0%ae%c0%ae/secret.txt", "video/../../secret.txt", ".", "..", "%2e", "%00", "content.json/../notes.txt", "content.json%00.txt",
		} {
			status, answer := raw(t, host, "GET "+base+way+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if status == http.StatusOK && !strings.Contains(answer, `id="main"`) || status >= 500 || strings.Contains(answer, secret) || strings.Contains(answer, "root:") {
				t.Errorf("%s%s: %d, %d bytes", base, way, status, len(answer))
			}
		}
	}
}

// raw sends bytes as they are and gives the answer.
func raw(t *testing.T, host, request string) (status int, answer string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer res.Body.Close() //nolint:errcheck // a test
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

// TestIntruder_OneAddressDoesNotCrowdOutDevices: who asks to be paired again and again
// has to wait, and a device that is really there is still heard.
func TestIntruder_OneAddressDoesNotCrowdOutDevices(t *testing.T) {
	_, h, _ := house(t, cenc.SchemeCENC)
	address := ""
	srv := network(t, h, func() string { return address })
	n := 0
	ask := func(from string) (*http.Response, []byte) {
		n++
		address = from
		nonce := [home.NonceSize]byte{byte(n)}
		commit := home.Commit(nonce)
		return get(t, "POST", srv.URL+home.PairPath, home.PairingOffer{Chain: [][]byte{hometest.Certificate(t, fmt.Sprint(n))}, Commit: commit[:], Name: "Television"})
	}
	for i := range 5 {
		res, body := ask("192.168.1.66")
		if want := map[bool]int{true: http.StatusCreated, false: http.StatusTooManyRequests}[i < 3]; res.StatusCode != want {
			t.Errorf("time %d: %d %s, want %d", i+1, res.StatusCode, body, want)
		} else if i >= 3 && (res.Header.Get("Retry-After") == "" || code(t, body) != "too_many") {
			t.Errorf("time %d: it is not told when to come again: %v %s", i+1, res.Header, body)
		}
	}
	for i, from := range []string{"fe80::1", "fe80::2", "fe80::3"} { // one host has all of these
		if res, body := ask(from); res.StatusCode != http.StatusCreated {
			t.Errorf("address %d of IPv6: %d %s", i, res.StatusCode, body)
		}
	}
	if res, _ := ask("fe80::4"); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a fourth address of the same host: %d", res.StatusCode)
	}
	if res, body := ask("192.168.1.20"); res.StatusCode != http.StatusCreated {
		t.Errorf("a device beside them: %d %s", res.StatusCode, body)
	}
}

// TestIntruder_WrongTokensHaveToWait: who signs in with wrong tokens at the operators'
// console, and from where.
func TestIntruder_WrongTokensHaveToWait(t *testing.T) {
	c := newCounter(t)
	try := func(token string) int {
		res, err := http.PostForm(c.URL+"/console/signin", map[string][]string{"token": {token}}) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // a test
		if res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") == "" {
			t.Error("it is not told when to come again")
		}
		return res.StatusCode
	}
	for i := range 10 {
		if got := try(fmt.Sprint("wrong", i)); got != http.StatusUnauthorized {
			t.Fatalf("wrong token %d: status %d", i+1, got)
		}
	}
	for _, token := range []string{"wrong", ownerToken} { // the right one says nothing to who tries many
		if got := try(token); got != http.StatusTooManyRequests {
			t.Errorf("%.5s after ten wrong ones: status %d", token, got)
		}
	}
}

// FuzzUpload gives every door that takes a body one of any bytes: no answer says that
// the house failed, and nothing is taken that was not asked for.
func FuzzUpload(f *testing.F) {
	folder, _, keys := hometest.Pack(f, cenc.SchemeCENC)
	h, err := home.New(home.Config{Dir: f.TempDir(), Module: hometest.New(f, keys), Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		f.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: &lrphttp.Server{Frames: h.FrameBy, Wait: h.Wait}})
	if err != nil {
		f.Fatal(err)
	}
	doors := []string{
		home.PairPath, home.PairPath + "/0123/nonce", home.RestorePath, home.PathLogs + "/" + ident.Device{1}.String(), home.PathLogs + "/" + ident.Device{1}.String() + "/segments",
		"/lrp/v1/frames", "/api/v1/library", "/api/v1/licenses", "/api/v1/sessions", "/api/v1/exports", "/api/v1/transfers", "/api/v1/pairings/approve", "/api/v1/simulate", "/play/0123/license",
	}
	for i, body := range []string{"", "{}", `{"content":"urn:lares:film:demo"}`, `{"chain":["AAAA"],"commit":"AAAA","name":"x"}`, "\xa0", `{"folder":"/etc"}`, strings.Repeat("[", 10_000)} {
		f.Add(byte(i), "application/json", []byte(body))
	}
	f.Fuzz(func(t *testing.T, door byte, kind string, body []byte) {
		path := doors[int(door)%len(doors)]
		for _, from := range []string{"192.168.1.66:40000", "127.0.0.1:40000"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
			r.RemoteAddr, r.Host = from, "localhost:7710"
			r.Header.Set("Content-Type", kind)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code == http.StatusInternalServerError {
				t.Errorf("%s from %s: %d %s", path, from, w.Code, w.Body)
			}
		}
		for _, p := range h.Sessions() {
			if err := h.Stop(t.Context(), p.ID, home.StopOwner); err != nil {
				t.Error(err)
			}
		}
		if n := len(h.Devices()); n != 0 {
			t.Errorf("the house has %d devices, and nobody said yes", n)
		}
	})
}
