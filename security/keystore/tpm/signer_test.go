package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/keystore/tpm"
)

func signers(chip *keystoretest.TPM, pin string) *tpm.Signers {
	return &tpm.Signers{
		Dial: func() (io.ReadWriteCloser, error) { return chip.Dial(), nil },
		PIN:  func() ([]byte, error) { return []byte(pin), nil },
	}
}

// use signs with a key and verifies with its public half.
func use(s *tpm.Signers, key []byte) error {
	signer, err := s.Open(key)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("a certificate"))
	sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	pub, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(pub, digest[:], sig) {
		return errors.New("the signature does not hold")
	}
	return nil
}

// TestKeystore_TPMSignersTakeNoPlace makes more keys than a TPM has places, uses
// them after a power cut, and finds neither a register nor a loaded object.
func TestKeystore_TPMSignersTakeNoPlace(t *testing.T) {
	chip := keystoretest.NewTPM(t)
	for _, pin := range []string{"", "4711"} {
		s := signers(chip, pin)
		var keys [][]byte
		for range 6 {
			key, err := s.New()
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		chip.Stop()
		chip.Start()
		for i, key := range keys {
			if err := use(s, key); err != nil {
				t.Errorf("PIN %q, key %d: %v", pin, i, err)
			}
		}
		if bytes.Contains(bytes.Join(keys, nil), []byte("4711")) {
			t.Error("the PIN lies in the file")
		}
	}
	w := wire{chip.Dial()}
	if n := len(indexes(t, w)) + len(loaded(t, w)); n != 0 {
		t.Errorf("%d registers and objects are left in the chip", n)
	}
}

// TestKeystore_TPMSignersRefuse: another chip, another PIN, a key that was changed.
func TestKeystore_TPMSignersRefuse(t *testing.T) {
	chip := keystoretest.NewTPM(t)
	good := signers(chip, "4711")
	key, err := good.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range []string{"4712", ""} {
		if err := use(signers(chip, pin), key); !errors.Is(err, keystore.ErrPIN) {
			t.Errorf("PIN %q: %v, want ErrPIN", pin, err)
		}
	}
	if err := use(good, key); err != nil {
		t.Errorf("after a wrong PIN: %v", err)
	}
	for i := range key {
		bad := bytes.Clone(key)
		bad[i] ^= 0x04
		if err := use(good, bad); !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrGone) {
			t.Errorf("byte %d changed: %v, want ErrDamaged or ErrGone", i, err)
		}
	}
	if err := use(signers(keystoretest.NewTPM(t), "4711"), key); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("another TPM: %v, want ErrGone", err)
	}
	away := &tpm.Signers{Dial: func() (io.ReadWriteCloser, error) { return nil, os.ErrNotExist }, PIN: good.PIN}
	if err := use(away, key); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("no TPM: %v, want ErrGone", err)
	}
	if _, err := away.New(); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("a new key without TPM: %v, want ErrGone", err)
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(wire{chip.Dial()}); err != nil {
		t.Fatal(err)
	}
	if err := use(good, key); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("after TPM2_Clear: %v, want ErrGone", err)
	}
}

// FuzzSignerKey: what is not a key of this chip is refused before the chip is asked.
func FuzzSignerKey(f *testing.F) {
	f.Add([]byte("LARESKG1"))
	f.Add([]byte("LARESKG1\x83\x40\xf4\x82\x40\x40"))
	s := &tpm.Signers{}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := s.Open(data); err != nil && !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%v, want ErrDamaged", err)
		}
	})
}

// TestKeystore_TPMSignerWorkedExample reads the key of docs/spec/ceremony.md.
func TestKeystore_TPMSignerWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/ceremony.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```hex TPM key\n")
	text, _, _ := strings.Cut(rest, "```")
	key, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	s := &tpm.Signers{}
	signer, err := s.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("%T", signer.Public())
	}
	point, err := pub.Bytes()
	if err != nil || hex.EncodeToString(point[1:5]) != "6453838f" {
		t.Errorf("public key %x, %v", point, err)
	}
	if err := use(signers(keystoretest.NewTPM(t), "4711"), key); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("in another TPM: %v, want ErrGone", err)
	}
	for n := range key {
		if _, err := s.Open(key[:n]); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%d bytes: %v, want ErrDamaged", n, err)
		}
	}
}
