package license

import (
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Tier is the class of tracks that share a key. Source: local, docs/spec/license.md.
type Tier uint64

// The tiers; TierCustom and above are an issuer's own and have no order.
const (
	TierAudio  Tier = 1
	TierSD     Tier = 2 // up to 442,368 pixels
	TierHD     Tier = 3 // up to 2,073,600 pixels
	TierUHD    Tier = 4
	TierCustom Tier = 64
)

// String is AUDIO, SD, HD, UHD or CUSTOM_n.
func (t Tier) String() string {
	switch t {
	case 0:
		return ""
	case TierAudio:
		return "AUDIO"
	case TierSD:
		return "SD"
	case TierHD:
		return "HD"
	case TierUHD:
		return "UHD"
	default: // below
	}
	return fmt.Sprintf("CUSTOM_%d", uint64(t))
}

// MarshalText prints the tier for JSON.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (t *Tier) UnmarshalText(s []byte) error {
	for _, known := range []Tier{0, TierAudio, TierSD, TierHD, TierUHD} {
		if known.String() == string(s) {
			*t = known
			return nil
		}
	}
	var n uint64
	if _, err := fmt.Sscanf(string(s), "CUSTOM_%d", &n); err != nil || Tier(n).String() != string(s) {
		return fmt.Errorf("%w: tier", ErrInvalid)
	}
	*t = Tier(n)
	return nil
}

// picture reports whether the tier is of pictures with an order.
func (t Tier) picture() bool { return t >= TierSD && t <= TierUHD }

// pixels is the most pixels a picture of the tier has; 0 for sound.
func (t Tier) pixels() uint64 {
	switch t {
	case TierAudio:
		return 0
	case TierSD:
		return 442_368
	case TierHD:
		return 2_073_600
	default: // below
	}
	return math.MaxUint64
}

// KeyRef refers to one content key: [kid, tier, check, ? bps, ? outputs].
type KeyRef struct {
	KID     ident.Key `json:"kid"`
	Tier    Tier      `json:"tier"`
	Check   [16]byte  `json:"-"`                 // KeyCheck of the key
	BPS     uint64    `json:"bps,omitempty"`     // peak bytes per second; needed under counted and accumulated rights
	Outputs []byte    `json:"outputs,omitempty"` // OutputRules, encoded; kept as received
}

// MarshalCBOR writes the shortest array that holds the reference.
func (k KeyRef) MarshalCBOR() ([]byte, error) { return wire.Marshal(k) }

// UnmarshalCBOR reads what MarshalCBOR writes.
func (k *KeyRef) UnmarshalCBOR(data []byte) error { return wire.Unmarshal(data, k, itemLimit()) }

// KeyCheck lets anyone who holds a key tell that it is the one a KeyRef means:
// the first 16 bytes of SHA-256("lares key check" ‖ kid ‖ content ID ‖ key).
func KeyCheck(kid ident.Key, content ident.Content, key []byte) [16]byte {
	h := sha256.New()
	h.Write([]byte("lares key check"))
	h.Write(kid[:])
	h.Write([]byte(content))
	h.Write(key)
	return [16]byte(h.Sum(nil)[:16])
}

// Rule is what an output rule does with an output.
type Rule uint64

// The rules for analog, wireless and unknown outputs (evaluator E7). Not every
// value has a meaning for every kind; see OutputRules.
const (
	RuleAllow     Rule = 0
	RuleDeny      Rule = 1
	RuleSDOnly    Rule = 2 // analog: pictures up to SD
	RuleCGMSNever Rule = 3 // analog: only with the copy-never mark
	RuleProtected Rule = 4 // wireless: only protected links
	RuleConstrain Rule = 5 // unknown: up to ConstrainPixels
)

// OnViolation says what a tier does when an output does not satisfy it.
type OnViolation uint64

// The reactions; 0 means Downgrade.
const (
	Downgrade   OnViolation = 0
	BlockOutput OnViolation = 1
	Stop        OnViolation = 2
)

// OutputRules are the conditions of one key (evaluator E7): the outputs field
// of a KeyRef. Zero values are the defaults and are not written. Source of the
// numbers: local, docs/spec/license.md.
type OutputRules struct {
	Digital     permission.Protection `cbor:"1,keyasint,omitempty" json:"digital,omitempty"`
	Analog      Rule                  `cbor:"2,keyasint,omitempty" json:"analog,omitempty"`
	Wireless    Rule                  `cbor:"3,keyasint,omitempty" json:"wireless,omitempty"`
	Unknown     *Rule                 `cbor:"4,keyasint,omitempty" json:"unknown,omitempty"` // default RuleConstrain
	OnViolation OnViolation           `cbor:"5,keyasint,omitempty" json:"on_violation,omitempty"`
	Constrain   uint64                `cbor:"6,keyasint,omitempty" json:"constrain_pixels,omitempty"` // default 520,000
	MinLevel    uint64                `cbor:"7,keyasint,omitempty" json:"min_trem_level,omitempty"`
	MaxPixels   uint64                `cbor:"8,keyasint,omitempty" json:"max_pixels,omitempty"` // no picture under this key is larger; default the tier's
	MaxFPS      uint64                `cbor:"9,keyasint,omitempty" json:"max_fps,omitempty"`    // pictures a second, rounded up
	Settle      int64                 `cbor:"10,keyasint,omitempty" json:"settle,omitempty"`    // ms after an output came up; default 3 s
}

// keyRule is the decoded output rules of one key of a license.
type keyRule struct {
	OutputRules
	unknown bool // they could not be decoded: the key is not used
}

// defaultSettle is how long protection of an output that came up may take, in ms. Source: evaluator E7.
const defaultSettle = 3000

func (r *keyRule) settle() int64 {
	if r.Settle == 0 {
		return defaultSettle
	}
	return r.Settle
}

// defaultConstrain is the pixel bound for outputs of unknown capability. Source: evaluator E7.
const defaultConstrain = 520_000

// Encode writes the rules as KeyRef.Outputs holds them; all defaults give nil.
func (r *OutputRules) Encode() ([]byte, error) {
	if *r == (OutputRules{}) {
		return nil, nil
	}
	return wire.Marshal(r)
}

// Rules decodes the key's output rules. An unknown rule is an error: the key
// must not be used.
func (k *KeyRef) Rules() (OutputRules, error) {
	var r OutputRules
	if len(k.Outputs) == 0 {
		return r, nil
	}
	if err := wire.Unmarshal(k.Outputs, &r, wire.Limit{Bytes: 64, Depth: 1}); err != nil {
		return OutputRules{}, fmt.Errorf("output rules: %w", err)
	}
	if r.Digital > permission.ProtectHDCP23 || r.Analog > RuleCGMSNever || r.Wireless > RuleProtected || r.Wireless == RuleSDOnly || r.Wireless == RuleCGMSNever ||
		r.OnViolation > Stop || r.MinLevel > 3 || r.Settle < 0 || r.Settle > maxTime {
		return OutputRules{}, fmt.Errorf("output rules: %w", ErrInvalid)
	}
	if u := value(r.Unknown); u != RuleAllow && u != RuleDeny && u != RuleConstrain {
		return OutputRules{}, fmt.Errorf("output rules: %w", ErrInvalid)
	}
	return r, nil
}
