package adapt_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

const week = int64(7 * 24 * 3_600_000)

var everything = adapt.System{Name: "x", Version: "1", Enforces: []string{"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT", "RESOLUTION", "OUTPUT_PROTECTION", "ACCUMULATED", "TERRITORY"}}

// The end of an artifact is the earliest of the three ends that a license can have.
func TestAdapt_2_TheEarliestEndIsWritten(t *testing.T) {
	lic := adapttest.License(t, "PLAY; END_TIME=2027-01-01T00:00:00Z; INTERVAL=48h; LEND; EXPORT=x", func(i *license.Info) {
		i.Policy.HardEnd, i.Policy.StorageDuration = i.IssuedAt+3*week, 2*week
	})
	terms, loss, err := adapt.Flatten(lic, everything)
	if err != nil {
		t.Fatal(err)
	}
	if want := lic.Info().IssuedAt + 2*week; terms.End != want {
		t.Errorf("end %d, want %d", terms.End, want)
	}
	var got []string
	for _, l := range loss {
		got = append(got, l.Right+" "+l.Effect.String())
	}
	if diff := cmp.Diff(got, []string{"LEND dropped", "END_TIME narrowed"}); diff != "" {
		t.Error(diff)
	}
}

// A refusal names all that the system does not keep.
func TestAdapt_2_ARefusalNamesEveryCondition(t *testing.T) {
	lic := adapttest.License(t, "PLAY; PLAY_COUNT=3; EXPORT=x", func(i *license.Info) { i.Policy.MinLevel, i.Policy.StorageDuration = 2, week })
	_, _, err := adapt.Flatten(lic, adapt.System{Name: "x"})
	var unheld *adapt.UnheldError
	if !errors.As(err, &unheld) || !errors.Is(err, adapt.ErrNotExportable) {
		t.Fatalf("%v, want an UnheldError", err)
	}
	if diff := cmp.Diff(unheld.Rights, []string{"PLAY_COUNT", "END_TIME", "MIN_LEVEL"}); diff != "" {
		t.Error(diff)
	}
	if got, want := err.Error(), "adapt: x does not keep PLAY_COUNT, END_TIME, MIN_LEVEL"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What no document says has its strictest reading.
func TestAdapt_2_StrictReadsWhatIsNotSaid(t *testing.T) {
	units, err := permission.ParseText("PLAY; PLAY_COUNT=3; END_TIME=2027-01-01T00:00:00Z; TERRITORY=AT")
	if err != nil {
		t.Fatal(err)
	}
	zero, none := int64(0), uint64(0)
	want := license.Policy{
		OnFirstUse: license.OnFirstCap, ExpiryMode: license.ExpiryStop, FirstUseThreshold: &zero, ClockGrace: &zero, CountThreshold: 10_000, ResumeWindow: 60_000,
		Region: &license.RegionRule{Phase: license.RegionEachUse, Unknown: license.UnknownDeny, RoamDays: &none},
	}
	if diff := cmp.Diff(adapt.Strict(units), want); diff != "" {
		t.Error(diff)
	}
}

func TestAdapt_JSONIsReadStrictly(t *testing.T) {
	for in, ok := range map[string]bool{
		`{"a":{"a":1},"b":[{"a":1},{"a":2}]}`: true, `[1,2]`: true, `1`: true, `"x"`: true,
		``: false, `{"a":1,"a":2}`: false, `{"a":1} 2`: false, `{"b":[{"a":1,"a":2}]}`: false, `{`: false, `[}`: false, `{"a":1}}`: false,
		`[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]`: false, `[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]`: true,
	} {
		var v any
		if err := adapt.DecodeJSON([]byte(in), 100, &v); (err == nil) != ok || err != nil && !errors.Is(err, adapt.ErrDocument) {
			t.Errorf("%s: %v", in, err)
		}
	}
	var v any
	if err := adapt.DecodeJSON(make([]byte, 101), 100, &v); !errors.Is(err, adapt.ErrDocument) {
		t.Errorf("too large: %v", err)
	}
}
