//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
)

// bench is one software token, with a folder of keys for each test. A process
// has one keystore open at a time.
type bench struct {
	*keystoretest.Token
	dirs map[*testing.T]string
	last *Store
}

func newBench(t *testing.T) *bench {
	b := &bench{Token: keystoretest.NewToken(t), dirs: map[*testing.T]string{}}
	t.Cleanup(b.close)
	return b
}

func (b *bench) close() {
	if b.last != nil {
		_ = b.last.Close()
		b.last = nil
	}
}

func (b *bench) config(t *testing.T) Config {
	t.Helper()
	if b.dirs[t] == "" {
		b.dirs[t] = filepath.Join(t.TempDir(), "keys")
	}
	return Config{Dir: b.dirs[t], Module: b.Module, Token: b.Label, PIN: []byte(b.PIN)}
}

// open makes or opens the keys of a test.
func (b *bench) open(t *testing.T) keystore.Keystore {
	t.Helper()
	b.close()
	s, err := Open(b.config(t))
	if errors.Is(err, keystore.ErrNone) {
		s, err = Create(b.config(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.last = s
	return s
}

func TestKeystore_1_ConformancePKCS11(t *testing.T) {
	b := newBench(t)
	keystoretest.Run(t, keystoretest.Backend{
		Open:    b.open,
		Restart: func(*testing.T) { b.close() },
		Remove: func(t *testing.T) {
			if err := os.Rename(b.Dir, b.Dir+".away"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				b.close()
				if err := errors.Join(os.RemoveAll(b.Dir), os.Rename(b.Dir+".away", b.Dir)); err != nil {
					t.Fatal(err)
				}
			})
		},
		Export: b.export,
		WrongPIN: func(t *testing.T) error {
			b.close()
			cfg := b.config(t)
			cfg.PIN = []byte("wrong-pin")
			_, err := Open(cfg)
			return err
		},
	})
}

// export asks the token for what it must not give.
func (b *bench) export(t *testing.T, k keystore.Keystore) map[string]error {
	t.Helper()
	s, ok := k.(*Store)
	if !ok {
		t.Fatalf("%T", k)
	}
	h, err := s.token.session()
	if err != nil {
		t.Fatal(err)
	}
	ctx := s.token.ctx
	wrap, err := ctx.GenerateKey(h, mechanism(pkcs11.CKM_AES_KEY_GEN, nil), []*pkcs11.Attribute{
		attribute(pkcs11.CKA_VALUE_LEN, 32), attribute(pkcs11.CKA_WRAP, true), attribute(pkcs11.CKA_TOKEN, false),
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]error{}
	for name, o := range map[string]pkcs11.ObjectHandle{"identity": s.keys.identity, "delivery": s.keys.delivery, "seal": s.keys.seal} {
		_, out["read "+name] = ctx.GetAttributeValue(h, o, []*pkcs11.Attribute{attribute(pkcs11.CKA_VALUE, nil)})
		_, out["wrap "+name] = ctx.WrapKey(h, mechanism(pkcs11.CKM_AES_KEY_WRAP_PAD, nil), wrap, o)
		out["make extractable "+name] = ctx.SetAttributeValue(h, o, []*pkcs11.Attribute{attribute(pkcs11.CKA_EXTRACTABLE, true)})
		_, out["copy as extractable "+name] = ctx.CopyObject(h, o, []*pkcs11.Attribute{attribute(pkcs11.CKA_EXTRACTABLE, true), attribute(pkcs11.CKA_SENSITIVE, false)})
	}
	_, out["exchange with the identity key"] = ctx.DeriveKey(h, mechanism(pkcs11.CKM_ECDH1_DERIVE, pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, must(s.delivery.Bytes()))), s.keys.identity, sharedTemplate())
	return out
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestKeystore_PKCS11NeverASecondIdentity: what is there is not replaced, and
// what a creation that was cut short left in the token is removed.
func TestKeystore_PKCS11NeverASecondIdentity(t *testing.T) {
	b := newBench(t)
	cfg := b.config(t)
	if _, err := Open(cfg); !errors.Is(err, keystore.ErrNone) {
		t.Errorf("Open of an empty folder: %v, want ErrNone", err)
	}
	b.open(t)
	b.close()
	if _, err := Create(cfg); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	if n := b.count(t); n != 5 {
		t.Errorf("%d objects in the token, want 5", n)
	}
	if err := os.Rename(filepath.Join(cfg.Dir, keysFile), filepath.Join(cfg.Dir, pendingFile)); err != nil { // a crash before the last step
		t.Fatal(err)
	}
	b.open(t)
	b.close()
	if n := b.count(t); n != 5 {
		t.Errorf("%d objects in the token after a creation that was cut short, want 5", n)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, pendingFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pending file stays: %v", err)
	}
}

// raw logs in to the token beside the keystore.
func (b *bench) raw(t *testing.T, do func(*token, pkcs11.SessionHandle) error) {
	t.Helper()
	tok, err := connect(b.config(t), func(info pkcs11.TokenInfo) bool { return info.Label == b.Label })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tok.do(func(s pkcs11.SessionHandle) error { return do(tok, s) }), tok.close()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) count(t *testing.T) (n int) {
	t.Helper()
	b.raw(t, func(tok *token, s pkcs11.SessionHandle) error {
		if err := tok.ctx.FindObjectsInit(s, nil); err != nil {
			return err
		}
		all, _, err := tok.ctx.FindObjects(s, 100)
		n = len(all)
		return errors.Join(err, tok.ctx.FindObjectsFinal(s))
	})
	return n
}

// TestKeystore_PKCS11RefusesAKeyThatCanLeave puts another key in the place of
// the identity, one that its token would give away.
func TestKeystore_PKCS11RefusesAKeyThatCanLeave(t *testing.T) {
	b := newBench(t)
	cfg := b.config(t)
	b.open(t)
	b.close()
	f, err := load(cfg.Dir, keysFile)
	if err != nil {
		t.Fatal(err)
	}
	id := f.id(keystore.Identity)
	b.raw(t, func(tok *token, s pkcs11.SessionHandle) error {
		o, err := tok.object(s, pkcs11.CKO_PRIVATE_KEY, id)
		if err != nil {
			return err
		}
		return tok.ctx.DestroyObject(s, o)
	})
	if _, err := Open(cfg); !errors.Is(err, keystore.ErrGone) {
		t.Errorf("without its identity key: %v, want ErrGone", err)
	}
	b.raw(t, func(tok *token, s pkcs11.SessionHandle) error {
		pub, _, err := tok.ctx.GenerateKeyPair(s, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil),
			[]*pkcs11.Attribute{attribute(pkcs11.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})},
			[]*pkcs11.Attribute{
				attribute(pkcs11.CKA_TOKEN, true), attribute(pkcs11.CKA_PRIVATE, true), attribute(pkcs11.CKA_ID, id), attribute(pkcs11.CKA_SIGN, true),
				attribute(pkcs11.CKA_SENSITIVE, false), attribute(pkcs11.CKA_EXTRACTABLE, true),
			})
		if err != nil {
			return err
		}
		f.Identity, err = point(tok, s, pub)
		return err
	})
	if err := errors.Join(os.Remove(filepath.Join(cfg.Dir, keysFile)), write(cfg.Dir, keysFile, f)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("with an identity key that can leave: %v, want ErrDamaged", err)
	}
}

// TestKeystore_PKCS11AnotherKeyUnderTheName: the folder's public keys are those
// of the keys in the token.
func TestKeystore_PKCS11AnotherKeyUnderTheName(t *testing.T) {
	b := newBench(t)
	cfg := b.config(t)
	b.open(t)
	b.close()
	f, err := load(cfg.Dir, keysFile)
	if err != nil {
		t.Fatal(err)
	}
	f.Identity, f.Delivery = f.Delivery, f.Identity
	if err := os.Remove(filepath.Join(cfg.Dir, keysFile)); err != nil {
		t.Fatal(err)
	}
	if err := write(cfg.Dir, keysFile, f); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("keys that are exchanged: %v, want ErrDamaged", err)
	}
}

// TestKeystore_PKCS11Refusals: what is wrong is named.
func TestKeystore_PKCS11Refusals(t *testing.T) {
	b := newBench(t)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no such token":  {func(c *Config) { c.Token = "another" }, keystore.ErrGone},
		"wrong PIN":      {func(c *Config) { c.PIN = []byte("0000") }, keystore.ErrPIN},
		"no PIN":         {func(c *Config) { c.PIN = nil }, keystore.ErrPIN},
		"not a library":  {func(c *Config) { c.Module = os.DevNull }, nil},
		"no such folder": {func(c *Config) { c.Dir = filepath.Join(os.DevNull, "keys") }, nil},
	} {
		cfg := b.config(t)
		tc.change(&cfg)
		s, err := Create(cfg)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if n := b.count(t); n != 0 {
		t.Errorf("%d objects are left in the token", n)
	}
}
