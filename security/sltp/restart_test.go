package sltp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// TestSLTP_2_InterruptedSession: a session that one side lost, and what its
// open requests come to: a new exchange with the same ID.
func TestSLTP_2_InterruptedSession(t *testing.T) {
	t.Run("the source lost it", func(t *testing.T) {
		h := newHouse(t)
		src, dst, _ := h.sessions()
		m := h.ask(dst, again(t, 1))
		h.src.Close(src) // a crash
		_, ev := h.deliver(h.dst, h.one(h.src, m))
		if got := event[EventFailed](t, ev); got.Handle != dst || got.Alert != AlertUnknownSession {
			t.Fatalf("the notice gave %+v", got)
		}
		_, m1, err := h.dst.Open(h.src.cfg.Self, again(t, 1), h.now)
		if err != nil {
			t.Fatal(err)
		}
		_, ev = h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
		if got := event[EventRequest](t, ev); got.Request.ReqID != again(t, 1).ReqID || got.Session {
			t.Errorf("asked anew: %+v", got)
		}
	})
	t.Run("its time is over", func(t *testing.T) {
		h := newHouse(t)
		_, dst, _ := h.sessions()
		h.ask(dst, again(t, 1))
		if got := event[EventFailed](t, h.dst.Tick(h.now.Add(sessionLife))); got.Handle != dst || got.Alert != AlertExpired {
			t.Errorf("%+v", got)
		}
	})
	t.Run("the destination's epoch moved on", func(t *testing.T) {
		h, e := newEpochHouse(t)
		src, dst, _ := h.sessions()
		h.deliver(h.src, h.ask(dst, again(t, 1)))
		reply := h.reply(src, ident.Request{})
		e.dst.Epoch.Number++
		out, ev := h.deliver(h.dst, reply)
		if got := event[EventFailed](t, ev); got.Alert != AlertExpired || sent(t, out) != AlertUnknownSession {
			t.Errorf("%+v", got)
		}
	})
	t.Run("the source's host answers too late", func(t *testing.T) {
		h, e := newEpochHouse(t)
		src, dst, _ := h.sessions()
		h.deliver(h.src, h.ask(dst, again(t, 1)))
		e.src.Epoch.Number++
		if _, err := h.src.Reply(src, licenseReply(t), h.now); !errors.Is(err, ErrEnded) {
			t.Errorf("Reply = %v", err)
		}
	})
}

// FuzzSession gives a session what its own, authenticated peer might say: both
// ways, as an answer or not. Only a request that parses reaches a host, and no
// reply that nobody asked for.
func FuzzSession(f *testing.F) {
	l := readModes(f)
	f.Add(l.get(f, "request_body"), uint8(0), uint8(0))
	f.Add(l.get(f, "reply_body"), uint8(1), uint8(1))
	f.Add([]byte{0x82, 14, 0x80}, uint8(0), uint8(0))
	f.Add([]byte{0x82, 15, 0x80}, uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, direction, re uint8) {
		if !reserved(body) || checkBody(body) != nil {
			return // others are the host's, and have a target of their own
		}
		h := modesHouse(t, l)
		src, dst := h.exchangeFixed()
		from, to, s := h.dst, h.src, h.dst.byHandle[dst]
		if direction%2 == 1 {
			from, to, s = h.src, h.dst, h.src.byHandle[src]
		}
		var seq *uint64
		if re%2 == 1 {
			seq = new(uint64)
		}
		m, err := from.sendApp(s, seq, body)
		if err != nil {
			return
		}
		out, ev := h.deliver(to, m)
		if len(out) != 0 || len(ev) != 1 {
			t.Fatalf("%d answers, %d events", len(out), len(ev))
		}
		switch v := ev[0].(type) {
		case EventReply:
			t.Fatalf("nobody asked for %+v", v)
		case EventRequest:
			if got := h.requestBody(v.Request, h.src.cfg.Self); !bytes.Equal(got, body) || to != h.src || seq != nil {
				t.Fatalf("%x was taken as a request", body)
			}
		}
	})
}
