package license_test

import (
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func TestEvaluator_E4_DefaultShare(t *testing.T) {
	film := policy(func(p *license.Policy) { p.Duration = hour })
	for _, tc := range []struct {
		text  string
		state license.State
		plays uint64
		want  license.Share
	}{
		{"PLAY; INTERVAL=48h", license.State{}, 2, license.Share{}},
		{"PLAY; PLAY_COUNT=3", license.State{}, 2, license.Share{Plays: 2}},
		{"PLAY; PLAY_COUNT=3", license.State{}, 0, license.Share{Plays: 1}},
		{"PLAY; ACCUMULATED=10h", license.State{}, 1, license.Share{MS: hour}},
		{"PLAY; ACCUMULATED=5ms", license.State{}, 1, license.Share{MS: 1}},
		{"PLAY; ACCUMULATED=10h", license.State{Acc: 10*hour - minute}, 1, license.Share{MS: minute}},
		{"RENDER; ACCUMULATED=10h; PLAY", license.State{}, 1, license.Share{}},
	} {
		if got := newLicense(t, tc.text, film).DefaultShare(tc.state, tc.plays); got != tc.want {
			t.Errorf("%s, %d plays: %+v, want %+v", tc.text, tc.plays, got, tc.want)
		}
	}
	if got := newLicense(t, "PLAY; PLAY_COUNT=3; ACCUMULATED=1h", film).Whole(); got != (license.Share{Plays: 3, MS: hour}) {
		t.Errorf("the whole is %+v", got)
	}
}

// What a device is given by default comes back whole when it was not taken.
func TestEvaluator_E4_DefaultShareComesBack(t *testing.T) {
	film := policy(func(p *license.Policy) { p.Duration = hour })
	for _, text := range []string{"PLAY; INTERVAL=48h", "PLAY; PLAY_COUNT=3", "PLAY; ACCUMULATED=10h"} {
		lic := newLicense(t, text, film)
		share := lic.DefaultShare(license.State{}, 2)
		info, err := license.Derive(lic, license.Derivation{Device: ident.Device{1}, Plays: share.Plays, MS: share.MS, Now: day0})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		given, err := lic.Give(license.State{}, share)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		data, err := license.Sign(fixedKey(t, 7), []byte("certificate"), info)
		if err != nil {
			t.Fatal(err)
		}
		child, err := license.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		back, err := given.TakeBack(child.Whole())
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if n := back.Given[permission.Play]; n != 0 || back.GivenMS != 0 {
			t.Errorf("%s: %d plays and %d ms stay away", text, n, back.GivenMS)
		}
		if child.Whole() != share {
			t.Errorf("%s: the child has %+v of %+v", text, child.Whole(), share)
		}
	}
}
