//go:build unix

package authority

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock waits until no other process changes the authority; unlock ends it. The
// system ends it too when the process dies.
func (d OSDir) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(string(d), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR { //nolint:errorlint // Flock returns an Errno
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("authority: lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}
