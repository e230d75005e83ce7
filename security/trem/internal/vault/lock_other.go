//go:build !unix

package vault

import (
	"errors"
	"os"
)

// lock is not available here, so neither is a vault in a folder: only one with
// an FS of its own.
func lock(*os.File) error { return errors.ErrUnsupported }
