package sltp

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// sent is the code of the one error message in out.
func sent(t testing.TB, out []Message) Alert {
	t.Helper()
	if len(out) != 1 {
		t.Fatalf("%d messages, want one error message", len(out))
	}
	m, err := edhoc.ParseError(out[0].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return Alert(m.Code)
}

// failed checks that an exchange ended with an alert, here and at the peer.
func failed(t testing.TB, out []Message, ev []Event, want Alert, rule pki.Rule) EventFailed {
	t.Helper()
	got := event[EventFailed](t, ev)
	if got.Alert != want || got.Remote || got.Err == nil {
		t.Fatalf("failed with %v (remote %v): %v, want %v", got.Alert, got.Remote, got.Err, want)
	}
	if code := sent(t, out); code != want {
		t.Errorf("told the peer %v, want %v", code, want)
	}
	if rule != "" && pki.RuleOf(got.Err) != rule {
		t.Errorf("%v names not the rule %q", got.Err, rule)
	}
	return got
}

func TestSLTP_1_ResponderRejected(t *testing.T) {
	h := newHouse(t)
	old := h.domain.Party(pki.LicenseIssuer)
	stranger := pkitest.New(t, h.domain.Now).Party(pki.LicenseIssuer)
	for _, tc := range []struct {
		name  string
		party *pkitest.Party
		want  *pkitest.Party // whom the Initiator means; default party
		late  time.Duration
		ead   []edhoc.EAD
		alert Alert
		rule  pki.Rule
	}{
		{name: "wrong role", party: h.domain.Party(pki.ContentProvider), alert: AlertCertificate, rule: pki.RuleRole},
		{name: "expired", party: old, late: 91 * 24 * time.Hour, alert: AlertCertificate, rule: pki.RuleValidity},
		{name: "another trust domain", party: stranger, alert: AlertCertificate, rule: pki.RuleTrust},
		{name: "another peer", party: old, want: h.issuer, alert: AlertIdentity},
		{name: "itself", party: h.home, want: h.issuer, alert: AlertIdentity},
		{name: "no status", party: old, ead: []edhoc.EAD{}, alert: AlertRejected},
		{name: "critical item", party: old, ead: append(statusItem(t, PeerStatus{}), edhoc.EAD{Label: -7}), alert: AlertUnsupported},
		{name: "status twice", party: old, ead: append(statusItem(t, PeerStatus{}), statusItem(t, PeerStatus{})...), alert: AlertRejected},
		{name: "status malformed", party: old, ead: []edhoc.EAD{{Label: labelStatus, Value: []byte{0x80}}}, alert: AlertRejected},
		{name: "epoch demanded", party: old, ead: statusItem(t, PeerStatus{MinEpoch: pki.Epoch{Number: 1}}), alert: AlertStaleEpoch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			want := tc.want
			if want == nil {
				want = tc.party
			}
			if tc.ead == nil {
				tc.ead = statusItem(t, PeerStatus{})
			}
			now := h.now.Add(tc.late)
			_, m1, err := h.dst.Open(idOf(want), request(t), now)
			if err != nil {
				t.Fatal(err)
			}
			r := newRogue(t, tc.party)
			m2 := r.message2(m1, tc.ead)
			out, ev := h.dst.Receive(m2[0], now)
			got := failed(t, out, ev, tc.alert, tc.rule)
			if (got.Status != nil) != (tc.alert == AlertStaleEpoch) {
				t.Errorf("status = %v", got.Status)
			}
		})
	}
}

