//go:build unix

package simnv

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lares-drm/lares/security/pki"
)

// Level is the anchor level of a module with a simulated register.
const Level = pki.A0

// Errors of opening.
var (
	// ErrLocked is returned when another process has the register.
	ErrLocked = errors.New("simnv: in use by another process")
	// ErrDamaged is returned for a file that is no register of this kind.
	ErrDamaged = errors.New("simnv: not a register of this kind")
)

// Layout of the file: name, then value. Source: local, docs/spec/keystore.md.
const (
	extendName  = "LARESNVX"
	counterName = "LARESNVC"
	nameLen     = 8
	valueLen    = 32 // bytes
)

// Extend is a register that is extended. It implements keystore.Anchorer.
type Extend struct{ register }

// OpenExtend opens the register in a file, or makes one of value zero.
func OpenExtend(file string) (*Extend, error) {
	r, err := open(file, extendName)
	return &Extend{r}, err
}

// Anchor is the register's value.
func (r *Extend) Anchor() ([32]byte, error) { return r.read() }

// Extend replaces the value by SHA-256(value ‖ h).
func (r *Extend) Extend(h [32]byte) error {
	v, err := r.read()
	if err != nil {
		return err
	}
	return r.write(sha256.Sum256(append(v[:], h[:]...)))
}

// Counter is a register that counts. It implements keystore.Counter.
type Counter struct{ register }

// OpenCounter opens the register in a file, or makes one of value zero.
func OpenCounter(file string) (*Counter, error) {
	r, err := open(file, counterName)
	return &Counter{r}, err
}

// Count is the register's value.
func (r *Counter) Count() (uint64, error) {
	v, err := r.read()
	return binary.BigEndian.Uint64(v[valueLen-8:]), err
}

// Increment adds one.
func (r *Counter) Increment() error {
	n, err := r.Count()
	if err != nil {
		return err
	}
	var v [valueLen]byte
	binary.BigEndian.PutUint64(v[valueLen-8:], n+1)
	return r.write(v)
}

// register is the file of either kind. A file of 40 bytes lies in one sector,
// which a disk writes whole or not at all.
type register struct {
	f    *os.File
	name string // of the kind
}

func open(file, name string) (r register, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return r, fmt.Errorf("simnv: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	r = register{f, name}
	if err == nil {
		err = syncDir(filepath.Dir(file))
	}
	if err == nil {
		_, err = r.read()
	}
	if err != nil {
		return register{}, errors.Join(err, f.Close())
	}
	return r, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("simnv: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r register) read() (v [valueLen]byte, err error) {
	data, err := os.ReadFile(r.f.Name())
	if err != nil {
		return v, fmt.Errorf("simnv: %w", err)
	}
	return parse(data, r.name)
}

// parse reads a register; an empty file is a new one.
func parse(data []byte, name string) (v [valueLen]byte, err error) {
	if len(data) == 0 {
		return v, nil
	}
	if len(data) != nameLen+valueLen || string(data[:nameLen]) != name {
		return v, ErrDamaged
	}
	return [valueLen]byte(data[nameLen:]), nil
}

func (r register) write(v [valueLen]byte) error {
	if _, err := r.f.WriteAt(append([]byte(r.name), v[:]...), 0); err != nil {
		return fmt.Errorf("simnv: %w", err)
	}
	if err := r.f.Sync(); err != nil {
		return fmt.Errorf("simnv: %w", err)
	}
	return nil
}

// Close gives the register back.
func (r register) Close() error { return r.f.Close() }
