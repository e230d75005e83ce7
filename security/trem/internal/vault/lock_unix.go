//go:build unix

package vault

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the folder for this process, or says that another one has it.
func lock(dir *os.File) error {
	err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
