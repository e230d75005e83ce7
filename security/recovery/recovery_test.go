package recovery

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// The list is the published one, sorted, and no two words share four letters.
func TestBackup_1_WordList(t *testing.T) {
	if sum := sha256.Sum256([]byte(words)); hex.EncodeToString(sum[:]) != "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda" {
		t.Errorf("words.txt has SHA-256 %x", sum)
	}
	list := List()
	if len(list) != 2048 || !slices.IsSorted(list) {
		t.Fatalf("%d words, sorted %v", len(list), slices.IsSorted(list))
	}
	seen := map[string]bool{}
	for _, w := range list {
		if k := w[:min(4, len(w))]; seen[k] {
			t.Errorf("two words begin with %s", k)
		} else {
			seen[k] = true
		}
	}
}

// Vectors of the reference implementation of BIP-39 (trezor/python-mnemonic,
// vectors.json), those of 256 bits.
func TestBackup_1_PublishedVectors(t *testing.T) {
	for _, v := range []struct{ entropy, words string }{
		{"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth title"},
		{"8080808080808080808080808080808080808080808080808080808080808080", "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic bless"},
		{"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote"},
		{"68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c", "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length"},
		{"9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863", "panda eyebrow bullet gorilla call smoke muffin taste mesh discover soft ostrich alcohol speed nation flash devote level hobby quick inner drive ghost inside"},
	} {
		raw, err := hex.DecodeString(v.entropy)
		if err != nil {
			t.Fatal(err)
		}
		c, err := CodeOf(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Text(); err != nil || got != v.words {
			t.Errorf("%s: %q (%v), want %q", v.entropy, got, err, v.words)
		}
		back, err := ParseCode("  " + strings.ToUpper(v.words) + "\n")
		if err != nil || !back.Equal(c) {
			t.Errorf("%q does not read back: %v", v.words, err)
		}
		var short []string
		for w := range strings.FieldsSeq(v.words) {
			short = append(short, w[:min(4, len(w))])
		}
		if back, err := ParseCode(strings.Join(short, " ")); err != nil || !back.Equal(c) {
			t.Errorf("four letters of each word: %v", err)
		}
	}
}

func TestBackup_1_MistypedWords(t *testing.T) {
	text, err := NewCode().Text()
	if err != nil {
		t.Fatal(err)
	}
	w := strings.Fields(text)
	for _, tc := range []struct {
		name  string
		typed string
		want  error
	}{
		{"nothing", "", ErrWords},
		{"one word less", strings.Join(w[1:], " "), ErrWords},
		{"one word more", text + " zoo", ErrWords},
		{"a word that is none", strings.Join(append(slices.Clone(w[:23]), "lares"), " "), ErrWords},
		{"three letters", strings.Join(append(slices.Clone(w[:23]), "zoz"), " "), ErrWords},
	} {
		_, err := ParseCode(tc.typed)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "lares") {
			t.Errorf("%s: the error repeats what was typed: %v", tc.name, err)
		}
	}
	// A checksum of 8 bits misses one in 256: of all words in the last place, 8 fit.
	fit := 0
	for _, last := range List() {
		if _, err := ParseCode(strings.Join(append(slices.Clone(w[:23]), last), " ")); err == nil {
			fit++
		} else if !errors.Is(err, ErrChecksum) {
			t.Fatal(err)
		}
	}
	if fit != 8 {
		t.Errorf("%d last words fit, want 8", fit)
	}
}

func TestBackup_1_CodeKeepsItsSecret(t *testing.T) {
	c := NewCode()
	raw, err := c.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	in := struct{ C Code }{c}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{c, &c, in, &in} {
			got := fmt.Sprintf(verb, v)
			if bytes.Contains([]byte(got), raw[:4]) || strings.Contains(got, hex.EncodeToString(raw[:4])) || strings.Contains(got, fmt.Sprint(raw[0], " ", raw[1])) {
				t.Errorf("%s of %T prints the code: %s", verb, v, got)
			}
		}
	}
	if _, err := json.Marshal(in); err == nil {
		t.Error("a code is marshalled as JSON")
	}
	if _, err := wire.Marshal(in); err == nil {
		t.Error("a code is marshalled as CBOR")
	}
	c.Clear()
	if now, err := c.Reveal(); err != nil || now != ([CodeSize]byte{}) {
		t.Error("a cleared code is still there")
	}
	if (Code{}).Valid() || (Code{}).Equal(Code{}) {
		t.Error("the zero code is one")
	}
}

func signer(t testing.TB) (*ecdsa.PrivateKey, [][]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key, [][]byte{[]byte("certificate")}
}

