package sltp

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/security/pki"
)

// epochs is a revocation state that a test moves.
type epochs struct{ src, dst Status }

func newEpochHouse(t testing.TB) (*house, *epochs) {
	e := &epochs{}
	return newHouse(t, func(src, dst *Config) {
		src.Status = func() Status { return e.src }
		dst.Status = func() Status { return e.dst }
	}), e
}

// TestSLTP_1_Duplicates delivers every message three times at every moment
// that a duplicate can arrive: nothing is done twice, answers are repeated.
func TestSLTP_1_Duplicates(t *testing.T) {
	h := newHouse(t)
	again := func(e *Endpoint, in, want []Message) {
		t.Helper()
		for range 2 {
			if out, ev := h.deliver(e, in); !cmp.Equal(out, want) || len(ev) != 0 {
				t.Fatalf("duplicate gave %v, %v, want %v", out, ev, want)
			}
		}
	}
	dst, m1 := h.open()
	m2 := h.one(h.src, m1)
	again(h.src, m1, m2)
	m3 := h.one(h.dst, m2)
	again(h.dst, m2, m3)
	_, ev := h.deliver(h.src, m3)
	req := event[EventRequest](t, ev)
	again(h.src, m3, nil) // the host has not answered yet
	again(h.src, m1, nil) // too late
	m4, err := h.src.Reply(req.Handle, licenseReply(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	again(h.src, m3, m4)
	_, ev = h.deliver(h.dst, m4)
	event[EventReply](t, ev)
	again(h.dst, m4, nil)
	again(h.dst, m2, nil)
	again(h.src, m3, m4)
	again(h.src, m1, nil)
	if len(h.src.byHandle) != 1 || len(h.dst.byHandle) != 1 {
		t.Errorf("%d and %d sessions, want one each", len(h.src.byHandle), len(h.dst.byHandle))
	}
	if _, err := h.src.Reply(req.Handle, licenseReply(t), h.now); !errors.Is(err, ErrState) {
		t.Errorf("second Reply = %v", err)
	}
	_, app1, err := h.dst.Send(dst, app(t, 1), h.now)
	if err != nil {
		t.Fatal(err)
	}
	_, ev = h.deliver(h.src, app1)
	event[EventApp](t, ev)
	again(h.src, app1, nil)
	again(h.src, m3, nil) // the destination has message_4: it sent in the session
	back, err := h.src.Answer(req.Handle, 0, app(t, 2), h.now)
	if err != nil {
		t.Fatal(err)
	}
	again(h.src, app1, back)
	if got, err := h.dst.Resend(dst); err != nil || !cmp.Equal(got, app1) {
		t.Errorf("Resend = %v, %v", got, err)
	}
}

// TestSLTP_1_ReplayedMessage1 replays message_1 after the exchange is over: it
// costs a new half-open exchange and yields nothing.
func TestSLTP_1_ReplayedMessage1(t *testing.T) {
	h := newHouse(t)
	src, dst, trace := h.sessions()
	h.src.Close(src)
	h.dst.Close(dst)
	m2 := h.one(h.src, trace[:1])
	if cmp.Equal(m2[0].Bytes, trace[1].Bytes) {
		t.Error("the same message_2 twice")
	}
	for i, m := range trace[1:] { // nobody knows these any more
		for _, e := range []*Endpoint{h.src, h.dst} {
			if out, ev := e.Receive(m, h.now); len(out) != 0 || len(ev) != 0 {
				t.Errorf("replayed message_%d gave %v, %v", i+2, out, ev)
			}
		}
	}
}

// TestSLTP_1_Stray delivers messages of another exchange of the same two.
func TestSLTP_1_Stray(t *testing.T) {
	h := newHouse(t)
	_, _, old := h.sessions()
	dst, m1 := h.open()
	m2 := h.one(h.src, m1)
	m3 := h.one(h.dst, m2)
	swap := func(m Message, like []Message) []Message { return []Message{{CID: like[0].CID, Bytes: m.Bytes}} }
	for _, tc := range []struct {
		e  *Endpoint
		in []Message
	}{
		{h.src, swap(old[2], m3)},
		{h.src, swap(old[0], m3)},
		{h.src, swap(old[3], m3)},
		{h.dst, swap(old[1], m2)},
		{h.dst, swap(old[3], m2)},
	} {
		if out, _ := h.deliver(tc.e, tc.in); len(out) != 0 {
			t.Errorf("a stray message was answered with %v", out)
		}
	}
	_, ev := h.deliver(h.src, m3)
	m4, err := h.src.Reply(event[EventRequest](t, ev).Handle, licenseReply(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	_, ev = h.deliver(h.dst, m4)
	if got := event[EventReply](t, ev); got.Handle != dst {
		t.Errorf("reply to %v", got.Handle)
	}
}

// TestSLTP_1_FailureBound ends an exchange after eight messages that do not open.
func TestSLTP_1_FailureBound(t *testing.T) {
	h := newHouse(t)
	_, m1 := h.open()
	m3 := h.one(h.dst, h.one(h.src, m1))
	bad := []Message{{CID: m3[0].CID, Bytes: []byte{0x43, 1, 2, 3}}}
	for i := range maxFailures {
		_, ev := h.deliver(h.src, bad)
		if i < maxFailures-1 {
			event[EventDropped](t, ev)
		} else if got := event[EventFailed](t, ev); got.Alert != AlertRejected {
			t.Errorf("ended with %v", got.Alert)
		}
	}
	if out, ev := h.deliver(h.src, m3); len(out) != 0 || len(ev) != 0 {
		t.Errorf("the good message_3 after that gave %v, %v", out, ev)
	}
}

func TestSLTP_1_EpochAdvances(t *testing.T) {
	t.Run("a session ends at its user", func(t *testing.T) {
		h, e := newEpochHouse(t)
		_, dst, _ := h.sessions()
		e.dst.Epoch.Number++
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now); !errors.Is(err, ErrEnded) {
			t.Errorf("Send = %v, want %v", err, ErrEnded)
		}
	})
	t.Run("a session ends at the peer, which says so", func(t *testing.T) {
		h, e := newEpochHouse(t)
		_, dst, _ := h.sessions()
		e.src.Epoch.Number++
		_, m, err := h.dst.Send(dst, app(t, 1), h.now)
		if err != nil {
			t.Fatal(err)
		}
		notice := h.one(h.src, m)
		if notice[0].CID != nil || sent(t, notice) != AlertUnknownSession {
			t.Fatalf("notice = %v", notice)
		}
		_, ev := h.deliver(h.dst, notice)
		if got := event[EventFailed](t, ev); got.Handle != dst || got.Alert != AlertUnknownSession || !got.Remote {
			t.Errorf("notice gave %+v", got)
		}
	})
	t.Run("EpochAdvanced forgets", func(t *testing.T) {
		h, _ := newEpochHouse(t)
		src, _, _ := h.sessions()
		h.src.EpochAdvanced()
		if _, _, err := h.src.Send(src, app(t, 1), h.now); !errors.Is(err, ErrHandle) || len(h.src.known.byID) != 0 {
			t.Errorf("Send = %v, %d certificates", err, len(h.src.known.byID))
		}
	})
	t.Run("a peer revoked while the host thinks gets no reply", func(t *testing.T) {
		st := &revoked{}
		h, e := newEpochHouse(t)
		h.src.cfg.Verifier = &pki.Verifier{Trust: h.domain.Trust, Status: st}
		_, m1 := h.open()
		_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
		req := event[EventRequest](t, ev)
		e.src.Epoch.Number++
		st.member = h.home.Member
		out, err := h.src.Reply(req.Handle, licenseReply(t), h.now)
		if pki.RuleOf(err) != pki.RuleRevoked || out != nil {
			t.Errorf("Reply = %v, %v", out, err)
		}
	})
	t.Run("a reply of a source revoked meanwhile is refused", func(t *testing.T) {
		st := &revoked{}
		h, e := newEpochHouse(t)
		h.dst.cfg.Verifier = &pki.Verifier{Trust: h.domain.Trust, Status: st}
		_, m1 := h.open()
		_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
		m4, err := h.src.Reply(event[EventRequest](t, ev).Handle, licenseReply(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		e.dst.Epoch.Number++
		st.member = h.issuer.Member
		out, ev := h.deliver(h.dst, m4)
		failed(t, out, ev, AlertCertificate, pki.RuleRevoked)
	})
}

// revoked is a revocation state with one member in it.
type revoked struct{ member pki.Member }

func (r *revoked) Check(class pki.Class, index, _ uint32) error {
	if r.member.Class != 0 && class == r.member.Class && index == r.member.Index {
		return pki.ErrRevoked
	}
	return nil
}

func (*revoked) Epoch() pki.Epoch { return pki.Epoch{} }

func TestSLTP_1_SessionEnds(t *testing.T) {
	t.Run("after a day", func(t *testing.T) {
		h := newHouse(t)
		_, dst, _ := h.sessions()
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now.Add(sessionLife-1)); err != nil {
			t.Errorf("Send before = %v", err)
		}
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now.Add(sessionLife)); !errors.Is(err, ErrEnded) {
			t.Errorf("Send after = %v", err)
		}
	})
	t.Run("with a certificate", func(t *testing.T) {
		h := newHouse(t)
		h.now = h.domain.Now.Add(90*24*time.Hour - time.Minute) // the issuer's ends in a minute
		_, dst, _ := h.sessions()
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now.Add(time.Minute)); !errors.Is(err, ErrEnded) {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("after a thousand messages", func(t *testing.T) {
		h := newHouse(t)
		_, dst, _ := h.sessions()
		for i := range maxMessages {
			if _, _, err := h.dst.Send(dst, app(t, 1), h.now); err != nil {
				t.Fatalf("Send %d = %v", i, err)
			}
		}
		if _, _, err := h.dst.Send(dst, app(t, 1), h.now); !errors.Is(err, ErrEnded) {
			t.Errorf("Send 1001 = %v", err)
		}
	})
	t.Run("after eight messages that do not open", func(t *testing.T) {
		h := newHouse(t)
		src, dst, _ := h.sessions()
		_, m, err := h.dst.Send(dst, app(t, 1), h.now)
		if err != nil {
			t.Fatal(err)
		}
		m[0].Bytes[len(m[0].Bytes)-1] ^= 1
		for range maxFailures {
			h.deliver(h.src, m)
		}
		if _, _, err := h.src.Send(src, app(t, 1), h.now); !errors.Is(err, ErrHandle) {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("when closed", func(t *testing.T) {
		h := newHouse(t)
		_, dst, _ := h.sessions()
		h.dst.Close(dst)
		h.dst.Close(dst)
		if _, err := h.dst.Resend(dst); !errors.Is(err, ErrHandle) {
			t.Errorf("Resend = %v", err)
		}
	})
}

func TestSLTP_1_TTL(t *testing.T) {
	h := newHouse(t)
	handle, m1 := h.open()
	m2 := h.one(h.src, m1)
	if ev := h.dst.Tick(h.now.Add(defaultTTL - 1)); len(ev) != 0 {
		t.Errorf("before the TTL: %v", ev)
	}
	h.now = h.now.Add(defaultTTL)
	if got := event[EventFailed](t, h.dst.Tick(h.now)); got.Handle != handle || got.Alert != AlertExpired {
		t.Errorf("after the TTL: %+v", got)
	}
	if out, ev := h.deliver(h.dst, m2); len(out) != 0 || len(ev) != 0 {
		t.Errorf("a late message_2 gave %v, %v", out, ev)
	}
	// The host that thinks too long.
	_, m1 = h.open()
	_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
	req := event[EventRequest](t, ev)
	if _, err := h.src.Reply(req.Handle, licenseReply(t), h.now.Add(defaultTTL)); !errors.Is(err, ErrEnded) {
		t.Errorf("late Reply = %v", err)
	}
}

func TestSLTP_1_Interval(t *testing.T) {
	h := newHouse(t)
	_, m1 := h.open()
	answered := h.now.Add(2 * time.Second)
	h.now = answered
	m2 := h.one(h.src, m1)
	h.now = h.now.Add(3 * time.Second)
	_, ev := h.deliver(h.src, h.one(h.dst, m2))
	m4, err := h.src.Reply(event[EventRequest](t, ev).Handle, licenseReply(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(time.Minute)
	_, ev = h.deliver(h.dst, m4)
	if got := event[EventReply](t, ev); got.Interval != 5*time.Second || got.Status.TimeMS != answered.UnixMilli() {
		t.Errorf("interval %v, time %v", got.Interval, got.Status.TimeMS)
	}
}
