package license

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Code says why a permission is refused or qualified (evaluator E14).
type Code string

// The codes.
const (
	NoGrant            Code = "NO_GRANT"
	NotYet             Code = "NOT_YET"
	Expired            Code = "EXPIRED"
	IntervalOver       Code = "INTERVAL_OVER"
	CountExhausted     Code = "COUNT_EXHAUSTED"
	TimeExhausted      Code = "TIME_EXHAUSTED"
	ClockStale         Code = "CLOCK_STALE"
	ClockBehind        Code = "CLOCK_BEHIND"
	ClockAhead         Code = "CLOCK_AHEAD"
	StateClockConflict Code = "STATE_CLOCK_CONFLICT"
	StateRolledBack    Code = "STATE_ROLLED_BACK"
	Region             Code = "REGION"
	OutputCode         Code = "OUTPUT"
	KeyNotGranted      Code = "KEY_NOT_GRANTED"
	TREMLevel          Code = "TREM_LEVEL"
	SlotFull           Code = "SLOT_FULL"
	StatusStale        Code = "STATUS_STALE"
	RevokedCode        Code = "REVOKED"
	LockedInMove       Code = "LOCKED_IN_MOVE"
	LentOut            Code = "LENT_OUT"
	MovedAway          Code = "MOVED_AWAY"
	Generation         Code = "GENERATION"
	DestNotAllowed     Code = "DEST_NOT_ALLOWED"
	NeedsConfirm       Code = "NEEDS_CONFIRM"
	UnknownCritical    Code = "UNKNOWN_CRITICAL"
	BadSignature       Code = "BAD_SIGNATURE"
	SubjectMismatch    Code = "SUBJECT_MISMATCH"
	SunsetCode         Code = "SUNSET"
	PersonCode         Code = "PERSON"
)

// Remedy says what would help.
type Remedy string

// The remedies; empty means that nothing is known to help.
const (
	SyncTime       Remedy = "SYNC_TIME"
	Renew          Remedy = "RENEW"
	ConnectDisplay Remedy = "CONNECT_DISPLAY"
	Takeover       Remedy = "TAKEOVER"
	MoveInstead    Remedy = "MOVE_INSTEAD"
	ReturnFirst    Remedy = "RETURN_FIRST"
	ResumeMove     Remedy = "RESUME_MOVE"
	WaitUntil      Remedy = "WAIT_UNTIL"
	Buy            Remedy = "BUY"
	Contact        Remedy = "CONTACT"
	AskAdult       Remedy = "ASK_ADULT"
)

// Reason is one condition that fails. Have and Need are for people and logs of
// the household: times in RFC 3339, durations and counts in words.
type Reason struct {
	Code       Code   `cbor:"1,keyasint" json:"code"`
	Constraint string `cbor:"2,keyasint,omitempty" json:"constraint,omitempty"`
	Have       string `cbor:"3,keyasint,omitempty" json:"have,omitempty"`
	Need       string `cbor:"4,keyasint,omitempty" json:"need,omitempty"`
	Closed     bool   `cbor:"5,keyasint" json:"closed"`                       // refuses; else it warns
	Earliest   int64  `cbor:"6,keyasint,omitempty" json:"earliest,omitempty"` // Unix ms when it would hold
	Remedy     Remedy `cbor:"7,keyasint,omitempty" json:"remedy,omitempty"`
}

// Change is a time at which the decision may become another.
type Change struct {
	At     int64  `cbor:"1,keyasint" json:"at"` // Unix ms
	Change string `cbor:"2,keyasint" json:"change"`
}

// ConfirmKind names something the user must or should know before the use.
type ConfirmKind string

// The confirms. Begin insists on StartsInterval only.
const (
	StartsInterval ConfirmKind = "STARTS_INTERVAL"
	LastPlay       ConfirmKind = "LAST_PLAY"
	Metered        ConfirmKind = "METERED"
)

// Confirm is one thing to show before the use.
type Confirm struct {
	Kind  ConfirmKind `cbor:"1,keyasint" json:"kind"`
	Until int64       `cbor:"2,keyasint,omitempty" json:"until,omitempty"` // StartsInterval: the end if begun now; Metered: of the reports; Unix ms
	What  string      `cbor:"3,keyasint,omitempty" json:"what,omitempty"`  // Metered: STARTED or MINUTES
	To    string      `cbor:"4,keyasint,omitempty" json:"to,omitempty"`    // Metered: who gets the reports
}

// Unlock says what would permit a better tier.
type Unlock struct {
	Tier Tier   `cbor:"1,keyasint" json:"tier"`
	Need string `cbor:"2,keyasint" json:"need"`
}

