package bench

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
)

// What the rows say of their inputs is so.
func TestLicense_InputsAreWhatTheRowsSay(t *testing.T) {
	lic, err := rental()
	if err != nil {
		t.Fatal(err)
	}
	in, err := secondEvening(lic)
	if err != nil {
		t.Fatal(err)
	}
	d := lic.Evaluate(in)
	lastPlay := slices.ContainsFunc(d.Confirm, func(c license.Confirm) bool { return c.Kind == license.LastPlay })
	if !d.Allow || d.Tier != license.TierHD || in.State.FirstUse == 0 || !lastPlay || d.ValidUntil != in.State.FirstUse+48*msHour {
		t.Errorf("second evening: %+v of state %+v; want HD, INTERVAL started, the last play", d, in.State)
	}
	bad, err := everythingWrong(lic, in)
	if err != nil {
		t.Fatal(err)
	}
	d = lic.Evaluate(bad)
	want := []license.Code{
		license.BadSignature, license.ClockBehind, license.ClockStale, license.CountExhausted, license.IntervalOver,
		license.KeyNotGranted, license.OutputCode, license.RevokedCode, license.SubjectMismatch, license.TREMLevel,
	}
	if got := codes(&d); d.Allow || !cmp.Equal(got, want) {
		t.Errorf("refused rental: allow %v, %s", d.Allow, cmp.Diff(want, got))
	}
	many, worst, err := manyKeys()
	if err != nil {
		t.Fatal(err)
	}
	d = many.Evaluate(worst)
	if keys := len(many.Info().Keys); d.Allow || keys != license.MaxKeys || len(d.Reasons) < 3*keys {
		t.Errorf("worst case: allow %v, %d keys, %d reasons; want three for each key", d.Allow, keys, len(d.Reasons))
	}
}

// codes lists the codes of a decision's reasons, each once.
func codes(d *license.Decision) []license.Code {
	var out []license.Code
	for _, r := range d.Reasons {
		out = append(out, r.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The refusal of a kernel is an error, never a figure.
func TestLicense_KernelThatIsRefusedOrAllowedAgainstItsRowFails(t *testing.T) {
	lic, err := rental()
	if err != nil {
		t.Fatal(err)
	}
	in := member(rentalIssued() + msDay)
	if err := evaluateKernel(lic, &in, false)(1); err == nil {
		t.Error("allowed, and the row says refused")
	}
	in.Env.Accepted = false
	if err := evaluateKernel(lic, &in, true)(1); err == nil {
		t.Error("refused, and the row says allowed")
	}
	if err := sessionKernel(lic, in)(1); err == nil {
		t.Error("a session that does not begin gives a figure")
	}
	if err := narrowerKernel(lic.Info(), lic.Info())(1); err == nil {
		t.Error("a license is not narrower than itself: it names no parent")
	}
	if err := parseKernel(lic.Bytes()[1:])(1); err == nil {
		t.Error("bytes that are no license were parsed")
	}
}
