package license_test

import (
	"testing"

	"github.com/lares-drm/lares/license"
)

// A license ends when each of its units does, whenever it is begun.
func TestLicense_1_Ends(t *testing.T) {
	for text, want := range map[string]bool{
		"PLAY": false, "PLAY; END_TIME=2026-06-01T00:00:00Z": true, "PLAY; INTERVAL=48h": false, "PLAY; INTERVAL=48h; END_TIME=2026-06-01T00:00:00Z": true,
		"PLAY; END_TIME=2026-06-01T00:00:00Z; RENDER": false, "MOVE=DOMAIN": true,
	} {
		if got := newLicense(t, text).Ends(); got != want {
			t.Errorf("%s: ends %v, want %v", text, got, want)
		}
	}
	if !newLicense(t, "PLAY; INTERVAL=48h", policy(func(p *license.Policy) { p.HardEnd = day0 + day })).Ends() {
		t.Error("hard_end is no end")
	}
}
