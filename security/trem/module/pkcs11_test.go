//go:build pkcs11 && cgo

package module_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_PKCS11Behind runs an input TREM in a process of its own, with its
// keys in a token and its walls up. It opens a key delivery and sells: ECDH,
// signatures and seals are done in the token, whose library works inside the walls.
func TestTREM_PKCS11Behind(t *testing.T) {
	h := newHouse(t)
	token := keystoretest.NewToken(t)
	b := &box{t: t, dir: filepath.Join(t.TempDir(), "trem"), clock: &clock{rtc: h.now, boot: time.Minute}}
	h.must(os.Mkdir(b.dir, 0o700))
	pin := filepath.Join(t.TempDir(), "pin")
	h.must(os.WriteFile(pin, []byte(token.PIN+"\n"), 0o600))
	h.must(trem.KeyStorage{Kind: trem.StoragePKCS11, Module: token.Module, Token: token.Label, PINFile: pin, TokenDir: token.Dir}.Save(b.dir))
	cmd := b.spawn()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx := context.Background()
	h.must(b.Enroll(ctx, h.certifyAs(b, pki.LicenseIssuer, pkitest.Issuers, pki.SL1, pki.A0)))
	h.learn(b)
	before, err := b.Status(ctx)
	h.must(err)
	if want := (trem.KeystoreStatus{Kind: trem.StoragePKCS11, Level: 2}); before.Keystore != want {
		t.Errorf("keystore %+v, want %+v", before.Keystore, want)
	}
	for _, w := range before.Walls {
		t.Logf("%s: %v (%s)", w.Name, w.Stands, w.Detail)
		if (w.Name == "seccomp" || w.Name == "no dump") && !w.Stands {
			t.Errorf("wall %s does not stand: %s", w.Name, w.Detail)
		}
	}

	b.id, h.issuer = before.Device, b // the shop is this module from now on
	h.learn(h.home)                   // what the shop knows already
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)

	cmd = b.crash(cmd)
	after, err := b.Status(ctx)
	h.must(err)
	if after.Device != before.Device || after.Keystore != before.Keystore {
		t.Errorf("after kill -9: device %v, keystore %+v", after.Device, after.Keystore)
	}
	h.must(cmd.Process.Kill())
	<-b.exited

	for name, tc := range map[string]struct{ spoil, mend func() error }{
		"a wrong PIN": {
			func() error { return os.WriteFile(pin, []byte("wrong\n"), 0o600) },
			func() error { return os.WriteFile(pin, []byte(token.PIN), 0o600) },
		},
		"a PIN that others can read": {
			func() error { return os.Chmod(pin, 0o640) },
			func() error { return os.Chmod(pin, 0o600) },
		},
		"no token": {
			func() error { return os.Rename(token.Dir, token.Dir+".away") },
			func() error { return os.Rename(token.Dir+".away", token.Dir) },
		},
	} {
		h.must(tc.spoil())
		b.spawn()
		if _, err := b.Status(ctx); err == nil {
			t.Errorf("%s: the module runs", name)
		}
		if err := <-b.exited; err == nil {
			t.Errorf("%s: the module ended without an error", name)
		}
		h.must(tc.mend())
		cmd = b.spawn()
		if s, err := b.Status(ctx); err != nil || s.Device != before.Device {
			t.Errorf("%s, mended: device %v, %v", name, s.Device, err)
		}
		h.must(cmd.Process.Kill())
		<-b.exited
	}
}
