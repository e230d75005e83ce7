package revocation

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// Limits of a stapled proof. Source: docs/spec/revocation.md.
const (
	MaxProof        = 1 << 16 // bytes
	maxProofClasses = 8
	maxProofPages   = 4 // of one class
)

// Proof is the part of a state that covers a few members: their class leaves
// and pages, proven under a trusted head. It implements pki.Status for them.
type Proof struct {
	data    []byte // what OpenProof was given
	classes []proven
	few     [3]proven // room for classes: a device's chain has no more
	trusted Trusted
}

// proven is a class of a proof.
type proven struct {
	leaf  Leaf
	at    int // in the tree
	shown int // pages
	pages [maxProofPages]provenPage
}

// provenPage is where the encoding of a page is in the proof; it is the one under
// the page root.
type provenPage struct{ no, from, to uint16 }

var _ pki.Status = (*Proof)(nil)

// Proof cuts out what shows the standing of these members: a party and the CAs
// above it, as (*pki.Peer).Members lists them.
func (s *State) Proof(members ...pki.Member) ([]byte, error) {
	var classes []cut
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b pki.Member) int {
		return int(min(max(int64(a.Class)-int64(b.Class), -1), 1))*2 + int(min(max(int64(a.Index)-int64(b.Index), -1), 1))
	})
	for _, m := range sorted {
		i, ok := s.find(m.Class)
		if !ok {
			return nil, ErrNoClass
		}
		r := &s.rows[i]
		if m.Index >= r.Issued {
			return nil, ErrIndex
		}
		if n := len(classes); n == 0 || classes[n-1].row.Class != m.Class {
			classes = append(classes, cut{row: r, at: i})
		}
		c, no := &classes[len(classes)-1], int(m.Index/PageSize)
		if n := len(c.pages); n == 0 || c.pages[n-1] != no {
			c.pages = append(c.pages, no)
		}
	}
	if len(classes) == 0 || len(classes) > maxProofClasses {
		return nil, fmt.Errorf("%w: proof of %d classes", ErrMalformed, len(classes))
	}
	var at []int
	for i := range classes {
		c := &classes[i]
		if len(c.pages) > maxProofPages {
			return nil, fmt.Errorf("%w: proof of %d pages", ErrMalformed, len(c.pages))
		}
		at = append(at, c.at)
		c.path = prove(span{0, c.row.Leaf.pages()}, c.pages, pagesTree(c.row.pages), nil)
	}
	leaves := s.leafHashes()
	path := prove(span{0, len(leaves)}, at, treeOf(leaves), nil)
	return appendProof(append([]byte{1}, s.trusted.head.raw[:]...), classes, path), nil
}

// cut is a class of a proof in the making.
type cut struct {
	row   *row
	at    int   // in the tree
	pages []int // ascending
	path  []hash
}

func appendProof(b []byte, classes []cut, path []hash) []byte {
	b = append(b, byte(len(classes))) //nolint:gosec // at most maxProofClasses
	for i := range classes {
		c := &classes[i]
		b = append(b, c.row.Encode()...)
		b = binary.BigEndian.AppendUint32(b, uint32(c.at)) //nolint:gosec // below MaxLeaves
		b = append(b, byte(len(c.pages)))                  //nolint:gosec // at most maxProofPages
		for _, no := range c.pages {
			enc := c.row.page(no).Encode()
			b = binary.BigEndian.AppendUint16(b, uint16(no))       //nolint:gosec // below 2^16
			b = binary.BigEndian.AppendUint16(b, uint16(len(enc))) //nolint:gosec // at most MaxPage
			b = append(b, enc...)
		}
		b = appendHashes(b, c.path)
	}
	return appendHashes(b, path)
}

func appendHashes(b []byte, hs []hash) []byte {
	b = append(b, byte(len(hs))) //nolint:gosec // at most 8 · 32
	for _, h := range hs {
		b = append(b, h[:]...)
	}
	return b
}

// ProofHead is the head inside a proof, unchecked: what the verifier must
// trust (VerifyHead, or a state it holds) before it can open the proof.
func ProofHead(data []byte) (*Head, error) {
	if len(data) < 1+HeadLen || len(data) > MaxProof || data[0] != 1 {
		return nil, fmt.Errorf("%w: proof", ErrMalformed)
	}
	return ParseHead(data[1 : 1+HeadLen])
}

