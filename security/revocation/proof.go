package revocation

import (
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
	maxProofHashes  = 256
)

// Proof is the part of a state that covers a few members: their class leaves
// and pages, proven under a trusted head. It implements pki.Status for them.
type Proof struct {
	classes []proven
	trusted Trusted
}

type proven struct {
	leaf  Leaf
	at    int // in the tree
	pages []numbered
	path  []hash // of the pages
}

var _ pki.Status = (*Proof)(nil)

// Proof cuts out what shows the standing of these members: a party and the CAs
// above it, as (*pki.Peer).Members lists them.
func (s *State) Proof(members ...pki.Member) ([]byte, error) {
	var classes []proven
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
		if n := len(classes); n == 0 || classes[n-1].leaf.Class != m.Class {
			classes = append(classes, proven{leaf: r.Leaf, at: i})
		}
		c, no := &classes[len(classes)-1], int(m.Index/PageSize)
		if n := len(c.pages); n == 0 || c.pages[n-1].no != no {
			c.pages = append(c.pages, numbered{no: no, page: r.page(no)})
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
		c.path = prove(span{0, c.leaf.pages()}, c.wanted(), pagesTree(s.rows[c.at].pages), nil)
	}
	leaves := s.leafHashes()
	path := prove(span{0, len(leaves)}, at, treeOf(leaves), nil)
	return appendProof(append([]byte{1}, s.trusted.head.raw[:]...), classes, path), nil
}

func (c *proven) wanted() (out []int) {
	for _, p := range c.pages {
		out = append(out, p.no)
	}
	return out
}

func appendProof(b []byte, classes []proven, path []hash) []byte {
	b = append(b, byte(len(classes))) //nolint:gosec // at most maxProofClasses
	for i := range classes {
		c := &classes[i]
		b = append(b, c.leaf.Encode()...)
		b = binary.BigEndian.AppendUint32(b, uint32(c.at)) //nolint:gosec // below MaxLeaves
		b = append(b, byte(len(c.pages)))                  //nolint:gosec // at most maxProofPages
		for _, p := range c.pages {
			enc := p.page.Encode()
			b = binary.BigEndian.AppendUint16(b, uint16(p.no))     //nolint:gosec // below 2^16
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
// proof's epoch and root.
func OpenProof(data []byte, trusted *Trusted) (*Proof, error) {
	want := trusted.Head()
	if want == nil {
		return nil, ErrSigner
	}
	h, err := ProofHead(data)
	if err != nil {
		return nil, err
	}
	if h.Hash() != want.Hash() {
		return nil, fmt.Errorf("%w: proof is of epoch %v, trusted is %v", ErrEpoch, h.Epoch, want.Epoch)
	}
	r := wire.NewReader(data[1+HeadLen:])
	p := &Proof{trusted: *trusted}
	n := int(r.U8())
	if n < 1 || n > maxProofClasses {
		return nil, fmt.Errorf("%w: proof of %d classes", ErrMalformed, n)
	}
	var at []int
	leaves := map[int]hash{}
	for range n {
		c, raw, err := readProven(r)
		if err != nil {
			return nil, err
		}
		if len(at) > 0 && at[len(at)-1] >= c.at || c.at >= int(want.Leaves) {
			return nil, fmt.Errorf("%w: place of a class", ErrMalformed)
		}
		at = append(at, c.at)
		leaves[c.at] = leafHash(raw)
		p.classes = append(p.classes, *c)
	}
	path := readHashes(r)
	if r.End() != nil {
		return nil, fmt.Errorf("%w: proof: %w", ErrMalformed, r.End())
	}
	if root, ok := rebuild(int(want.Leaves), at, leaves, path); !ok || root != want.Root {
		return nil, ErrRoot
	}
	return p, nil
}

// readProven reads a class of a proof and checks its pages against its leaf.
func readProven(r *wire.Reader) (*proven, []byte, error) {
	raw := r.Bytes(classLeafLen)
	leaf, err := ParseLeaf(raw)
	if err != nil {
		return nil, nil, err
	}
	c := &proven{leaf: *leaf, at: int(r.U32())}
	n := int(r.U8())
	if n < 1 || n > maxProofPages {
		return nil, nil, fmt.Errorf("%w: proof of %d pages", ErrMalformed, n)
	}
	leaves := map[int]hash{}
	for range n {
		no := int(r.U16())
		enc := r.Bytes(int(r.U16()))
		page, err := ParsePage(enc)
		if err != nil {
			return nil, nil, err
		}
		if k := len(c.pages); k > 0 && c.pages[k-1].no >= no || no >= leaf.pages() {
			return nil, nil, fmt.Errorf("%w: number of a page", ErrMalformed)
		}
		leaves[no] = leafHash(enc)
		c.pages = append(c.pages, numbered{no: no, page: page})
	}
	c.path = readHashes(r)
	if root, ok := rebuild(leaf.pages(), c.wanted(), leaves, c.path); r.Err() != nil || !ok || root != leaf.PageRoot {
		return nil, nil, ErrRoot
	}
	return c, raw, nil
}

func readHashes(r *wire.Reader) (out []hash) {
	for range r.U8() {
		b := r.Bytes(len(hash{}))
		if b == nil {
			return nil
		}
		out = append(out, hash(b))
	}
	return out
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
			return fmt.Errorf("revocation: proof of epoch %v: %w", p.Epoch(), err)
		}
		for _, g := range c.pages {
			if g.no != int(index/PageSize) {
				continue
			}
			if g.page.Has(uint16(index % PageSize)) {
				return fmt.Errorf("revocation: proof of epoch %v: %w", p.Epoch(), pki.ErrRevoked)
			}
			return nil
		}
	}
	return fmt.Errorf("revocation: proof of epoch %v does not cover it: %w", p.Epoch(), pki.ErrUnknownClass)
}
