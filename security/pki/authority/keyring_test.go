package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// safe is a place for keys in the memory of a test. What is kept of a key is its number.
type safe struct {
	keys   []crypto.Signer // nil where one was removed
	labels []string
	cut    bool  // New ends before the key is made
	closed error // what it says instead of signing
}

func (s *safe) New(label string, keep func([]byte) error) error {
	n := byte(len(s.keys))
	s.keys, s.labels = append(s.keys, nil), append(s.labels, label)
	if err := keep([]byte{n}); err != nil || s.cut {
		return errors.Join(err, errPower)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.keys[n] = opaque{key}
	return errors.Join(err, keep([]byte{n, 1}))
}

func (s *safe) Remove(ref []byte) error { s.keys[ref[0]] = nil; return nil }

func (s *safe) Open(ref []byte) (crypto.Signer, error) {
	if len(ref) == 1 {
		return nil, keystore.ErrNone
	}
	return lent{s, s.keys[ref[0]]}, nil
}

type lent struct {
	*safe
	crypto.Signer
}

func (l lent) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if l.closed != nil {
		return nil, l.closed
	}
	return l.Signer.Sign(r, digest, opts)
}

// left counts the keys that are in the place.
func (s *safe) left() int {
	return len(s.keys) - len(slices.DeleteFunc(slices.Clone(s.keys), func(k crypto.Signer) bool { return k != nil }))
}

func inSafe() authority.KeyPlan {
	return authority.KeyPlan{
		Places: map[string]authority.KeyPlace{"safe": {Kind: authority.PlaceTPM, TPM: "/dev/tpm0"}},
		Root:   "safe", FirstLevel: "safe", DeviceClass: "safe", Signers: "safe",
	}
}

func ring(t *testing.T, s *safe) authority.KeyringConfig {
	t.Helper()
	return authority.KeyringConfig{
		Dir: authority.OSDir(t.TempDir()), Plan: inSafe(),
		Open: func(authority.KeyPlace) (authority.Holder, error) { return s, nil },
		Help: func(authority.KeyPlace, error) string { return "look for it" },
	}
}

// TestPKI_4_Keyring: an authority whose keys are elsewhere does all that one with
// files does, and says where a key is that does not sign.
func TestPKI_4_Keyring(t *testing.T) {
	s := new(safe)
	cfg := ring(t, s)
	if _, err := authority.Ceremony(cfg.Dir, authority.Config{Keys: cfg.Plan}, start()); !errors.Is(err, authority.ErrConfig) {
		t.Errorf("a folder that has files only: %v, want ErrConfig", err)
	}
	_, err := authority.Ceremony(authority.NewKeyring(cfg), authority.Config{Name: "Elm", Keys: cfg.Plan}, start())
	must(t, err)
	k, err := authority.OpenKeyring(cfg)
	must(t, err)
	a, err := authority.Open(k)
	must(t, err)
	must(t, a.RotateRoot(start().Add(time.Hour)))
	c, err := a.Enroll(request(t, pki.Device), start())
	must(t, err)
	if _, err := verifier(t, a).Verify(c.Chain, start()); err != nil {
		t.Error(err)
	}
	if s.left() != 9 || s.labels[0] != "Elm key-0" || !slices.Contains(s.labels, "Elm key-root-2") {
		t.Errorf("%d keys: %q", s.left(), s.labels)
	}
	files, err := filepath.Glob(filepath.Join(string(cfg.Dir), "*.pem"))
	if err != nil || len(files) != 0 {
		t.Errorf("files of keys: %q, %v", files, err)
	}
	s.closed = fmt.Errorf("%w: pulled out", keystore.ErrGone)
	_, err = a.Enroll(request(t, pki.Device), start())
	e, ok := errors.AsType[*authority.PlaceError](err)
	if !ok || !errors.Is(err, keystore.ErrGone) || e.Key != "key-4097" || e.Name != "safe" || !strings.Contains(err.Error(), "TPM /dev/tpm0") || !strings.HasSuffix(err.Error(), ": look for it") {
		t.Errorf("a key that does not sign: %v", err)
	}
	s.closed = nil
	must(t, os.WriteFile(filepath.Join(string(cfg.Dir), "keys.json"), []byte(`{"signers": "attic"}`), 0o600))
	if _, err := authority.OpenKeyring(cfg); !errors.Is(err, authority.ErrConfig) {
		t.Errorf("a plan with a place that it does not describe: %v, want ErrConfig", err)
	}
	must(t, os.WriteFile(filepath.Join(string(cfg.Dir), "keys.json"), []byte(`{}`), 0o600))
	k, err = authority.OpenKeyring(cfg)
	must(t, err)
	if _, err := k.Key("key-0.pem"); err == nil || !strings.Contains(err.Error(), "no such place") {
		t.Errorf("a plan without the place of a key: %v", err)
	}
}

