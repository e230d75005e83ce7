package edhoc

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// packedFile has packed chains for another implementation: what unpacks, to
// what, and what must be refused.
const packedFile = "../testdata/vectors/packed-chains.json"

type packedVectors struct {
	Comment    string          `json:"comment"`
	Dictionary string          `json:"dictionary"`
	Chains     []packedChain   `json:"chains"`
	Refused    []packedRefused `json:"refused"`
}

type packedChain struct {
	Name         string   `json:"name"`
	Certificates []string `json:"certificates"`
	Packed       string   `json:"packed"`
}

type packedRefused struct {
	Name   string `json:"name"`
	Packed string `json:"packed"`
}

// profileChains are the certificates of the worked example of certificates.md:
// a device with both CAs above it, the root, the delivery certificate.
func profileChains(t testing.TB) (all [][]byte) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/spec/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(page); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
		all = append(all, block.Bytes)
	}
	if len(all) != 5 {
		t.Fatalf("%d certificates in the page", len(all))
	}
	return all
}

// ops writes a packed chain by hand: its length, then runs and copies.
type ops []byte

func packedOf(n int) ops { return binary.BigEndian.AppendUint16(nil, uint16(n)) } //nolint:gosec // of a test

func (o ops) run(b ...byte) ops { return append(append(o, byte(len(b)-1)), b...) }

func (o ops) copyFrom(from, n int) ops {
	return binary.BigEndian.AppendUint16(append(o, byte(copyOp+n-minCopy)), uint16(from)) //nolint:gosec // of a test
}

// bad are packed chains that must be refused, each for one reason.
func badPacked(t testing.TB) []packedRefused {
	d := len(dictionary)
	der := profileChains(t)[0]
	good := pack(appendChain(nil, [][]byte{der}))
	value := func(b ...byte) ops { return packedOf(len(b)).run(b...) }
	var bad []packedRefused
	add := func(name string, o ops) { bad = append(bad, packedRefused{name, hex.EncodeToString(o)}) }
	add("empty", nil)
	add("half a length", ops{0})
	add("a length and nothing", packedOf(8))
	add("length 0", packedOf(0))
	add("one byte less than the length", packedOf(5).run(0x43, 1, 2, 3))
	add("one byte more than the length", packedOf(3).run(0x43, 1, 2, 3))
	add("a length of 16,385", append(packedOf(MaxUnpacked+1), good[2:]...))
	add("a length of 65,535", append(packedOf(0xffff), good[2:]...))
	add("a run that is cut", packedOf(4).run(0x43, 1, 2, 3)[:5])
	add("a run of nothing at the end", append(slices.Clone(good), 0))
	add("a copy that is cut", packedOf(4).copyFrom(0, 4)[:4])
	add("a copy over the end of the dictionary", packedOf(6).run(0x45, 0).copyFrom(d-3, 4))
	add("a copy from dictionary and output", packedOf(9).run(0x48, 0, 0, 0, 0).copyFrom(d-1, 4))
	add("a copy of itself", packedOf(9).run(0x48, 0, 0, 0).copyFrom(d+1, 4).run(0))
	add("a copy from behind the output", packedOf(9).run(0x48, 0, 0, 0, 0).copyFrom(d+5, 4))
	add("a copy from the end of the output", packedOf(9).run(0x48, 0, 0, 0, 0).copyFrom(d+2, 4))
	add("a copy from 65,535", packedOf(9).run(0x48, 0, 0, 0, 0).copyFrom(0xffff, 4))
	add("an operation after the last byte", append(slices.Clone(good), ops{}.copyFrom(0, 4)...))
	add("the value: text", value(0x63, 'a', 'b', 'c'))
	add("the value: a number", value(1))
	add("the value: an empty certificate", value(0x40))
	add("the value: an empty list", value(0x80))
	add("the value: a list of one", value(0x81, 0x41, 1))
	add("the value: nine certificates", value(append([]byte{0x89}, bytes.Repeat([]byte{0x41, 1}, 9)...)...))
	add("the value: an empty certificate in a list", value(0x82, 0x41, 1, 0x40))
	add("the value: text in a list", value(0x82, 0x41, 1, 0x61, 'a'))
	add("the value: a list that is cut", value(0x82, 0x41, 1))
	add("the value: a byte behind it", value(0x41, 1, 0))
	add("the value: a length that is not the shortest", value(0x58, 1, 1))
	add("the value: an indefinite length", value(0x9f, 0x41, 1, 0x41, 2, 0xff))
	return bad
}

