package http_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

var (
	home   = ident.Device{1}
	device = ident.Device{2}
	start  = time.UnixMilli(1795521600000)
)

func frame(t *testing.T, message string) lrp.Frame {
	t.Helper()
	body, err := lrp.SLTP{Message: []byte(message)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return lrp.NewTransaction(lrp.Addr(home), lrp.Addr(device), start, lrp.Life).Next(lrp.TypeSLTP, body)
}

func serve(t *testing.T, fn func(context.Context, lrp.Frame) []lrp.Frame) *lrphttp.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(lrphttp.Path, lrphttp.Handler(fn))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &lrphttp.Client{URL: srv.URL}
}

func TestHTTP_Spec6_FramesCrossUnchanged(t *testing.T) {
	sent := frame(t, "hello")
	var got lrp.Frame
	c := serve(t, func(_ context.Context, f lrp.Frame) []lrp.Frame {
		got = f
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeBusy, 1), lrp.ErrorFrame(f, lrp.CodeFull, 2)}
	})
	answers, err := c.Exchange(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := sent.Encode()
	b, _ := got.Encode()
	if !bytes.Equal(a, b) {
		t.Errorf("sent %x, arrived %x", a, b)
	}
	if len(answers) != 2 || answers[0].Type != lrp.TypeError || answers[0].Dst != sent.Src {
		t.Errorf("answers %v", answers)
	}
}

func TestHTTP_Spec6_RequestsThatAreNoFrames(t *testing.T) {
	good, err := frame(t, "x").Encode()
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	h := lrphttp.Handler(func(context.Context, lrp.Frame) []lrp.Frame { asked = true; return nil })
	for _, tc := range []struct {
		name, method, typ string
		body              []byte
		want              int
	}{
		{"good, no answer", "POST", lrphttp.TypeFrame, good, 200},
		{"get", "GET", lrphttp.TypeFrame, nil, 405},
		{"form", "POST", "text/plain", good, 415},
		{"no type", "POST", "", good, 415},
		{"too large", "POST", lrphttp.TypeFrame, make([]byte, lrp.MaxFrame+1), 413},
		{"truncated", "POST", lrphttp.TypeFrame, good[:30], 400},
		{"two frames", "POST", lrphttp.TypeFrame, append(bytes.Clone(good), good...), 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked = false
			r := httptest.NewRequestWithContext(t.Context(), tc.method, lrphttp.Path, bytes.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.typ)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.want || asked != (tc.want == 200) {
				t.Errorf("status %d, want %d; module asked: %v", w.Code, tc.want, asked)
			}
		})
	}
}

// transport answers requests from a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHTTP_Spec6_AnswersThatAreNoFrames(t *testing.T) {
	one, err := frame(t, "x").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		status int
		typ    string
		body   []byte
		lost   bool
	}{
		{"server error", 503, lrphttp.TypeFrames, nil, true},
		{"too many requests", 429, lrphttp.TypeFrames, nil, true},
		{"not found", 404, lrphttp.TypeFrames, nil, false},
		{"redirect", 302, lrphttp.TypeFrames, nil, false},
		{"a web page", 200, "text/html", []byte("<p>"), false},
		{"half a frame", 200, lrphttp.TypeFrames, one[:20], false},
		{"17 frames", 200, lrphttp.TypeFrames, bytes.Repeat(one, 17), false},
		{"too long", 200, lrphttp.TypeFrames, make([]byte, lrphttp.MaxAnswer+1), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &lrphttp.Client{URL: "http://home.example", HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: tc.status, Status: fmt.Sprint(tc.status), Header: http.Header{"Content-Type": {tc.typ}},
					Body: io.NopCloser(bytes.NewReader(tc.body)),
				}, nil
			})}}
			_, err := c.Exchange(t.Context(), frame(t, "x"))
			if err == nil || errors.Is(err, lrp.ErrLost) != tc.lost {
				t.Errorf("%v; lost: want %v", err, tc.lost)
			}
		})
	}
}

// peers is a module that says "1" and wants "1!", then says "2" and so on up
// to "3": both sides of a small exchange.
type peers struct {
	received []string
	fail     error
}