// TestPKI_4_KeyringCeremonyIsCutShort: what a ceremony that ended half way left
// behind goes with the next one, wherever that has its keys.
func TestPKI_4_KeyringCeremonyIsCutShort(t *testing.T) {
	for _, then := range []authority.KeyPlan{inSafe(), {}} {
		s := &safe{}
		cfg := ring(t, s)
		must(t, os.WriteFile(filepath.Join(string(cfg.Dir), "key-0.pem"), []byte("of a ceremony before"), 0o600))
		for _, n := range []int{0, 3} {
			s.cut = n == 0
			k := authority.NewKeyring(cfg)
			for i := range n {
				_, err := k.NewKey([]string{"key-0.pem", "key-1.pem", "key-4096.pem"}[i], authority.UseRoot, "")
				must(t, err)
			}
			if n == 0 {
				if _, err := k.NewKey("key-0.pem", authority.UseRoot, ""); !errors.Is(err, errPower) {
					t.Fatal(err)
				}
				if _, err := k.Key("key-0.pem"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a key that was not finished: %v", err)
				}
			}
		}
		cfg.Plan = inSafe()
		if then.Root == "" {
			cfg.Plan = authority.KeyPlan{Places: inSafe().Places}
		}
		_, err := authority.Ceremony(authority.NewKeyring(cfg), authority.Config{Keys: cfg.Plan}, start())
		must(t, err)
		k, err := authority.OpenKeyring(cfg)
		must(t, err)
		a, err := authority.Open(k)
		must(t, err)
		must(t, a.RotateRoot(start().Add(time.Hour)))
		want := 9
		if then.Root == "" {
			want = 0
		}
		if s.left() != want {
			t.Errorf("%d keys are in the place, want %d", s.left(), want)
		}
		if files, _ := filepath.Glob(filepath.Join(string(cfg.Dir), "key-*.*")); len(files) != 9 {
			t.Errorf("%q", files)
		}
	}
}

// TestPKI_4_CeremonyWorkedExample reads the ceremony and the reference of docs/spec/ceremony.md.
func TestPKI_4_CeremonyWorkedExample(t *testing.T) {
	data, err := os.ReadFile("../../../docs/spec/ceremony.md")
	must(t, err)
	page := string(data)
	block := func(start string) string {
		_, rest, ok := strings.Cut(page, start+"\n")
		text, _, end := strings.Cut(rest, "```")
		if !ok || !end {
			t.Fatalf("the page has no %s", start)
		}
		return text
	}
	cfg, err := authority.ParseConfig([]byte(block("```json")))
	if err != nil || cfg.Keys.Root != "safe" || cfg.Keys.DeviceClass != "board" || cfg.Keys.Signers != "" || len(cfg.Keys.Places) != 2 {
		t.Errorf("%+v, %v", cfg.Keys, err)
	}
	ref, err := hex.DecodeString(strings.Join(strings.Fields(block("```hex reference")), ""))
	must(t, err)
	place, kept, err := authority.ParseReference(ref)
	if err != nil || place != "safe" || !strings.HasPrefix(string(kept), "LARESKQ1") || len(kept) != 8+1+6+5+17+67 {
		t.Errorf("%q, %x, %v", place, kept, err)
	}
	for n := range ref {
		if _, _, err := authority.ParseReference(ref[:n]); err == nil {
			t.Errorf("%d bytes pass", n)
		}
	}
}

// FuzzReference: what is read is what would be written.
func FuzzReference(f *testing.F) {
	f.Add([]byte("LARESKR1\x82\x64safe\x41\x01"))
	f.Add([]byte("LARESKR1\x82\x60\x40"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		place, kept, err := authority.ParseReference(data)
		if err != nil {
			return
		}
		if again, err := authority.MarshalReference(place, kept); err != nil || string(again) != string(data) {
			t.Errorf("%x reads as %q, %x, and writes as %x, %v", data, place, kept, again, err)
		}
	})
}

// FuzzKeyPlan: a plan that is accepted describes every place that it names.
func FuzzKeyPlan(f *testing.F) {
	f.Add([]byte(`{"keys": {"places": {"board": {"keystore": "tpm", "tpm": "/dev/tpmrm0"}}, "root": "board"}}`))
	f.Add([]byte(`{"keys": {"signers": "attic"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := authority.ParseConfig(data)
		if err != nil {
			return
		}
		for _, at := range []string{cfg.Keys.Root, cfg.Keys.FirstLevel, cfg.Keys.DeviceClass, cfg.Keys.Signers} {
			if p := cfg.Keys.Places[at]; at != "" && at != authority.InFolder && p.Kind == "" {
				t.Errorf("%s: no place %q", data, at)
			}
		}
	})
}
