package tpm

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
)

// bus is what lies between a module and its TPM: it writes down what passes, and
// may change a response.
type bus struct {
	io.ReadWriter
	seen    bytes.Buffer
	command []byte
	answer  func(command, response []byte) []byte
}

func (b *bus) Write(p []byte) (int, error) {
	b.command = bytes.Clone(p)
	b.seen.Write(p)
	return b.ReadWriter.Write(p)
}

func (b *bus) Read(p []byte) (int, error) {
	n, err := b.ReadWriter.Read(p)
	b.seen.Write(p[:n])
	if b.answer != nil {
		n = copy(p, b.answer(b.command, bytes.Clone(p[:n])))
	}
	return n, err
}

func code(command []byte) tpm2.TPMCC { return tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) }

// TestKeystore_TPMBusShowsNoSecret listens to all that passes while keys are
// made, opened and used.
func TestKeystore_TPMBusShowsNoSecret(t *testing.T) {
	p, dir := keystoretest.NewTPM(t), t.TempDir()
	b := &bus{ReadWriter: p.Dial()}
	if _, err := Create(dir, b, Extend); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := e.ECDH(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	keystoretest.Use(t, s.Keystore())
	for name, secret := range map[string][]byte{"seal key": s.secrets.seal[:], "authorization value": s.secrets.auth[:], "shared secret": shared} {
		if len(secret) != 32 || bytes.Contains(b.seen.Bytes(), secret) || bytes.Contains(b.seen.Bytes(), secret[:12]) {
			t.Errorf("the %s passes in clear", name)
		}
	}
	if !bytes.Contains(b.seen.Bytes(), peer.PublicKey().Bytes()[1:33]) {
		t.Error("this does not listen: the peer's key did not pass")
	}
}

// TestKeystore_TPMBusCannotForge changes each byte of the response to each
// command that says something about a secret or the register. It is noticed.
func TestKeystore_TPMBusCannotForge(t *testing.T) {
	p, dir := keystoretest.NewTPM(t), t.TempDir()
	b := &bus{ReadWriter: p.Dial()}
	s, err := Create(dir, b, Extend)
	if err != nil {
		t.Fatal(err)
	}
	k := extending{s}
	e, err := s.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cc tpm2.TPMCC
		do func() error
	}{
		"read":     {tpm2.TPMCCNVRead, func() error { _, err := k.Anchor(); return err }},
		"extend":   {tpm2.TPMCCNVExtend, func() error { return k.Extend([32]byte{1}) }},
		"exchange": {tpm2.TPMCCECDHZGen, func() error { _, err := e.ECDH(peer.PublicKey()); return err }},
	} {
		for at, size := headerLen, headerLen+1; at < size; at++ {
			b.answer = func(command, response []byte) []byte {
				if code(command) == tc.cc {
					size = len(response)
					response[at] ^= 0x01
				}
				return response
			}
			if err := tc.do(); err == nil {
				t.Errorf("%s: byte %d of the response changed, and nobody saw it", name, at)
			}
			b.answer = nil
			s.conn.err = nil
			if s.chip, _, err = start(s.conn, s.file); err != nil { // the session is out of step
				t.Fatal(err)
			}
		}
	}
	var old []byte
	replay := func(command, response []byte) []byte {
		if code(command) != tpm2.TPMCCNVRead {
			return response
		}
		if old == nil {
			old = response
		}
		return old
	}
	b.answer = replay
	if _, err := k.Anchor(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Anchor(); err == nil {
		t.Error("an old answer of the register passes for a new one")
	}
}

// patient is a bus that counts how often it was waited for.
type patient struct {
	*bus
	paused int
}

func (p *patient) Pause() { p.paused++ }

// TestKeystore_TPMIsWaitedFor: a TPM that is busy, or spares its memory, gets
// the command again; one that never comes back is gone.
func TestKeystore_TPMIsWaitedFor(t *testing.T) {
	chip := keystoretest.NewTPM(t)
	p := &patient{bus: &bus{ReadWriter: chip.Dial()}}
	s, err := Create(t.TempDir(), p, Extend)
	if err != nil {
		t.Fatal(err)
	}
	for _, rc := range []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate} {
		left := 3
		p.paused = 0
		stall := &stalling{bus: p.bus, rc: rc, left: &left}
		s.conn.rw = struct {
			io.ReadWriter
			Pauser
		}{stall, p}
		if err := (extending{s}).Extend([32]byte{2}); err != nil || p.paused != 3 {
			t.Errorf("%v: %v after %d pauses, want 3", rc, err, p.paused)
		}
	}
	forever := 1 << 20
	s.conn.rw = &stalling{bus: p.bus, rc: tpm2.TPMRCNVRate, left: &forever}
	if _, err := (extending{s}).Anchor(); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("a TPM that is always busy: %v, want ErrGone", err)
	}
}

// stalling is a TPM that answers the next commands with a code, and does not do them.
type stalling struct {
	*bus
	rc   tpm2.TPMRC
	left *int
	said bool
}

