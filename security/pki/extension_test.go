package pki

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// byReflection reads the extension with encoding/asn1 and takes it only if it
// is its own encoding: what parseMember must agree with.
func byReflection(der []byte) (*member, bool) {
	var a memberASN1
	if rest, err := asn1.Unmarshal(der, &a); err != nil || len(rest) > 0 {
		return nil, false
	}
	for _, n := range []int64{a.Class, a.Index, a.SVN, a.Interfaces, a.Range.First, a.Range.Last} {
		if n < 0 || n > int64(MaxClass) {
			return nil, false
		}
	}
	if a.Version != 1 || len(a.Implementation) > MaxImplementation || len(a.Issuer) > ident.MaxOpaque || a.Range.First > a.Range.Last {
		return nil, false
	}
	m := &member{
		Member: Member{Class: Class(a.Class), Index: uint32(a.Index)}, SVN: uint32(a.SVN), //nolint:gosec // checked above
		Implementation: a.Implementation, Interfaces: Interfaces(a.Interfaces), Issuer: ident.Issuer(a.Issuer), //nolint:gosec // checked above
	}
	if a.Range != (rangeASN1{}) {
		m.Range = &Range{First: Class(a.Range.First), Last: Class(a.Range.Last)} //nolint:gosec // checked above
	}
	again, err := m.marshal()
	return m, err == nil && bytes.Equal(again, der)
}

func memberSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	var out [][]byte
	for _, m := range []member{
		{},
		{Member: Member{Class: 0x1001, Index: 5}, SVN: 2, Implementation: []byte("lares-trem"), Interfaces: DecoderTREM},
		{Member: Member{Class: MaxClass, Index: 1<<32 - 1}, SVN: 127, Issuer: "shop.example"},
		{Member: Member{Class: 128, Index: 255}, SVN: 1 << 31, Range: &Range{First: 0, Last: MaxClass}},
		{Implementation: bytes.Repeat([]byte{1}, MaxImplementation), Interfaces: 7, Issuer: ident.Issuer(bytes.Repeat([]byte{'i'}, ident.MaxOpaque)), Range: &Range{First: 1, Last: 1}},
	} {
		der, err := m.marshal()
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, der)
	}
	return out
}

// TestPKI_1_MemberHasOneEncoding: every other form of a good extension is refused.
func TestPKI_1_MemberHasOneEncoding(t *testing.T) {
	for _, der := range memberSeeds(t) {
		m, err := parseMember(der)
		if err != nil {
			t.Fatalf("%x: %v", der, err)
		}
		if again, err := m.marshal(); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x: again %x, %v", der, again, err)
		}
		for i := range der { // one byte changed, left out, or put in
			for b := range 256 {
				for _, bad := range [][]byte{
					append(append(slices.Clone(der[:i]), byte(b)), der[i+1:]...), //nolint:gosec // below 256
					append(append(slices.Clone(der[:i]), byte(b)), der[i:]...),   //nolint:gosec // below 256
				} {
					agree(t, bad)
				}
			}
			agree(t, append(slices.Clone(der[:i]), der[i+1:]...))
			agree(t, der[:i])
		}
	}
	for name, s := range map[string]string{
		"version 2":             "300c020102020100020100020100",
		"long form of a length": "30810c020101020100020100020100",
		"leading zero":          "300d02010102020001020100020100",
		"negative":              "300c020101020180020100020100",
		"above u32":             "301102010102060100000000000201000201 00",
		"empty implementation":  "300e0201010201000201000201008000",
		"no interfaces":         "300f020101020100020100020100810100",
		"empty issuer":          "300e0201010201000201000201008200",
		"range 0 to 0":          "3014020101020100020100020100a306020100020100",
		"range backwards":       "3014020101020100020100020100a306020102020101",
		"three bounds":          "3017020101020100020100020100a309020101020101020101",
		"fields out of order":   "3012020101020100020100020100820161800161",
		"nothing":               "",
	} {
		der, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseMember(der); err == nil {
			t.Errorf("%s: taken", name)
		}
		agree(t, der)
	}
}

func agree(t *testing.T, der []byte) {
	t.Helper()
	want, ok := byReflection(der)
	got, err := parseMember(der)
	if ok != (err == nil) {
		t.Fatalf("%x: %v, with encoding/asn1 %v", der, err, ok)
	}
	if !ok {
		return
	}
	a, errA := got.marshal()
	b, errB := want.marshal()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("%x: read as %+v, with encoding/asn1 as %+v", der, got, want)
	}
}

// FuzzParseMember: reading by hand takes what encoding/asn1 takes, if it is its
// own encoding, and nothing else.
func FuzzParseMember(f *testing.F) {
	for _, der := range memberSeeds(f) {
		f.Add(der)
	}
	f.Fuzz(agree)
}