func TestSLTP_1_InitiatorRejected(t *testing.T) {
	h := newHouse(t)
	dst := request(t)
	dst.Dst = h.src.cfg.Self
	other := dst
	other.Dst = ident.Device{1}
	for _, tc := range []struct {
		name  string
		party *pkitest.Party
		late  time.Duration
		ead   []edhoc.EAD
		alert Alert
		rule  pki.Rule
	}{
		{name: "wrong role", party: h.domain.Party(pki.LicenseIssuer), alert: AlertCertificate, rule: pki.RuleRole},
		{name: "another trust domain", party: pkitest.New(t, h.domain.Now).Party(pki.Device), alert: AlertCertificate, rule: pki.RuleTrust},
		{name: "request for another", party: h.home, ead: requestItem(t, other), alert: AlertIdentity},
		{name: "no request", party: h.home, ead: []edhoc.EAD{}, alert: AlertRejected},
		{name: "critical item", party: h.home, ead: append(requestItem(t, dst), edhoc.EAD{Label: -9, Value: []byte{}}), alert: AlertUnsupported},
		{name: "request malformed", party: h.home, ead: []edhoc.EAD{{Label: labelRequest, Value: []byte{0x87}}}, alert: AlertRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.ead == nil {
				tc.ead = requestItem(t, dst)
			}
			r := newRogue(t, tc.party)
			m2, ev := h.src.Receive(r.message1(helloItem(t))[0], h.now)
			if len(m2) != 1 || len(ev) != 0 {
				t.Fatalf("message_1 gave %v, %v", m2, ev)
			}
			out, ev := h.src.Receive(r.message3(m2, h.issuer, tc.ead)[0], h.now)
			failed(t, out, ev, tc.alert, tc.rule)
			if h.src.halfOpen != 0 || len(h.src.byHandle) != 0 {
				t.Errorf("%d half open, %d sessions left", h.src.halfOpen, len(h.src.byHandle))
			}
		})
	}
}

