package sltp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// modeNegative is a message of another mode that must not be accepted.
type modeNegative struct {
	Name    string `json:"name"`
	To      string `json:"to"` // who gets it: "session source", "push", "R1" to "R4", "trigger"
	Message string `json:"message"`
	Quality uint8  `json:"quality,omitempty"` // of the destination's clock, for a push
	Alert   int    `json:"alert"`             // of the receiver
	Answer  string `json:"answer,omitempty"`  // error message to the peer
}

// run delivers a negative vector and reports what came of it.
func (v modeNegative) run(t testing.TB, l *lines) modeNegative {
	t.Helper()
	msg, err := hex.DecodeString(v.Message)
	if err != nil {
		t.Fatal(err)
	}
	v.Alert, v.Answer = 0, ""
	if v.To == "push" {
		h := modesHouse(t, l)
		h.exchangeFixed()
		_, err := h.dst.OpenPush(msg, v.Quality, h.now)
		v.Alert = int(code(err))
		return v
	}
	h, e, id := v.before(t, l)
	out, ev := e.Receive(Message{CID: id, Bytes: msg}, h.now)
	if len(ev) != 1 || len(out) > 1 {
		t.Fatalf("%s: %v, %v", v.Name, out, ev)
	}
	switch ev := ev[0].(type) {
	case EventFailed:
		v.Alert = int(ev.Alert)
	case EventDropped:
		v.Alert = int(asAlert(ev.Err).Code)
	default:
		t.Fatalf("%s: accepted: %+v", v.Name, ev)
	}
	if len(out) == 1 {
		v.Answer = hex.EncodeToString(out[0].Bytes)
	}
	return v
}

// before brings a fresh house to where the message is awaited.
func (v modeNegative) before(t testing.TB, l *lines) (*house, *Endpoint, []byte) {
	t.Helper()
	if v.To == "session source" {
		h := modesHouse(t, l)
		h.exchangeFixed()
		return h, h.src, l.get(t, "C_R")
	}
	h := modesLegacy(t, l)
	if v.To == "R1" || v.To == "trigger" {
		return h, h.src, nil
	}
	_, m, err := h.dst.OpenLegacy(h.src.cfg.Self, film, vectorRequest(t).ReqID, h.now)
	if err != nil {
		t.Fatal(err)
	}
	if v.To == "R2" {
		return h, h.dst, l.get(t, "R_C_I")
	}
	m = h.one(h.src, m)
	if v.To == "R3" {
		return h, h.src, l.get(t, "R_C_R")
	}
	h.one(h.dst, m)
	return h, h.dst, l.get(t, "R_C_I")
}

