//go:build unix

package simnv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
)

// reopener closes what it opened before it opens again.
func reopener[R io.Closer](t *testing.T, open func(string) (R, error)) func(*testing.T) R {
	file := filepath.Join(t.TempDir(), "nv")
	var closeLast func() error
	return func(t *testing.T) R {
		t.Helper()
		if closeLast != nil {
			if err := closeLast(); err != nil {
				t.Fatal(err)
			}
		}
		r, err := open(file)
		if err != nil {
			t.Fatal(err)
		}
		closeLast = r.Close
		return r
	}
}

func TestKeystore_SimulatedExtend(t *testing.T) {
	open := reopener(t, OpenExtend)
	keystoretest.RunAnchorer(t, func(t *testing.T) keystore.Anchorer { return open(t) })
}

func TestKeystore_SimulatedCounter(t *testing.T) {
	open := reopener(t, OpenCounter)
	keystoretest.RunCounter(t, func(t *testing.T) keystore.Counter { return open(t) })
}

func TestKeystore_SimulatedIsLevelA0(t *testing.T) {
	if Level != pki.A0 {
		t.Errorf("Level = %v", Level)
	}
}

func TestKeystore_SimulatedIsLockedAndOfOneKind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nv")
	r, err := OpenCounter(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounter(file); !errors.Is(err, ErrLocked) {
		t.Errorf("a second opening: %v, want ErrLocked", err)
	}
	if err := errors.Join(r.Increment(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenExtend(file); !errors.Is(err, ErrDamaged) {
		t.Errorf("a counter opened as the other kind: %v, want ErrDamaged", err)
	}
}

// TestKeystore_SimulatedSpecExample makes the file of docs/spec/keystore.md.
func TestKeystore_SimulatedSpecExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/keystore.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "## Simulated registers")
	if !ok {
		t.Fatal("the page has no such section")
	}
	parts := strings.Split(rest, "```")
	file := filepath.Join(t.TempDir(), "nv")
	r, err := OpenCounter(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 258 {
		if err := r.Increment(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(strings.Fields(strings.TrimPrefix(parts[1], "hex")), ""); hex.EncodeToString(got) != want {
		t.Errorf("the file is %x, the page has %s", got, want)
	}
}

// FuzzRegister: what is read is what would be written.
func FuzzRegister(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte(counterName), make([]byte, valueLen)...))
	f.Add([]byte(extendName))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{extendName, counterName} {
			v, err := parse(data, name)
			if err == nil && len(data) > 0 && !bytes.Equal(append([]byte(name), v[:]...), data) {
				t.Errorf("%x reads as %x", data, v)
			}
		}
	})
}