// OpenProof checks a proof against a trusted head, which must be of the
// proof's epoch and root. What a page says is read when it is asked for: the
// hash shows that it is the page of the state. So the Proof refers to data, to
// which nobody may write any more.
func OpenProof(data []byte, trusted *Trusted) (*Proof, error) {
	want := trusted.Head()
	if want == nil {
		return nil, ErrSigner
	}
	if len(data) < 1+HeadLen || len(data) > MaxProof || data[0] != 1 {
		return nil, fmt.Errorf("%w: proof", ErrMalformed)
	}
	if !bytes.Equal(data[1:1+headSigned], want.raw[:headSigned]) {
		return nil, anotherHead(data, want)
	}
	r := wire.NewReader(data[1+HeadLen:])
	n := int(r.U8())
	if n < 1 || n > maxProofClasses {
		return nil, fmt.Errorf("%w: proof of %d classes", ErrMalformed, n)
	}
	p := &Proof{data: data, trusted: *trusted}
	if p.classes = p.few[:min(n, len(p.few))]; n > len(p.few) {
		p.classes = make([]proven, n)
	}
	var at [maxProofClasses]int
	var leaves [maxProofClasses]hash
	last := -1
	for i := range p.classes {
		raw, err := p.read(r, &p.classes[i])
		if err != nil {
			return nil, err
		}
		place := p.classes[i].at
		if place <= last || place >= int(want.Leaves) {
			return nil, fmt.Errorf("%w: place of a class", ErrMalformed)
		}
		last, at[i], leaves[i] = place, place, leafHash(raw)
	}
	path := r.Bytes(int(r.U8()) * len(hash{}))
	if r.End() != nil {
		return nil, fmt.Errorf("%w: proof: %w", ErrMalformed, r.End())
	}
	b := rebuilder{given: path, memory: trusted.memory}
	if root, ok := b.root(int(want.Leaves), at[:n], leaves[:n]); !ok || root != want.Root {
		return nil, ErrRoot
	}
	trusted.memory.remember(b.seen)
	return p, nil
}

// anotherHead is the refusal of a proof under another head than the trusted one.
func anotherHead(data []byte, want *Head) error {
	h, err := ProofHead(data)
	switch {
	case err != nil:
		return err
	case h.Epoch == want.Epoch:
		return fmt.Errorf("%w: the proof is of another state of epoch %v", ErrEpoch, h.Epoch)
	}
	return fmt.Errorf("%w: proof is of epoch %v, trusted is %v", ErrEpoch, h.Epoch, want.Epoch)
}

// read reads a class of a proof, checks its pages against its leaf, and returns
// the leaf as it is in the proof.
func (p *Proof) read(r *wire.Reader, c *proven) ([]byte, error) {
	raw := r.Bytes(leafLen(r.Peek()))
	if err := c.leaf.read(raw); err != nil {
		return nil, err
	}
	c.at = int(r.U32())
	n := int(r.U8())
	if n < 1 || n > maxProofPages {
		return nil, fmt.Errorf("%w: proof of %d pages", ErrMalformed, n)
	}
	c.shown = n
	var at [maxProofPages]int
	var leaves [maxProofPages]hash
	last := -1
	for i := range n {
		no, size := int(r.U16()), int(r.U16())
		from := len(p.data) - r.Len()
		enc := r.Bytes(size)
		if len(enc) < 1 || len(enc) > MaxPage || no <= last || no >= c.leaf.pages() {
			return nil, fmt.Errorf("%w: page", ErrMalformed)
		}
		last, at[i], leaves[i] = no, no, leafHash(enc)
		c.pages[i] = provenPage{uint16(no), uint16(from), uint16(from + size)} //nolint:gosec // below 2^16, as is MaxProof
	}
	path := r.Bytes(int(r.U8()) * len(hash{}))
	b := rebuilder{given: path}
	if root, ok := b.root(c.leaf.pages(), at[:n], leaves[:n]); r.Err() != nil || !ok || root != c.leaf.PageRoot {
		return nil, ErrRoot
	}
	return raw, nil
}

// Epoch is the head's.
func (p *Proof) Epoch() pki.Epoch { return p.trusted.head.Epoch }

// Head is the head under which the proof holds.
func (p *Proof) Head() *Head { return p.trusted.head }

// Check answers as State.Check for what the proof covers, and
// pki.ErrUnknownClass for everything else.
func (p *Proof) Check(class pki.Class, index, svn uint32) error {
	for i := range p.classes {
		c := &p.classes[i]
		if c.leaf.Class != class {
			continue
		}
		if err := c.leaf.check(index, svn); err != nil {
			return &standing{p.Epoch(), err}
		}
		for _, g := range c.pages[:c.shown] {
			if uint32(g.no) != index/PageSize {
				continue
			}
			revoked, err := find(p.data[g.from:g.to], uint16(index%PageSize))
			if revoked {
				err = pki.ErrRevoked
			}
			if err != nil {
				return &standing{p.Epoch(), err}
			}
			return nil
		}
	}
	return fmt.Errorf("revocation: proof of epoch %v does not cover it: %w", p.Epoch(), pki.ErrUnknownClass)
}
