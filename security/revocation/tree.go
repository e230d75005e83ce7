package revocation

import (
	"crypto/sha256"
	"math/bits"
	"slices"
)

// hash is SHA-256.
type hash = [sha256.Size]byte

// leafHash and nodeHash are those of RFC 6962 section 2.1.
func leafHash(data []byte) hash {
	if len(data) < 128 { // as class leaves and most pages are
		var b [128]byte
		return sha256.Sum256(b[:1+copy(b[1:], data)])
	}
	var b [1 + 1024]byte // nearly all other pages fit: nothing is allocated
	if len(data) > len(b)-1 {
		return sha256.Sum256(append([]byte{0}, data...))
	}
	return sha256.Sum256(b[:1+copy(b[1:], data)])
}

func nodeHash(left, right hash) hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// span is the leaves lo to hi-1 of a tree.
type span struct{ lo, hi int }

// halves splits a span of two or more leaves at the greatest power of two
// below its length (RFC 6962 section 2.1).
func (s span) halves() (left, right span) {
	k := 1 << (bits.Len(uint(s.hi-s.lo-1)) - 1)
	return span{s.lo, s.lo + k}, span{s.lo + k, s.hi}
}

// nodes gives the hash of a span.
type nodes func(span) hash

// treeOf is the tree over given leaf hashes.
func treeOf(leaves []hash) nodes {
	var node nodes
	node = func(s span) hash {
		switch s.hi - s.lo {
		case 0:
			return sha256.Sum256(nil)
		case 1:
			return leaves[s.lo]
		}
		l, r := s.halves()
		return nodeHash(node(l), node(r))
	}
	return node
}

// pagesTree is the tree over a class's pages, of which most are empty: a span
// without any other page costs one table look-up where its length is a power
// of two.
func pagesTree(pages []numbered) nodes {
	empty := []hash{leafHash([]byte{pageEmpty})} // by the exponent of the length
	var node, bare nodes
	bare = func(s span) hash {
		n := s.hi - s.lo
		if n&(n-1) == 0 {
			e := bits.Len(uint(n)) - 1
			for len(empty) <= e {
				last := empty[len(empty)-1]
				empty = append(empty, nodeHash(last, last))
			}
			return empty[e]
		}
		l, r := s.halves()
		return nodeHash(bare(l), bare(r))
	}
	node = func(s span) hash {
		if s.hi == s.lo {
			return sha256.Sum256(nil)
		}
		within := between(pages, s)
		if len(within) == 0 {
			return bare(s)
		}
		if s.hi-s.lo == 1 {
			return within[0].leaf
		}
		l, r := s.halves()
		return nodeHash(node(l), node(r))
	}
	return node
}

// prove collects the hashes of the greatest spans that hold none of the wanted
// leaves (ascending), from left to right.
func prove(s span, wanted []int, node nodes, out []hash) []hash {
	if len(wanted) == 0 {
		return append(out, node(s))
	}
	if s.hi-s.lo == 1 {
		return out
	}
	l, r := s.halves()
	n, _ := slices.BinarySearch(wanted, r.lo)
	return prove(r, wanted[n:], node, prove(l, wanted[:n], node, out))
}
