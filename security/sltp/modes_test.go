package sltp

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// The vectors of the modes beside the exchange: a request in a session, a push,
// key transport, a trigger. They have a trust domain of their own.
const (
	modesFile         = "testdata/vectors/modes.txt"
	modesNegativeFile = "testdata/vectors/modes-negative.json"
)

// newModes makes certificates and the fixed inputs.
func newModes(t testing.TB) *lines {
	d := pkitest.New(t, pkitest.Start())
	l := &lines{}
	l.set("root", d.Root)
	party := func(name string, p *pkitest.Party) {
		key, err := p.Key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		l.set(name+"_key", key)
		for i, der := range p.Chain {
			l.set(fmt.Sprintf("%s_cert_%d", name, i), der)
		}
	}
	home, legacy := d.Party(pki.HomeServer), d.Party(pki.Device, withSuites())
	party("issuer", d.Party(pki.LicenseIssuer))
	party("provider", d.Party(pki.ContentProvider))
	party("home", home)
	party("legacy", legacy)
	party("modern", d.Party(pki.Device))
	l.set("home_delivery_key", home.Delivery.Bytes())
	l.set("home_delivery_cert", home.DelLeaf)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l.set("legacy_rsa_key", der)
	l.set("legacy_rsa_cert", d.RSA(legacy, &key.PublicKey))
	for name, n := range map[string]int{"eph_I": 32, "eph_R": 32, "C_I": cidLen, "C_R": cidLen, "R_N_I": nonceLen, "R_N_R": nonceLen, "R_C_I": cidLen, "R_C_R": cidLen} {
		l.set(name, told("modes " + name)[:n])
	}
	slices.Sort(l.names)
	return l
}