func TestSLTP_Modes_Negative(t *testing.T) {
	l := readModes(t)
	data, err := os.ReadFile(modesNegativeFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []modeNegative
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 25 {
		t.Errorf("%d negative vectors", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			if v.Alert == 0 {
				t.Error("no alert")
			}
			if diff := cmp.Diff(v, v.run(t, l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// collect gathers negative vectors.
type collect struct {
	t   *testing.T
	l   *lines
	all []modeNegative
}

func (c *collect) add(name, to string, msg []byte) {
	c.all = append(c.all, modeNegative{Name: name, To: to, Message: hex.EncodeToString(msg)})
}

// modeNegatives makes the messages of the negative vectors.
func modeNegatives(t *testing.T, l *lines) []modeNegative {
	c := &collect{t: t, l: l}
	c.sessions()
	c.pushes()
	c.legacy1()
	c.legacy2()
	c.legacy3()
	c.legacy4()
	trigger := slices.Clone(l.get(t, "TRIGGER"))
	c.add("TRIGGER in the source's own name", "trigger", trigger)
	c.add("TRIGGER cut", "trigger", trigger[:10])
	trigger[len(trigger)-1] = 4
	c.add("TRIGGER with an unknown reason", "trigger", trigger)
	return c.all
}

// sessions are APP messages that the session's own destination sealed.
func (c *collect) sessions() {
	for _, tc := range []struct {
		name string
		body func(h *house) Body
		re   *uint64
	}{
		{"request for another source", func(h *house) Body { return h.requestBody(modesRequest(c.t), ident.Device{1}) }, nil},
		{"request that is malformed", func(*house) Body { return Body{0x82, 14, 0x80} }, nil},
		{"request as an answer", func(h *house) Body { return h.requestBody(modesRequest(c.t), h.src.cfg.Self) }, new(uint64)},
		{"reply from the destination", func(*house) Body { return Body{0x82, 15, 0x80} }, new(uint64)},
	} {
		h := modesHouse(c.t, c.l)
		_, dst := h.exchangeFixed()
		m, err := h.dst.sendApp(h.dst.byHandle[dst], tc.re, tc.body(h))
		must(c.t, err)
		c.add(tc.name, "session source", m[0].Bytes)
	}
	m := slices.Clone(c.l.get(c.t, "APP_request"))
	m[len(m)-1] ^= 1
	c.add("request with a bit changed", "session source", m)
}

func (c *collect) pushes() {
	good := c.l.get(c.t, "PUSH")
	none := func(*pushPayload) {}
	for _, tc := range []struct {
		name string
		from string
		edit func(p *pushPayload)
		seal func(p *pushPayload)
	}{
		{"push of version 2", "issuer", func(p *pushPayload) { p.Version = 2 }, nil},
		{"push for another device", "issuer", func(p *pushPayload) { p.Dst[0] ^= 1; p.TID.Dst = p.Dst }, nil},
		{"push to another certificate", "issuer", func(p *pushPayload) { p.Cert[0] ^= 1 }, nil},
		{"push of another source's transfer", "issuer", func(p *pushPayload) { p.TID.Src[0] ^= 1 }, nil},
		{"push of a content provider", "provider", none, nil},
		{"push of 31 days", "issuer", func(p *pushPayload) { p.Expires = p.Time + 31*24*3600*1000 }, nil},
		{"push that is over", "issuer", func(p *pushPayload) { p.Time -= 7200_000; p.Expires = p.Time + 3600_000 }, nil},
		{"push of a later epoch", "issuer", func(p *pushPayload) { p.Epoch = 2 << epochShift }, nil},
		{"push of another transfer than its body", "issuer", func(p *pushPayload) { p.TID.Seq = 9 }, nil},
		{"push signed with another end than was sealed", "issuer", none, func(p *pushPayload) { p.Expires++ }},
		{"push with another ciphertext", "issuer", none, func(p *pushPayload) { p.CT[0] ^= 1 }},
	} {
		h := modesHouse(c.t, c.l)
		c.add(tc.name, "push", h.forge(c.l.party(c.t, tc.from), tc.edit, tc.seal))
	}
	h := modesHouse(c.t, c.l)
	body := xfer(c.t, h.tid(1), 9)
	head := pushHead{Version: 1, TID: h.tid(1), Dst: h.dst.cfg.Self, Cert: wire.X5T(h.home.DelLeaf), Time: h.now.UnixMilli(), Expires: h.now.UnixMilli() + 1000}
	m, err := h.src.signPush(head, h.home.Delivery.PublicKey(), h.home.DelLeaf, body, true)
	must(c.t, err)
	c.add("push of a move with an end, clock not SECURE", "push", m.Bytes)
	c.all[len(c.all)-1].Quality = 2
	changed := slices.Clone(good)
	changed[len(changed)-3] ^= 1
	c.add("push with a bit of the signature changed", "push", changed)
	c.add("push cut", "push", good[:len(good)-1])
}

func (c *collect) legacy1() {
	for _, tc := range []struct {
		name string
		edit func(*r1)
	}{
		{"R1 with both modes", func(m *r1) { m.Modes = modeDH | modeRSA }},
		{"R1 that lists a suite", func(m *r1) { m.Suites = []int{2} }},
		{"R1 of no mode", func(m *r1) { m.Modes = 0 }},
		{"R1 with a hello of version 2", func(m *r1) { m.Hello[1] = 2 }},
	} {
		m, err := parseR1(c.l.get(c.t, "R1"))
		must(c.t, err)
		tc.edit(&m)
		b, err := wire.Marshal(m)
		must(c.t, err)
		c.add(tc.name, "R1", b)
	}
}

func (c *collect) legacy2() {
	for _, tc := range []struct {
		name, from, signer string
		edit               func(*r2)
	}{
		{"R2 of another source", "home", "home", func(*r2) {}},
		{"R2 of a content provider", "provider", "provider", func(*r2) {}},
		{"R2 signed with another key", "issuer", "home", func(*r2) {}},
		{"R2 without status", "issuer", "issuer", func(m *r2) { m.Status = []byte{0x80} }},
	} {
		m, err := parseR2(c.l.get(c.t, "R2"))
		must(c.t, err)
		m.Chain = c.l.party(c.t, tc.from).Chain
		tc.edit(&m)
		th2, err := m.th2(c.l.get(c.t, "R1"))
		must(c.t, err)
		m.Signature, err = signLabeled(c.l.party(c.t, tc.signer).Key, append([]byte(rsaLabel2), th2[:]...))
		must(c.t, err)
		b, err := wire.Marshal(m)
		must(c.t, err)
		c.add(tc.name, "R2", b)
	}
}

func (c *collect) legacy3() {
	for _, tc := range []struct {
		name, from, signer string
		edit               func(*r3)
	}{
		{"R3 of a device with Diffie-Hellman", "modern", "modern", func(*r3) {}},
		{"R3 of an issuer", "issuer", "issuer", func(*r3) {}},
		{"R3 signed with another key", "legacy", "home", func(*r3) {}},
		{"R3 with a signing certificate for the RSA key", "legacy", "legacy", func(m *r3) { m.Cert = m.Chain[0] }},
		{"R3 without request", "legacy", "legacy", func(m *r3) { m.Request = []byte{0x80} }},
	} {
		m, err := parseR3(c.l.get(c.t, "R3"))
		must(c.t, err)
		m.Chain = c.l.party(c.t, tc.from).Chain
		tc.edit(&m)
		th3, err := m.th3([32]byte(c.l.get(c.t, "TH_2")))
		must(c.t, err)
		m.Signature, err = signLabeled(c.l.party(c.t, tc.signer).Key, append([]byte(rsaLabel3), th3[:]...))
		must(c.t, err)
		b, err := wire.Marshal(m)
		must(c.t, err)
		c.add(tc.name, "R3", b)
	}
}

func (c *collect) legacy4() {
	th3 := [32]byte(c.l.get(c.t, "TH_3"))
	issuer := c.l.party(c.t, "issuer")
	sign := func(m r4, by *pkitest.Party) []byte {
		var err error
		m.Signature, err = signLabeled(by.Key, m.signed4(th3))
		must(c.t, err)
		b, err := wire.Marshal(m)
		must(c.t, err)
		return b
	}
	m, err := parseR4(c.l.get(c.t, "R4"))
	must(c.t, err)
	c.add("R4 signed with another key", "R4", sign(m, c.l.party(c.t, "home")))
	bad := m
	bad.Wrapped = make([]byte, len(m.Wrapped))
	c.add("R4 with a W that does not unwrap", "R4", sign(bad, issuer))
	bad = m
	bad.Sealed = append(slices.Clone(m.Sealed), 0)
	c.add("R4 with an E that does not open", "R4", sign(bad, issuer))
	bad = m
	bad.Wrapped = append(slices.Clone(m.Wrapped), 0)
	c.add("R4 with a W of 257 bytes", "R4", sign(bad, issuer))
	h := modesLegacy(c.t, c.l)
	pub := (&session{}).rsaPub(c.t, h)
	for _, tc := range []struct {
		name string
		edit func(*Reply)
	}{
		{"R4 that replies to another request", func(r *Reply) { r.ReqID = ident.Request{1} }},
		{"R4 with an XFER", func(r *Reply) { r.Body = xfer(c.t, h.tid(1), nil) }},
		{"R4 with a HEAD", func(r *Reply) { r.Head = []byte{1} }},
	} {
		r := vectorReply(c.t)
		r.ReqID = vectorRequest(c.t).ReqID
		tc.edit(&r)
		body, err := r.encode()
		must(c.t, err)
		m, err := wrap(pub, th3, body)
		must(c.t, err)
		c.add(tc.name, "R4", sign(m, issuer))
	}
}