func (p *peers) Receive(_ context.Context, m trem.SLTPMessage) (trem.Received, error) {
	p.received = append(p.received, string(m.Bytes))
	switch string(m.Bytes) {
	case "1!":
		return trem.Received{Messages: []trem.SLTPMessage{{CID: []byte("01234567"), Bytes: []byte("2")}}}, p.fail
	case "2!":
		return trem.Received{
			Messages: []trem.SLTPMessage{{CID: []byte("01234567"), Bytes: []byte("3")}},
			Events:   []trem.Event{{Kind: trem.EventInstalled}},
		}, p.fail
	case "3!":
		return trem.Received{Events: []trem.Event{{Kind: trem.EventClosed}}}, p.fail
	}
	return trem.Received{}, p.fail
}

// lossy is a link to an endpoint that answers each message with itself and
// "!", and that loses requests and answers as lose says.
type lossy struct {
	endpoint *lrp.Endpoint
	served   []string
	sent     [][]byte
	lose     func(n int) (request, answer bool)
	silent   bool
	busy     error // the answer to the first message; nil = it is served
}

func (l *lossy) Exchange(_ context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	raw, err := f.Encode()
	if err != nil {
		return nil, err
	}
	n := len(l.sent)
	l.sent = append(l.sent, raw)
	if busy := l.busy; busy != nil {
		l.busy = nil
		return nil, busy
	}
	loseRequest, loseAnswer := l.lose(n)
	if loseRequest {
		return nil, fmt.Errorf("%w: request", lrp.ErrLost)
	}
	out := l.endpoint.Handle(f, start, func(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
		l.served = append(l.served, string(m.Message))
		if l.silent {
			return nil, nil
		}
		return []lrp.SLTP{{CID: m.CID, Message: append(bytes.Clone(m.Message), '!')}}, nil
	})
	if loseAnswer {
		return nil, fmt.Errorf("%w: answer", lrp.ErrLost)
	}
	return out, nil
}

func link(t *testing.T, lose func(int) (bool, bool)) *lossy {
	t.Helper()
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: lrp.Addr(home)})
	if err != nil {
		t.Fatal(err)
	}
	return &lossy{endpoint: e, lose: lose}
}

func courier(m lrphttp.Module, l lrp.Exchanger) *lrphttp.Courier {
	return &lrphttp.Courier{Module: m, Link: l, Src: device, Dst: home, Now: func() time.Time { return start }}
}

var opened = trem.Opened{Messages: []trem.SLTPMessage{{Bytes: []byte("1")}}}

func TestCourier_Spec6_EachMessageIsServedOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(int) (bool, bool)
	}{
		{"nothing lost", func(int) (bool, bool) { return false, false }},
		{"every second request lost", func(n int) (bool, bool) { return n%2 == 0, false }},
		{"every second answer lost", func(n int) (bool, bool) { return false, n%2 == 0 }},
		{"three of four lost", func(n int) (bool, bool) { return n%4 == 0, n%4 == 1 || n%4 == 2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, l := new(peers), link(t, tc.lose)
				events, err := courier(m, l).Fetch(t.Context(), opened)
				if err != nil {
					t.Fatal(err)
				}
				if len(events) != 2 || events[0].Kind != trem.EventInstalled || events[1].Kind != trem.EventClosed {
					t.Errorf("events %v", events)
				}
				if got := strings.Join(l.served, " "); got != "1 2 3" {
					t.Errorf("the peer's module was asked %q", got)
				}
				if got := strings.Join(m.received, " "); got != "1! 2! 3!" {
					t.Errorf("the own module got %q", got)
				}
			})
		})
	}
}

func TestCourier_Spec6_RepeatsAreTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := link(t, func(int) (bool, bool) { return true, false })
		_, err := courier(new(peers), l).Fetch(t.Context(), opened)
		if !errors.Is(err, lrp.ErrLost) {
			t.Errorf("%v, want ErrLost", err)
		}
		if len(l.sent) != lrphttp.MaxTries {
			t.Errorf("%d tries, want %d", len(l.sent), lrphttp.MaxTries)
		}
		for _, s := range l.sent {
			if !bytes.Equal(s, l.sent[0]) {
				t.Error("a repeat has other bytes")
			}
		}
	})
}

// A peer that has no time says when to come again, as a status or as a frame; who
// was told comes then, and not all at one moment.
func TestCourier_Spec6_ComesAgainWhenItIsTold(t *testing.T) {
	for name, busy := range map[string]error{
		"frame": &lrp.Error{Code: lrp.CodeFull, RetryMS: 2000},
		"HTTP":  later(t, "2"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := map[time.Duration]bool{}
				for range 5 {
					l := link(t, func(int) (bool, bool) { return false, false })
					l.busy = busy
					from := time.Now()
					if _, err := courier(new(peers), l).Fetch(t.Context(), opened); err != nil {
						t.Fatal(err)
					}
					took := time.Since(from)
					if took < 2*time.Second || took > 3*time.Second {
						t.Errorf("it came after %v, want 2 s to 3 s", took)
					}
					seen[took] = true
				}
				if len(seen) < 2 {
					t.Error("five peers came at the same moment")
				}
			})
		})
	}
}

