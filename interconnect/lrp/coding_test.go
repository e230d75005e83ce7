package lrp

import (
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/internal/wire/wiretest"
)

// The same types without their own codings: the library codes them by their tags.
type (
	taggedFrame Frame
	taggedSLTP  SLTP
)

// FuzzByHand holds frames and their SLTP bodies, as they are coded by hand, against
// the library.
func FuzzByHand(f *testing.F) {
	wiretest.Corpus(f,
		taggedFrame{},
		taggedFrame{Version: 1, Type: TypeSLTP, Seq: 1 << 40, Hops: 24, Expires: -1, Body: []byte{1}},
		taggedFrame{Expires: 1 << 50, Body: []byte{}},
		taggedSLTP{},
		taggedSLTP{CID: make([]byte, CIDLen), Message: []byte{1}},
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		wiretest.BothWays[Frame, taggedFrame](t, data, wire.Limit{})
		wiretest.BothWays[SLTP, taggedSLTP](t, data, wire.Limit{})
	})
}