func writePacked(t *testing.T) {
	all := profileChains(t)
	v := packedVectors{
		Comment: "Packed chains of SLTP (docs/spec/sltp.md). A packed chain has many forms: these are the code's own, and a decoder takes any. " +
			"Certificates are those of docs/spec/certificates.md, in hex.",
		Dictionary: hex.EncodeToString([]byte(dictionary)),
		Refused:    badPacked(t),
	}
	add := func(name string, chain [][]byte, packed []byte) {
		c := packedChain{Name: name, Packed: hex.EncodeToString(packed)}
		for _, der := range chain {
			c.Certificates = append(c.Certificates, hex.EncodeToString(der))
		}
		v.Chains = append(v.Chains, c)
	}
	for name, chain := range map[string][][]byte{"a device with both CAs": all[:3], "a device alone": all[:1], "the root, which no chain has": all[3:4]} {
		add(name, chain, pack(appendChain(nil, chain)))
	}
	slices.SortFunc(v.Chains, func(a, b packedChain) int { return strings.Compare(a.Name, b.Name) })
	plain := appendChain(nil, all[:1])
	runs := packedOf(len(plain))
	for part := range slices.Chunk(plain, 100) {
		runs = runs.run(part...)
	}
	add("nothing copied", all[:1], runs)
	add("a certificate of one byte", [][]byte{{7}}, packedOf(2).run(0x41, 7))
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packedFile, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readPacked(t testing.TB) (v packedVectors) {
	t.Helper()
	data, err := os.ReadFile(packedFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPacked_Vectors(t *testing.T) {
	if *update {
		writePacked(t)
	}
	v := readPacked(t)
	if v.Dictionary != hex.EncodeToString([]byte(dictionary)) || len(v.Chains) < 5 {
		t.Errorf("another dictionary, or %d chains only", len(v.Chains))
	}
	for _, c := range v.Chains {
		chain, err := Unpack(unhex(t, c.Packed))
		var got []string
		for _, der := range chain {
			got = append(got, hex.EncodeToString(der))
		}
		if diff := cmp.Diff(c.Certificates, got); err != nil || diff != "" {
			t.Errorf("%s: %v: %s", c.Name, err, diff)
		}
	}
	if diff := cmp.Diff(badPacked(t), v.Refused); diff != "" {
		t.Error(diff)
	}
	for _, c := range v.Refused {
		if chain, err := Unpack(unhex(t, c.Packed)); !errors.Is(err, ErrMalformed) || chain != nil {
			t.Errorf("%s: %x, %v", c.Name, chain, err)
		}
	}
}

// TestPacked_Page checks dictionary and worked example of the page.
func TestPacked_Page(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/sltp.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(name string) []byte {
		m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(page)
		if m == nil {
			t.Fatalf("the page has no %s", name)
		}
		var all []byte
		for line := range strings.Lines(string(m[1])) {
			line, _, _ = strings.Cut(line, ";")
			all = append(all, unhex(t, strings.ReplaceAll(strings.TrimSpace(line), " ", ""))...)
		}
		return all
	}
	same(t, "dictionary", block("dictionary"), []byte(dictionary))
	chain := profileChains(t)[:1]
	same(t, "packed chain", block("packed chain"), pack(appendChain(nil, chain)))
	got, err := Unpack(block("packed chain"))
	if diff := cmp.Diff(chain, got); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}

// drawChain draws certificates that share bytes with the dictionary and with
// each other, or are of no profile at all.
func drawChain(t *rapid.T) [][]byte {
	chain := make([][]byte, rapid.IntRange(1, maxChain).Draw(t, "certificates"))
	var seen []byte
	for i := range chain {
		for n := rapid.IntRange(1, 12).Draw(t, "pieces"); n > 0; n-- {
			part := rapid.SliceOfN(rapid.Byte(), 1, 160).Draw(t, "new")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 1:
				part = pieceOf(t, []byte(dictionary))
			case 2:
				if len(seen) > 0 {
					part = pieceOf(t, seen)
				}
			}
			chain[i] = append(chain[i], part...)
			seen = append(seen, part...)
		}
	}
	return chain
}

func pieceOf(t *rapid.T, of []byte) []byte {
	from := rapid.IntRange(0, len(of)-1).Draw(t, "from")
	return slices.Clone(of[from:rapid.IntRange(from+1, min(len(of), from+300)).Draw(t, "to")])
}

func TestPacked_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chain := drawChain(t)
		id, err := PackedChain(chain)
		if len(appendChain(nil, chain)) > MaxUnpacked {
			if !errors.Is(err, ErrTooLong) {
				t.Fatalf("too long: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		header, err := id.header()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseIDCred(header)
		if diff := cmp.Diff(id, got); err != nil || diff != "" {
			t.Fatalf("%v: %s", err, diff)
		}
		if again, err := got.header(); err != nil || !bytes.Equal(again, header) {
			t.Fatalf("encodes again as %x, %v", again, err)
		}
		if plain := appendChain(nil, chain); len(id.Packed) > 2+len(plain)+(len(plain)+maxRun-1)/maxRun {
			t.Fatalf("%d bytes for %d", len(id.Packed), len(plain))
		}
	})
}

// TestPacked_ProfileGains: a chain of the profile goes in less than six tenths.
func TestPacked_ProfileGains(t *testing.T) {
	chain := profileChains(t)[:3]
	id, err := PackedChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	if n := size(chain); 10*len(id.Packed) > 6*n {
		t.Errorf("%d bytes for certificates of %d", len(id.Packed), n)
	}
}

// TestPacked_Limits: eight certificates and 16,384 bytes are packed, more is not.
func TestPacked_Limits(t *testing.T) {
	full := make([][]byte, maxChain)
	for i := range full {
		full[i] = bytes.Repeat([]byte{byte(i), 0x30, 0x82}, 681) // 2,043 bytes and a head of three
	}
	full[7] = append(full[7], make([]byte, MaxUnpacked-len(appendChain(nil, full)))...)
	id, err := PackedChain(full)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Unpack(id.Packed); err != nil || !cmp.Equal(full, got) {
		t.Errorf("the largest chain: %v", err)
	}
	full[7] = append(full[7], 0)
	if _, err := PackedChain(full); !errors.Is(err, ErrTooLong) {
		t.Errorf("a byte more: %v", err)
	}
	for _, chain := range [][][]byte{nil, {}, {{}}, {{1}, nil}, slices.Repeat([][]byte{{1}}, maxChain+1)} {
		if id, err := PackedChain(chain); err == nil {
			t.Errorf("%x is packed as %x", chain, id.Packed)
		}
	}
	if _, err := (IDCred{Chain: [][]byte{{1}}, Packed: []byte{0}, KID: []byte{1}}).header(); err == nil {
		t.Error("a name of two kinds")
	}
}

// TestPacked_TruncatedExtended: no beginning of a packed chain is one, and
// nothing can stand behind one.
func TestPacked_TruncatedExtended(t *testing.T) {
	good := pack(appendChain(nil, profileChains(t)[:3]))
	for i := range good {
		if _, err := Unpack(good[:i]); err == nil {
			t.Errorf("the first %d bytes are a chain", i)
		}
	}
	for op := range 256 {
		long := append(append(slices.Clone(good), byte(op)), bytes.Repeat([]byte{0}, maxRun)...)
		for _, n := range []int{1, 2, 3, 4, maxRun + 1} {
			if _, err := Unpack(long[:len(good)+n]); err == nil {
				t.Errorf("with %x behind it, it is a chain", long[len(good):len(good)+n])
			}
		}
	}
}

// TestPacked_Bomb: what a packed chain costs is bounded by its length field,
// which is bounded, and nothing is allocated for one that is above.
func TestPacked_Bomb(t *testing.T) {
	bomb := packedOf(MaxUnpacked).run(0x59, 0x3f, 0xfd, 1)
	for n := 4; n < MaxUnpacked+maxCopy; n += min(n, maxCopy) { // it doubles what is there
		bomb = bomb.copyFrom(len(dictionary), min(n, maxCopy))
	}
	runs := packedOf(MaxUnpacked)
	for len(runs) < 2*MaxUnpacked {
		runs = runs.run(make([]byte, maxRun)...)
	}
	for _, b := range []ops{bomb, append(bomb, bomb[2:]...), runs} {
		if out, err := unpack(b); err == nil || out != nil {
			t.Errorf("%d bytes became %d", len(b), len(out))
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = unpack(b) }); n > 1 {
			t.Errorf("%v allocations: the room for the length is one", n)
		}
	}
	huge := append(packedOf(0xffff), bomb[2:]...)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Unpack(huge); err == nil {
			t.Fatal("unpacked")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a length above the limit", n)
	}
	id, err := PackedChain(profileChains(t)[:3])
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Unpack(id.Packed) }); n > 2 {
		t.Errorf("%v allocations for a chain: its bytes and its list are two", n)
	}
}

