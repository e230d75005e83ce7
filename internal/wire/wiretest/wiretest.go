// Package wiretest holds objects that are coded by hand against the CBOR library.
package wiretest

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
)

// Corpus adds the encoding of each value to a fuzz target's seeds.
func Corpus(f *testing.F, values ...any) {
	f.Helper()
	for _, v := range values {
		data, err := wire.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// BothWays reads data as Own, which is coded by hand, and as Tagged, the same type
// without its methods, which the library codes by its tags: both refuse it, or both
// read it and write the same bytes again.
func BothWays[Own any, Tagged any](t *testing.T, data []byte, limit wire.Limit) {
	t.Helper()
	var own Own
	var tagged Tagged
	err, want := wire.Unmarshal(data, &own, limit), wire.Unmarshal(data, &tagged, limit)
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
