package core

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// named reads the example of a page of docs/spec whose fence has a name.
func named(t testing.TB, page, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/spec/" + page)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no example %q", page, name)
	}
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[1])))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signed makes an object under the key of the examples, of which only the hash
// of the certificate is used.
func signed(t *testing.T, name wire.Object, v any) []byte {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), repeat(5, 32))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := wire.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := wire.NewSign1(key, []byte("certificate"), name, payload)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTransfer_GiveBackWorkedExamples holds the two objects of a device that
// gives plays back against the page.
func TestTransfer_GiveBackWorkedExamples(t *testing.T) {
	tid := ident.Transfer{Src: ident.Device(repeat(1, 16)), Dst: ident.Device(repeat(2, 16)), Incarnation: ident.Incarnation(repeat(3, 8)), Seq: 1}
	for name, got := range map[string][]byte{
		"given-back":      signed(t, objectGivenBack, givenBack{License: []byte{0xa1, 0}, Spent: 1, TID: tid}),
		"taken-back":      signed(t, objectTakenBack, takenBack{TID: tid}),
		"given-back-some": signed(t, objectGivenBack, givenBack{License: []byte{0xa1, 0}, Spent: 1, TID: tid, Kept: 3}),
		"wanted":          signed(t, objectWanted, wanted{TID: tid, Total: 4}),
	} {
		if want := named(t, "transfer.md", name); !bytes.Equal(got, want) {
			t.Errorf("%s is %x, the page says %x", name, got, want)
		}
	}
}

// TestChain_GivenAwayWorkedExample holds a link with a TRANSFER record against
// the page, and reads it back.
func TestChain_GivenAwayWorkedExample(t *testing.T) {
	record := rebinding{
		TID: ident.Transfer{
			Src: ident.Device(repeat(1, 16)), Dst: ident.Device(repeat(2, 16)), Incarnation: ident.Incarnation(repeat(3, 8)), Seq: 1,
		},
		License: [32]byte(repeat(4, 32)), Old: license.DomainSubject(ident.Domain(repeat(5, 16)), 1), New: license.DomainSubject(ident.Domain(repeat(6, 16)), 2),
		Number: 1, NotAgain: 1800000000000,
	}
	want := Link{
		License: []byte{0xa1, 0}, Signer: [][]byte{{0x30}},
		Transfers: []countersigned{{Object: signed(t, objectTransfer, record), Chain: [][]byte{{0x30}}}},
	}
	page := named(t, "chain.md", "given-away")
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
	got, _, err := parseRebinding(back.Transfers[0])
	if d := cmp.Diff(record, got); err != nil || d != "" {
		t.Errorf("the record: %v\n%s", err, d)
	}
}

// TestMembership_HereWorkedExample holds a member's word that it is there against
// the page.
func TestMembership_HereWorkedExample(t *testing.T) {
	got := signed(t, objectHere, here{Domain: ident.Domain(repeat(1, 16)), Device: ident.Device(repeat(2, 16)), At: 1798761600000})
	if want := named(t, "membership.md", "here"); !bytes.Equal(got, want) {
		t.Errorf("here is %x, the page says %x", got, want)
	}
}

// TestTransfer_DwellOfAnEarlierBuild: what an earlier build has noted of children that
// count nothing still holds their license in the house.
func TestTransfer_DwellOfAnEarlierBuild(t *testing.T) {
	old := dwellRecord{TID: ident.Transfer{Src: ident.Device(repeat(1, 16)), Seq: 7}, Child: ident.License{2}, Parent: ident.License{3}}
	rec, err := newRecord(kindDwell, old)
	if err != nil {
		t.Fatal(err)
	}
	c := &Core{aside: map[ident.License]asideRecord{}}
	if err := c.replay(rec); err != nil {
		t.Fatal(err)
	}
	if got, want := c.aside[old.Child], (asideRecord{TID: old.TID, Child: old.Child, Parent: old.Parent}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// FuzzHouseObjects reads the payloads of what a house and its devices say of places and
// shares: what parses is written the same.
func FuzzHouseObjects(f *testing.F) {
	f.Add(uint8(0), []byte{0xa3, 1, 0x50, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0x50, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 7})
	f.Add(uint8(1), []byte{0xa2, 1, 0x84, 0x40, 0x40, 0x40, 1, 2, 4})
	f.Add(uint8(2), []byte{0xa4, 1, 0x41, 0, 2, 1, 3, 0x80, 4, 3})
	f.Add(uint8(3), []byte{0xa2, 1, 0x80, 2, 3})
	f.Fuzz(func(t *testing.T, kind uint8, in []byte) {
		v, lim := any(new(here)), hereLimit
		switch kind % 4 {
		case 1:
			v, lim = new(wanted), giveBackLimit
		case 2:
			v, lim = new(givenBack), giveBackLimit
		case 3:
			v, lim = new(takenBack), giveBackLimit
		}
		if wire.Unmarshal(in, v, lim) != nil {
			return
		}
		if again, err := wire.Marshal(v); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x reads as %x (%v)", in, again, err)
		}
	})
}
