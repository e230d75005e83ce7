package license_test

import (
	"testing"

	"github.com/lares-drm/lares/license"
)

func TestLicense_4_WhoRestoresIt(t *testing.T) {
	household := func(i *license.Info) { i.Policy.Backup = license.BackupHousehold }
	for _, tc := range []struct {
		terms  string
		edit   []func(*license.Info)
		want   license.Backup
		steady bool
	}{
		{"PLAY; CHARGE=PURCHASE", nil, license.BackupIssuer, true},
		{"PLAY; CHARGE=SUBSCRIPTION", nil, license.BackupNone, true},
		{"PLAY", nil, license.BackupNone, true},
		{"PLAY", []func(*license.Info){household}, license.BackupHousehold, true},
		{"PLAY; MOVE=DOMAIN", []func(*license.Info){household}, license.BackupHousehold, false},
		{"PLAY; MOVE=ANY; CHARGE=PURCHASE", nil, license.BackupIssuer, false},
		{"PLAY; PLAY_COUNT=2; CHARGE=PURCHASE", []func(*license.Info){func(i *license.Info) { i.Policy.Duration = hour }}, license.BackupIssuer, false},
		{"PLAY; INTERVAL=48h; CHARGE=RENTAL", nil, license.BackupNone, false},
		{"PLAY; CHARGE=PURCHASE", []func(*license.Info){func(i *license.Info) { i.Policy.Backup = license.BackupNone }}, license.BackupNone, true},
	} {
		l := newLicense(t, tc.terms, tc.edit...)
		if got := l.RestoredBy(); got != tc.want || l.Steady() != tc.steady {
			t.Errorf("%s: restored by %d, steady %v; want %d and %v", tc.terms, got, l.Steady(), tc.want, tc.steady)
		}
	}
}
