package issuer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/service/issuer"
)

// One network may have so many requests in work, others are let in beside it, and
// who is turned away is told when to come again.
func TestHTTP_Spec6_AFloodFromOneNetworkLeavesRoomForOthers(t *testing.T) {
	s := newShop(t)
	release, inside := make(chan struct{}), make(chan struct{}, 1000)
	h := apiWith(s, s.store, s.store.Operators(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-release
	}))
	ask := func(from, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
		if path == "/healthz" {
			r.Method = http.MethodGet
		}
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var wg sync.WaitGroup
	flood := func(from string, n int) {
		for range n {
			wg.Go(func() { ask(from, "/lrp/v1/frames") })
		}
		for range n {
			<-inside
		}
	}
	flood("[2001:db8:0:1::7]:1000", 16)
	turned := ask("[2001:db8:0:1::8]:1000", "/lrp/v1/frames") // the same network
	after, err := strconv.Atoi(turned.Header().Get("Retry-After"))
	if turned.Code != http.StatusServiceUnavailable || err != nil || after < 2 || after > 4 || !strings.Contains(turned.Body.String(), `"busy"`) {
		t.Errorf("status %d, Retry-After %q, %s", turned.Code, turned.Header().Get("Retry-After"), turned.Body)
	}
	flood("[2001:db8:0:2::7]:1000", 16)
	flood("127.0.0.1:9", 512-32) // what a proxy of this machine does not tell apart
	if got := ask("192.0.2.1:1000", "/lrp/v1/frames"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("one more than can be served: status %d", got.Code)
	}
	if got := ask("192.0.2.1:1000", "/healthz"); got.Code != http.StatusNoContent {
		t.Errorf("a supervisor was told %d", got.Code)
	}
	close(release)
	wg.Wait()
	for range 20 { // and all places are free again
		if got := ask("[2001:db8:0:1::7]:1000", "/lrp/v1/frames"); got.Code != http.StatusOK {
			t.Fatalf("afterwards: status %d", got.Code)
		}
	}
}

// The issuer's clock jumps, by years and back, between requests and their repeats:
// each request has one answer, and no count is lost or given twice.
func TestFault_Spec5_ClockJumps(t *testing.T) {
	s := newShop(t)
	const have = 40
	g := s.grant(rental, have)
	first := map[byte]string{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s.now = start.Add(time.Duration(rnd.Int64N(int64(20*365*24*time.Hour))) - 10*365*24*time.Hour)
		n := byte(rnd.IntN(have))
		got := s.send(request(n))
		if want, again := first[n]; again && got != want {
			t.Fatalf("request %d: %q, before %q", n, got, want)
		}
		first[n] = got
		if !strings.HasPrefix(got, "license ") {
			t.Fatalf("request %d: %q", n, got)
		}
	}
	seen := map[string]bool{}
	for n, answer := range first {
		if seen[answer] {
			t.Errorf("request %d: the license of another one", n)
		}
		seen[answer] = true
	}
	if left, all := s.remaining(g.ID), s.licenses(); len(all) != len(first) || left != uint64(have-len(first)) {
		t.Errorf("%d requests, %d licenses, %d remain of %d", len(first), len(all), left, have)
	}
}

// away is a store whose database does not answer in time.
type away struct{ issuer.Store }

func (away) View(context.Context, func(context.Context, issuer.Reader) error) error {
	return fmt.Errorf("%w: deadline", issuer.ErrBusy)
}

func (away) Ahead(context.Context, issuer.Asked) (issuer.Ahead, error) {
	return issuer.Ahead{}, fmt.Errorf("%w: deadline", issuer.ErrBusy)
}

// Who asks while the database does not answer is told to come again.
func TestHTTP_Spec6_ADatabaseThatDoesNotAnswer(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 1)
	i, err := issuer.New(t.Context(), issuer.Config{TREM: s.trem, Store: away{s.store}, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	if got := answerTo(t, i, s.now, request(1)); !strings.Contains(got, "FULL") {
		t.Errorf("a household was told %q", got)
	}
	broken := *s
	broken.Issuer = i
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/offers", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	apiOn(&broken, away{s.store}, s.store.Operators()).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"busy"`) {
		t.Errorf("the operator: status %d, %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}
