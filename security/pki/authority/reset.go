package authority

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// TimeReset signs, with the root's key, that the clocks of a class's modules (0:
// of all) are not to stand above most. It is for modules that a signer of time led
// into the future; nothing else leads them back. now numbers it: a module obeys
// only what is newer than what it obeyed last.
func (a *Authority) TimeReset(class pki.Class, most, now time.Time) ([]byte, error) {
	root, err := a.ca(RootClass)
	if err != nil {
		return nil, err
	}
	t := revocation.TimeReset{Class: class, MaxLo: most.UnixMilli(), Serial: uint64(max(now.UnixMilli(), 1))}
	data, err := revocation.SignTimeReset(root.Signer, root.Root, t)
	if err != nil {
		return nil, fmt.Errorf("time reset: %w", err)
	}
	return data, nil
}
