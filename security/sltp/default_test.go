package sltp

import (
	"testing"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Two endpoints that name no suites meet in the hybrid one, in one exchange; one
// that has suite 2 alone is met there in two.
func TestSLTP_1_DefaultPreference(t *testing.T) {
	for _, tc := range []struct {
		name string
		src  []Suite
		want Suite
		msgs int
	}{
		{"both", nil, edhoc.SuiteHybrid, 1},
		{"a small source", []Suite{edhoc.Suite2}, edhoc.Suite2, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, func(src, dst *Config) { src.Suites, dst.Suites = tc.src, nil })
			handle, out := h.open()
			firsts := 0
			for len(out) > 0 && firsts < 4 {
				if h.dst.byHandle[handle].state == waitMessage2 {
					firsts++
				}
				back, _ := h.deliver(h.src, out)
				if out, _ = h.deliver(h.dst, back); h.dst.byHandle[handle].state == waitMessage4 {
					break
				}
			}
			if got := h.dst.byHandle[handle].suite(); got != tc.want || firsts != tc.msgs {
				t.Errorf("%v after %d times message_1, want %v after %d", got, firsts, tc.want, tc.msgs)
			}
		})
	}
}
