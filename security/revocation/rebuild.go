package revocation

import (
	"bytes"
	"crypto/sha256"
	"math/bits"
	"sync/atomic"
)

// topNodes is how many nodes of the tree over all classes, from the root down
// eleven levels, a trusted head remembers once a proof has shown them. Where there
// are a thousand classes that is all of the tree. What other proofs say of these
// nodes is compared, not computed again: a class's leaf then costs one hash.
const topNodes = 1 << 12

// memory holds the top of one head's tree, at most 150 kB and as much as was shown,
// in subtrees of four levels. Nodes are written once, by whoever claims them, and
// read once they are ready.
type memory [1 + 1<<4 + 1<<8]atomic.Pointer[subtree]

// subtree is 15 nodes. Number 1 is the root, 2n and 2n+1 are the halves of n.
type subtree struct {
	node           [16]hash
	claimed, ready atomic.Uint32
}

// at is where a node of the whole tree, which is numbered in the same way, is.
func (m *memory) at(id int) (sub *atomic.Pointer[subtree], n int) {
	depth := bits.Len(uint(id)) - 1
	below := depth & 3
	root := id >> below
	switch n = 1<<below | id&(1<<below-1); depth >> 2 {
	case 0:
		return &m[0], n
	case 1:
		return &m[1+root-1<<4], n
	}
	return &m[1+1<<4+root-1<<8], n
}

// known is a node that a proof has shown, or nil.
func (m *memory) known(id int) *hash {
	if m == nil || id <= 0 || id >= topNodes {
		return nil
	}
	at, n := m.at(id)
	if s := at.Load(); s != nil && s.ready.Load()>>n&1 == 1 {
		return &s.node[n]
	}
	return nil
}

// remember puts what a proof that holds has shown. Two such proofs cannot show
// different nodes.
func (m *memory) remember(seen []seenNode) {
	for i := range seen {
		at, n := m.at(seen[i].id)
		if at.Load() == nil {
			at.CompareAndSwap(nil, &subtree{})
		}
		s, bit := at.Load(), uint32(1)<<n
		if s.claimed.Or(bit)&bit == 0 {
			s.node[n] = seen[i].hash
			s.ready.Or(bit)
		}
	}
}

// rebuilder computes a root from wanted leaves and the hashes that prove
// collected.
type rebuilder struct {
	given  []byte  // 32 bytes each; what is not used yet
	memory *memory // nil: nothing is known, and seen is not wanted
	seen   []seenNode
	bad    bool
}

// seenNode is a node of the top that is not known yet.
type seenNode struct {
	id   int
	hash hash
}

// root is that of a tree of n leaves, of which those at wanted (ascending) are
// given in full; ok is false when the given hashes are too
// few, too many or not those that are remembered. What they show is true of the
// root that comes out, no more: the caller compares it before it remembers seen.
func (r *rebuilder) root(n int, wanted []int, leaves []hash) (root hash, ok bool) {
	id := 0
	if r.memory != nil {
		id = 1
	}
	r.walk(root[:], span{0, n}, wanted, leaves, id)
	return root, !r.bad && len(r.given) == 0
}

// walk puts the hash of a span, which holds these wanted leaves, into out. id is its number as a top node, 0 for one below.
func (r *rebuilder) walk(out []byte, s span, wanted []int, leaves []hash, id int) {
	switch {
	case len(wanted) == 0:
		n := copy(out, r.given)
		r.bad = r.bad || n < len(hash{})
		r.given = r.given[n:]
	case s.hi-s.lo == 1:
		copy(out, leaves[0][:])
	default:
		left, right := s.halves()
		mid := 0
		for mid < len(wanted) && wanted[mid] < right.lo {
			mid++
		}
		var below [2]int // the halves' numbers
		if 2*id < topNodes {
			below = [2]int{2 * id, 2*id + min(id, 1)}
		}
		var node [1 + 2*sha256.Size]byte
		node[0] = 1
		r.walk(node[1:1+sha256.Size], left, wanted[:mid], leaves[:mid], below[0])
		r.walk(node[1+sha256.Size:], right, wanted[mid:], leaves[mid:], below[1])
		if known := r.memory.known(id); known != nil && r.memory.known(below[0]) != nil && r.memory.known(below[1]) != nil {
			copy(out, known[:]) // each half was compared
			return
		}
		h := sha256.Sum256(node[:])
		copy(out, h[:])
	}
	if id > 0 {
		r.compare(out, id)
	}
}

// compare holds a top node against what is known of it.
func (r *rebuilder) compare(out []byte, id int) {
	if known := r.memory.known(id); known != nil {
		r.bad = r.bad || !bytes.Equal(out, known[:])
		return
	}
	if r.seen == nil {
		r.seen = make([]seenNode, 0, 64) // most first proofs show no more
	}
	r.seen = append(r.seen, seenNode{id, hash(out)})
}
