package revocation

import (
	"iter"

	"github.com/lares-drm/lares/security/pki"
)

// Members lists the indexes of a class that were revoked one by one, ascending.
// Of a class that is revoked as a whole there are none.
func (s *State) Members(class pki.Class) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		r := s.row(class)
		if r == nil {
			return
		}
		for _, n := range r.pages {
			for _, part := range n.page.spans() {
				for i := int(part.first); i <= int(part.last); i++ {
					if !yield(uint32(n.no*PageSize + i)) { //nolint:gosec // below MaxIssued
						return
					}
				}
			}
		}
	}
}
