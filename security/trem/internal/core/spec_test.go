package core

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// example reads the worked example of a page of docs/spec.
func example(t *testing.T, page string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/spec/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := bytes.Cut(text, []byte("## Worked example"))
	m := regexp.MustCompile("(?s)```hex\n(.*?)```").FindSubmatch(text)
	if !ok || m == nil {
		t.Fatal("the page has no worked example")
	}
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[1])))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestMembership_WorkedExample(t *testing.T) {
	want := Membership{
		Domain: ident.Domain(repeat(1, 16)), Generation: 1, Device: ident.Device(repeat(2, 16)), Hardware: repeat(3, 32), NotAfter: 1798761600000,
		Index: 1, Manager: repeat(4, 8), Pairwise: map[ident.Issuer]ident.Domain{"shop": ident.Domain(repeat(5, 16))},
	}
	var got Membership
	data := example(t, "membership.md")
	if err := wire.Unmarshal(data, &got, membershipLimit()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if again, err := wire.Marshal(want); err != nil || !bytes.Equal(again, data) {
		t.Errorf("encodes as %x (%v)", again, err)
	}
}

func TestChain_WorkedExample(t *testing.T) {
	data := example(t, "chain.md")
	var got Link
	if err := got.decode(data); err != nil {
		t.Fatal(err)
	}
	if again, err := got.encode(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("encodes as %x (%v)", again, err)
	}
	if d := cmp.Diff(Link{License: []byte{0xa1, 0}, Signer: [][]byte{{0x30}}}, got); d != "" {
		t.Error(d)
	}
}

// TestChain_HandedOverWorkedExample: the same license with the epoch of its acceptance.
func TestChain_HandedOverWorkedExample(t *testing.T) {
	want := Link{License: []byte{0xa1, 0}, Signer: [][]byte{{0x30}}, Accepted: 1200}
	page := named(t, "chain.md", "handed-over")
	if got, err := want.encode(); err != nil || !bytes.Equal(got, page) {
		t.Errorf("the link is %x (%v)", got, err)
	}
	var back Link
	if err := back.decode(page); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, back); d != "" {
		t.Error(d)
	}
	for name, data := range map[string][]byte{
		"epoch 0":          {0x85, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x80, 0},
		"no list":          {0x85, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0xf6, 1},
		"epoch 2^63":       {0x85, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x80, 0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"four, empty list": {0x84, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x80},
		"six":              {0x86, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x80, 1, 1},
	} {
		if err := new(Link).decode(data); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add([]byte{0x85, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x80, 0x19, 0x04, 0xb0})
	f.Add([]byte{0x83, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6})
	f.Add([]byte{0x84, 0x42, 0xa1, 0, 0x81, 0x41, 0x30, 0xf6, 0x81, 0x82, 0x41, 0xa0, 0x81, 0x41, 0x30})
	f.Fuzz(func(t *testing.T, in []byte) {
		l, lic, err := parseLink(in)
		if err != nil {
			return
		}
		if again, err := l.encode(); err != nil || !bytes.Equal(again, in) || !bytes.Equal(lic.Bytes(), l.License) {
			t.Errorf("%x reads as %x (%v)", in, again, err)
		}
	})
}

func FuzzParseMembership(f *testing.F) {
	f.Add([]byte{0x84, 0x40, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, in []byte) {
		if m, err := parseMembership(in, nil); err == nil {
			t.Errorf("%x verifies under no key: %+v", in, m)
		}
	})
}
