package lrptest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Start is the time of the suite's frames. Source: local.
func Start() time.Time { return time.UnixMilli(1_795_521_600_000) }

// Party is a module that can prove itself.
type Party struct {
	Addr lrp.Addr
	key  *ecdsa.PrivateKey
	leaf []byte
}

// NewParty makes one with a fresh key.
func NewParty(tb testing.TB) *Party {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "module"}, NotBefore: Start(), NotAfter: Start().Add(time.Hour)}
	leaf, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		tb.Fatal(err)
	}
	return &Party{lrp.AddrOf(cert.RawSubjectPublicKeyInfo), key, leaf}
}

// Sign makes the proofs of an Introduction.
func (p *Party) Sign(_ context.Context, link lrp.LinkID, relay lrp.Addr, hello [32]byte) (lrp.Proof, error) {
	s, err := pki.SignLink(p.key, p.leaf, pki.LinkStatement{Link: link, Relay: ident.Device(relay), Hello: hello})
	return lrp.Proof{Leaf: p.leaf, Statement: s}, err
}

// Introduction is p's to a relay.
func (p *Party) Introduction(relay lrp.Addr) *lrp.Introduction {
	return &lrp.Introduction{Self: p.Addr, Relay: relay, Hello: lrp.DefaultHello(), Sign: p.Sign}
}

// Accepting is what a binding's accepting side runs for the suite.
type Accepting struct {
	Self   lrp.Addr
	Frames lrp.Handler
	Wait   func(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error)
}

// Binding is a binding under test.
type Binding struct {
	// Serve starts an accepting side, which ends with the test, and returns what
	// connects to it: who is nil for a peer that proves nothing.
	Serve func(t *testing.T, a Accepting) (connect func(who *lrp.Introduction) lrp.Exchanger)
	// Poll asks the way back of what connect returned; nil: the binding has none.
	Poll func(ctx context.Context, x lrp.Exchanger, after uint64) ([]lrp.Kept, error)
}

// Run runs the suite.
func Run(t *testing.T, b Binding) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, Binding){
		"frames cross unchanged":             crossUnchanged,
		"answers come in order":              answersInOrder,
		"exchanges at once keep apart":       atOnce,
		"a repeat is the same frame":         repeated,
		"who gives up is not held":           givesUp,
		"who proves itself is proven":        proves,
		"who proves nothing is not proven":   provesNothing,
		"what waits comes back":              waitsAndComes,
		"a silent answerer is no lost frame": silent,
	} {
		t.Run(name, func(t *testing.T) { run(t, b) })
	}
}

func frame(dst, src lrp.Addr, body []byte) lrp.Frame {
	return lrp.NewTransaction(dst, src, Start(), 24*time.Hour).Next(lrp.TypeSLTP, body)
}

func exchange(t *testing.T, x lrp.Exchanger, f lrp.Frame) []lrp.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := x.Exchange(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func crossUnchanged(t *testing.T, b Binding) {
	var mu sync.Mutex
	var last lrp.Frame
	relay, src := lrp.Addr{1}, lrp.Addr{2}
	connect := b.Serve(t, Accepting{Self: relay, Frames: func(_ context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame {
		mu.Lock()
		defer mu.Unlock()
		last = f
		return []lrp.Frame{lrp.Acknowledge(f)}
	}})
	x := connect(nil)
	for _, n := range []int{0, 1, 23, 24, 255, 65_000, lrp.MaxBody} {
		f := frame(relay, src, bytes.Repeat([]byte{byte(n)}, n))
		f.Hops, f.Seq = 3, uint64(n) //nolint:gosec // small
		got := exchange(t, x, f)
		want, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		arrived, err := last.Encode()
		mu.Unlock()
		if err != nil || !bytes.Equal(arrived, want) {
			t.Errorf("a body of %d bytes: another frame arrived (%v)", n, err)
		}
		if len(got) != 1 || got[0].Type != lrp.TypeAck || got[0].Tx != f.Tx {
			t.Errorf("a body of %d bytes: answer %v", n, got)
		}
	}
}

func answersInOrder(t *testing.T, b Binding) {
	relay := lrp.Addr{1}
	for _, n := range []int{0, 2, lrp.MaxFrames} {
		connect := b.Serve(t, Accepting{Self: relay, Frames: func(_ context.Context, _ lrp.Arrival, f lrp.Frame) (out []lrp.Frame) {
			for i := range n {
				a := lrp.Acknowledge(f)
				a.Type, a.Seq, a.Body = lrp.TypeSLTP, uint64(i), make([]byte, lrp.MaxBody) //nolint:gosec // small
				out = append(out, a)
			}
			return out
		}})
		got := exchange(t, connect(nil), frame(relay, lrp.Addr{2}, []byte{1}))
		for i, a := range got {
			if a.Seq != uint64(i) || len(a.Body) != lrp.MaxBody { //nolint:gosec // small
				t.Errorf("answer %d of %d is number %d, %d bytes", i, n, a.Seq, len(a.Body))
			}
		}
		if len(got) != n {
			t.Errorf("%d answers, want %d", len(got), n)
		}
	}
}

func atOnce(t *testing.T, b Binding) {
	relay := lrp.Addr{1}
	connect := b.Serve(t, Accepting{Self: relay, Frames: func(_ context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame {
		a := lrp.Acknowledge(f)
		a.Type, a.Body = lrp.TypeSLTP, append([]byte("re: "), f.Body...)
		return []lrp.Frame{a}
	}})
	shared := connect(nil)
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			x := shared
			if n%2 == 0 {
				x = connect(nil)
			}
			f := frame(relay, lrp.Addr{2, byte(n)}, fmt.Appendf(nil, "%d", n))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got, err := x.Exchange(ctx, f)
			if err != nil || len(got) != 1 || string(got[0].Body) != fmt.Sprintf("re: %d", n) {
				t.Errorf("exchange %d: %v, %v", n, got, err)
			}
		})
	}
	wg.Wait()
}

