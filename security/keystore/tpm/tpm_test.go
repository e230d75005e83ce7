package tpm_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/keystore/tpm"
)

// bench is one software TPM, with a folder of keys for each test.
type bench struct {
	*keystoretest.TPM
	kind tpm.Register
	dirs map[*testing.T]string
}

func newBench(t *testing.T, kind tpm.Register) *bench {
	return &bench{TPM: keystoretest.NewTPM(t), kind: kind, dirs: map[*testing.T]string{}}
}

// open makes or opens the keys of a test.
func (b *bench) open(t *testing.T) keystore.Keystore {
	t.Helper()
	if b.dirs[t] == "" {
		b.dirs[t] = t.TempDir()
		return b.must(t, func(rw io.ReadWriter) (*tpm.Store, error) { return tpm.Create(b.dirs[t], rw, b.kind) })
	}
	return b.must(t, func(rw io.ReadWriter) (*tpm.Store, error) { return tpm.Open(b.dirs[t], rw) })
}

func (b *bench) must(t *testing.T, open func(io.ReadWriter) (*tpm.Store, error)) keystore.Keystore {
	t.Helper()
	s, err := open(b.Dial())
	if err != nil {
		t.Fatal(err)
	}
	return s.Keystore()
}

func kinds() map[string]tpm.Register {
	return map[string]tpm.Register{"extend": tpm.Extend, "counter": tpm.Counter}
}

func TestKeystore_1_ConformanceTPM(t *testing.T) {
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, kind)
			keystoretest.Run(t, keystoretest.Backend{
				Open:    b.open,
				Restart: func(*testing.T) { b.Stop(); b.Start() },
				Remove: func(t *testing.T) {
					b.Stop()
					t.Cleanup(b.Start)
				},
				Export: b.export,
			})
		})
	}
}

// wire is a connection that a test talks to a TPM by, beside the keystore.
type wire struct{ io.ReadWriter }

func (w wire) Send(in []byte) ([]byte, error) {
	if _, err := w.Write(in); err != nil {
		return nil, err
	}
	out := make([]byte, 4096)
	n, err := w.Read(out)
	return out[:n], err
}

// export asks the TPM for what it must not give: it holds a raw connection, on
// which the keystore's objects and sessions are still loaded.
func (b *bench) export(t *testing.T, _ keystore.Keystore) map[string]error {
	t.Helper()
	w := wire{b.Dial()}
	out := map[string]error{}
	for _, h := range loaded(t, w) {
		pub, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(w)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pub.OutPublic.Contents()
		if err != nil {
			t.Fatal(err)
		}
		a := p.ObjectAttributes
		if !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin {
			t.Errorf("object %#x: %+v", h, a)
		}
		name := pub.Name
		_, out["duplicate"] = tpm2.Duplicate{
			ObjectHandle:    tpm2.AuthHandle{Handle: h, Name: name, Auth: tpm2.PasswordAuth(nil)},
			NewParentHandle: tpm2.TPMRHNull, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
		}.Execute(w)
		_, out["unseal the key"] = tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: h, Name: name, Auth: tpm2.PasswordAuth(nil)}}.Execute(w)
		_, out["use without its value"] = tpm2.Sign{
			KeyHandle: tpm2.AuthHandle{Handle: h, Name: name, Auth: tpm2.PasswordAuth(nil)}, Digest: tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
			InScheme: tpm2.TPMTSigScheme{
				Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
			},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(w)
	}
	return out
}

func loaded(t *testing.T, w wire) []tpm2.TPMHandle {
	t.Helper()
	out, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x80 << 24, PropertyCount: 8}.Execute(w)
	if err != nil {
		t.Fatal(err)
	}
	list, err := out.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return list.Handle
}

// TestKeystore_TPMIsResetUnderneath: a machine that comes back from hibernation
// has reset its TPM, and what was loaded is gone. The keystore goes on.
func TestKeystore_TPMIsResetUnderneath(t *testing.T) {
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, kind)
			k := b.open(t)
			clock, ok := k.(keystore.Clock)
			if !ok {
				t.Fatal("no clock")
			}
			for range 3 {
				before, err := clock.Clock()
				if err != nil {
					t.Fatal(err)
				}
				b.Reset()
				after, err := clock.Clock()
				if err != nil || after.Resets != before.Resets+1 {
					t.Errorf("clock %+v, before the reset %+v: %v", after, before, err)
				}
				keystoretest.Use(t, k)
			}
		})
	}
}

// TestKeystore_TPMIsAnotherOrCleared: the keys are of one TPM, and of one owner.
func TestKeystore_TPMIsAnotherOrCleared(t *testing.T) {
	b, other := newBench(t, tpm.Extend), newBench(t, tpm.Extend)
	b.open(t)
	if _, err := tpm.Open(b.dirs[t], other.Dial()); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("with another TPM: %v, want ErrGone", err)
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(wire{b.Dial()}); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Open(b.dirs[t], b.Dial()); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("after TPM2_Clear: %v, want ErrGone", err)
	}
}

