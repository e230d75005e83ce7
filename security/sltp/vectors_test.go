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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	share, err := s.Offer(suite)
	if err != nil {
		return nil, nil, err
	}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
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
	return key.(*ecdsa.PrivateKey)
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

// vectorHouse is the house of the vectors: issuer and home server, suite 2.
func vectorHouse(t testing.TB, l *lines) *house {
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
	for _, name := range []string{"eph_I_2", "eph_R_2", "C_I_2", "C_R_2", "message_1_2", "message_2_2", "message_3_2", "message_4_2",
		"EAD_2_value", "EAD_3_value", "EAD_4_value", "TH_4_2", "K_I_to_R_2", "K_R_to_I_2", "IVs_2", "session_id_2", "APP_1", "APP_2"} {
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
	for c := ErrorRefused; c <= ErrorUnavailable; c++ {
		if row := fmt.Sprintf("\n| %d | %v | ", uint64(c), c); !strings.Contains(string(page), row) {
			t.Errorf("no row%s", row)
		}
	}
	if got := Alert(5).String(); got != "ALERT_5" {
		t.Errorf("an unknown alert is %s", got)
	}
}

// negative is a message that must not be accepted. The receiver is brought to
// where it waits for message number At of the first exchange.
type negative struct {
	Name    string `json:"name"`
	At      int    `json:"at"` // 1 and 3: to the Responder; 2 and 4: to the Initiator
	Message string `json:"message"`
	Result  string `json:"result"`           // "failed": the exchange is over; "dropped": it goes on
	Alert   int    `json:"alert"`            // of the receiver
	Answer  string `json:"answer,omitempty"` // error message to the peer
}

// before brings a fresh house to where message n is awaited and returns who awaits it.
func before(t testing.TB, l *lines, n int) (h *house, e *Endpoint, id []byte) {
	t.Helper()
	h = vectorHouse(t, l)
	if n == 1 {
		return h, h.src, nil
	}
	_, m, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	if n == 2 {
		return h, h.dst, l.get(t, "C_I_1")
	}
	m = h.one(h.src, m)
	if n == 3 {
		return h, h.src, l.get(t, "C_R_1")
	}
	h.one(h.dst, m)
	return h, h.dst, l.get(t, "C_I_1")
}

// run delivers a negative vector and reports what came of it.
func (v negative) run(t testing.TB, l *lines) negative {
	t.Helper()
	h, e, id := before(t, l, v.At)
	msg, err := hex.DecodeString(v.Message)
	if err != nil {
		t.Fatal(err)
	}
	out, ev := e.Receive(Message{CID: id, Bytes: msg}, h.now)
	if len(ev) != 1 || len(out) > 1 {
		t.Fatalf("%s: %v, %v", v.Name, out, ev)
	}
	switch ev := ev[0].(type) {
	case EventFailed:
		v.Result, v.Alert = "failed", int(ev.Alert)
	case EventDropped:
		v.Result, v.Alert = "dropped", int(asAlert(ev.Err).Code)
	default:
		t.Fatalf("%s: accepted: %+v", v.Name, ev)
	}
	v.Answer = ""
	if len(out) == 1 {
		v.Answer = hex.EncodeToString(out[0].Bytes)
	}
	return v
}

func TestSLTP_Vectors_Negative(t *testing.T) {
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	if data, err = os.ReadFile(negativeFile); err != nil {
		t.Fatal(err)
	}
	var all []negative
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Errorf("%d negative vectors", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			if diff := cmp.Diff(v, v.run(t, l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func writeVectors(t *testing.T) {
	l := newVectors(t)
	got := converse(t, l)
	var b strings.Builder
	b.WriteString("# SLTP, a conversation: two exchanges of a home server (Initiator) with a license issuer (Responder), suite 2,\n" +
		"# the first with chains, the second by x5t, then two APP messages in the second session. docs/spec/sltp.md says more.\n" +
		"# Keys are P-256 scalars, certificates DER, everything in hex. Throw-away keys. Signatures are deterministic (RFC 6979).\n")
	for _, part := range []*lines{l, got} {
		for _, name := range part.names {
			fmt.Fprintf(&b, "%s = %x\n", name, part.values[name])
		}
	}
	if err := os.MkdirAll("testdata/vectors", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conversationFile, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range got.names {
		l.set(name, got.values[name])
	}
	var all []negative
	for _, v := range negatives(t, l) {
		all = append(all, v.run(t, l))
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(negativeFile, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// negatives makes the messages of the negative vectors.
func negatives(t *testing.T, l *lines) []negative {
	var all []negative
	add := func(name string, at int, msg []byte) {
		all = append(all, negative{Name: name, At: at, Message: hex.EncodeToString(msg)})
	}
	first := func(n int) []byte { return slices.Clone(l.get(t, fmt.Sprintf("message_%d_1", n))) }
	flip := func(b []byte, i int) []byte { b[i] ^= 1; return b }
	negatives1(t, l, add)
	add("message_1 cut", 1, first(1)[:40])
	add("message_1 with method 1", 1, append([]byte{0x01}, first(1)[1:]...))
	negatives2(t, l, add)
	add("message_2 cut", 2, first(2)[:len(first(2))-1])
	add("message_2 with another key share", 2, flip(first(2), 3+31))
	negatives3(t, l, add)
	add("message_3 cut", 3, first(3)[:len(first(3))-1])
	add("message_3 with a bit changed", 3, flip(first(3), 100))
	negatives4(t, l, add)
	add("message_4 with a bit changed", 4, flip(first(4), 20))
	add("message_4 empty", 4, []byte{0x40})
	return all
}

func negatives1(t *testing.T, l *lines, add func(string, int, []byte)) {
	for _, tc := range []struct {
		name string
		edit func(*rogue) []edhoc.EAD
	}{
		{"message_1 without hello", func(*rogue) []edhoc.EAD { return nil }},
		{"message_1 with a hello of version 2", func(*rogue) []edhoc.EAD {
			return []edhoc.EAD{{Label: labelHello, Value: []byte{0x83, 2, 0x19, 0x10, 0, 0}}}
		}},
		{"message_1 with an unknown critical item", func(*rogue) []edhoc.EAD { return append(helloItem(t), edhoc.EAD{Label: -1}) }},
		{"message_1 with suite 6", func(r *rogue) []edhoc.EAD { r.suite = []Suite{edhoc.Suite6}; return helloItem(t) }},
		{"message_1 with a connection ID of 4 bytes", func(r *rogue) []edhoc.EAD { r.cid = []byte{1, 2, 3, 4}; return helloItem(t) }},
	} {
		r := newRogue(t, l.party(t, "home"))
		ead := tc.edit(r)
		add(tc.name, 1, r.message1(ead)[0].Bytes)
	}
}

func negatives2(t *testing.T, l *lines, add func(string, int, []byte)) {
	m1 := []Message{{Bytes: l.get(t, "message_1_1")}}
	good := statusItem(t, PeerStatus{})
	byHash := identityOf(l.party(t, "issuer"))
	byHash.ID = edhoc.X5T(l.get(t, "issuer_cert_0"))
	wrongKey := identityOf(l.party(t, "issuer"))
	wrongKey.Signer = l.party(t, "device").Key
	byKID := identityOf(l.party(t, "issuer"))
	byKID.ID = edhoc.IDCred{KID: []byte("issuer")}
	for _, tc := range []struct {
		name string
		id   edhoc.Identity
		ead  []edhoc.EAD
	}{
		{"message_2 of another source", identityOf(l.party(t, "device")), good},
		{"message_2 of a content provider", identityOf(l.party(t, "provider")), good},
		{"message_2 of the Initiator itself", identityOf(l.party(t, "home")), good},
		{"message_2 by a hash that is not held", byHash, good},
		{"message_2 by a key ID", byKID, good},
		{"message_2 signed with another key", wrongKey, good},
		{"message_2 without status", identityOf(l.party(t, "issuer")), nil},
		{"message_2 that demands a later epoch", identityOf(l.party(t, "issuer")), statusItem(t, PeerStatus{MinEpoch: pki.Epoch{Generation: 2}})},
	} {
		r := newRogue(t, l.party(t, "issuer"))
		r.id = tc.id
		add(tc.name, 2, r.message2(m1, tc.ead)[0].Bytes)
	}
}

func negatives3(t *testing.T, l *lines, add func(string, int, []byte)) {
	good := vectorRequest(t)
	good.Dst, good.Epoch = idOf(l.party(t, "issuer")), pki.Epoch{Generation: 1, Number: 6}
	other := good
	other.Dst = idOf(l.party(t, "device"))
	h, err := hello{maxSize: MaxMessage, epoch: good.Epoch}.encode()
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := identityOf(l.party(t, "home"))
	wrongKey.Signer = l.party(t, "device").Key
	byHash := identityOf(l.party(t, "home"))
	byHash.ID = edhoc.X5T(l.get(t, "home_cert_0"))
	for _, tc := range []struct {
		name string
		id   edhoc.Identity
		ead  []edhoc.EAD
	}{
		{"message_3 with a request for another source", identityOf(l.party(t, "home")), requestItem(t, other)},
		{"message_3 of a content provider", identityOf(l.party(t, "provider")), requestItem(t, good)},
		{"message_3 by a hash that is not held", byHash, requestItem(t, good)},
		{"message_3 signed with another key", wrongKey, requestItem(t, good)},
		{"message_3 without request", identityOf(l.party(t, "home")), nil},
	} {
		r := newRogue(t, l.party(t, "home"))
		r.id, r.cid, r.eph = tc.id, l.get(t, "C_I_1"), &script{t, [][]byte{l.get(t, "eph_I_1")}}
		if m1 := r.message1([]edhoc.EAD{{Label: labelHello, Value: h}}); !bytes.Equal(m1[0].Bytes, l.get(t, "message_1_1")) {
			t.Fatal("another message_1")
		}
		m2 := []Message{{Bytes: l.get(t, "message_2_1")}}
		add(tc.name, 3, r.message3(m2, l.party(t, "issuer"), tc.ead)[0].Bytes)
	}
}

func negatives4(t *testing.T, l *lines, add func(string, int, []byte)) {
	st := vectorStatus()
	status := statusItem(t, PeerStatus{Epoch: st.Epoch, Head: st.Head, TimeMS: vectorTime().UnixMilli(), MinEpoch: st.MinEpoch})
	for _, tc := range []struct {
		name string
		edit func(*Reply) bool // false: no reply at all
	}{
		{"message_4 that replies to another request", func(r *Reply) bool { r.ReqID = ident.Request{1}; return true }},
		{"message_4 without reply", func(*Reply) bool { return false }},
	} {
		r := newRogue(t, l.party(t, "issuer"))
		r.cid, r.eph = l.get(t, "C_R_1"), &script{t, [][]byte{l.get(t, "eph_R_1")}}
		if m2 := r.message2([]Message{{Bytes: l.get(t, "message_1_1")}}, status); !bytes.Equal(m2[0].Bytes, l.get(t, "message_2_1")) {
			t.Fatal("another message_2")
		}
		reply := vectorReply(t)
		reply.ReqID = vectorRequest(t).ReqID
		var ead []edhoc.EAD
		if tc.edit(&reply) {
			body, err := reply.encode()
			if err != nil {
				t.Fatal(err)
			}
			ead = []edhoc.EAD{{Label: labelReply, Value: body}}
		}
		add(tc.name, 4, r.message4([]Message{{Bytes: l.get(t, "message_3_1")}}, l.party(t, "home"), ead)[0].Bytes)
	}
}
