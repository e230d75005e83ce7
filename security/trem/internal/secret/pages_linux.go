package secret

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// pages maps n bytes of the kind.
func pages(kind Kind, n int) ([]byte, error) {
	b, err := mapped(kind, n)
	if err != nil {
		return nil, err
	}
	// A child would have them, too; the module starts none, and this makes sure.
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		return nil, errors.Join(fmt.Errorf("secret: keep pages from children: %w", err), unmap(b))
	}
	if kind == Secret {
		return b, nil // locked and not dumped by what they are
	}
	if err := unix.Mlock(b); err != nil {
		return nil, errors.Join(errFull, err, unmap(b))
	}
	if err := unix.Madvise(b, unix.MADV_DONTDUMP); err != nil {
		return nil, errors.Join(fmt.Errorf("secret: keep pages out of dumps: %w", err), unmap(b))
	}
	if err := unix.Madvise(b, unix.MADV_WIPEONFORK); err != nil { // Linux 4.14
		return nil, errors.Join(fmt.Errorf("secret: wipe pages in children: %w", err), unmap(b))
	}
	return b, nil
}

func mapped(kind Kind, n int) ([]byte, error) {
	if kind == Locked {
		b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil, fmt.Errorf("secret: map pages: %w", err)
		}
		return b, nil
	}
	fd, err := memfdSecret()
	if err != nil {
		return nil, fmt.Errorf("this kernel has no memfd_secret: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // the mapping holds the memory
	if err := unix.Ftruncate(fd, int64(n)); err != nil {
		return nil, fmt.Errorf("secret: size pages: %w", err)
	}
	b, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if errors.Is(err, unix.EAGAIN) {
		return nil, errFull
	}
	if err != nil {
		return nil, fmt.Errorf("secret: map pages: %w", err)
	}
	return b, nil
}

func unmap(b []byte) error {
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("secret: unmap pages: %w", err)
	}
	return nil
}
