package sltp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// testRSA is one key for all tests: making them is slow.
var testRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// legacyHouse has a device that is provisioned for key transport, and an issuer
// whose policy allows it.
func legacyHouse(t testing.TB, edit ...func(src, dst *Config)) *house {
	t.Helper()
	d := pkitest.New(t, pkitest.Start())
	h := &house{t: t, domain: d, now: d.Now.Add(time.Hour), issuer: d.Party(pki.LicenseIssuer), home: d.Party(pki.Device, withSuites())}
	key, err := testRSA()
	if err != nil {
		t.Fatal(err)
	}
	src, dst := h.config(h.issuer), h.config(h.home)
	src.AllowRSA = func(*pki.Peer) bool { return true }
	dst.RSA = &RSAKey{Key: key, Cert: d.RSA(h.home, &key.PublicKey)}
	for _, f := range edit {
		f(&src, &dst)
	}
	h.src, h.dst = h.endpoint(src), h.endpoint(dst)
	return h
}

var film = Reference{Content: "film-1"}

func (h *house) openLegacy() (Handle, []Message) {
	h.t.Helper()
	handle, m, err := h.dst.OpenLegacy(h.src.cfg.Self, film, ident.Request{5}, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return handle, m
}

// legacyUpTo returns R-n, not yet delivered.
func (h *house) legacyUpTo(n int) (Handle, []Message) {
	h.t.Helper()
	handle, m := h.openLegacy()
	if n >= 2 {
		m = h.one(h.src, m)
	}
	if n >= 3 {
		m = h.one(h.dst, m)
	}
	if n == 4 {
		_, ev := h.deliver(h.src, m)
		var err error
		if m, err = h.src.Reply(event[EventLegacyRequest](h.t, ev).Handle, licenseReply(h.t), h.now); err != nil {
			h.t.Fatal(err)
		}
	}
	return handle, m
}

func TestSLTP_4_KeyTransport(t *testing.T) {
	st := Status{Epoch: pki.Epoch{Number: 3}, Head: [32]byte{1}, MinEpoch: pki.Epoch{Number: 2}}
	h := legacyHouse(t, func(src, dst *Config) {
		src.Status = func() Status { return st }
		dst.Status = func() Status { return Status{Epoch: pki.Epoch{Number: 2}} }
	})
	handle, r1 := h.openLegacy()
	h.now = h.now.Add(time.Second)
	r2 := h.one(h.src, r1)
	again := func(e *Endpoint, in, want []Message) {
		t.Helper()
		if out, ev := h.deliver(e, in); !cmp.Equal(out, want) || len(ev) != 0 {
			t.Errorf("a duplicate gave %v, %v", out, ev)
		}
	}
	again(h.src, r1, r2)
	r3 := h.one(h.dst, r2)
	again(h.dst, r2, r3)
	_, ev := h.deliver(h.src, r3)
	got := event[EventLegacyRequest](t, ev)
	want := EventLegacyRequest{Handle: got.Handle, Peer: got.Peer, ReqID: ident.Request{5}, Epoch: pki.Epoch{Number: 2}, What: film}
	if got != want || got.Peer.ID() != h.dst.cfg.Self {
		t.Errorf("%+v", got)
	}
	again(h.src, r3, nil)
	again(h.src, r1, nil)
	r4, err := h.src.Reply(got.Handle, licenseReply(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	again(h.src, r3, r4)
	out, ev := h.deliver(h.dst, r4)
	back := event[EventReply](t, ev)
	reply := licenseReply(t)
	reply.ReqID = ident.Request{5}
	if diff := cmp.Diff(reply, back.Reply); diff != "" || back.Handle != handle || !back.Legacy || back.Session || out != nil || back.Interval != time.Second || back.Status.Epoch != st.Epoch {
		t.Errorf("%s %+v", diff, back)
	}
	again(h.dst, r4, nil)
	for _, secret := range [][]byte{secretBundle[:8], secretLicense[:8]} {
		if bytes.Contains(r4[0].Bytes, secret) {
			t.Error("in clear")
		}
	}
	if len(h.dst.byHandle) != 0 || h.src.halfOpen != 0 {
		t.Errorf("%d exchanges, %d half open", len(h.dst.byHandle), h.src.halfOpen)
	}
	if _, err := h.src.Reply(got.Handle, licenseReply(t), h.now); !errors.Is(err, ErrState) {
		t.Errorf("a second reply: %v", err)
	}
	if ev := h.src.Tick(h.now.Add(defaultTTL)); len(ev) != 0 || len(h.src.byHandle) != 0 {
		t.Errorf("after the TTL: %v, %d exchanges", ev, len(h.src.byHandle))
	}
}

// refused delivers an R1 that the source does not even begin with.
func (h *house) refused(t *testing.T, m []Message, want Alert) {
	t.Helper()
	out, ev := h.deliver(h.src, m)
	if got := sent(t, out); got != want || asAlert(event[EventDropped](t, ev).Err).Code != want || len(h.src.byHandle) != 0 {
		t.Errorf("%v, %v", got, ev)
	}
}

// TestSLTP_4_OffByDefault: neither side does it unless told to, and nobody is
// talked into it.
func TestSLTP_4_OffByDefault(t *testing.T) {
	t.Run("source", func(t *testing.T) {
		h := legacyHouse(t, func(src, _ *Config) { src.AllowRSA = nil })
		_, m := h.openLegacy()
		h.refused(t, m, AlertMode)
		_, ev := h.deliver(h.dst, []Message{{CID: h.dst.ordered()[0].own[:], Bytes: edhoc.ErrorMessage{Code: int(AlertMode)}.Encode()}})
		if got := event[EventFailed](t, ev); got.Alert != AlertMode || !got.Remote {
			t.Errorf("%+v", got)
		}
	})
	t.Run("policy says no to this one", func(t *testing.T) {
		h := legacyHouse(t, func(src, _ *Config) { src.AllowRSA = func(*pki.Peer) bool { return false } })
		_, m := h.legacyUpTo(3)
		out, ev := h.deliver(h.src, m)
		failed(t, out, ev, AlertMode, "")
	})
	t.Run("destination", func(t *testing.T) {
		h := legacyHouse(t, func(_, dst *Config) { dst.RSA = nil })
		if _, _, err := h.dst.OpenLegacy(h.src.cfg.Self, film, ident.Request{}, h.now); !errors.Is(err, ErrState) {
			t.Errorf("not provisioned: %v", err)
		}
	})
	t.Run("destination that has Diffie-Hellman", func(t *testing.T) {
		h := legacyHouse(t)
		modern := h.domain.Party(pki.Device)
		cfg := h.config(modern)
		cfg.RSA = &RSAKey{Key: h.dst.cfg.RSA.Key, Cert: h.domain.RSA(modern, h.dst.cfg.RSA.Key.Public().(*rsa.PublicKey))}
		e := h.endpoint(cfg)
		if _, _, err := e.OpenLegacy(h.src.cfg.Self, film, ident.Request{}, h.now); !errors.Is(err, ErrState) {
			t.Errorf("it asks by RSA: %v", err)
		}
		e.dh = false // a destination that was talked into it
		h.dst = e
		_, m := h.legacyUpTo(3)
		out, ev := h.deliver(h.src, m)
		failed(t, out, ev, AlertMode, "")
	})
}

// TestSLTP_4_Downgrade: a source goes on with nobody that lists Diffie-Hellman.
func TestSLTP_4_Downgrade(t *testing.T) {
	for name, edit := range map[string]func(*r1){
		"both modes listed":       func(m *r1) { m.Modes = modeDH | modeRSA },
		"Diffie-Hellman only":     func(m *r1) { m.Modes = modeDH },
		"a suite listed":          func(m *r1) { m.Suites = []int{2} },
		"both, and suites listed": func(m *r1) { m.Modes, m.Suites = modeDH|modeRSA, []int{2, 3} },
	} {
		t.Run(name, func(t *testing.T) {
			h := legacyHouse(t)
			_, m := h.openLegacy()
			first, err := parseR1(m[0].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			edit(&first)
			if m[0].Bytes, err = wire.Marshal(first); err != nil {
				t.Fatal(err)
			}
			h.refused(t, m, AlertMode)
		})
	}
}

// TestSLTP_4_StrippedModes: a relay that strikes out of R1 what the device
// listed. The device did list it, so its transcript is another one.
func TestSLTP_4_StrippedModes(t *testing.T) {
	h := legacyHouse(t)
	_, m := h.openLegacy()
	s := h.dst.ordered()[0]
	first, err := parseR1(s.rsa.first)
	if err != nil {
		t.Fatal(err)
	}
	first.Modes, first.Suites = modeDH|modeRSA, []int{2} // what it meant to say
	if s.rsa.first, err = wire.Marshal(first); err != nil {
		t.Fatal(err)
	}
	out, ev := h.deliver(h.dst, h.one(h.src, m))
	failed(t, out, ev, AlertRejected, "")
}

func TestSLTP_4_StatelessOnly(t *testing.T) {
	h := legacyHouse(t)
	_, m := h.legacyUpTo(3)
	_, ev := h.deliver(h.src, m)
	src := event[EventLegacyRequest](t, ev).Handle
	withHead := licenseReply(t)
	withHead.Head = []byte{1}
	for name, r := range map[string]Reply{"XFER": {Body: xfer(t, h.tid(1), nil)}, "HEAD": withHead, "DONE": {Body: Body{0x82, 3, 0}}} {
		if _, err := h.src.Reply(src, r, h.now); !errors.Is(err, ErrBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := licenseReply(t)
	huge.Body, _ = License{Chain: [][]byte{make([]byte, MaxMessage-600)}, Bundle: []byte{1}}.Encode()
	if _, err := h.src.Reply(src, huge, h.now); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := h.src.Reply(src, licenseReply(t), h.now); err != nil {
		t.Errorf("a LICENSE: %v", err)
	}
}

// TestSLTP_4_Tampered changes, cuts and lengthens R1 to R4 at every byte that
// is not in a chain: one alert, and nothing is believed.
func TestSLTP_4_Tampered(t *testing.T) {
	for n := 1; n <= 4; n++ {
		h := legacyHouse(t)
		_, probe := h.legacyUpTo(n)
		size := len(probe[0].Bytes)
		step := 1
		if n == 2 || n == 3 {
			step = 17 // mostly certificates
		}
		for i := 0; i <= size; i += step {
			for _, cut := range []bool{false, true} {
				h.dst.Close(h.dst.last)
				for _, s := range h.src.ordered() {
					h.src.Close(s.handle)
				}
				_, m := h.legacyUpTo(n)
				i := min(i, len(m[0].Bytes)-1)
				switch {
				case cut && i == len(m[0].Bytes)-1:
					m[0].Bytes = append(slices.Clone(m[0].Bytes), 0)
				case cut:
					m[0].Bytes = m[0].Bytes[:i]
				default:
					m[0].Bytes = slices.Clone(m[0].Bytes)
					m[0].Bytes[i] ^= 1 << (i % 8)
				}
				if h.legacyAccepts(n, m) {
					t.Fatalf("R%d, byte %d, cut %v: accepted", n, i, cut)
				}
			}
		}
		t.Logf("R%d: %d bytes", n, size)
	}
}

// legacyAccepts relays what follows a changed message and reports whether
// anybody acts on it.
func (h *house) legacyAccepts(n int, m []Message) bool {
	h.t.Helper()
	e, other := h.src, h.dst
	if n%2 == 0 {
		e, other = other, e
	}
	for range 4 {
		var next []Message
		for _, msg := range m {
			out, ev := e.Receive(msg, h.now)
			if len(out) > 1 {
				h.t.Fatalf("%d answers", len(out))
			}
			for _, v := range ev {
				switch v.(type) {
				case EventRequest, EventReply, EventLegacyRequest, EventApp:
					return true
				}
			}
			next = append(next, out...)
		}
		m, e, other = next, other, e
	}
	return false
}

func TestSLTP_4_Bounds(t *testing.T) {
	h := legacyHouse(t, func(src, _ *Config) { src.MaxHalfOpen, src.MaxSessions = 2, 1 })
	_, one := h.legacyUpTo(3)
	_, two := h.legacyUpTo(2)
	_, three := h.openLegacy()
	if out, _ := h.deliver(h.src, three); sent(t, out) != AlertBusy {
		t.Error("a third half-open exchange")
	}
	_, ev := h.deliver(h.src, one)
	src := event[EventLegacyRequest](t, ev).Handle
	_, ev = h.deliver(h.src, h.one(h.dst, two))
	if got := event[EventFailed](t, ev); got.Alert != AlertBusy {
		t.Errorf("a second exchange under way: %+v", got)
	}
	if _, err := h.src.Reply(src, licenseReply(t), h.now.Add(defaultTTL)); !errors.Is(err, ErrEnded) {
		t.Errorf("too late: %v", err)
	}
	_, m := h.legacyUpTo(4)
	_ = m
	_, m = h.legacyUpTo(3) // the one that was answered gives way
	_, ev = h.deliver(h.src, m)
	event[EventLegacyRequest](t, ev)
}

// TestSLTP_4_RevokedMeanwhile: both sides judge again when the epoch moved on.
func TestSLTP_4_RevokedMeanwhile(t *testing.T) {
	e, st := &epochs{}, &revoked{}
	h := legacyHouse(t, func(src, dst *Config) {
		src.Status, dst.Status = func() Status { return e.src }, func() Status { return e.dst }
	})
	h.src.cfg.Verifier = &pki.Verifier{Trust: h.domain.Trust, Status: st}
	h.dst.cfg.Verifier = &pki.Verifier{Trust: h.domain.Trust, Status: st}
	_, m := h.legacyUpTo(3)
	_, ev := h.deliver(h.src, m)
	e.src.Epoch.Number++
	st.member = h.home.Member
	if out, err := h.src.Reply(event[EventLegacyRequest](t, ev).Handle, licenseReply(t), h.now); pki.RuleOf(err) != pki.RuleRevoked || out != nil {
		t.Errorf("Reply = %v, %v", out, err)
	}
	st.member = pki.Member{}
	_, m = h.legacyUpTo(4)
	e.dst.Epoch.Number++
	st.member = h.issuer.Member
	out, ev := h.deliver(h.dst, m)
	failed(t, out, ev, AlertCertificate, pki.RuleRevoked)
}

// FuzzKeyTransport gives any message to endpoints that wait for R1 to R4.
func FuzzKeyTransport(f *testing.F) {
	l := readModes(f)
	good := [][]byte{l.get(f, "R1"), l.get(f, "R2"), l.get(f, "R3"), l.get(f, "R4")}
	for n, m := range good {
		f.Add(uint8(n), m)
	}
	f.Fuzz(func(t *testing.T, at uint8, data []byte) {
		round(t, data, parseR1, func(m r1) ([]byte, error) { return wire.Marshal(m) })
		round(t, data, parseR2, func(m r2) ([]byte, error) { return wire.Marshal(m) })
		round(t, data, parseR3, func(m r3) ([]byte, error) { return wire.Marshal(m) })
		round(t, data, parseR4, func(m r4) ([]byte, error) { return wire.Marshal(m) })
		n := int(at) % 4
		h, e, id := modeNegative{To: []string{"R1", "R2", "R3", "R4"}[n]}.before(t, l)
		out, ev := e.Receive(Message{CID: id, Bytes: data}, h.now)
		if len(out) > 1 || len(ev) > 1 {
			t.Fatalf("R%d: %d answers, %d events", n+1, len(out), len(ev))
		}
		for _, v := range ev {
			switch v.(type) {
			case EventReply, EventLegacyRequest:
				if !bytes.Equal(data, good[n]) {
					t.Errorf("R%d: accepted %x", n+1, data)
				}
			}
		}
	})
}