func repeated(t *testing.T, b Binding) {
	relay, src := lrp.Addr{1}, lrp.Addr{2}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: relay})
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	connect := b.Serve(t, Accepting{Self: relay, Frames: func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
		return e.HandleBy(by, f, Start(), func(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
			served++
			return []lrp.SLTP{m}, nil
		})
	}})
	body, err := lrp.SLTP{Message: []byte("once")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := frame(relay, src, body)
	first := exchange(t, connect(nil), f)
	second := exchange(t, connect(nil), f)
	if len(first) != 1 || len(second) != 1 || !bytes.Equal(first[0].Body, second[0].Body) || served != 1 {
		t.Errorf("%v, then %v; served %d times", first, second, served)
	}
}

func givesUp(t *testing.T, b Binding) {
	relay := lrp.Addr{1}
	release := make(chan struct{})
	connect := b.Serve(t, Accepting{Self: relay, Frames: func(_ context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame {
		select {
		case <-release: // and not the end of the other one's patience: an answer then could still arrive
		case <-t.Context().Done():
		}
		return []lrp.Frame{lrp.Acknowledge(f)}
	}})
	x := connect(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	f := frame(relay, lrp.Addr{2}, []byte{1})
	if _, err := x.Exchange(ctx, f); err == nil || !errors.Is(err, lrp.ErrLost) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrLost or the context's end", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	close(release)
	if got := exchange(t, x, f); len(got) != 1 || got[0].Type != lrp.TypeAck {
		t.Errorf("the same frame afterwards: %v", got)
	}
}

// door is an accepting side that knows one party, and acknowledges its frames only.
func door(t *testing.T, p *Party) (Accepting, *lrp.Mailbox) {
	t.Helper()
	relay := lrp.Addr{1}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: relay, Known: func(a lrp.Addr) bool { return a == p.Addr }})
	if err != nil {
		t.Fatal(err)
	}
	box := lrp.NewMailbox(noShelf{}, nil, Start())
	var mu sync.Mutex
	a := Accepting{Self: relay, Frames: func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
		switch {
		case f.Type == lrp.TypeHello:
			return e.HandleBy(by, f, Start(), nil)
		case by.Signed != f.Src && !e.Proved(by.Link, f.Src, Start()):
			return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeUnproven, 0)}
		}
		return []lrp.Frame{lrp.Acknowledge(f)}
	}}
	a.Wait = func(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error) {
		if !e.Proved(link, p.Addr, Start()) {
			return nil, lrp.ErrProof
		}
		mu.Lock()
		kept := box.For(p.Addr, after, Start())
		mu.Unlock()
		if len(kept) == 0 {
			<-ctx.Done()
		}
		return kept, nil
	}
	return a, box
}

type noShelf struct{}

func (noShelf) Keep(uint64, []byte) error { return nil }
func (noShelf) Drop(uint64) error         { return nil }

func proves(t *testing.T, b Binding) {
	p := NewParty(t)
	a, _ := door(t, p)
	x := b.Serve(t, a)(p.Introduction(a.Self))
	for range 2 {
		if got := exchange(t, x, frame(a.Self, p.Addr, []byte{1})); len(got) != 1 || got[0].Type != lrp.TypeAck {
			t.Errorf("answer %v, want ACK", got)
		}
	}
}

func provesNothing(t *testing.T, b Binding) {
	p, stranger := NewParty(t), NewParty(t)
	a, _ := door(t, p)
	connect := b.Serve(t, a)
	exchange(t, connect(p.Introduction(a.Self)), frame(a.Self, p.Addr, []byte{1})) // the party is there on a link of its own
	if got := exchange(t, connect(nil), frame(a.Self, p.Addr, []byte{2})); !unproven(got) {
		t.Errorf("another's address without a proof: %v, want UNPROVEN", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := connect(stranger.Introduction(a.Self)).Exchange(ctx, frame(a.Self, p.Addr, []byte{3}))
	if e, ok := errors.AsType[*lrp.Error](err); (!ok || e.Code != lrp.CodeUnproven) && !unproven(got) {
		t.Errorf("another's address with a proof of one's own: %v, %v, want UNPROVEN", got, err)
	}
}

func unproven(got []lrp.Frame) bool { return len(got) == 1 && lrp.Unproven(got[0], got) }

func waitsAndComes(t *testing.T, b Binding) {
	if b.Poll == nil {
		return
	}
	p := NewParty(t)
	a, box := door(t, p)
	connect := b.Serve(t, a)
	x := connect(p.Introduction(a.Self))
	var last uint64
	for n := range byte(3) {
		f := frame(p.Addr, lrp.Addr{7}, []byte{n})
		k, err := box.Put(f, 0, Start())
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Poll(t.Context(), x, last)
		if err != nil || len(got) != 1 || got[0].Number != k.Number || got[0].Frame.Tx != f.Tx || got[0].Frame.Body[0] != n {
			t.Fatalf("frame %d: %+v, %v", n, got, err)
		}
		last = got[0].Number
	}
	stranger := NewParty(t)
	if got, err := b.Poll(t.Context(), connect(stranger.Introduction(a.Self)), 0); err == nil {
		t.Errorf("a stranger gets %+v", got)
	}
}

func silent(t *testing.T, b Binding) {
	relay := lrp.Addr{1}
	connect := b.Serve(t, Accepting{Self: relay, Frames: func(context.Context, lrp.Arrival, lrp.Frame) []lrp.Frame { return nil }})
	if got := exchange(t, connect(nil), frame(relay, lrp.Addr{2}, []byte{1})); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
