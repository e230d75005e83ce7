package sltp

import (
	"testing"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// TestSLTP_1_ByReference: on later contact both certificates go by x5t, and a
// side that forgot asks for the chain once.
func TestSLTP_1_ByReference(t *testing.T) {
	for _, tc := range []struct {
		name           string
		forget         func(*house)
		errors, rounds int
	}{
		{"both remember", func(*house) {}, 0, 1},
		{"the source forgot", func(h *house) { h.src.known = newPeers(8) }, 1, 2},
		{"the destination forgot", func(h *house) { h.dst.known = newPeers(8) }, 0, 1},
		{"both forgot", func(h *house) { h.src.known, h.dst.known = newPeers(8), newPeers(8) }, 0, 1},
		{"the destination forgot on the way", nil, 1, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			_, _, full := h.sessions()
			if tc.forget != nil {
				tc.forget(h)
			}
			handle, in := h.open()
			if tc.forget == nil {
				h.dst.known = newPeers(8)
			}
			alerts, size := 0, 0
			for e := h.src; len(in) > 0; {
				var next []Message
				for _, m := range in {
					size += len(m.Bytes)
					if m.CID != nil && edhoc.IsError(m.Bytes) {
						alerts++
						if got := sent(t, []Message{m}); got != AlertSendChain {
							t.Errorf("alert %v", got)
						}
					}
					out, ev := e.Receive(m, h.now)
					next = append(next, out...)
					for _, v := range ev {
						switch v := v.(type) {
						case EventRequest:
							m4, err := e.Reply(v.Handle, licenseReply(t), h.now)
							if err != nil {
								t.Fatal(err)
							}
							next = append(next, m4...)
						case EventReply:
							if v.Handle != handle || v.Peer.ID() != h.src.cfg.Self {
								t.Errorf("reply %v from %v", v.Handle, v.Peer.ID())
							}
							handle = 0
						case EventFailed:
							if !v.Remote && v.Alert != AlertSendChain || v.Remote && e == h.dst {
								t.Fatalf("failed: %v", v.Err)
							}
						}
					}
				}
				in = next
				if e == h.src {
					e = h.dst
				} else {
					e = h.src
				}
			}
			if handle != 0 || alerts != tc.errors {
				t.Fatalf("%d alerts, want %d; done: %v", alerts, tc.errors, handle == 0)
			}
			all := 0
			for _, m := range full {
				all += len(m.Bytes)
			}
			if tc.name == "both remember" && size > all-len(h.home.Leaf())-len(h.issuer.Leaf()) {
				t.Errorf("%d bytes by reference, %d with chains", size, all)
			}
		})
	}
}

// TestSLTP_1_OneRetryForAChain: an attacker who asks for the chain again and
// again gets it once.
func TestSLTP_1_OneRetryForAChain(t *testing.T) {
	h := newHouse(t)
	h.sessions()
	ask := edhoc.ErrorMessage{Code: int(AlertSendChain)}.Encode()
	_, m1 := h.open()
	m3 := h.one(h.dst, h.one(h.src, m1))
	cid := func() []byte { c := h.dst.ordered()[1].own; return c[:] }
	m1 = h.one(h.dst, []Message{{CID: cid(), Bytes: ask}})
	full := h.one(h.dst, h.one(h.src, m1))
	if len(full[0].Bytes) < len(m3[0].Bytes)+len(h.home.Leaf()) {
		t.Error("the second message_3 has no chain")
	}
	out, ev := h.deliver(h.dst, []Message{{CID: cid(), Bytes: ask}})
	if got := event[EventFailed](t, ev); got.Alert != AlertSendChain || !got.Remote || len(out) != 0 {
		t.Errorf("the second time: %+v, %v", got, out)
	}
}
