package sltp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// The vectors of packed chains in an exchange: one where both travel packed, one
// where the source has forgotten the other side. The chains themselves, and what
// is none, are in packed-chains.json, of the package edhoc.
const (
	packedFile         = "testdata/vectors/packed.txt"
	packedNegativeFile = "testdata/vectors/packed-negative.json"
)

// newPacked makes certificates and the fixed inputs of three attempts.
func newPacked(t testing.TB) *lines {
	l := newVectors(t)
	for _, name := range []string{"eph_I_3", "eph_R_3"} {
		l.set(name, told(name))
	}
	for _, name := range []string{"C_I_3", "C_R_3"} {
		l.set(name, told(name)[:cidLen])
	}
	return l
}

// packs makes a house of the vectors that packs, and has three attempts.
func packs(t testing.TB, l *lines) func(src, dst *Config) {
	all := func(name string) (list [][]byte) {
		for n := 1; n <= 3; n++ {
			list = append(list, l.get(t, fmt.Sprintf("%s_%d", name, n)))
		}
		return list
	}
	return func(src, dst *Config) {
		dst.PlainChains = false
		src.Ephemeral, dst.Ephemeral = &script{t, all("eph_R")}, &script{t, all("eph_I")}
		src.Rand, dst.Rand = bytes.NewReader(slices.Concat(all("C_R")...)), bytes.NewReader(slices.Concat(all("C_I")...))
	}
}

