package license

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// OnFirstUse says how INTERVAL and the store window combine (evaluator E3).
type OnFirstUse uint64

// The values of on_first_use; 0 means OnFirstReplace.
const (
	OnFirstReplace OnFirstUse = 1 // the interval takes the store window's place
	OnFirstCap     OnFirstUse = 2 // the earlier end counts
)

// ExpiryMode says what happens to a running session at the window's end.
type ExpiryMode uint64

// The expiry modes; 0 means ExpiryFinish, or ExpiryStop for live content and
// subscriptions.
const (
	ExpiryFinish ExpiryMode = 1
	ExpiryStop   ExpiryMode = 2
)

// Evidence says whose word about an output counts.
type Evidence uint64

// The kinds of evidence; 0 means EvidenceHost.
const (
	EvidenceHost Evidence = 1
	EvidenceTREM Evidence = 2
)

// Staleness says what an old revocation state does.
type Staleness uint64

// The reactions; 0 means StaleWarn.
const (
	StaleWarn Staleness = 1
	StaleDeny Staleness = 2
)

// Policy is what a license says beyond its permission code: field 8. Odd keys
// are critical. Durations are ms, times Unix ms; 0, nil and false mean absent.
// Source of the numbers: local, docs/spec/license.md.
type Policy struct {
	Duration          int64      `cbor:"1,keyasint,omitempty" json:"duration_ms,omitempty"`          // of the content
	StorageDuration   int64      `cbor:"3,keyasint,omitempty" json:"storage_duration,omitempty"`     // from issued_at
	OnFirstUse        OnFirstUse `cbor:"5,keyasint,omitempty" json:"on_first_use,omitempty"`         //
	HardEnd           int64      `cbor:"7,keyasint,omitempty" json:"hard_end,omitempty"`             //
	ExpiryMode        ExpiryMode `cbor:"9,keyasint,omitempty" json:"expiry_mode,omitempty"`          //
	FinishTail        *int64     `cbor:"11,keyasint,omitempty" json:"finish_tail,omitempty"`         // 0 allowed
	FirstUseThreshold *int64     `cbor:"13,keyasint,omitempty" json:"first_use_threshold,omitempty"` // 0 allowed; default 30 s
	CountThreshold    int64      `cbor:"15,keyasint,omitempty" json:"count_threshold,omitempty"`     // default min(60 s, 5 % of Duration)
	ResumeWindow      int64      `cbor:"17,keyasint,omitempty" json:"resume_window,omitempty"`       // default 12 h
	Slice             int64      `cbor:"19,keyasint,omitempty" json:"slice_ms,omitempty"`            // 1 to 60 s, default 10 s
	ClockGrace        *int64     `cbor:"21,keyasint,omitempty" json:"clock_grace,omitempty"`         // powered-on; 0 allowed
	EmbargoStrict     bool       `cbor:"23,keyasint,omitempty" json:"embargo_strict,omitempty"`      //
	MinAnchor         *uint64    `cbor:"25,keyasint,omitempty" json:"min_anchor,omitempty"`          // 0 to 2; default 1 where counted or lent
	OutputEvidence    Evidence   `cbor:"27,keyasint,omitempty" json:"output_evidence,omitempty"`     // for UHD
	MinLevel          uint64     `cbor:"29,keyasint,omitempty" json:"min_level,omitempty"`           // 1 to 3, of the TREM
	Stale             Staleness  `cbor:"31,keyasint,omitempty" json:"stale,omitempty"`               // when field 12 is exceeded

	AccumulatedBy AccumulatedBy    `cbor:"33,keyasint,omitempty" json:"accumulated_by,omitempty"`
	Region        *RegionRule      `cbor:"35,keyasint,omitempty" json:"region,omitempty"`
	Copy          *CopyRule        `cbor:"37,keyasint,omitempty" json:"copy,omitempty"`
	Transfer      *TransferRule    `cbor:"39,keyasint,omitempty" json:"transfer,omitempty"`
	Lend          *LendRule        `cbor:"41,keyasint,omitempty" json:"lend,omitempty"`
	Concurrency   *ConcurrencyRule `cbor:"43,keyasint,omitempty" json:"concurrency,omitempty"`
	Report        *ReportRule      `cbor:"45,keyasint,omitempty" json:"report,omitempty"`
	Overlay       *OverlayRule     `cbor:"47,keyasint,omitempty" json:"overlay,omitempty"`
	Domain        *DomainRule      `cbor:"49,keyasint,omitempty" json:"domain,omitempty"`
	Renew         *RenewRule       `cbor:"2,keyasint,omitempty" json:"renew,omitempty"`
	Backup        Backup           `cbor:"4,keyasint,omitempty" json:"backup,omitempty"`
	Arbiter       []byte           `cbor:"6,keyasint,omitempty" json:"arbiter,omitempty"` // device ID of who may arbitrate transfers

	// Other holds the keys that this package does not evaluate, as received.
	Other map[uint64]wire.RawMessage `cbor:"-" json:"other,omitempty"`
}

