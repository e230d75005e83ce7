package sltp

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// update writes the vectors anew, with new certificates. The worked example of
// docs/spec/sltp.md must then be copied from them.
var update = flag.Bool("update", false, "write testdata/vectors")

const (
	conversationFile = "testdata/vectors/conversation.txt"
	negativeFile     = "testdata/vectors/negative.json"
)

// lines is an ordered list of "name = hex" values.
type lines struct {
	names  []string
	values map[string][]byte
}

func (l *lines) set(name string, v []byte) {
	if l.values == nil {
		l.values = map[string][]byte{}
	}
	if _, ok := l.values[name]; !ok {
		l.names = append(l.names, name)
	}
	l.values[name] = v
}

func readLines(t testing.TB, data []byte) *lines {
	t.Helper()
	l := &lines{}
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		k, v, ok := strings.Cut(sc.Text(), " = ")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if b, err := hex.DecodeString(v); err == nil {
			l.set(k, b)
		}
	}
	if sc.Err() != nil || len(l.names) == 0 {
		t.Fatalf("no vectors: %v", sc.Err())
	}
	return l
}

func (l *lines) get(t testing.TB, name string) []byte {
	t.Helper()
	v, ok := l.values[name]
	if !ok {
		t.Fatalf("vector %s is missing", name)
	}
	return v
}

// script is an Ephemeral that plays fixed private keys in their order.
type script struct {
	t    testing.TB
	keys [][]byte
}

func (s *script) Offer(suite Suite) (edhoc.Share, error) {
	if len(s.keys) == 0 {
		return nil, errors.New("the script is over")
	}
	key, err := ecdh.P256().NewPrivateKey(s.keys[0])
	s.keys = s.keys[1:]
	if err != nil {
		return nil, err
	}
	return edhoc.NewShare(suite, key)
}

func (s *script) Answer(suite Suite, gx []byte) (gy, gxy []byte, err error) {
	return answer(s.Offer, suite, gx)
}

func p256Key(t testing.TB, d []byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a %T", key)
	}
	return out
}

// told is a fixed secret of the vectors.
func told(name string) []byte {
	h := sha256.Sum256([]byte("lares sltp vectors: " + name))
	return h[:]
}

// newVectors makes certificates and the fixed inputs.
func newVectors(t testing.TB) *lines {
	d := pkitest.New(t, pkitest.Start())
	l := &lines{}
	l.set("root", d.Root)
	for _, p := range []struct {
		name string
		role pki.Role
	}{{"issuer", pki.LicenseIssuer}, {"home", pki.HomeServer}, {"provider", pki.ContentProvider}, {"device", pki.Device}} {
		party := d.Party(p.role)
		key, err := party.Key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		l.set(p.name+"_key", key)
		for i, der := range party.Chain {
			l.set(fmt.Sprintf("%s_cert_%d", p.name, i), der)
		}
	}
	for _, name := range []string{"eph_I_1", "eph_R_1", "eph_I_2", "eph_R_2"} {
		l.set(name, told(name))
	}
	for _, name := range []string{"C_I_1", "C_R_1", "C_I_2", "C_R_2"} {
		l.set(name, told(name)[:cidLen])
	}
	return l
}

func (l *lines) party(t testing.TB, name string) *pkitest.Party {
	t.Helper()
	p := &pkitest.Party{Key: p256Key(t, l.get(t, name+"_key"))}
	for i := 0; l.values[fmt.Sprintf("%s_cert_%d", name, i)] != nil; i++ {
		p.Chain = append(p.Chain, l.get(t, fmt.Sprintf("%s_cert_%d", name, i)))
	}
	return p
}

// vectorTime is when the conversation takes place.
func vectorTime() time.Time { return pkitest.Start().Add(time.Hour) }

func vectorStatus() Status {
	return Status{Epoch: pki.Epoch{Generation: 1, Number: 7}, Head: [32]byte(told("head")), MinEpoch: pki.Epoch{Generation: 1, Number: 5}}
}

func vectorRequest(t testing.TB) Request {
	r := request(t)
	r.ReqID, r.ClockMS, r.Head = ident.Request(told("request")[:16]), vectorTime().UnixMilli(), nil
	return r
}