// conversePacked runs both exchanges and records them.
func conversePacked(t testing.TB, l *lines) *lines {
	t.Helper()
	h := vectorHouse(t, l, packs(t, l))
	out := &lines{}
	for side, p := range map[string]*pkitest.Party{"R": h.issuer, "I": h.home} {
		item, err := wire.Marshal(map[int64][]byte{-162224: packedOf(t, p).ID.Packed})
		if err != nil {
			t.Fatal(err)
		}
		out.set("ID_CRED_"+side, item)
	}
	slices.Sort(out.names)
	n := 1
	record := func(name string, m []Message) []Message {
		out.set(fmt.Sprintf("%s_%d", name, n), m[0].Bytes)
		return m
	}
	finish := func(dst Handle, m3 []Message) {
		_, ev := h.deliver(h.src, m3)
		src := event[EventRequest](t, ev)
		m4, err := h.src.Reply(src.Handle, vectorReply(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		_, ev = h.deliver(h.dst, record("message_4", m4))
		event[EventReply](t, ev)
		c := h.dst.byHandle[dst].channel
		out.set(fmt.Sprintf("TH_4_%d", n), c.th4[:])
		out.set(fmt.Sprintf("session_id_%d", n), c.sid[:])
	}
	dst, m, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	finish(dst, record("message_3", h.one(h.dst, record("message_2", h.one(h.src, record("message_1", m))))))

	h.src.known = newPeers(8)
	n = 2
	if dst, m, err = h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now); err != nil {
		t.Fatal(err)
	}
	m, ev := h.deliver(h.src, record("message_3", h.one(h.dst, record("message_2", h.one(h.src, record("message_1", m))))))
	if got := event[EventFailed](t, ev); got.Alert != AlertSendChain {
		t.Fatal(got.Err)
	}
	m = h.one(h.dst, record("error", m))
	n = 3
	finish(dst, record("message_3", h.one(h.dst, record("message_2", h.one(h.src, record("message_1", m))))))
	return out
}

// TestSLTP_Packed_Vectors also compares values with the page's.
func TestSLTP_Packed_Vectors(t *testing.T) {
	if *update {
		writePackedVectors(t)
	}
	data, err := os.ReadFile(packedFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	got := conversePacked(t, l)
	for _, name := range got.names {
		if !bytes.Equal(got.values[name], l.get(t, name)) {
			t.Errorf("%s = %x\nwant %x", name, got.values[name], l.values[name])
		}
	}
	page, err := os.ReadFile("../../docs/spec/sltp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Packed chains\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := readLines(t, []byte(strings.ReplaceAll(section, "\n      ", "")))
	for _, name := range []string{"ID_CRED_R", "ID_CRED_I", "message_1_1", "message_2_1", "message_3_1", "message_4_1", "TH_4_1", "session_id_1"} {
		if !bytes.Equal(shown.get(t, name), l.get(t, name)) {
			t.Errorf("%s in the page is %x, want %x", name, shown.values[name], l.values[name])
		}
	}
}

func TestSLTP_Packed_VectorsNegative(t *testing.T) {
	data, err := os.ReadFile(packedFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	if data, err = os.ReadFile(packedNegativeFile); err != nil {
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
			if diff := cmp.Diff(v, v.run(t, l, packsUnless(t, l, v.Plain))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func packsUnless(t testing.TB, l *lines, plain bool) func(src, dst *Config) {
	edit := packs(t, l)
	return func(src, dst *Config) {
		edit(src, dst)
		dst.PlainChains = plain
	}
}

// badChains are forms of a party's packed chain that must be refused.
func badChains(t testing.TB, p *pkitest.Party) map[string][]byte {
	good := packedOf(t, p).ID.Packed
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	return map[string][]byte{
		"cut":                          good[:len(good)-1],
		"with a byte more":             edit(func(b []byte) []byte { return append(b, 0) }),
		"of 16,385 bytes":              edit(func(b []byte) []byte { b[0], b[1] = 0x40, 0x01; return b }),
		"with a byte less than it has": edit(func(b []byte) []byte { b[1]--; return b }),
		"with a copy of what is not there yet": edit(func(b []byte) []byte {
			return append(b[:2], append([]byte{0x82, 0xff, 0xf0}, b[2:]...)...)
		}),
		"of nine certificates":           append([]byte{0x00, 0x13, 0x12, 0x89}, bytes.Repeat([]byte{0x41, 0x30}, 9)...),
		"with a byte behind the list":    {0x00, 0x03, 0x02, 0x41, 0x30, 0x00},
		"whose leaf is no certificate":   {0x00, 0x02, 0x01, 0x41, 0x30},
		"of a leaf without its CA alone": mustPack(t, p.Chain[:1]),
		"empty":                          {},
	}
}

func mustPack(t testing.TB, chain [][]byte) []byte {
	t.Helper()
	id, err := edhoc.PackedChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	return id.Packed
}

// packedNegatives makes the messages of the negative vectors.
func packedNegatives(t *testing.T, l *lines) (all []negative) {
	add := func(name string, at int, plain bool, m []Message) {
		all = append(all, negative{Name: name, At: at, Plain: plain, Message: hex.EncodeToString(m[0].Bytes)})
	}
	issuer, home, device := l.party(t, "issuer"), l.party(t, "home"), l.party(t, "device")
	twice := []edhoc.EAD{packedItem(), packedItem()}
	for name, more := range map[string][]edhoc.EAD{
		"message_1 with item 62228 twice": twice, "message_1 with item 62228 and a value": {{Label: labelPacked, Value: []byte{1}}},
		"message_1 with item 62228, critical": {{Label: -labelPacked}},
	} {
		add(name, 1, false, newRogue(t, home).message1(append(helloItem(t), more...)))
	}
	second := func(name string, plain bool, id edhoc.Identity, more ...edhoc.EAD) {
		h := vectorHouse(t, l, packsUnless(t, l, plain))
		_, m1, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		r := newRogue(t, issuer)
		r.id = id
		add("message_2 "+name, 2, plain, r.message2(m1, append(statusItem(t, PeerStatus{}), more...)))
	}
	third := func(name string, plain bool, id edhoc.Identity) {
		h := vectorHouse(t, l, packsUnless(t, l, plain))
		_, m1, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
		if err != nil {
			t.Fatal(err)
		}
		m2 := h.one(h.src, m1)
		r := newRogue(t, home)
		r.id, r.cid, r.eph = id, l.get(t, "C_I_1"), &script{t, [][]byte{l.get(t, "eph_I_1")}}
		again := r.message1(helloOf(t, pki.Epoch{Generation: 1, Number: 6}, plain))
		if !bytes.Equal(again[0].Bytes, m1[0].Bytes) {
			t.Fatal("another message_1")
		}
		req := vectorRequest(t)
		req.Dst, req.Epoch = h.src.cfg.Self, pki.Epoch{Generation: 1, Number: 6}
		add("message_3 "+name, 3, plain, r.message3(m2, issuer, requestItem(t, req)))
	}
	second("by a packed chain that was not asked for", true, packedOf(t, issuer))
	third("by a packed chain that was not asked for", true, packedOf(t, home))
	second("by the packed chain of another source", false, packedOf(t, device))
	second("with item 62228 twice", false, identityOf(issuer), twice...)
	for name, packed := range badChains(t, issuer) {
		id := packedOf(t, issuer)
		id.ID.Packed = packed
		second("by a packed chain "+name, false, id)
	}
	for name, packed := range badChains(t, home) {
		id := packedOf(t, home)
		id.ID.Packed = packed
		third("by a packed chain "+name, false, id)
	}
	slices.SortFunc(all, func(a, b negative) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// helloOf is EAD_1 of the vectors.
func helloOf(t testing.TB, epoch pki.Epoch, plain bool) []edhoc.EAD {
	t.Helper()
	h, err := hello{maxSize: MaxMessage, epoch: epoch}.encode()
	if err != nil {
		t.Fatal(err)
	}
	ead := []edhoc.EAD{{Label: labelHello, Value: h}}
	if !plain {
		ead = append(ead, packedItem())
	}
	return ead
}

func writePackedVectors(t *testing.T) {
	l := newPacked(t)
	got := conversePacked(t, l)
	writeLines(t, packedFile, "# SLTP, packed chains: a home server (Initiator) and a license issuer (Responder), suite 2. In the first exchange both chains\n"+
		"# travel packed. In the second one (_2) the source has forgotten the other's certificate and says so (error_2); the further\n"+
		"# attempt (_3) has its own certificate by x5t, item 62228 in EAD_2 and the destination's chain packed. docs/spec/sltp.md says more.\n"+
		"# Keys are P-256 scalars, certificates DER, everything in hex. Throw-away keys. Signatures are deterministic (RFC 6979).\n"+
		"# How a chain is packed is the sender's choice: another one's ID_CRED, and what follows from it, may differ.\n", l, got)
	var all []negative
	for _, v := range packedNegatives(t, l) {
		all = append(all, v.run(t, l, packsUnless(t, l, v.Plain)))
	}
	writeJSON(t, packedNegativeFile, all)
}
