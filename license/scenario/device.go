package scenario

import (
	"fmt"

	"github.com/lares-drm/lares/license/profile"
)

// profileOf reads a profile header: the kind of device that the story's is.
func (s *Scenario) profileOf(h header) error {
	switch {
	case s.device != nil:
		return fmt.Errorf("profile: stands twice")
	case h.name != firstName:
		return fmt.Errorf("profile %s: a profile is the device's, not a license's: write \"profile: %s\"", h.name, h.value)
	}
	p, err := profile.Named(h.value)
	if err != nil {
		return fmt.Errorf("profile: %q is none: want home, mobile, automotive or cloud", h.value)
	}
	s.device = &p
	return nil
}

// bring is what a device of a kind brings where its licenses say nothing
// (docs/spec/profile.md). A device step or a grace step changes it again.
func (w *world) bring(p *profile.Profile) {
	w.env.Level, w.env.Anchor, w.env.Offline, w.env.Grace = p.Level, p.Anchor, p.Alone, p.Grace
}
