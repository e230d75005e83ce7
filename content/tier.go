package content

import (
	"errors"
	"strconv"
)

// Tier is a level of quality with its own content key. The numbers are those
// of a license's key references. Source: local, docs/spec/license.md.
type Tier uint8

// The tiers. Custom ones are 64 and above.
const (
	Audio Tier = 1
	SD    Tier = 2 // at most MaxSD pixels
	HD    Tier = 3 // at most MaxHD pixels
	UHD   Tier = 4
)

// Largest pictures of a tier, in pixels. Source: local, docs/spec/license.md.
const (
	MaxSD = 442_368   // 768 by 576
	MaxHD = 2_073_600 // 1920 by 1080
)

// ErrTier is returned for a word that names no tier.
var ErrTier = errors.New("content: not a tier: want AUDIO, SD, HD or UHD")

// TierOf is the tier of a picture.
func TierOf(width, height int) Tier {
	switch n := width * height; {
	case n <= MaxSD:
		return SD
	case n <= MaxHD:
		return HD
	}
	return UHD
}

func (t Tier) String() string {
	switch t {
	case Audio:
		return "AUDIO"
	case SD:
		return "SD"
	case HD:
		return "HD"
	case UHD:
		return "UHD"
	}
	return "tier " + strconv.Itoa(int(t))
}

// ParseTier reads what String prints for the four tiers.
func ParseTier(s string) (Tier, error) {
	for t := Audio; t <= UHD; t++ {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, ErrTier
}

// MarshalText prints the tier for JSON.
func (t Tier) MarshalText() ([]byte, error) {
	if t < Audio || t > UHD {
		return nil, ErrTier
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads what MarshalText prints.
func (t *Tier) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTier(string(b))
	return err
}
