package keystore

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxPIN bounds a PIN file, in bytes. Source: local; tokens take at most 255.
const maxPIN = 257

// ReadPIN reads the one line of a PIN file; the caller clears it. A file that
// others can read is refused: they would have the keys' use.
func ReadPIN(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the PIN: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the PIN: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > maxPIN {
		return nil, fmt.Errorf("the PIN file %s must be a file of one line that only its owner can read: chmod 600 %s", name, name)
	}
	pin := make([]byte, info.Size())
	if _, err := io.ReadFull(f, pin); err != nil {
		return nil, fmt.Errorf("read the PIN: %w", err)
	}
	return bytes.TrimRight(pin, "\r\n"), nil
}