// later is what a client makes of a server that has no time.
func later(t *testing.T, after string) error {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	_, err := (&lrphttp.Client{URL: srv.URL}).Exchange(t.Context(), frame(t, "x"))
	if !errors.Is(err, lrp.ErrLost) {
		t.Fatalf("%v, want ErrLost", err)
	}
	return err
}

func TestCourier_Spec6_SilenceIsNamed(t *testing.T) {
	l := link(t, func(int) (bool, bool) { return false, false })
	l.silent = true
	if _, err := courier(new(peers), l).Fetch(t.Context(), opened); !errors.Is(err, lrphttp.ErrSilent) {
		t.Errorf("%v, want ErrSilent", err)
	}
}

func TestCourier_Spec6_StopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), lrphttp.FirstWait/2)
		defer cancel()
		l := link(t, func(int) (bool, bool) { return true, false })
		if _, err := courier(new(peers), l).Fetch(ctx, opened); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's end", err)
		}
		if len(l.sent) != 1 {
			t.Errorf("%d requests after the end", len(l.sent)-1)
		}
	})
}

func TestCourier_Spec6_KeepsWhatWasReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := link(t, func(n int) (bool, bool) { return n >= 2, false })
		events, err := courier(new(peers), l).Fetch(t.Context(), opened)
		if !errors.Is(err, lrp.ErrLost) || len(events) != 1 || events[0].Kind != trem.EventInstalled {
			t.Errorf("%v, %v: want the installed license and ErrLost", events, err)
		}
	})
}

func TestCourier_Spec6_ErrorFrames(t *testing.T) {
	for _, tc := range []struct {
		code  lrp.Code
		tries int
	}{{lrp.CodeUnknownDst, 1}, {lrp.CodeMalformed, 1}, {lrp.CodeInternal, lrphttp.MaxTries}, {lrp.CodeFull, lrphttp.MaxTries}} {
		t.Run(tc.code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				ex := exchange(func(f lrp.Frame) ([]lrp.Frame, error) {
					tries++
					return []lrp.Frame{lrp.ErrorFrame(f, tc.code, 3_600_000)}, nil
				})
				began := time.Now()
				_, err := courier(new(peers), ex).Fetch(t.Context(), opened)
				var e *lrp.Error
				if !errors.As(err, &e) || e.Code != tc.code || tries != tc.tries {
					t.Errorf("%v after %d tries, want %v after %d", err, tries, tc.code, tc.tries)
				}
				if took := time.Since(began); took > time.Duration(tries)*lrphttp.MaxWait {
					t.Errorf("the peer's advice made the courier wait %v", took)
				}
			})
		})
	}
}

type exchange func(lrp.Frame) ([]lrp.Frame, error)

func (f exchange) Exchange(_ context.Context, fr lrp.Frame) ([]lrp.Frame, error) { return f(fr) }

func TestCourier_Spec6_EndlessExchangeEnds(t *testing.T) {
	again := module(func() trem.Received { return trem.Received{Messages: opened.Messages} })
	l := link(t, func(int) (bool, bool) { return false, false })
	if _, err := courier(again, l).Fetch(t.Context(), opened); err == nil || len(l.sent) != lrphttp.MaxMessages {
		t.Errorf("%v after %d messages", err, len(l.sent))
	}
}

type module func() trem.Received

func (m module) Receive(context.Context, trem.SLTPMessage) (trem.Received, error) { return m(), nil }

func Example() {
	mux := http.NewServeMux()
	mux.Handle(lrphttp.Path, lrphttp.Handler(func(_ context.Context, f lrp.Frame) []lrp.Frame {
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeUnknownDst, 0)}
	}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tx := lrp.NewTransaction(lrp.Addr(home), lrp.Addr(device), start, lrp.Life)
	client := &lrphttp.Client{URL: srv.URL}
	answers, err := client.Exchange(context.Background(), tx.Next(lrp.TypeResume, []byte{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tx.Check(answers[0]))
	// Output: lrp: the peer answered UNKNOWN_DST
}