// TestSLTP_1_Reflection gives an endpoint its own messages back.
func TestSLTP_1_Reflection(t *testing.T) {
	h := newHouse(t)
	device := h.endpoint(h.config(h.domain.Party(pki.Device)))
	_, m1, err := device.Open(h.src.cfg.Self, request(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	m2 := h.one(device, m1) // as a Responder it does not know who asks
	_, ev := h.deliver(device, m2)
	if got := event[EventFailed](t, ev); got.Alert != AlertIdentity {
		t.Errorf("failed with %v, want %v", got.Alert, AlertIdentity)
	}
	if _, _, err := device.Open(device.cfg.Self, request(t), h.now); err == nil {
		t.Error("an exchange with itself was opened")
	}
}

func TestSLTP_1_Message1Refused(t *testing.T) {
	h := newHouse(t)
	for _, tc := range []struct {
		name string
		edit func(*rogue) []edhoc.EAD
		want Alert // 0: silence
	}{
		{"no hello", func(*rogue) []edhoc.EAD { return nil }, AlertRejected},
		{"hello of another version", func(*rogue) []edhoc.EAD {
			return []edhoc.EAD{{Label: labelHello, Value: []byte{0x83, 2, 0x19, 0x10, 0, 0}}}
		}, AlertRejected},
		{"critical item", func(*rogue) []edhoc.EAD { return append(helloItem(t), edhoc.EAD{Label: -1}) }, AlertUnsupported},
		{"suite not supported", func(r *rogue) []edhoc.EAD { r.suite = []Suite{edhoc.Suite6}; return helloItem(t) }, AlertSuite},
		{"short connection ID", func(r *rogue) []edhoc.EAD { r.cid = []byte{1}; return helloItem(t) }, 0},
		{"no connection ID", func(r *rogue) []edhoc.EAD { r.cid = nil; return helloItem(t) }, 0},
		{"small messages only", func(*rogue) []edhoc.EAD {
			return []edhoc.EAD{{Label: labelHello, Value: []byte{0x83, 1, 0x18, 0x40, 0}}}
		}, AlertRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRogue(t, h.home)
			ead := tc.edit(r)
			out, ev := h.src.Receive(r.message1(ead)[0], h.now)
			if len(ev) != 1 {
				t.Fatalf("events %v, want one for the log", ev)
			}
			if tc.want == 0 {
				if len(out) != 0 {
					t.Errorf("answered %v, want silence", out)
				}
			} else if got := sent(t, out); got != tc.want {
				t.Errorf("answered %v, want %v", got, tc.want)
			}
			if len(h.src.byHandle) != 0 || h.src.halfOpen != 0 {
				t.Error("something was kept")
			}
		})
	}
}

func TestSLTP_1_HalfOpenBound(t *testing.T) {
	h := newHouse(t, func(src, _ *Config) { src.MaxHalfOpen = 3 })
	for i := range 5 {
		r := newRogue(t, h.home)
		out, _ := h.src.Receive(r.message1(helloItem(t))[0], h.now)
		if full := len(out) == 1 && edhoc.IsError(out[0].Bytes); full != (i >= 3) {
			t.Fatalf("exchange %d: refused = %v", i, full)
		} else if full && sent(t, out) != AlertBusy {
			t.Errorf("exchange %d refused with %v", i, sent(t, out))
		}
	}
	h.now = h.now.Add(defaultTTL)
	r := newRogue(t, h.home)
	if out := h.one(h.src, r.message1(helloItem(t))); edhoc.IsError(out[0].Bytes) || h.src.halfOpen != 1 {
		t.Errorf("after the TTL %d are half open", h.src.halfOpen)
	}
}

// Who opens exchanges and goes on with none keeps others out for a second at most.
func TestSLTP_1_ASlowHalfOpenExchangeMakesRoom(t *testing.T) {
	h := newHouse(t, func(src, _ *Config) { src.MaxHalfOpen = 3 })
	opens := func() bool {
		out, _ := h.src.Receive(newRogue(t, h.home).message1(helloItem(t))[0], h.now)
		return !edhoc.IsError(out[0].Bytes)
	}
	for range 3 {
		if !opens() {
			t.Fatal("there was room")
		}
	}
	h.now = h.now.Add(slow - 1)
	if opens() {
		t.Error("an exchange was given up too soon")
	}
	h.now = h.now.Add(1)
	for i := range 3 {
		if !opens() {
			t.Errorf("exchange %d was refused, though the oldest is slow", i)
		}
	}
	if opens() || h.src.halfOpen != 3 {
		t.Errorf("%d are half open, want 3 and no more", h.src.halfOpen)
	}
}

func TestSLTP_1_SessionBound(t *testing.T) {
	h := newHouse(t, func(src, _ *Config) { src.MaxSessions = 2 })
	first, _, _ := h.sessions()
	h.sessions()
	h.sessions()
	if h.src.byHandle[first] != nil || len(h.src.byHandle) != 2 {
		t.Errorf("%d sessions, the first is kept: %v", len(h.src.byHandle), h.src.byHandle[first] != nil)
	}
	// Two authenticated exchanges under way leave no room for a third.
	for i := range 3 {
		_, m1 := h.open()
		out, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
		if i < 2 {
			event[EventRequest](t, ev)
		} else {
			failed(t, out, ev, AlertBusy, "")
		}
	}
	if _, _, err := h.src.Open(h.dst.cfg.Self, request(t), h.now); !errors.Is(err, ErrFull) {
		t.Errorf("Open = %v, want %v", err, ErrFull)
	}
}

func TestSLTP_1_SuiteNegotiation(t *testing.T) {
	for _, tc := range []struct {
		name     string
		src, dst []Suite
		want     Suite // -1: none in common
		rounds   int
	}{
		{"first choice", []Suite{2, 3, 6}, []Suite{6, 3, 2}, 6, 1},
		{"second attempt", []Suite{2}, []Suite{6, 3, 2}, 2, 2},
		{"source's order does not matter", []Suite{2, 3}, []Suite{6, 3, 2}, 3, 2},
		{"none", []Suite{6}, []Suite{3, 2}, -1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, func(src, dst *Config) { src.Suites, dst.Suites = tc.src, tc.dst })
			handle, m := h.open()
			for range tc.rounds - 1 {
				out, ev := h.src.Receive(m[0], h.now)
				if len(out) != 1 || sent(t, out) != AlertSuite {
					t.Fatalf("message_1 gave %v, %v", out, ev)
				}
				m = h.one(h.dst, out)
			}
			out, _ := h.src.Receive(m[0], h.now)
			if tc.want < 0 {
				_, ev := h.deliver(h.dst, out)
				if got := event[EventFailed](t, ev); got.Alert != AlertSuite || !got.Remote {
					t.Errorf("ended with %+v", got)
				}
				return
			}
			_, ev := h.deliver(h.src, h.one(h.dst, out))
			req := event[EventRequest](t, ev)
			m4, err := h.src.Reply(req.Handle, licenseReply(t), h.now)
			if err != nil {
				t.Fatal(err)
			}
			_, ev = h.deliver(h.dst, m4)
			if got := event[EventReply](t, ev); got.Handle != handle {
				t.Errorf("reply to %v, want %v", got.Handle, handle)
			}
			// It is remembered for the next exchange, which needs no second attempt.
			_, m = h.open()
			if out := h.one(h.src, m); edhoc.IsError(out[0].Bytes) {
				t.Error("the accepted suite was not remembered")
			}
		})
	}
}

