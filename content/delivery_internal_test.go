package content

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

func FuzzDelivery(f *testing.F) {
	k, err := cenc.NewContentKey([]byte("sixteen bytes .."))
	if err != nil {
		f.Fatal(err)
	}
	plain, err := (&Delivery{Content: "film", DurationMS: 1, Keys: []TierKey{{KID: ident.Key{1}, Tier: SD, Key: k, BPS: 9}}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDelivery(bytes.Clone(data))
		if err != nil {
			return
		}
		if b, err := d.encode(); err != nil || !bytes.Equal(b, data) {
			t.Errorf("encodes as %x, %v, was %x", b, err, data)
		}
	})
}
