package sltp

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

func withSuites(suites ...int) func(*pki.Profile) {
	return func(p *pki.Profile) { p.SLTP = &pki.SLTP{Suites: suites} }
}

func TestSLTP_1_SuiteFloorRule(t *testing.T) {
	h := newHouse(t)
	hybrid := h.domain.Peer(h.domain.Party(pki.HomeServer, withSuites(-22, 2)))
	classical := h.domain.Peer(h.domain.Party(pki.HomeServer, withSuites(2, 3)))
	silent := h.domain.Peer(h.home)
	for _, tc := range []struct {
		peer  *pki.Peer
		suite Suite
		want  bool
	}{{hybrid, edhoc.Suite2, false}, {hybrid, edhoc.Suite6, false}, {hybrid, edhoc.SuiteHybrid, true}, {classical, edhoc.Suite2, true}, {silent, edhoc.Suite2, true}} {
		if got := SuiteFloor(tc.peer, tc.suite); got != tc.want {
			t.Errorf("suites %v in %v: %v", tc.peer.Suites(), tc.suite, got)
		}
	}
}

// TestSLTP_1_SuiteFloorAtReply: an endless license does not leave in a classical
// session to a peer with the hybrid suite, in message_4, in the session, or by
// push; a refusal and a license that ends do.
func TestSLTP_1_SuiteFloorAtReply(t *testing.T) {
	h := newHouse(t)
	modern := h.domain.Party(pki.HomeServer, withSuites(-22, 2))
	cfg := h.config(modern)
	opens(&cfg, modern)
	h.dst = h.endpoint(cfg)
	_, m1 := h.open()
	_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
	src := event[EventRequest](t, ev).Handle
	ends := licenseReply(t)
	ends.Ends = true
	refusal, err := ErrorBody{Code: ErrorSuiteFloor}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.src.Reply(src, licenseReply(t), h.now); !errors.Is(err, ErrSuiteFloor) {
		t.Fatalf("endless: %v", err)
	}
	m4, err := h.src.Reply(src, ends, h.now)
	if err != nil {
		t.Fatal(err)
	}
	_, ev = h.deliver(h.dst, m4)
	dst := event[EventReply](t, ev).Handle
	for _, tc := range []struct {
		name string
		r    Reply
		want error
	}{{"endless", licenseReply(t), ErrSuiteFloor}, {"XFER", Reply{Body: xfer(t, h.tid(1), nil)}, ErrSuiteFloor}, {"refusal", Reply{Status: StatusRefused, Body: refusal}, nil}} {
		h.deliver(h.src, h.ask(dst, again(t, 1)))
		if _, err := h.src.Reply(src, tc.r, h.now); !errors.Is(err, tc.want) {
			t.Errorf("%s in the session: %v", tc.name, err)
		}
	}
	p := Push{TID: ident.Transfer{Src: h.src.cfg.Self, Dst: h.dst.cfg.Self, Seq: 1}, Expires: h.now.Add(1e9)}
	p.Body = xfer(t, p.TID, nil)
	if _, err := h.src.Push(h.domain.Peer(modern), modern.DelLeaf, p, true, h.now); !errors.Is(err, ErrSuiteFloor) {
		t.Errorf("endless push: %v", err)
	}
	p.Ends = true
	if _, err := h.src.Push(h.domain.Peer(modern), modern.DelLeaf, p, true, h.now); err != nil {
		t.Errorf("a push that ends: %v", err)
	}
	// Policy may have another rule.
	lax := h.config(h.issuer)
	lax.Floor = func(*pki.Peer, Suite) bool { return true }
	h.src = h.endpoint(lax)
	h.dst = h.endpoint(cfg)
	h.sessions()
}

// TestSLTP_1_SuiteFloorHybrid: in the hybrid suite everything may go, in the
// exchange and in its session.
func TestSLTP_1_SuiteFloorHybrid(t *testing.T) {
	hybrid := func(src, dst *Config) {
		src.Suites, dst.Suites = []Suite{edhoc.SuiteHybrid, edhoc.Suite2}, []Suite{edhoc.SuiteHybrid, edhoc.Suite2}
	}
	h := newHouse(t, hybrid)
	modern := h.domain.Party(pki.HomeServer, withSuites(-22, 2))
	cfg := h.config(modern)
	cfg.Suites = h.dst.cfg.Suites
	h.dst = h.endpoint(cfg)
	src, dst, _ := h.sessions()
	if got := h.src.byHandle[src].suite(); got != edhoc.SuiteHybrid {
		t.Fatalf("%v", got)
	}
	h.deliver(h.src, h.ask(dst, again(t, 1)))
	_, ev := h.deliver(h.dst, h.reply(src, ident.Request{}))
	event[EventReply](t, ev)
	// A relay that forges a wrong-suite error gets no weaker session.
	h.open()
	forged := edhoc.ErrorMessage{Code: int(AlertSuite), Suites: []Suite{edhoc.Suite2}}.Encode()
	own := h.dst.byHandle[h.dst.last].own
	second := h.one(h.dst, []Message{{CID: own[:], Bytes: forged}})
	out, ev := h.deliver(h.src, second)
	if got := sent(t, out); got != AlertSuite {
		t.Errorf("the weaker proposal got %v, %v", got, ev)
	}
}
