//go:build !unix

package authority

import (
	"errors"
	"fmt"
)

// Lock is not available here, so neither is an authority in a folder.
func (OSDir) Lock() (unlock func(), err error) {
	return nil, fmt.Errorf("authority: lock: %w", errors.ErrUnsupported)
}
