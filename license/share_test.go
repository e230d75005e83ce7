package license_test

import (
	"testing"

	"github.com/lares-drm/lares/license"
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
