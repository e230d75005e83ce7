//go:build pkcs11 && cgo

package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"os"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
)

func signerConfig(t *keystoretest.Token, pin string) SignerConfig {
	return SignerConfig{Module: t.Module, Token: t.Label, PIN: func() ([]byte, error) { return []byte(pin), nil }}
}

func use(s *Signers, cfg SignerConfig, key []byte) error {
	signer, err := s.Open(cfg, key)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("a certificate"))
	sig, err := signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if pub, ok := signer.Public().(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(pub, digest[:], sig) {
		return errors.New("the signature does not hold")
	}
	return nil
}

// TestKeystore_PKCS11Signers makes keys, uses them in turn and after the token
// was closed, and refuses a wrong PIN, a key that is gone and a token that is.
func TestKeystore_PKCS11Signers(t *testing.T) {
	soft := keystoretest.NewToken(t)
	cfg := signerConfig(soft, soft.PIN)
	s := new(Signers)
	t.Cleanup(func() { _ = s.Close() })
	var keys [3][]byte
	for i := range keys {
		said := 0
		if err := s.New(cfg, "Oak Street key", func(k []byte) error { keys[i] = k; said++; return nil }); err != nil || said != 2 {
			t.Fatalf("key %d, kept %d times: %v", i, said, err)
		}
	}
	for range 2 {
		for i, key := range keys {
			if err := use(s, cfg, key); err != nil {
				t.Errorf("key %d: %v", i, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pin := range []string{"wrong-pin", ""} {
		if err := use(s, signerConfig(soft, pin), keys[0]); !errors.Is(err, keystore.ErrPIN) {
			t.Errorf("PIN %q: %v, want ErrPIN", pin, err)
		}
	}
	if err := s.Remove(cfg, keys[0]); err != nil {
		t.Fatal(err)
	}
	if err := use(s, cfg, keys[0]); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("a key that is not there: %v, want ErrGone", err)
	}
	if err := use(s, cfg, keys[1]); err != nil {
		t.Errorf("after one that is not there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(soft.Dir, soft.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := use(s, cfg, keys[1]); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("without the token: %v, want ErrGone", err)
	}
	if err := os.Rename(soft.Dir+".away", soft.Dir); err != nil {
		t.Fatal(err)
	}
	if err := use(s, cfg, keys[1]); err != nil {
		t.Errorf("it is there again: %v", err)
	}
}

// TestKeystore_PKCS11SignerIsCutShort: what a crash leaves in the token can be
// removed by what was kept before, and passes for no key.
func TestKeystore_PKCS11SignerIsCutShort(t *testing.T) {
	soft := keystoretest.NewToken(t)
	cfg := signerConfig(soft, soft.PIN)
	s := new(Signers)
	t.Cleanup(func() { _ = s.Close() })
	var kept []byte
	killed := errors.New("killed")
	err := s.New(cfg, "Oak Street key", func(k []byte) error {
		if kept != nil {
			return killed
		}
		kept = k
		return nil
	})
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	if _, err := s.Open(cfg, kept); !errors.Is(err, keystore.ErrNone) {
		t.Errorf("an unfinished key: %v, want ErrNone", err)
	}
	count := func() (n int) {
		err := s.with(cfg, cfg.Token, "", func(tok *token, h pkcs11.SessionHandle) error {
			k, err := parseSigner(kept)
			if err != nil {
				return err
			}
			all, err := tok.objects(h, pkcs11.CKO_PRIVATE_KEY, k.ID)
			n = len(all)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("the crash left %d keys, want 1", n)
	}
	if err := s.Remove(cfg, kept); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d keys are left after Remove", n)
	}
}
