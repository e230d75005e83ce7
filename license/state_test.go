package license_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Everything a state can hold is read back, and what it may not hold is refused.
func TestState_1_Bounds(t *testing.T) {
	whole := license.State{
		Ver: 1, Phase: license.Lent, FirstUse: 2, LastUse: 3, Consumed: map[permission.Permission]uint64{1: 1}, Acc: 4, Uncharged: 5, OpenPlay: &license.OpenPlay{ID: 1, Rendered: 6, Touched: 7, Seen: 8},
		Slice: &license.Reserve{Until: 9, MS: 10}, Tx: &license.Tx{ID: ident.Transfer{Seq: 1}, HoldUntil: 11}, Loan: &license.Loan{Child: ident.License{1}, Seq: 2, Until: 12}, Given: map[permission.Permission]uint64{1: 1},
		Pending: 13, NextIndex: 14, CopyGeneration: 15, LoLic: 16, Reserved: map[permission.Permission]uint64{3: 1}, Region: &license.RegionState{Home: "AT", Away: []uint64{1, 2}}, Denied: 17, LastTransfer: 18,
		Consented: true, GivenMS: 19, Seen: 20,
	}
	b, err := whole.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := license.ParseState(b)
	if diff := cmp.Diff(whole, back); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	days := make([]uint64, 91)
	for name, s := range map[string]license.State{
		"phase": {Phase: 4}, "negative": {Acc: -1}, "too late": {FirstUse: 1 << 53}, "play": {OpenPlay: &license.OpenPlay{Rendered: -1}}, "slice": {Slice: &license.Reserve{MS: -1}},
		"hold": {Tx: &license.Tx{HoldUntil: -1}}, "loan": {Loan: &license.Loan{Until: -1}}, "home": {Region: &license.RegionState{Home: "AUT"}}, "days": {Region: &license.RegionState{Away: days}},
		"no permission": {Consumed: map[permission.Permission]uint64{0: 1}}, "unknown permission": {Given: map[permission.Permission]uint64{8: 1}}, "a count of none": {Reserved: map[permission.Permission]uint64{1: 0}},
		"order of days": {Region: &license.RegionState{Away: []uint64{2, 1}}},
	} {
		b, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := license.ParseState(b); !errors.Is(err, license.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string][]byte{"nothing": {}, "a number": {1}, "trailing": append(b, 0), "long": make([]byte, license.MaxState+1)} {
		if _, err := license.ParseState(bad); !errors.Is(err, license.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := license.ParseState([]byte{0xa1, 0x18, 0x63, 0x01}); !errors.Is(err, wire.ErrShape) {
		t.Errorf("a field that nobody knows: %v", err)
	}
}

func TestState_1_Phases(t *testing.T) {
	for p, want := range map[license.Phase]string{license.Held: "HELD", license.Escrow: "ESCROW", license.Lent: "LENT_OUT", license.Closed: "CLOSED", 9: "PHASE_9"} {
		if got := p.String(); got != want {
			t.Errorf("%d is %s, want %s", uint64(p), got, want)
		}
	}
}

// Counts saturate: what is more than everything leaves nothing.
func TestState_1_CountsSaturate(t *testing.T) {
	lic := newLicense(t, "PLAY; PLAY_COUNT=3", policy(func(p *license.Policy) { p.Duration = hour }))
	in := at(day0)
	in.State.Consumed = map[permission.Permission]uint64{permission.Play: math.MaxUint64}
	in.State.Given = map[permission.Permission]uint64{permission.Play: 2}
	if d := lic.Evaluate(in); d.Allow || *d.Counters.PlaysLeft != 0 {
		t.Errorf("%+v, want nothing left", d)
	}
}