// maxPolicy bounds the policy map. Source: local, docs/spec/license.md.
func maxPolicy() wire.Limit { return wire.Limit{Bytes: 2048, Items: 64, Depth: 4} }

// MarshalCBOR writes the map of the keys that are present.
func (p Policy) MarshalCBOR() ([]byte, error) { return wire.Marshal(p) }

// UnmarshalCBOR reads a policy map and keeps what it does not know.
func (p *Policy) UnmarshalCBOR(data []byte) error { return wire.Unmarshal(data, p, maxPolicy()) }

// withOther encodes a policy with keys that are not known here.
func (p *Policy) withOther() ([]byte, error) {
	known := *p
	known.Other = nil
	own, err := wire.Marshal(known)
	if err != nil {
		return nil, err
	}
	all := map[uint64]wire.RawMessage{}
	if err := wire.Unmarshal(own, &all, wire.Limit{}); err != nil {
		return nil, err
	}
	for k, v := range p.Other {
		if _, twice := all[k]; twice || knownPolicy(k) {
			return nil, fmt.Errorf("%w: policy key %d has a field", wire.ErrShape, k)
		}
		all[k] = v
	}
	return wire.Marshal(all)
}

// Every odd key up to lastCritical and every even one up to lastOther has a
// field in Policy.
const (
	lastCritical = 49
	lastOther    = 6
)

func knownPolicy(k uint64) bool {
	return k%2 == 1 && k <= lastCritical || k%2 == 0 && k >= 2 && k <= lastOther
}

// unknown lists the keys that are not evaluated, named, critical or not.
func (p *Policy) unknown(critical bool) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(p.Other)) {
		if (k%2 == 1) != critical {
			continue
		}
		out = append(out, fmt.Sprintf("policy %d", k))
	}
	return out
}

// check refuses values that no issuer may write and names the field: 0 and
// negative durations cannot be told from absent and are caught by the encoding.
func (p *Policy) check() error {
	if err := durations("duration_ms", p.Duration, "storage_duration", p.StorageDuration, "hard_end", p.HardEnd, "finish_tail", value(p.FinishTail),
		"first_use_threshold", value(p.FirstUseThreshold), "count_threshold", p.CountThreshold, "resume_window", p.ResumeWindow, "clock_grace", value(p.ClockGrace)); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		bad  bool
	}{
		{"slice_ms", p.Slice != 0 && (p.Slice < minSlice || p.Slice > maxSlice)},
		{"on_first_use", p.OnFirstUse > OnFirstCap},
		{"expiry_mode", p.ExpiryMode > ExpiryStop},
		{"output_evidence", p.OutputEvidence > EvidenceTREM},
		{"stale", p.Stale > StaleDeny},
		{"min_level", p.MinLevel > 3},
		{"min_anchor", value(p.MinAnchor) > 2},
		{"accumulated_by", p.AccumulatedBy > AccumulatedMedia},
		{"backup", p.Backup > BackupHousehold},
		{"arbiter", len(p.Arbiter) != 0 && len(p.Arbiter) != ident.Size},
		{"keys", len(p.Other) > 32},
	} {
		if x.bad {
			return bad(x.name)
		}
	}
	for _, rule := range []interface{ check() error }{p.Region, p.Copy, p.Transfer, p.Lend, p.Concurrency, p.Report, p.Overlay, p.Domain, p.Renew} {
		if err := rule.check(); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of slice_ms, in ms. Source: evaluator E4.
const (
	minSlice = 1000
	maxSlice = 60_000
)

// value is *p, or the zero value for nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
