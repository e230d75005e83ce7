package lrp_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

var (
	home   = lrp.Addr{1}
	device = lrp.Addr{2}
	start  = time.UnixMilli(1795521600000)
)

// echo answers each message with itself and counts how often it was asked.
type echo struct {
	mu    sync.Mutex
	calls int
	fail  error
}

func (e *echo) serve(_ lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	return []lrp.SLTP{m}, e.fail
}

func endpoint(t *testing.T) *lrp.Endpoint {
	t.Helper()
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func body(t *testing.T, n byte) []byte {
	t.Helper()
	b, err := lrp.SLTP{Message: []byte{n}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func code(t *testing.T, frames []lrp.Frame) lrp.Code {
	t.Helper()
	if len(frames) != 1 || frames[0].Type != lrp.TypeError {
		return 0
	}
	e, err := lrp.ParseError(frames[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	return e.Code
}

func TestEndpoint_Spec4_DuplicateIsAnsweredFromMemory(t *testing.T) {
	e, srv := endpoint(t), new(echo)
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	f := tx.Next(lrp.TypeSLTP, body(t, 1))
	first := e.Handle(f, start, srv.serve)
	f.Hops = 3 // the repeat came another way
	second := e.Handle(f, start.Add(time.Minute), srv.serve)
	if srv.calls != 1 {
		t.Errorf("the module was asked %d times", srv.calls)
	}
	if len(first) != 1 || len(second) != 1 || !bytes.Equal(first[0].Body, second[0].Body) {
		t.Errorf("answers differ: %v, %v", first, second)
	}
	if err := tx.Check(second[0]); err != nil {
		t.Error(err)
	}
}

func TestEndpoint_Spec4_OrderWithinATransaction(t *testing.T) {
	e, srv := endpoint(t), new(echo)
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	one, two := tx.Next(lrp.TypeSLTP, body(t, 1)), tx.Next(lrp.TypeSLTP, body(t, 2))
	e.Handle(one, start, srv.serve)
	e.Handle(two, start, srv.serve)
	if got := code(t, e.Handle(one, start, srv.serve)); got != lrp.CodeStale {
		t.Errorf("an older frame: %v, want STALE", got)
	}
	forged := two
	forged.Body = body(t, 9)
	if got := code(t, e.Handle(forged, start, srv.serve)); got != lrp.CodeMalformed {
		t.Errorf("another frame under the same number: %v, want MALFORMED", got)
	}
	if srv.calls != 2 {
		t.Errorf("the module was asked %d times, want 2", srv.calls)
	}
}

func TestEndpoint_Spec4_ChecksBeforeTheModule(t *testing.T) {
	good := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	for _, tc := range []struct {
		name string
		make func(f lrp.Frame) lrp.Frame
		now  time.Time
		want lrp.Code
	}{
		{"for somebody else", func(f lrp.Frame) lrp.Frame { f.Dst = lrp.Addr{7}; return f }, start, lrp.CodeUnknownDst},
		{"from myself", func(f lrp.Frame) lrp.Frame { f.Src = home; return f }, start, lrp.CodeUnknownDst},
		{"expired", func(f lrp.Frame) lrp.Frame { return f }, start.Add(lrp.Life), lrp.CodeExpired},
		{"not an SLTP body", func(f lrp.Frame) lrp.Frame { f.Body = []byte{0xf6}; return f }, start, lrp.CodeMalformed},
		{"gossip", func(f lrp.Frame) lrp.Frame { f.Type = lrp.TypeGossip; return f }, start, lrp.CodeUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := new(echo)
			if got := code(t, endpoint(t).Handle(tc.make(good), tc.now, srv.serve)); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if srv.calls != 0 {
				t.Error("the module was asked")
			}
		})
	}
}

func TestEndpoint_Spec4_FailureIsNotKept(t *testing.T) {
	e, srv := endpoint(t), &echo{fail: errors.New("the module is gone")}
	f := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	got := e.Handle(f, start, srv.serve)
	if c := code(t, got); c != lrp.CodeInternal || !c.Retry() {
		t.Errorf("%v, want a code worth a retry", c)
	}
	srv.fail = nil
	if got := e.Handle(f, start, srv.serve); len(got) != 1 || got[0].Type != lrp.TypeSLTP {
		t.Errorf("the retry was answered with %v", got)
	}
}

func TestEndpoint_Spec4_FrameInWorkIsBusy(t *testing.T) {
	e := endpoint(t)
	f := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	var inner lrp.Code
	e.Handle(f, start, func(lrp.Addr, lrp.SLTP) ([]lrp.SLTP, error) {
		inner = code(t, e.Handle(f, start, new(echo).serve))
		return nil, nil
	})
	if inner != lrp.CodeBusy {
		t.Errorf("%v, want BUSY", inner)
	}
	func() {
		defer func() { _ = recover() }()
		f = lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
		e.Handle(f, start, func(lrp.Addr, lrp.SLTP) ([]lrp.SLTP, error) { panic("module") })
	}()
	if got := e.Handle(f, start, new(echo).serve); len(got) != 1 || got[0].Type != lrp.TypeSLTP {
		t.Errorf("a frame whose service panicked stays in work: %v", got)
	}
}

func TestEndpoint_Spec4_MemoryIsBounded(t *testing.T) {
	e, srv := endpoint(t), new(echo)
	first := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	other := lrp.NewTransaction(home, lrp.Addr{3}, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	e.Handle(other, start, srv.serve)
	e.Handle(first, start, srv.serve)
	for range lrp.MaxPending {
		e.Handle(lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1)), start, srv.serve)
	}
	before := srv.calls
	e.Handle(other, start, srv.serve)
	if srv.calls != before {
		t.Error("one source's transactions drove out another's")
	}
	e.Handle(first, start, srv.serve)
	if srv.calls != before+1 {
		t.Error("the oldest transaction of the source is still held over MaxPending")
	}
	for i := range lrp.MaxTransactions {
		src := lrp.Addr{9, byte(i), byte(i >> 8)}
		e.Handle(lrp.NewTransaction(home, src, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1)), start, srv.serve)
	}
	before = srv.calls
	e.Handle(other, start, srv.serve)
	if srv.calls != before+1 {
		t.Error("more than MaxTransactions are held")
	}
}

func TestEndpoint_Spec5_Resume(t *testing.T) {
	e, srv := endpoint(t), new(echo)
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	if got := code(t, e.Handle(tx.Resume(), start, srv.serve)); got != lrp.CodeUnknownTx {
		t.Errorf("before the first frame: %v, want UNKNOWN_TX", got)
	}
	want := e.Handle(tx.Next(lrp.TypeSLTP, body(t, 1)), start, srv.serve)
	got := e.Handle(tx.Resume(), start, srv.serve)
	if len(got) != 1 || !bytes.Equal(got[0].Body, want[0].Body) {
		t.Errorf("%v, want %v", got, want)
	}
	stranger := tx.Resume()
	stranger.Src = lrp.Addr{9}
	if got := code(t, e.Handle(stranger, start, srv.serve)); got != lrp.CodeUnknownTx {
		t.Errorf("a stranger with the transaction's ID: %v, want UNKNOWN_TX", got)
	}
	if got := code(t, e.Handle(tx.Resume(), start.Add(lrp.Life-1), srv.serve)); got != 0 {
		t.Errorf("just before the end: %v", got)
	}
	if srv.calls != 1 {
		t.Errorf("the module was asked %d times", srv.calls)
	}
}

func TestEndpoint_Spec3_Hello(t *testing.T) {
	e := endpoint(t)
	offer := encode(t, hello(1, 2))
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	got := e.Handle(tx.Next(lrp.TypeHello, offer), start, nil)
	if len(got) != 1 || got[0].Type != lrp.TypeHello {
		t.Fatalf("%v", got)
	}
	if a, err := hello(1, 2).Accept(offer, got[0].Body); err != nil || a.Version != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if got := code(t, e.Handle(tx.Next(lrp.TypeHello, encode(t, hello(2))), start, nil)); got != lrp.CodeVersion {
		t.Errorf("%v, want VERSION", got)
	}
}

func TestForward_Spec1_HopsAndExpiry(t *testing.T) {
	f := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeSLTP, body(t, 1))
	for range lrp.MaxHops {
		var c lrp.Code
		if f, c = lrp.Forward(f, start); c != 0 {
			t.Fatalf("after %d hops: %v", f.Hops, c)
		}
	}
	if _, c := lrp.Forward(f, start); c != lrp.CodeHops {
		t.Errorf("%v, want HOPS", c)
	}
	f.Hops = 0
	if _, c := lrp.Forward(f, start.Add(lrp.Life)); c != lrp.CodeExpired {
		t.Errorf("%v, want EXPIRED", c)
	}
}

func TestTransaction_Spec4_ChecksAnswers(t *testing.T) {
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	f := tx.Next(lrp.TypeSLTP, body(t, 1))
	if g := tx.Next(lrp.TypeSLTP, body(t, 1)); g.Seq != f.Seq+1 || g.Tx != f.Tx {
		t.Errorf("second frame %v after %v", g, f)
	}
	answer := lrp.ErrorFrame(f, lrp.CodeBusy, 70)
	var e *lrp.Error
	if err := tx.Check(answer); !errors.As(err, &e) || e.Code != lrp.CodeBusy || e.RetryMS != 70 {
		t.Errorf("%v", err)
	}
	answer.Tx = lrp.NewTx()
	if err := tx.Check(answer); !errors.Is(err, lrp.ErrFrame) {
		t.Errorf("an answer of another transaction: %v", err)
	}
}
