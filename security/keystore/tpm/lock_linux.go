package tpm

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/lares-drm/lares/security/keystore"
)

// lockOFD is F_OFD_SETLK, a lock of the open file that ends with its last
// descriptor. Source: Linux, include/uapi/asm-generic/fcntl.h.
const lockOFD = 37

// lock keeps a counter to one process at a time: it locks the byte of the
// device whose number is the register's. An extended register needs none,
// because a copy that uses it shows (docs/spec/vault.md, section 5). What is not
// a file has one user anyway.
func lock(rw io.ReadWriter, f *file) error {
	file, ok := rw.(syscall.Conn)
	if !ok || f.Kind != Counter {
		return nil
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.FcntlFlock(fd, lockOFD, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(f.Index), Len: 1})
	})
	if errors.Is(failed, syscall.EAGAIN) || errors.Is(failed, syscall.EACCES) {
		return fmt.Errorf("%w: its register is in use by another process", keystore.ErrGone)
	}
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("keystore: lock the register: %w", err)
	}
	return nil
}
