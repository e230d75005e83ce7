package revocation

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// FuzzSnapshot: what is read is written the same, and never panics.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{1, 0x30, 0x94, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readSnapshot(data)
		if err != nil {
			return
		}
		s.seal()
		if !bytes.Equal(s.Snapshot(), data) {
			t.Fatal("a second encoding of one state")
		}
	})
}

func FuzzDelta(f *testing.F) {
	f.Add([]byte{1, 0xc0, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &State{rows: []row{{Leaf: Leaf{Class: 0, Issued: PageSize}}, {Leaf: Leaf{Class: 7, Issued: 3 * PageSize}}}}
		d, err := s.parseDelta(data)
		if err != nil {
			return
		}
		if !bytes.Equal(d.encode(), data) {
			t.Fatal("a second encoding of one delta")
		}
		if next, err := s.apply(d); err == nil {
			next.seal()
		}
	})
}

func FuzzParseHead(f *testing.F) {
	f.Add(make([]byte, HeadLen))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := ParseHead(data); err == nil && !bytes.Equal(h.Bytes(), data) {
			t.Fatal("another head")
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add((&Leaf{Class: 9, Issued: PageSize}).Encode())
	f.Add((&IssuerLeaf{ID: "shop", Next: "shop", LastSeen: 1, Sunset: true}).Encode())
	f.Add((&IssuerLeaf{ID: "shop", Next: "shop", Compromised: []Compromise{{Since: 1}, {Member: pki.Member{Index: 1}, Since: 2}}}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ParseLeaf(data); err == nil && !bytes.Equal(l.Encode(), data) {
			t.Fatal("another class leaf")
		}
		if l, err := ParseIssuerLeaf(data); err == nil && !bytes.Equal(l.Encode(), data) {
			t.Fatal("another issuer leaf")
		}
	})
}

// FuzzFind: what is found without making the page is what the page has.
func FuzzFind(f *testing.F) {
	f.Add(NewPage(1, 2, 70, 9000).Encode(), uint16(70))
	f.Fuzz(func(t *testing.T, data []byte, i uint16) {
		if len(data) == 0 || len(data) > MaxPage {
			return
		}
		found, err := find(data, i)
		if p, bad := ParsePage(data); bad == nil && (err != nil || found != p.Has(i)) {
			t.Fatalf("%v, %v", found, err)
		}
	})
}

// FuzzSignerChange: nothing is believed but what a root signed.
func FuzzSignerChange(f *testing.F) {
	d := pkitest.New(f, pkitest.Start())
	own, err := SignChange(d.CAs[pkitest.RootClass].Signer, d.Root, 3, d.CAs[pkitest.RootClass].Signer.Public())
	must(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := verifyChange(data, d.Trust); err == nil && !bytes.Equal(data, own) {
			t.Fatal("a change that the root did not sign")
		}
	})
}

// FuzzOpenProof: a proof that opens says the same when it is cut out again.
func FuzzOpenProof(f *testing.F) {
	head := &Head{Leaves: 4}
	f.Add(append([]byte{1}, make([]byte, HeadLen+80)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ProofHead(data)
		if err != nil {
			return
		}
		head = h
		p, err := OpenProof(data, &Trusted{head: head}) // trust it: the parser is meant
		if err != nil {
			return
		}
		for i := range p.classes {
			_ = p.Check(p.classes[i].leaf.Class, 0, 0)
		}
	})
}

// FuzzParseStaple: a staple has one encoding, and none opens that no root vouches for.
func FuzzParseStaple(f *testing.F) {
	f.Add([]byte{0x84, 1, 0x41, 1, 0x81, 0x41, 42, 0x40})
	d := pkitest.New(f, pkitest.Start())
	v := &pki.Verifier{Trust: d.Trust}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStaple(data)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x encodes as %x, %v", data, again, err)
		}
		if _, err := s.Open(v, d.Now); err == nil {
			t.Fatal("opened")
		}
	})
}
