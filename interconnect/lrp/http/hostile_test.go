package http_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
	"github.com/lares-drm/lares/security/trem"
)

// sealed is a message as modules know it: a stand-in for what SLTP does, so that a
// changed one is not taken.
func sealed(text string) []byte {
	m := hmac.New(sha256.New, []byte("between the two modules"))
	m.Write([]byte(text))
	return append([]byte(text+" "), m.Sum(nil)...)
}

func unsealed(b []byte) (string, bool) {
	text, _, ok := strings.Cut(string(b), " ")
	return text, ok && hmac.Equal(b, sealed(text))
}

// asker is the module of who asks: it says 1, 2 and 3, each after the answer to the
// one before, and takes what opens only, and each once.
type asker struct {
	at       int
	received []string
}

func (a *asker) open() trem.Opened {
	a.at = 1
	return trem.Opened{Messages: []trem.SLTPMessage{{Bytes: sealed("1")}}}
}

func (a *asker) Receive(_ context.Context, m trem.SLTPMessage) (trem.Received, error) {
	text, ok := unsealed(m.Bytes)
	if !ok || text != fmt.Sprintf("%d!", a.at) {
		return trem.Received{}, nil // dropped, as a module does
	}
	a.received = append(a.received, text)
	if a.at++; a.at > 3 {
		return trem.Received{Events: []trem.Event{{Kind: trem.EventClosed}}}, nil
	}
	return trem.Received{Messages: []trem.SLTPMessage{{CID: []byte("01234567"), Bytes: sealed(fmt.Sprint(a.at))}}}, nil
}

// answerer is the other module behind an endpoint: it remembers what it has done,
// as a TREM does by its request ID.
type answerer struct {
	endpoint *lrp.Endpoint
	done     map[string]int
}

func (a *answerer) Exchange(_ context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	if _, err := f.Encode(); err != nil {
		return nil, err
	}
	return a.endpoint.Handle(f, start, func(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
		text, ok := unsealed(m.Message)
		if !ok {
			return nil, nil
		}
		a.done[text]++
		return []lrp.SLTP{{CID: m.CID, Message: sealed(text + "!")}}, nil
	}), nil
}

// Whatever the relay does, an exchange that is opened again until it ends comes to
// the same end: each side has taken the other's true messages, in order, and nothing
// else. What the relay can do is to delay.
func TestCourier_Spec9_HostileRelay(t *testing.T) {
	kinds := map[string]lrptest.Mischief{
		"drops": {Drop: 40}, "loses answers": {Lose: 40}, "delays": {Delay: 40}, "repeats": {Duplicate: 60}, "reorders": {Reorder: 60},
		"corrupts": {Corrupt: 30}, "lies": {Lie: 40}, "all of it": lrptest.All(),
	}
	for name, m := range kinds {
		t.Run(name, func(t *testing.T) {
			did, ended := 0, 0
			for seed := range uint64(60) {
				synctest.Test(t, func(t *testing.T) {
					e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: lrp.Addr(home)})
					if err != nil {
						t.Fatal(err)
					}
					other := &answerer{endpoint: e, done: map[string]int{}}
					relay := lrptest.NewRelay(seed, other, m)
					ended += hostileRun(t, relay, other)
					for _, n := range relay.Count {
						did += n
					}
				})
			}
			if did < 60 || ended < 58 {
				t.Errorf("%d misdeeds in 60 runs, of which %d came to an end within 40 openings", did, ended)
			}
		})
	}
}

// hostileRun opens the exchange until it ends; 1 = it did.
func hostileRun(t *testing.T, relay *lrptest.Relay, other *answerer) int {
	t.Helper()
	for range 40 {
		me := new(asker)
		events, err := courier(me, relay).Fetch(t.Context(), me.open())
		for i, text := range me.received {
			if text != fmt.Sprintf("%d!", i+1) {
				t.Fatalf("taken: %v", me.received)
			}
		}
		if len(events) > 0 {
			if len(me.received) != 3 || other.done["1"] == 0 || other.done["3"] == 0 {
				t.Fatalf("an end without all of it: %v, %v", me.received, other.done)
			}
			return 1
		}
		if err == nil {
			t.Fatal("neither an end nor an error")
		}
		if errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	return 0
}
