package sltp

import (
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/internal/wire/wiretest"
)

// The same types without their own codings: the library codes them by their tags.
type (
	taggedRequest licenseRequest
	taggedLicense licenseBody
)

// FuzzByHand holds LICENSE-REQ and LICENSE, as they are coded by hand, against the
// library.
func FuzzByHand(f *testing.F) {
	wiretest.Corpus(f,
		taggedRequest{Subject: wire.RawMessage{0x80}},
		taggedRequest{Number: NumberLicenseRequest, What: pair{Kind: 1, Value: make([]byte, 16)}, Permission: 1, Subject: wire.RawMessage{0x82, 1, 0x40}, Membership: []byte{1}, Tiers: []uint64{1, 64}, Level: 255},
		taggedRequest{Subject: wire.RawMessage{0}, Tiers: []uint64{}, Membership: []byte{}},
		taggedLicense{},
		taggedLicense{Number: NumberLicense, Chain: [][]byte{{1}, nil}, Bundle: []byte{2}},
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		wiretest.BothWays[licenseRequest, taggedRequest](t, data, bodyLimit())
		wiretest.BothWays[licenseBody, taggedLicense](t, data, bodyLimit())
	})
}
