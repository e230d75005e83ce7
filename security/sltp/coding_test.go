package sltp

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
)

// The same types without their own codings: the library codes them by their tags.
type (
	taggedRequest licenseRequest
	taggedLicense licenseBody
)

// FuzzByHand holds LICENSE-REQ and LICENSE, as they are coded by hand, against the
// library.
func FuzzByHand(f *testing.F) {
	for _, v := range []any{
		taggedRequest{Subject: wire.RawMessage{0x80}},
		taggedRequest{Number: NumberLicenseRequest, What: pair{Kind: 1, Value: make([]byte, 16)}, Permission: 1, Subject: wire.RawMessage{0x82, 1, 0x40}, Membership: []byte{1}, Tiers: []uint64{1, 64}, Level: 255},
		taggedRequest{Subject: wire.RawMessage{0}, Tiers: []uint64{}, Membership: []byte{}},
		taggedLicense{},
		taggedLicense{Number: NumberLicense, Chain: [][]byte{{1}, nil}, Bundle: []byte{2}},
	} {
		data, err := wire.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		both[licenseRequest, taggedRequest](t, data)
		both[licenseBody, taggedLicense](t, data)
	})
}

func both[Own any, Tagged any](t *testing.T, data []byte) {
	t.Helper()
	var own Own
	var tagged Tagged
	err, want := wire.Unmarshal(data, &own, bodyLimit()), wire.Unmarshal(data, &tagged, bodyLimit())
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
