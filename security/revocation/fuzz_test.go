package revocation

import (
	"bytes"
	"encoding/hex"
	"testing"
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
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ParseLeaf(data); err == nil && !bytes.Equal(l.Encode(), data) {
			t.Fatal("another class leaf")
		}
		if l, err := ParseIssuerLeaf(data); err == nil && !bytes.Equal(l.Encode(), data) {
			t.Fatal("another issuer leaf")
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