// TestKeystore_TPMRegisterIsTakenAway: the TPM's owner can delete a register.
// One that the owner makes in its place does not pass for it.
func TestKeystore_TPMRegisterIsTakenAway(t *testing.T) {
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, kind)
			b.open(t)
			w := wire{b.Dial()}
			index := onlyIndex(t, w)
			pub, err := tpm2.NVReadPublic{NVIndex: index}.Execute(w)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: index, Name: pub.NVName}}).Execute(w); err != nil {
				t.Fatal(err)
			}
			if _, err := tpm.Open(b.dirs[t], b.Dial()); !errors.Is(err, keystore.ErrGone) {
				t.Errorf("without its register: %v, want ErrGone", err)
			}
			p, err := pub.NVPublic.Contents()
			if err != nil {
				t.Fatal(err)
			}
			p.Attributes.Written = false
			w = wire{b.Dial()}
			if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(*p)}).Execute(w); err != nil {
				t.Fatal(err)
			}
			if name, err := tpm2.NVName(p); err != nil {
				t.Fatal(err)
			} else if at := (tpm2.AuthHandle{Handle: index, Name: *name, Auth: tpm2.PasswordAuth(nil)}); kind == tpm.Counter {
				_, err = tpm2.NVIncrement{AuthHandle: at, NVIndex: tpm2.NamedHandle{Handle: index, Name: *name}}.Execute(w)
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tpm.Open(b.dirs[t], b.Dial()); !errors.Is(err, keystore.ErrGone) {
				t.Errorf("with another register in its place: %v, want ErrGone", err)
			}
		})
	}
}

// onlyIndex is the one NV index in the owner's range.
func onlyIndex(t *testing.T, w wire) tpm2.TPMHandle {
	t.Helper()
	if all := indexes(t, w); len(all) != 1 {
		t.Fatalf("%d registers, want 1: %x", len(all), all)
	} else {
		return all[0]
	}
	return 0
}

func indexes(t *testing.T, w wire) (out []tpm2.TPMHandle) {
	t.Helper()
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x01800000, PropertyCount: 64}.Execute(w)
	if err != nil {
		t.Fatal(err)
	}
	list, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range list.Handle {
		if h>>24 == 1 {
			out = append(out, h)
		}
	}
	return out
}

// cut is a stream that ends after some messages, as a process that is killed.
type cut struct {
	io.ReadWriter
	left int
}

var errCut = errors.New("killed")

func (c *cut) Write(b []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, errCut
	}
	return c.ReadWriter.Write(b)
}

// TestKeystore_TPMCreationIsKilled ends the creation before and after each of
// its commands. It can be done again, and the TPM has one register in the end.
func TestKeystore_TPMCreationIsKilled(t *testing.T) {
	b := newBench(t, tpm.Extend)
	for at, done := 0, false; !done; at++ {
		dir := filepath.Join(t.TempDir(), "keys")
		_, err := tpm.Create(dir, &cut{b.Dial(), at}, tpm.Extend)
		done = err == nil
		switch {
		case done:
			t.Logf("%d commands", at)
		case !errors.Is(err, errCut):
			t.Fatalf("cut at %d: %v", at, err)
		default:
			s, err := tpm.Create(dir, b.Dial(), tpm.Extend)
			if errors.Is(err, keystore.ErrExists) { // all was there, only its opening was cut
				s, err = tpm.Open(dir, b.Dial())
			}
			if err != nil {
				t.Fatalf("after a cut at %d: %v", at, err)
			}
			keystoretest.Use(t, s.Keystore())
		}
		w := wire{b.Dial()}
		index := onlyIndex(t, w)
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Fatalf("cut at %d: %d files, %v", at, len(entries), err)
		}
		pub, err := tpm2.NVReadPublic{NVIndex: index}.Execute(w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: index, Name: pub.NVName}}).Execute(w); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeystore_TPMNeverASecondIdentity: what is there is never replaced, and a
// creation that is presented again does not make a new register for old keys.
func TestKeystore_TPMNeverASecondIdentity(t *testing.T) {
	b := newBench(t, tpm.Extend)
	dir := t.TempDir()
	if _, err := tpm.Open(dir, b.Dial()); !errors.Is(err, keystore.ErrNone) {
		t.Errorf("Open of an empty folder: %v, want ErrNone", err)
	}
	if _, err := tpm.Create(dir, b.Dial(), tpm.Extend); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Create(dir, b.Dial(), tpm.Extend); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	name := filepath.Join(dir, "keystore.lkt")
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name, filepath.Join(dir, "keystore.new")); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Create(dir, b.Dial(), tpm.Extend); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(name); err != nil || bytes.Equal(now, old) {
		t.Errorf("old keys came back: %v", err)
	}
	if err := os.WriteFile(name, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Open(dir, b.Dial()); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("old keys, whose register was deleted: %v, want ErrGone", err)
	}
}

// TestKeystore_TPMDamagedFile changes each byte of the file: that is noticed,
// and nothing is made anew.
func TestKeystore_TPMDamagedFile(t *testing.T) {
	b := newBench(t, tpm.Extend)
	b.open(t)
	name := filepath.Join(b.dirs[t], "keystore.lkt")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	conn := b.Dial()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x04
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tpm.Open(b.dirs[t], conn); !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrGone) {
			t.Errorf("byte %d changed: %v, want ErrDamaged or ErrGone", i, err)
		}
	}
	for _, n := range []int{0, 7, 8, len(good) - 1} {
		if err := os.WriteFile(name, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tpm.Open(b.dirs[t], conn); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%d bytes: %v, want ErrDamaged", n, err)
		}
	}
}