func (s *stalling) Write(b []byte) (int, error) {
	if s.said = *s.left > 0; s.said {
		*s.left--
		return len(b), nil
	}
	return s.bus.Write(b)
}

func (s *stalling) Read(b []byte) (int, error) {
	if s.said {
		return copy(b, binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, headerLen}, uint32(s.rc))), nil
	}
	return s.bus.Read(b)
}

// TestKeystore_TPMAnswersInPieces: a socket may cut a response anywhere.
func TestKeystore_TPMAnswersInPieces(t *testing.T) {
	p := keystoretest.NewTPM(t)
	conn := p.Dial()
	s, err := Create(t.TempDir(), struct {
		io.Reader
		io.Writer
	}{iotest.OneByteReader(conn), conn}, Extend)
	if err != nil {
		t.Fatal(err)
	}
	keystoretest.Use(t, s.Keystore())
}

// TestKeystore_TPMCounterIsHeldByOne: two openings of one counter are one too many.
func TestKeystore_TPMCounterIsHeldByOne(t *testing.T) {
	name := t.TempDir() + "/device"
	first, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	f, other := &file{Kind: Counter, Index: firstIndex + 7}, &file{Kind: Counter, Index: firstIndex + 8}
	if err := lock(first, f); err != nil {
		t.Fatal(err)
	}
	if err := lock(second, f); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("a second process: %v, want ErrGone", err)
	}
	if err := lock(second, other); err != nil {
		t.Errorf("another register of the same TPM: %v", err)
	}
	_ = first.Close()
	if err := lock(second, f); err != nil {
		t.Errorf("after the first ended: %v", err)
	}
}

// TestKeystore_TPMAuthHasNoZero: see newSecrets.
func TestKeystore_TPMAuthHasNoZero(t *testing.T) {
	for range 200 {
		s, err := newSecrets()
		if err != nil || bytes.IndexByte(s.auth[:], 0) >= 0 {
			t.Fatalf("%x, %v", s.auth, err)
		}
	}
}

func example(t testing.TB) []byte {
	t.Helper()
	page, err := os.ReadFile("../../../docs/spec/keystore.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "## Worked example of a TPM")
	if !ok {
		t.Fatal("the page has no such section")
	}
	text := strings.Split(rest, "```")[1]
	b, err := hex.DecodeString(strings.Join(strings.Fields(strings.TrimPrefix(text, "hex")), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeystore_TPMWorkedExample reads the file of docs/spec/keystore.md, and
// writes it again.
func TestKeystore_TPMWorkedExample(t *testing.T) {
	data := example(t)
	f, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if f.Kind != Extend || f.Index != 0x0190abcd {
		t.Errorf("register %d at %#x", f.Kind, f.Index)
	}
	pub, err := publicKey(keystore.Identity, f.Identity)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publicKey(keystore.Delivery, f.Delivery); err != nil {
		t.Error(err)
	}
	if _, err := publicKey(keystore.Identity, f.Delivery); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("a delivery key as identity: %v", err)
	}
	t.Logf("identity %x", sha256.Sum256(must(pub.Bytes())))
	if again, err := f.marshal(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("written again: %x, %v", again, err)
	}
	reg, err := f.register(true)
	if err != nil {
		t.Fatal(err)
	}
	if len(reg.name.Buffer) != nameLen {
		t.Errorf("name of %d bytes", len(reg.name.Buffer))
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzKeyFile: what is read is what would be written.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if err != nil {
			if !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			return
		}
		if again, err := got.marshal(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x reads as %x, %v", data, again, err)
		}
		for _, role := range []keystore.Role{keystore.Identity, keystore.Delivery} {
			if _, err := publicKey(role, got.Identity); err != nil && !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("%v key: %v, want ErrDamaged", role, err)
			}
		}
	})
}

// script is a TPM that answers everything with the same bytes.
type script struct {
	io.Reader
	io.Writer
}

// FuzzResponse gives the keystore what a broken TPM could answer: it ends, and
// nothing comes of it.
func FuzzResponse(f *testing.F) {
	f.Add([]byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0})
	f.Add([]byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x22})
	f.Add([]byte{0x80, 0x01, 0, 0, 0, 11, 0, 0, 0, 0})
	f.Add([]byte{0x80, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &conn{rw: script{bytes.NewReader(data), io.Discard}}
		for range 8 {
			out, err := c.Send([]byte("command"))
			if err != nil {
				if !errors.Is(err, keystore.ErrGone) {
					t.Errorf("%v, want ErrGone", err)
				}
				break
			}
			if len(out) < headerLen || len(out) > maxResponse || int(binary.BigEndian.Uint32(out[2:])) != len(out) {
				t.Errorf("a response of %d bytes: %x", len(out), out)
			}
		}
		if _, _, err := start(&conn{rw: script{bytes.NewReader(data), io.Discard}}, &file{Version: 1, Kind: Extend, Index: firstIndex}); err == nil {
			t.Error("a broken TPM has keys")
		}
	})
}
