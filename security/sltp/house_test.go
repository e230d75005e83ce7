package sltp

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// house is a source and a destination that know nobody yet, in one trust domain.
type house struct {
	t        testing.TB
	domain   *pkitest.Domain
	now      time.Time
	src, dst *Endpoint
	home     *pkitest.Party
	issuer   *pkitest.Party
}

func newHouse(t testing.TB, edit ...func(src, dst *Config)) *house {
	t.Helper()
	d := pkitest.New(t, pkitest.Start())
	h := &house{t: t, domain: d, now: d.Now.Add(time.Hour), issuer: d.Party(pki.LicenseIssuer), home: d.Party(pki.HomeServer)}
	src, dst := h.config(h.issuer), h.config(h.home)
	for _, f := range edit {
		f(&src, &dst)
	}
	h.src, h.dst = h.endpoint(src), h.endpoint(dst)
	return h
}

func (h *house) config(p *pkitest.Party) Config {
	return Config{Signer: p.Key, Chain: p.Chain, Verifier: &pki.Verifier{Trust: h.domain.Trust}, Suites: []Suite{edhoc.Suite2}}
}

func (h *house) endpoint(c Config) *Endpoint {
	h.t.Helper()
	e, err := NewEndpoint(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

// request is a LICENSE-REQ for a film.
func request(t testing.TB) Request {
	t.Helper()
	body, err := LicenseRequest{
		What: Reference{Content: "film-1"}, Permission: 1,
		Subject: Subject{Kind: SubjectDomain, ID: [16]byte{7}, Generation: 1}, Tiers: []uint64{1, 3}, Level: 1,
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return Request{Purpose: PurposeLicense, ReqID: ident.Request{1, 2, 3}, ClockMS: 1_772_000_000_000, Quality: 2, Body: body}
}

// secretLicense and secretBundle are byte strings that must never be seen.
var (
	secretLicense = bytes.Repeat([]byte("LICENSE-BYTES."), 20)
	secretBundle  = bytes.Repeat([]byte{0xA5, 0x5A, 0xC3, 0x3C}, 24)
)

func licenseReply(t testing.TB) Reply {
	t.Helper()
	body, err := License{Chain: [][]byte{secretLicense}, Bundle: secretBundle}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return Reply{Status: StatusDone, Body: body, TimeMS: 1_772_000_000_500}
}

// open starts an exchange of the destination with the source.
func (h *house) open() (Handle, []Message) {
	h.t.Helper()
	handle, out, err := h.dst.Open(h.src.cfg.Self, request(h.t), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return handle, out
}

// one delivers messages to an endpoint that must answer with one message and no event.
func (h *house) one(e *Endpoint, in []Message) []Message {
	h.t.Helper()
	out, ev := h.deliver(e, in)
	if len(out) != 1 || len(ev) != 0 {
		h.t.Fatalf("got %d messages and %v, want one message", len(out), ev)
	}
	return out
}

func (h *house) deliver(e *Endpoint, in []Message) (out []Message, ev []Event) {
	h.t.Helper()
	for _, m := range in {
		o, v := e.Receive(m, h.now)
		out, ev = append(out, o...), append(ev, v...)
	}
	return out, ev
}

// event is the one event of a type that must be the only one.
func event[E Event](t testing.TB, ev []Event) E {
	t.Helper()
	if len(ev) != 1 {
		t.Fatalf("%d events: %+v", len(ev), ev)
	}
	got, ok := ev[0].(E)
	if !ok {
		t.Fatalf("event is %T %+v", ev[0], ev[0])
	}
	return got
}

// sessions runs a whole exchange and returns both handles.
func (h *house) sessions() (src, dst Handle, trace []Message) {
	h.t.Helper()
	dst, m1 := h.open()
	m2 := h.one(h.src, m1)
	m3 := h.one(h.dst, m2)
	none, ev := h.deliver(h.src, m3)
	req := event[EventRequest](h.t, ev)
	if none != nil {
		h.t.Fatal("an answer before the host's")
	}
	m4, err := h.src.Reply(req.Handle, licenseReply(h.t), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	none, ev = h.deliver(h.dst, m4)
	if none != nil || event[EventReply](h.t, ev).Handle != dst {
		h.t.Fatalf("message_4 gave %v, %v", none, ev)
	}
	return req.Handle, dst, append(append(append(m1, m2...), m3...), m4...)
}

// app is a numbered body for APP messages.
func app(t testing.TB, n uint64) Body {
	t.Helper()
	b, err := wire.Marshal([]any{2, n})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// idOf is a party's device ID.
func idOf(p *pkitest.Party) ident.Device {
	leaf, err := x509.ParseCertificate(p.Leaf())
	if err != nil {
		panic(err)
	}
	return ident.DeviceOf(leaf.RawSubjectPublicKeyInfo)
}