// modesHouse has an issuer and a home server whose exchange is fixed, and which
// opens pushes.
func modesHouse(t testing.TB, l *lines) *house {
	t.Helper()
	trust, err := pki.NewTrustStore(l.get(t, "root"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, domain: &pkitest.Domain{Trust: trust, Now: vectorTime()}, now: vectorTime(), issuer: l.party(t, "issuer"), home: l.party(t, "home")}
	h.home.DelLeaf = l.get(t, "home_delivery_cert")
	if h.home.Delivery, err = ecdh.P256().NewPrivateKey(l.get(t, "home_delivery_key")); err != nil {
		t.Fatal(err)
	}
	src, dst := h.config(h.issuer), h.config(h.home)
	opens(&dst, h.home)
	src.Ephemeral, dst.Ephemeral = &script{t, [][]byte{l.get(t, "eph_R")}}, &script{t, [][]byte{l.get(t, "eph_I")}}
	src.Rand, dst.Rand = bytes.NewReader(l.get(t, "C_R")), bytes.NewReader(l.get(t, "C_I"))
	src.Status = vectorStatus
	dst.Status = vectorStatus
	dst.PlainChains = true
	h.src, h.dst = h.endpoint(src), h.endpoint(dst)
	return h
}

// modesLegacy has the same issuer and a legacy device.
func modesLegacy(t testing.TB, l *lines) *house {
	t.Helper()
	h := modesHouse(t, l)
	key, err := x509.ParsePKCS8PrivateKey(l.get(t, "legacy_rsa_key"))
	if err != nil {
		t.Fatal(err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("a %T", key)
	}
	h.home = l.party(t, "legacy")
	src, dst := h.config(h.issuer), h.config(h.home)
	dst.RSA = &RSAKey{Key: private, Cert: l.get(t, "legacy_rsa_cert")}
	src.AllowRSA = func(*pki.Peer) bool { return true }
	src.Rand = bytes.NewReader(slices.Concat(l.get(t, "R_C_R"), l.get(t, "R_N_R")))
	dst.Rand = bytes.NewReader(slices.Concat(l.get(t, "R_C_I"), l.get(t, "R_N_I")))
	src.Status = vectorStatus
	dst.Status = func() Status { return Status{Epoch: pki.Epoch{Generation: 1, Number: 6}} }
	h.src, h.dst = h.endpoint(src), h.endpoint(dst)
	return h
}

// exchangeFixed brings the house to a session.
func (h *house) exchangeFixed() (src, dst Handle) {
	h.t.Helper()
	dst, m, err := h.dst.Open(h.src.cfg.Self, vectorRequest(h.t), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	_, ev := h.deliver(h.src, h.one(h.dst, h.one(h.src, m)))
	src = event[EventRequest](h.t, ev).Handle
	m, err = h.src.Reply(src, vectorReply(h.t), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.deliver(h.dst, m)
	return src, dst
}

func modesRequest(t testing.TB) Request {
	r := vectorRequest(t)
	r.ReqID = ident.Request(told("modes request")[:16])
	return r
}

// modesPush is what the push of the vectors says.
func (h *house) modesPush() Push {
	h.t.Helper()
	inner, err := wire.Marshal([]any{4, [][]byte{[]byte("a license")}, nil, map[uint64]uint64{1: 2}, nil, []byte("its keys")})
	if err != nil {
		h.t.Fatal(err)
	}
	tid := h.tid(1)
	hash, err := wire.Marshal([]any{tid, inner})
	if err != nil {
		h.t.Fatal(err)
	}
	body, err := wire.Marshal([]any{1, tid, 0, sum(hash), inner, nil})
	if err != nil {
		h.t.Fatal(err)
	}
	return Push{TID: tid, Expires: h.now.Add(24 * time.Hour), Body: body}
}

// modes runs every mode and records it. What is random in it, the push's key
// share and the wrapped secret, is new each time.
func modes(t testing.TB, l *lines) *lines {
	t.Helper()
	out := &lines{}
	h := modesHouse(t, l)
	src, dst := h.exchangeFixed()
	out.set("session_id", h.dst.byHandle[dst].channel.sid[:])
	m := h.ask(dst, modesRequest(t))
	out.set("APP_request", m[0].Bytes)
	_, ev := h.deliver(h.src, m)
	item, err := event[EventRequest](t, ev).Request.encode()
	if err != nil {
		t.Fatal(err)
	}
	out.set("request_body", encodeIn(NumberRequest, item))
	if m, err = h.src.Reply(src, vectorReply(t), h.now); err != nil {
		t.Fatal(err)
	}
	out.set("APP_reply", m[0].Bytes)
	_, ev = h.deliver(h.dst, m)
	if item, err = event[EventReply](t, ev).Reply.encode(); err != nil {
		t.Fatal(err)
	}
	out.set("reply_body", encodeIn(NumberReply, item))
	h.recordPush(out)
	trigger, err := h.src.Trigger(PurposeTransfer)
	if err != nil {
		t.Fatal(err)
	}
	out.set("TRIGGER", trigger.Bytes)
	modesLegacy(t, l).recordLegacy(out)
	return out
}

func (h *house) recordPush(out *lines) {
	h.t.Helper()
	p := h.modesPush()
	peer, err := h.dst.cfg.Verifier.Verify(h.home.Chain, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := h.src.Push(peer, h.home.DelLeaf, p, false, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	_, _, payload, err := parsePush(m.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	info, err := payload.head().info(h.home.DelLeaf)
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("PUSH_info", info)
	out.set("PUSH_plaintext", p.Body)
	out.set("PUSH", m.Bytes)
}

func (h *house) recordLegacy(out *lines) {
	h.t.Helper()
	_, m, err := h.dst.OpenLegacy(h.src.cfg.Self, film, vectorRequest(h.t).ReqID, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("R1", m[0].Bytes)
	m = h.one(h.src, m)
	out.set("R2", m[0].Bytes)
	th2 := h.src.ordered()[0].rsa.th3
	m = h.one(h.dst, m)
	out.set("R3", m[0].Bytes)
	_, ev := h.deliver(h.src, m)
	req := event[EventLegacyRequest](h.t, ev)
	th3 := h.src.ordered()[0].rsa.th3
	out.set("TH_2", th2[:])
	out.set("TH_3", th3[:])
	r3, err := parseR3(m[0].Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("R_EAD_3", r3.Request)
	if m, err = h.src.Reply(req.Handle, vectorReply(h.t), h.now); err != nil {
		h.t.Fatal(err)
	}
	out.set("R4", m[0].Bytes)
	_, ev = h.deliver(h.dst, m)
	reply, err := event[EventReply](h.t, ev).Reply.encode()
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("R_EAD_4", reply)
}

// randomized are the values that hold something new each time.
func randomized(name string) bool { return name == "PUSH" || name == "R4" }

func readModes(t testing.TB) *lines {
	t.Helper()
	data, err := os.ReadFile(modesFile)
	if err != nil {
		t.Fatal(err)
	}
	return readLines(t, data)
}

func TestSLTP_Modes(t *testing.T) {
	if *update {
		writeModes(t)
	}
	l := readModes(t)
	got := modes(t, l)
	for _, name := range got.names {
		if !randomized(name) && !bytes.Equal(got.values[name], l.get(t, name)) {
			t.Errorf("%s = %x\nwant %x", name, got.values[name], l.values[name])
		}
	}
	// What is random is accepted as it stands in the file.
	h := modesHouse(t, l)
	h.exchangeFixed()
	push, err := h.dst.OpenPush(l.get(t, "PUSH"), 0, h.now)
	if err != nil || !bytes.Equal(push.Push.Body, l.get(t, "PUSH_plaintext")) || push.Push.TID != h.tid(1) {
		t.Errorf("PUSH: %+v, %v", push, err)
	}
	h = modesLegacy(t, l)
	_, m, err := h.dst.OpenLegacy(h.src.cfg.Self, film, vectorRequest(t).ReqID, h.now)
	if err != nil {
		t.Fatal(err)
	}
	h.one(h.dst, h.one(h.src, m))
	_, ev := h.dst.Receive(Message{CID: l.get(t, "R_C_I"), Bytes: l.get(t, "R4")}, h.now)
	reply, err := event[EventReply](t, ev).Reply.encode()
	if err != nil || !bytes.Equal(reply, l.get(t, "R_EAD_4")) {
		t.Errorf("R4: %x, %v", reply, err)
	}
}

// TestSLTP_Modes_Page checks the worked examples of the page against the vectors.
func TestSLTP_Modes_Page(t *testing.T) {
	l := readModes(t)
	page, err := os.ReadFile("../../docs/spec/sltp.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := readLines(t, []byte(strings.ReplaceAll(string(page), "\n      ", "")))
	for _, name := range []string{
		"APP_request", "APP_reply", "request_body", "reply_body", "PUSH_info", "PUSH_plaintext", "PUSH", "TRIGGER",
		"R1", "R_N_R", "R_C_R", "TH_2", "TH_3", "R_EAD_3", "R4", "R_EAD_4",
	} {
		if !bytes.Equal(shown.get(t, name), l.get(t, name)) {
			t.Errorf("%s in the page is %x, want %x", name, shown.values[name], l.values[name])
		}
	}
}

func writeModes(t *testing.T) {
	l := newModes(t)
	got := modes(t, l)
	writeLines(t, modesFile, "# SLTP, the modes beside the exchange: a request in a session, a push, RSA key transport (R1 to R4), a trigger.\n"+
		"# docs/spec/sltp.md says more. Source is the issuer, destination the home server, of R1 to R4 the legacy device.\n"+
		"# P-256 keys are scalars, the RSA key is PKCS #8, certificates DER, all in hex. Throw-away keys.\n", l, got)
	var all []modeNegative
	for _, v := range modeNegatives(t, l) {
		all = append(all, v.run(t, l))
	}
	writeJSON(t, modesNegativeFile, all)
}