func vectorReply(t testing.TB) Reply {
	body, err := License{Chain: [][]byte{[]byte("a license")}, Bundle: []byte("its keys")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return Reply{Status: StatusDone, Body: body}
}

// vectorHouse is the house of the vectors: issuer and home server, suite 2,
// with chains as x5chain.
func vectorHouse(t testing.TB, l *lines, edit ...func(src, dst *Config)) *house {
	t.Helper()
	trust, err := pki.NewTrustStore(l.get(t, "root"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, domain: &pkitest.Domain{Trust: trust}, now: vectorTime(), issuer: l.party(t, "issuer"), home: l.party(t, "home")}
	src, dst := h.config(h.issuer), h.config(h.home)
	src.Ephemeral = &script{t, [][]byte{l.get(t, "eph_R_1"), l.get(t, "eph_R_2")}}
	dst.Ephemeral = &script{t, [][]byte{l.get(t, "eph_I_1"), l.get(t, "eph_I_2")}}
	src.Rand = bytes.NewReader(slices.Concat(l.get(t, "C_R_1"), l.get(t, "C_R_2")))
	dst.Rand = bytes.NewReader(slices.Concat(l.get(t, "C_I_1"), l.get(t, "C_I_2")))
	src.Status = vectorStatus
	dst.Status = func() Status { return Status{Epoch: pki.Epoch{Generation: 1, Number: 6}} }
	dst.PlainChains = true // the source could pack: it is not told to
	for _, f := range edit {
		f(&src, &dst)
	}
	h.src, h.dst = h.endpoint(src), h.endpoint(dst)
	return h
}

// converse runs both exchanges and two APP messages and records them.
func converse(t testing.TB, l *lines) *lines {
	t.Helper()
	h := vectorHouse(t, l)
	out := &lines{}
	for n := 1; n <= 2; n++ {
		record := func(name string, m []Message) []Message {
			out.set(fmt.Sprintf("%s_%d", name, n), m[0].Bytes)
			return m
		}
		dst, m, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		m2 := record("message_2", h.one(h.src, record("message_1", m)))
		m3 := record("message_3", h.one(h.dst, m2))
		_, ev := h.deliver(h.src, m3)
		req := event[EventRequest](t, ev)
		body, err := req.Request.encode()
		if err != nil {
			t.Fatal(err)
		}
		out.set("EAD_3_value", body)
		m4, err := h.src.Reply(req.Handle, vectorReply(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		_, ev = h.deliver(h.dst, record("message_4", m4))
		reply := event[EventReply](t, ev)
		status, err1 := reply.Status.encode()
		body, err2 := reply.Reply.encode()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		out.set("EAD_2_value", status)
		out.set("EAD_4_value", body)
		if n == 2 {
			h.recordSession(out, req.Handle, dst)
		}
	}
	return out
}

func (h *house) recordSession(out *lines, src, dst Handle) {
	h.t.Helper()
	c := h.dst.byHandle[dst].channel
	out.set("TH_4_2", c.th4[:])
	out.set("K_I_to_R_2", slices.Clone(c.out.key.b[:]))
	out.set("K_R_to_I_2", slices.Clone(c.in.key.b[:]))
	out.set("IVs_2", slices.Concat(c.out.salt, c.in.salt))
	out.set("session_id_2", c.sid[:])
	seq, m, err := h.dst.Send(dst, app(h.t, 1), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("APP_1", m[0].Bytes)
	_, ev := h.deliver(h.src, m)
	event[EventApp](h.t, ev)
	m, err = h.src.Answer(src, seq, app(h.t, 2), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	out.set("APP_2", m[0].Bytes)
	_, ev = h.deliver(h.dst, m)
	event[EventApp](h.t, ev)
}

func TestSLTP_Vectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	got := converse(t, l)
	for _, name := range got.names {
		if !bytes.Equal(got.values[name], l.get(t, name)) {
			t.Errorf("%s = %x\nwant %x", name, got.values[name], l.values[name])
		}
	}
}

// TestSLTP_Vectors_Page checks the worked example of the page against the vectors.
func TestSLTP_Vectors_Page(t *testing.T) {
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	page, err := os.ReadFile("../../docs/spec/sltp.md")
	if err != nil {
		t.Fatal(err)
	}
	// Long values are broken over lines that are indented.
	joined := strings.ReplaceAll(string(page), "\n      ", "")
	shown := readLines(t, []byte(joined))
	for _, name := range []string{
		"eph_I_2", "eph_R_2", "C_I_2", "C_R_2", "message_1_2", "message_2_2", "message_3_2", "message_4_2",
		"EAD_2_value", "EAD_3_value", "EAD_4_value", "TH_4_2", "K_I_to_R_2", "K_R_to_I_2", "IVs_2", "session_id_2", "APP_1", "APP_2",
	} {
		if !bytes.Equal(shown.get(t, name), l.get(t, name)) {
			t.Errorf("%s in the page is %x, want %x", name, shown.values[name], l.values[name])
		}
	}
}

// TestSLTP_Page_Tables checks that the page lists every alert and error code.
func TestSLTP_Page_Tables(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/sltp.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := []Alert{AlertRejected, AlertSuite, AlertCredential}
	for a := AlertSendChain; a <= AlertInternal; a++ {
		alerts = append(alerts, a)
	}
	for _, a := range alerts {
		if row := fmt.Sprintf("\n| %d | %v | ", int(a), a); !strings.Contains(string(page), row) || strings.HasPrefix(a.String(), "ALERT_") {
			t.Errorf("no row%s", row)
		}
	}
	for c := ErrorRefused; c <= ErrorDomainRate; c++ {
		if row := fmt.Sprintf("\n| %d | %v | ", uint64(c), c); !strings.Contains(string(page), row) {
			t.Errorf("no row%s", row)
		}
	}
	if got := Alert(5).String(); got != "ALERT_5" {
		t.Errorf("an unknown alert is %s", got)
	}
}

func writeVectors(t *testing.T) {
	l := newVectors(t)
	got := converse(t, l)
	writeLines(t, conversationFile, "# SLTP, a conversation: two exchanges of a home server (Initiator) with a license issuer (Responder), suite 2,\n"+
		"# the first with chains, the second by x5t, then two APP messages in the second session. docs/spec/sltp.md says more.\n"+
		"# Keys are P-256 scalars, certificates DER, everything in hex. Throw-away keys. Signatures are deterministic (RFC 6979).\n", l, got)
	var all []negative
	for _, v := range negatives(t, l) {
		all = append(all, v.run(t, l))
	}
	writeJSON(t, negativeFile, all)
}

// writeLines writes what a script is given and what came of it, and adds the
// latter to the former.
func writeLines(t *testing.T, file, head string, l, got *lines) {
	t.Helper()
	var b strings.Builder
	b.WriteString(head)
	for _, part := range []*lines{l, got} {
		for _, name := range part.names {
			fmt.Fprintf(&b, "%s = %x\n", name, part.values[name])
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range got.names {
		l.set(name, got.values[name])
	}
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}