func sample(t testing.TB, c Code, key *ecdsa.PrivateKey, chain [][]byte) []byte {
	t.Helper()
	pub, err := c.Public()
	if err != nil {
		t.Fatal(err)
	}
	data, err := Seal(Header{Manager: ident.Device{1}, Domain: ident.Domain{2}, Generation: 3, Made: 4}, pub, []Part{{PartHouse, []byte("house")}, {PartHost, nil}}, key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBackup_3_SealAndOpen(t *testing.T) {
	c := NewCode()
	key, chain := signer(t)
	data := sample(t, c, key, chain)
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	got, err := f.Open(c)
	if d := cmp.Diff(map[Kind][]byte{PartHouse: []byte("house"), PartHost: nil}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := f.Open(NewCode()); !errors.Is(err, ErrOtherCode) {
		t.Errorf("another code: %v", err)
	}
	other, _ := signer(t)
	if err := f.Verify(other.Public()); !errors.Is(err, ErrFile) {
		t.Errorf("another manager: %v", err)
	}
	if bytes.Contains(data, []byte("house")) {
		t.Error("a part stands in the clear")
	}
	newer := bytes.Clone(data)
	newer[1] = 2
	if _, err := Parse(newer); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer layout: %v", err)
	}
}

// Every changed byte is noticed by Parse, Verify or Open, and named as damage.
func TestBackup_3_EveryChangedByteIsNoticed(t *testing.T) {
	c := NewCode()
	key, chain := signer(t)
	data := sample(t, c, key, chain)
	for at := range data {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		f, err := Parse(bad)
		if err == nil {
			err = f.Verify(key.Public())
		}
		if err == nil {
			_, err = f.Open(c)
		}
		if !errors.Is(err, ErrFile) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrOtherCode) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
	for n := range data {
		if _, err := Parse(data[:n]); !errors.Is(err, ErrFile) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

// A part of another backup of the same house, signed by the same manager, does
// not fit: its hash is another, and with the hash its seal is.
func TestBackup_3_PartsAreBoundToTheirBackup(t *testing.T) {
	c := NewCode()
	key, chain := signer(t)
	pub, err := c.Public()
	if err != nil {
		t.Fatal(err)
	}
	one, err := Parse(sample(t, c, key, chain))
	if err != nil {
		t.Fatal(err)
	}
	data, err := Seal(Header{Manager: ident.Device{1}, Domain: ident.Domain{2}, Generation: 4, Made: 4}, pub, []Part{{PartHouse, []byte("later")}}, key, chain)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	two.parts = one.parts[:1]
	if _, err := two.Open(c); !errors.Is(err, ErrFile) {
		t.Errorf("a part of another backup opens: %v", err)
	}
	one.parts[0].Kind = PartKeys
	if _, err := one.Open(c); !errors.Is(err, ErrFile) {
		t.Errorf("a part under another kind opens: %v", err)
	}
}

func TestBackup_5_RestoreHoldsUnderItsCodeOnly(t *testing.T) {
	c := NewCode()
	pub, err := c.Public()
	if err != nil {
		t.Fatal(err)
	}
	want := Restore{Domain: ident.Domain{1}, Generation: 2, Old: ident.Device{3}, Incarnation: ident.Incarnation{4}, Manager: ident.Device{5}}
	data, err := c.SignRestore(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRestore(data, pub.Sign)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if again, err := c.SignRestore(want); err != nil || !bytes.Equal(again, data) {
		t.Errorf("the same statement is signed differently: %v", err)
	}
	for at := range data {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		if _, err := ParseRestore(bad, pub.Sign); err == nil {
			t.Fatalf("byte %d changed", at)
		}
	}
	other, err := NewCode().Public()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRestore(data, other.Sign); !errors.Is(err, ErrRestore) {
		t.Errorf("another code: %v", err)
	}
	for name, r := range map[string]Restore{"generation 1": {Generation: 1, Manager: ident.Device{1}}, "by the old manager": {Generation: 2}} {
		data, err := c.SignRestore(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRestore(data, pub.Sign); !errors.Is(err, ErrRestore) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	key, chain := signer(f)
	f.Add(sample(f, NewCode(), key, chain))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := Parse(in)
		if err != nil {
			return
		}
		out := file{Version: version, Chain: b.Chain}
		for _, p := range b.parts {
			item, err := wire.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			out.Parts = append(out.Parts, item)
		}
		var in0 file
		if err := wire.Unmarshal(in, &in0, wire.Limit{Bytes: MaxFile, Items: MaxParts, Depth: 8}); err != nil {
			t.Fatal(err)
		}
		out.Header = in0.Header
		if again, err := wire.Marshal(out); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x reads as %x (%v)", in, again, err)
		}
	})
}

func FuzzParseCode(f *testing.F) {
	text, err := NewCode().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, in string) {
		c, err := ParseCode(in)
		if err != nil {
			return
		}
		text, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseCode(text); err != nil || !back.Equal(c) {
			t.Errorf("%q reads as another code than %q", in, text)
		}
	})
}

func FuzzParseRestore(f *testing.F) {
	c := NewCode()
	pub, err := c.Public()
	if err != nil {
		f.Fatal(err)
	}
	data, err := c.SignRestore(Restore{Generation: 2, Manager: ident.Device{1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := ParseRestore(in, pub.Sign); err == nil && !bytes.Equal(in, data) {
			t.Errorf("%x holds: %+v", in, r)
		}
	})
}