// TestPacked_Exchange: ID_CRED is signed as it travels, packed, whatever its
// form; the name says both.
func TestPacked_Exchange(t *testing.T) {
	for _, s := range []Suite{Suite2, Suite3, Suite6, SuiteHybrid} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			chain := profileChains(t)[:3]
			id, err := PackedChain(chain)
			if err != nil {
				t.Fatal(err)
			}
			idI, idR := testIdentity(t, s), testIdentity(t, s)
			idI.ID, idI.Cred, idR.ID, idR.Cred = id, CertCred(chain[0]), id, CertCred(chain[0])
			ini, err1 := NewInitiator(Config{Suites: []Suite{s}})
			res, err2 := NewResponder(Config{Suites: []Suite{s}})
			m1, err3 := ini.Message1([]Suite{s}, []byte("initiate"), nil)
			_, err4 := res.Message1(m1)
			m2, err5 := res.Message2([]byte("responds"), idR, nil)
			claim, err6 := ini.Message2(m2)
			if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(id, claim.ID); diff != "" {
				t.Error(diff)
			}
			_, err1 = ini.Authenticate(idR.Cred, idR.Signer.Public())
			m3, err2 := ini.Message3(idI, nil)
			claim, err3 = res.Message3(m3)
			_, err4 = res.Authenticate(CertCred(claim.ID.Chain[0]), idI.Signer.Public())
			m4, err5 := res.Message4(nil)
			_, err6 = ini.Message4(m4)
			if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil || ini.TH4() != res.TH4() {
				t.Errorf("%v", err)
			}
		})
	}
}

// FuzzUnpack: what is taken is a chain within the limits, whose own packed form
// stands for the same chain.
func FuzzUnpack(f *testing.F) {
	v := readPacked(f)
	for _, c := range v.Chains {
		f.Add(unhex(f, c.Packed))
	}
	for _, c := range v.Refused {
		f.Add(unhex(f, c.Packed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		chain, err := Unpack(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || chain != nil {
				t.Errorf("%x, %v", chain, err)
			}
			return
		}
		if len(chain) < 1 || len(chain) > maxChain || size(chain) > MaxUnpacked {
			t.Errorf("%d certificates of %d bytes", len(chain), size(chain))
		}
		id, err := PackedChain(chain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(id.Packed); err != nil || !cmp.Equal(chain, got) {
			t.Errorf("%x becomes %x, %v", chain, got, err)
		}
	})
}