// Counters is what is left; nil means not limited.
type Counters struct {
	PlaysLeft  *uint64 `cbor:"1,keyasint,omitempty" json:"plays_left,omitempty"`
	MSLeft     *int64  `cbor:"2,keyasint,omitempty" json:"ms_left,omitempty"`
	CopiesLeft *uint64 `cbor:"3,keyasint,omitempty" json:"copies_left,omitempty"`
}

// Decision is the outcome of an evaluation: Allow, and all reasons whether it
// allows or not. Source: evaluator E14; layout in docs/spec/license.md.
type Decision struct {
	Allow       bool                  `cbor:"1,keyasint" json:"allow"`
	Action      permission.Permission `cbor:"2,keyasint" json:"perm"`
	License     ident.License         `cbor:"3,keyasint" json:"license"`
	Tier        Tier                  `cbor:"4,keyasint,omitempty" json:"tier,omitempty"`
	KIDs        []ident.Key           `cbor:"5,keyasint,omitempty" json:"kids,omitempty"`
	SliceMS     int64                 `cbor:"6,keyasint,omitempty" json:"slice_ms,omitempty"`
	ValidUntil  int64                 `cbor:"7,keyasint,omitempty" json:"valid_until,omitempty"` // Unix ms; 0 = no end in sight
	Next        []Change              `cbor:"8,keyasint,omitempty" json:"next,omitempty"`
	Reasons     []Reason              `cbor:"9,keyasint,omitempty" json:"reasons,omitempty"`
	Confirm     []Confirm             `cbor:"10,keyasint,omitempty" json:"confirm,omitempty"`
	Notes       []string              `cbor:"11,keyasint,omitempty" json:"notes,omitempty"`
	WouldUnlock []Unlock              `cbor:"12,keyasint,omitempty" json:"would_unlock,omitempty"`
	Counters    Counters              `cbor:"13,keyasint" json:"counters"`
	Blocked     []OutputClass         `cbor:"14,keyasint,omitempty" json:"blocked,omitempty"` // further outputs that stay dark
	Unit        int                   `cbor:"15,keyasint,omitempty" json:"unit,omitempty"`    // of a use: the usage unit that is used, from 1
}

// maxDecision bounds an encoded decision: 32 keys may each have a dozen
// reasons. Source: local, docs/spec/license.md.
func maxDecision() wire.Limit { return wire.Limit{Bytes: 1 << 17, Items: 1024, Depth: 4} }

// Encode writes the decision as deterministic CBOR.
func (d *Decision) Encode() ([]byte, error) { return wire.Marshal(d) }

// ParseDecision reads what Encode writes.
func ParseDecision(data []byte) (*Decision, error) {
	d := new(Decision)
	if err := wire.Unmarshal(data, d, maxDecision()); err != nil {
		return nil, fmt.Errorf("%w: decision: %w", ErrMalformed, err)
	}
	return d, nil
}

// Has reports whether the decision carries a reason of this code.
func (d *Decision) Has(c Code) bool {
	return slices.ContainsFunc(d.Reasons, func(r Reason) bool { return r.Code == c })
}

// add records a reason; a closed one refuses.
func (d *Decision) add(r Reason) {
	d.Reasons = append(d.Reasons, r)
	d.Allow = d.Allow && !r.Closed
}

// refuse records a closed reason.
func (d *Decision) refuse(c Code, constraint, have, need string, remedy Remedy) {
	d.add(Reason{Code: c, Constraint: constraint, Have: have, Need: need, Closed: true, Remedy: remedy})
}

// change records a future time at which the decision may flip.
func (d *Decision) change(now, at int64, what string) {
	if at > now && at < maxTime {
		d.Next = append(d.Next, Change{at, what})
	}
}

// finish sorts the future and takes the decision's own end from it.
func (d *Decision) finish() {
	slices.SortStableFunc(d.Next, func(a, b Change) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.Change, b.Change)) })
	d.Next = slices.Compact(d.Next)
	if len(d.Next) > 0 {
		d.ValidUntil = d.Next[0].At
	}
}

// when prints a time for a reason.
func when(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// span prints a duration for a reason: whole days from three on, else hours,
// minutes and seconds, and ms below one second.
func span(ms int64) string {
	const day = 86400_000
	if ms >= 1000*day || ms >= 3*day && ms%day == 0 {
		return fmt.Sprintf("%dd", ms/day)
	}
	d := time.Duration(ms) * time.Millisecond
	if d >= time.Second {
		d = d.Truncate(time.Second)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
