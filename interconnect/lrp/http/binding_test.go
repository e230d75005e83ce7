package http_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
)

// The suite over HTTP/1.1 and HTTP/2, both with TLS, and over HTTP without.
func TestHTTP_Spec6_Conforms(t *testing.T) {
	for name, proto := range map[string]int{"HTTP/1.1 over TLS": 1, "HTTP/2 over TLS": 2, "HTTP/1.1": 0} {
		t.Run(name, func(t *testing.T) {
			lrptest.Run(t, lrptest.Binding{
				Serve: func(t *testing.T, a lrptest.Accepting) func(*lrp.Introduction) lrp.Exchanger {
					t.Helper()
					mux := http.NewServeMux()
					h := &lrphttp.Server{Frames: a.Frames, Wait: a.Wait}
					mux.HandleFunc(lrphttp.Path, func(w http.ResponseWriter, r *http.Request) {
						if proto > 0 && (r.ProtoMajor != proto || r.TLS == nil) {
							t.Errorf("it came by HTTP/%d, TLS %v", r.ProtoMajor, r.TLS != nil)
						}
						h.ServeHTTP(w, r)
					})
					srv := httptest.NewUnstartedServer(mux)
					switch proto {
					case 0:
						srv.Start()
					case 1:
						srv.TLS = &tls.Config{NextProtos: []string{"http/1.1"}} //nolint:gosec // the test server's default version
						srv.StartTLS()
					default:
						srv.EnableHTTP2 = true
						srv.StartTLS()
					}
					t.Cleanup(srv.Close)
					return func(who *lrp.Introduction) lrp.Exchanger {
						return &lrphttp.Client{URL: srv.URL, HTTP: srv.Client(), Who: who, Now: lrptest.Start}
					}
				},
				Poll: func(ctx context.Context, x lrp.Exchanger, after uint64) ([]lrp.Kept, error) {
					return x.(*lrphttp.Client).Poll(ctx, after) //nolint:forcetypeassert,errcheck // Serve made it
				},
			})
		})
	}
}

// Server-sent events: what waits comes at once, and what comes later when it comes.
func TestHTTP_Spec6_Events(t *testing.T) {
	p := lrptest.NewParty(t)
	relay := lrp.Addr{1}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: relay, Known: func(lrp.Addr) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	comes := make(chan lrp.Kept, 4)
	held := lrp.Kept{}
	said := make(chan uint64, 8)
	srv := httptest.NewServer(&lrphttp.Server{
		Frames: func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
			return e.HandleBy(by, f, start, nil)
		},
		Taken: func(_ lrp.LinkID, upTo uint64) { said <- upTo },
		Wait: func(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error) {
			if !e.Proved(link, p.Addr, start) {
				return nil, lrp.ErrProof
			}
			if held.Number > after {
				return []lrp.Kept{held}, nil
			}
			select {
			case held = <-comes:
				return []lrp.Kept{held}, nil
			case <-ctx.Done():
				return nil, nil
			}
		},
	})
	defer srv.Close()
	c := &lrphttp.Client{URL: srv.URL, Who: p.Introduction(relay), Now: lrptest.Start}
	note := func(n uint64) lrp.Kept {
		return lrp.Kept{Number: n, At: 1, Frame: lrp.NewTransaction(p.Addr, relay, start, lrp.Life).Next(lrp.TypeSLTP, make([]byte, lrp.MaxBody))}
	}
	comes <- note(5)
	var got []uint64
	enough := errors.New("enough")
	err = c.Listen(t.Context(), 0, func(k lrp.Kept) error {
		if got = append(got, k.Number); k.Number == 5 {
			comes <- note(9)
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) || len(got) != 2 || got[1] != 9 {
		t.Errorf("%v, %v", got, err)
	}
	if n := <-said; n != 0 || len(said) > 0 {
		t.Errorf("it is said to have taken up to %d, and %d times more: what was only written to it does not count", n, len(said))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Listen(ctx, 9, func(lrp.Kept) error { return enough }); !errors.Is(err, lrp.ErrLost) {
		t.Errorf("a stream that the listener ends: %v, want ErrLost", err)
	}
	stranger := &lrphttp.Client{URL: srv.URL, Who: lrptest.NewParty(t).Introduction(relay), Now: lrptest.Start}
	if err := stranger.Listen(t.Context(), 0, func(lrp.Kept) error { return nil }); !errors.Is(err, lrp.ErrStrange) && !errors.Is(err, lrp.ErrProof) {
		t.Errorf("a stranger: %v", err)
	}
}