// TestSLTP_1_ForgedSuiteError is the downgrade: somebody on the path says that
// the source supports only suite 2.
func TestSLTP_1_ForgedSuiteError(t *testing.T) {
	h := newHouse(t, func(src, dst *Config) { src.Suites, dst.Suites = []Suite{6, 2}, []Suite{6, 2} })
	h.open()
	own := h.dst.ordered()[0].own
	forged := edhoc.ErrorMessage{Code: edhoc.ErrCodeSuites, Suites: []Suite{2}}.Encode()
	m := h.one(h.dst, []Message{{CID: own[:], Bytes: forged}})
	out, _ := h.src.Receive(m[0], h.now)
	if got := sent(t, out); got != AlertSuite {
		t.Fatalf("the source accepted a suite below its best: %v", got)
	}
	out, ev := h.deliver(h.dst, out)
	if got := event[EventFailed](t, ev); got.Alert != AlertSuite || len(out) != 0 {
		t.Errorf("ended with %+v, %v", got, out)
	}
}

// TestSLTP_1_StrippedSuites is the other downgrade: somebody takes the better
// suite out of message_1.
func TestSLTP_1_StrippedSuites(t *testing.T) {
	h := newHouse(t, func(src, dst *Config) { src.Suites, dst.Suites = []Suite{3, 2}, []Suite{3, 2} })
	_, m := h.open()
	bytes := slices.Clone(m[0].Bytes)
	if bytes[1] != 3 {
		t.Fatalf("SUITES_I = %x", bytes[1])
	}
	bytes[1] = 2
	m2 := h.one(h.src, []Message{{Bytes: bytes}})
	_, ev := h.deliver(h.dst, m2)
	if got := event[EventFailed](t, ev); got.Alert != AlertRejected {
		t.Errorf("ended with %v", got.Alert)
	}
}

func TestSLTP_1_SuiteFloor(t *testing.T) {
	floor := func(p *pki.Peer, s Suite) bool { return p.Role() != pki.HomeServer || s != edhoc.Suite2 }
	h := newHouse(t, func(src, _ *Config) { src.Allow = floor })
	_, m1 := h.open()
	out, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m1)))
	failed(t, out, ev, AlertSuiteFloor, "")
	_, ev = h.deliver(h.dst, out)
	if got := event[EventFailed](t, ev); got.Alert != AlertSuiteFloor || !got.Remote {
		t.Errorf("the destination ended with %+v", got)
	}
}

func TestSLTP_Config(t *testing.T) {
	h := newHouse(t)
	ok := h.config(h.home)
	for _, tc := range []struct {
		name string
		edit func(*Config)
	}{
		{"no signer", func(c *Config) { c.Signer = nil }},
		{"no chain", func(c *Config) { c.Chain = nil }},
		{"no verifier", func(c *Config) { c.Verifier = nil }},
		{"another's key", func(c *Config) { c.Signer = h.issuer.Key }},
		{"another's ID", func(c *Config) { c.Self = h.src.cfg.Self }},
		{"bad certificate", func(c *Config) { c.Chain = [][]byte{{1}} }},
		{"unknown suite", func(c *Config) { c.Suites = []Suite{99} }},
		{"suite twice", func(c *Config) { c.Suites = []Suite{2, 2} }},
		{"negative bound", func(c *Config) { c.MaxPeers = -1 }},
		{"TTL too long", func(c *Config) { c.TTL = maxTTL + 1 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := ok
			tc.edit(&c)
			if _, err := NewEndpoint(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}
