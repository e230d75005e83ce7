package sltp

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

func TestSLTP_1_ExchangeDeliversTheLicense(t *testing.T) {
	for _, suite := range []Suite{edhoc.Suite2, edhoc.Suite3, edhoc.Suite6, edhoc.SuiteHybrid} {
		t.Run(suite.String(), func(t *testing.T) {
			h := newHouse(t, func(src, dst *Config) {
				src.Suites, dst.Suites = []Suite{suite}, []Suite{suite}
				src.Status = func() Status {
					return Status{Epoch: pki.Epoch{Generation: 1, Number: 9}, Head: [32]byte{4}, MinEpoch: pki.Epoch{Number: 3}, Proof: []byte{1, 2}}
				}
				dst.Status = func() Status { return Status{Epoch: pki.Epoch{Number: 5}} }
			})
			dst, m1 := h.open()
			m3 := h.one(h.dst, h.one(h.src, m1))
			_, ev := h.deliver(h.src, m3)
			req := event[EventRequest](t, ev)
			want := request(t)
			want.Dst, want.Epoch = h.src.cfg.Self, pki.Epoch{Number: 5}
			if diff := cmp.Diff(want, req.Request); diff != "" {
				t.Errorf("request: %s", diff)
			}
			if req.Peer.ID() != h.dst.cfg.Self || req.Peer.Role() != pki.HomeServer {
				t.Errorf("asker is %v, a %v", req.Peer.ID(), req.Peer.Role())
			}
			m4, err := h.src.Reply(req.Handle, licenseReply(t), h.now)
			if err != nil {
				t.Fatal(err)
			}
			_, ev = h.deliver(h.dst, m4)
			got := event[EventReply](t, ev)
			reply := licenseReply(t)
			reply.ReqID = want.ReqID
			if diff := cmp.Diff(reply, got.Reply); diff != "" {
				t.Errorf("reply: %s", diff)
			}
			st := PeerStatus{Epoch: pki.Epoch{Generation: 1, Number: 9}, Head: [32]byte{4}, TimeMS: h.now.UnixMilli(), MinEpoch: pki.Epoch{Number: 3}, Proof: []byte{1, 2}}
			if diff := cmp.Diff(st, got.Status); diff != "" {
				t.Errorf("status: %s", diff)
			}
			lic, err := ParseLicense(got.Reply.Body)
			if err != nil || !bytes.Equal(lic.Bundle, secretBundle) || got.Handle != dst || got.Peer.ID() != h.src.cfg.Self {
				t.Errorf("license = %v, %v", lic, err)
			}
		})
	}
}

// TestSLTP_3_Staple: it is for who says that it knows less, and decides whether
// the exchange goes on.
func TestSLTP_3_Staple(t *testing.T) {
	revoked := errors.New("revoked since")
	for _, tc := range []struct {
		name  string
		asker pki.Epoch
		says  error
		shown bool
	}{
		{"no state", pki.Epoch{}, nil, true},
		{"older", pki.Epoch{Number: 8}, nil, true},
		{"older generation", pki.Epoch{Number: 80}, nil, true},
		{"older, and the staple does not hold", pki.Epoch{Number: 8}, revoked, true},
		{"the same", pki.Epoch{Generation: 1, Number: 9}, revoked, false},
		{"newer", pki.Epoch{Generation: 1, Number: 10}, revoked, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shown := []byte(nil)
			h := newHouse(t, func(src, dst *Config) {
				src.Status = func() Status { return Status{Epoch: pki.Epoch{Generation: 1, Number: 9}, Proof: []byte("staple")} }
				dst.Status = func() Status { return Status{Epoch: tc.asker} }
				dst.Proven = func(peer *pki.Peer, staple []byte, _ time.Time) error {
					if peer.Role() != pki.LicenseIssuer && peer.Role() != pki.HomeServer && peer.Role() != pki.Device {
						t.Errorf("the staple of %v", peer.ID())
					}
					shown = staple
					return tc.says
				}
			})
			_, m1 := h.open()
			m2, _ := h.deliver(h.src, m1)
			_, ev := h.deliver(h.dst, m2)
			if got := string(shown) == "staple"; got != tc.shown {
				t.Errorf("shown %q", shown)
			}
			if failed := len(ev) > 0; failed != (tc.shown && tc.says != nil) {
				t.Errorf("events %v", ev)
			}
			for _, e := range ev {
				if f, ok := e.(EventFailed); !ok || !errors.Is(f.Err, revoked) {
					t.Errorf("event %+v", e)
				}
			}
		})
	}
}

func TestSLTP_1_NothingInClear(t *testing.T) {
	h := newHouse(t)
	src, dst, trace := h.sessions()
	_, m, err := h.dst.Send(dst, licenseReply(t).Body, h.now)
	if err != nil {
		t.Fatal(err)
	}
	trace = append(trace, m...)
	_, m, err = h.src.Send(src, licenseReply(t).Body, h.now)
	if err != nil {
		t.Fatal(err)
	}
	trace = append(trace, m...)
	req, err := ParseLicenseRequest(request(t).Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"key bundle": secretBundle[:8], "license": secretLicense[:8], "content ID": []byte(req.What.Content),
		"Initiator's certificate": h.home.Leaf()[20:60], "Responder's certificate": h.issuer.Leaf()[20:60],
	} {
		for i, m := range trace {
			if bytes.Contains(m.Bytes, secret) {
				t.Errorf("%s is in clear in message %d", name, i+1)
			}
		}
	}
}

func TestSLTP_1_Session(t *testing.T) {
	h := newHouse(t)
	src, dst, _ := h.sessions()
	for n := range uint64(250) { // three key phases
		seq, m, err := h.dst.Send(dst, app(t, n), h.now)
		if err != nil || seq != n {
			t.Fatalf("Send %d = %d, %v", n, seq, err)
		}
		_, ev := h.deliver(h.src, m)
		got := event[EventApp](t, ev)
		if got.Handle != src || got.Seq != n || got.IsReply || !bytes.Equal(got.Body, app(t, n)) {
			t.Fatalf("message %d = %+v", n, got)
		}
		back, err := h.src.Answer(src, n, app(t, n+1), h.now)
		if err != nil {
			t.Fatal(err)
		}
		again, ev := h.deliver(h.src, m)
		if len(ev) != 0 || !cmp.Equal(again, back) {
			t.Fatalf("duplicate of %d gave %v, %v", n, again, ev)
		}
		_, ev = h.deliver(h.dst, back)
		if got := event[EventApp](t, ev); !got.IsReply || got.InReplyTo != n || got.Handle != dst {
			t.Fatalf("answer to %d = %+v", n, got)
		}
	}
	if found, ok := h.dst.Session(h.src.cfg.Self, h.now); !ok || found != dst {
		t.Errorf("Session = %v, %v", found, ok)
	}
	if _, ok := h.src.Session(h.dst.cfg.Self, h.now); ok {
		t.Error("a source found a session in which it could ask")
	}
	if _, ok := h.dst.Session(ident.Device{1}, h.now); ok {
		t.Error("a session with nobody")
	}
}
