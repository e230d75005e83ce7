package lrp

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
)

// The same types without their own codings: the library codes them by their tags.
type (
	taggedFrame Frame
	taggedSLTP  SLTP
)

// FuzzByHand holds frames and their SLTP bodies, as they are coded by hand, against
// the library.
func FuzzByHand(f *testing.F) {
	for _, v := range []any{
		taggedFrame{},
		taggedFrame{Version: 1, Type: TypeSLTP, Seq: 1 << 40, Hops: 24, Expires: -1, Body: []byte{1}},
		taggedFrame{Expires: 1 << 50, Body: []byte{}},
		taggedSLTP{},
		taggedSLTP{CID: make([]byte, CIDLen), Message: []byte{1}},
	} {
		data, err := wire.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inBothWays[Frame, taggedFrame](t, data)
		inBothWays[SLTP, taggedSLTP](t, data)
	})
}

func inBothWays[Own any, Tagged any](t *testing.T, data []byte) {
	t.Helper()
	var own Own
	var tagged Tagged
	err, want := wire.Unmarshal(data, &own, wire.Limit{}), wire.Unmarshal(data, &tagged, wire.Limit{})
	if (err == nil) != (want == nil) {
		t.Fatalf("%x as %T: %v; by its tags: %v", data, own, err, want)
	}
	if err != nil {
		return
	}
	a, err1 := wire.Marshal(own)
	b, err2 := wire.Marshal(tagged)
	if err1 != nil || err2 != nil || !bytes.Equal(a, data) || !bytes.Equal(b, data) {
		t.Errorf("%x as %T: written as %x, by its tags as %x (%v, %v)", data, own, a, b, err1, err2)
	}
}
