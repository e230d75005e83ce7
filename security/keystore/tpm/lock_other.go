//go:build !linux

package tpm

import (
	"errors"
	"io"
)

// lock refuses a counter where it cannot be kept to one process.
func lock(_ io.ReadWriter, f *file) error {
	if f.Kind == Counter {
		return errors.New("keystore: a counter needs Linux; use the register that is extended")
	}
	return nil
}
