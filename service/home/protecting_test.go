package home

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// TestLibrary_4_DiskThatBecomesFull: a disk that becomes full while a film is packed is
// called that. What is free when the packer has given its room back would say nothing.
func TestLibrary_4_DiskThatBecomesFull(t *testing.T) {
	err := unpackable(fmt.Errorf("write a fragment: %w", &os.PathError{Op: "write", Path: "own", Err: syscall.ENOSPC}))
	var room *RoomError
	if !errors.Is(err, ErrDiskFull) || errors.As(err, &room) {
		t.Errorf("got %v", err)
	}
}
