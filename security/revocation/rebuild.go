package revocation

import (
	"bytes"
	"crypto/sha256"
	"sync/atomic"
)

// topNodes is how many nodes of the tree over all classes, from the root down
// five levels, a trusted head remembers once a proof has shown them. The proofs
// of other devices then end there: half of their hashes are not computed again.
const topNodes = 1 << 6

// memory holds the top of one head's tree. What it points to does not change.
type memory struct{ top atomic.Pointer[top] }

type top struct {
	node [topNodes]hash // 1 is the root, 2n and 2n+1 are the halves of n
	set  uint64         // a bit for each node that is known
}

func (t *top) has(id int) bool { return t != nil && t.set>>id&1 == 1 }

// rebuilder computes a root from wanted leaves and the hashes that prove
// collected.
type rebuilder struct {
	given  []byte // 32 bytes each; what is not used yet
	memory *memory
	known  *top
	seen   *top // what is not known yet; nil when there is nothing new
	bad    bool
}

// root is that of a tree of n leaves, of which those at wanted (ascending) are
// given in full; ok is false when the given hashes are too
// few, too many or not those that are remembered. What they show is true of the
// root that comes out, no more: the caller compares it and then calls keep.
func (r *rebuilder) root(n int, wanted []int, leaves []hash) (root hash, ok bool) {
	id := 0
	if r.memory != nil {
		id, r.known = 1, r.memory.top.Load()
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
		if r.known.has(below[0]) && r.known.has(below[1]) { // each was compared
			copy(out, r.known.node[id][:])
			return
		}
		h := sha256.Sum256(node[:])
		copy(out, h[:])
	}
	if r.memory != nil && id > 0 {
		r.compare(out, id)
	}
}

// compare holds a top node against what is known of it.
func (r *rebuilder) compare(out []byte, id int) {
	if r.known.has(id) {
		r.bad = r.bad || !bytes.Equal(out, r.known.node[id][:])
		return
	}
	if r.seen == nil {
		r.seen = &top{}
	}
	copy(r.seen.node[id][:], out)
	r.seen.set |= 1 << id
}

// keep remembers what was seen below a root that turned out to be the head's.
// Where another proof was quicker, the next one tries again.
func (r *rebuilder) keep() {
	if r.seen == nil {
		return
	}
	if r.known != nil {
		for id := range r.known.node {
			if r.known.has(id) {
				r.seen.node[id] = r.known.node[id]
			}
		}
		r.seen.set |= r.known.set
	}
	r.memory.top.CompareAndSwap(r.known, r.seen)
}
