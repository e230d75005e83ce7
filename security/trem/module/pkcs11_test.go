//go:build pkcs11 && cgo

package module_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// shopInToken has the house's shop be a module in a process of its own, with its keys
// in a token.
func (h *house) shopInToken(token *keystoretest.Token) (b *box, cmd *exec.Cmd, pin string) {
	h.t.Helper()
	b = &box{t: h.t, dir: filepath.Join(h.t.TempDir(), "trem"), clock: &clock{rtc: h.now, boot: time.Minute}}
	h.must(os.Mkdir(b.dir, 0o700))
	pin = filepath.Join(h.t.TempDir(), "pin")
	h.must(os.WriteFile(pin, []byte(token.PIN+"\n"), 0o600))
	h.must(trem.KeyStorage{Kind: trem.StoragePKCS11, Module: token.Module, Token: token.Label, PINFile: pin, TokenDir: token.Dir}.Save(b.dir))
	cmd = b.spawn()
	h.must(b.Enroll(context.Background(), h.certifyAs(b, pki.LicenseIssuer, pkitest.Issuers, pki.SL1, pki.A0)))
	h.learn(b)
	st, err := b.Status(context.Background())
	h.must(err)
	b.id, h.issuer = st.Device, b // the shop is this module from now on
	h.learn(h.home)               // what the shop knows already
	return b, cmd, pin
}

// households is how many the one process of TestProfile_CloudShopPKCS11 serves.
const households = 200

// mostPerHousehold is how much memory its process may keep for each, in bytes.
// Source: local.
const mostPerHousehold = 64 << 10

// A service in a data center: one process, whose keys are in a token, sells to many
// households. What was made for one never answers another, also where the host
// confuses them; the process is killed in the middle, and goes on.
func TestProfile_CloudShopPKCS11(t *testing.T) {
	h := newHouse(t)
	b, cmd, _ := h.shopInToken(keystoretest.NewToken(t))
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	h.stock(cenc.SchemeCENC, filmID)
	var all []*box
	domains := map[ident.Domain]bool{}
	var first int
	for n := range households {
		home := h.box(pki.HomeServer, pkitest.HomeServers)
		h.learn(home)
		d, err := home.Found(t.Context())
		h.must(err)
		all, h.home, domains[d] = append(all, home), home, true
		h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)
		switch n {
		case households / 4:
			first = resident(t, cmd.Process.Pid)
		case 3*households/4 - 1:
			got := (resident(t, cmd.Process.Pid) - first) / (households / 2)
			if t.Logf("%d bytes for each household", got); got > mostPerHousehold {
				t.Errorf("%d bytes of memory for each household, at most %d", got, mostPerHousehold)
			}
			cmd = b.crash(cmd)
		}
	}
	if len(domains) != households {
		t.Errorf("%d households of %d", len(domains), households)
	}
	for n := 0; n+1 < households; n += 20 {
		h.confused(all[n], all[n+1])
	}
	for n, home := range all {
		held, err := home.Licenses(t.Context())
		h.must(err)
		want := 1
		if n%20 == 0 {
			want = 2
		}
		if len(held) != want {
			t.Errorf("household %d has %d licenses, want %d", n, len(held), want)
		}
	}
}

// confused asks for one household, and has the shop's host give what was made for it to
// another one, in each way that it can.
func (h *house) confused(one, other *box) {
	h.t.Helper()
	ctx := h.t.Context()
	request := func(home *box) trem.Event {
		o, err := home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
		h.must(err)
		for queue := o.Messages; len(queue) > 0; queue = queue[1:] {
			got, err := h.issuer.Receive(ctx, queue[0])
			h.must(err)
			for _, e := range got.Events {
				if e.Kind == trem.EventRequest {
					return e
				}
			}
			for _, m := range got.Messages { // it may ask for the household's certificates again
				back, err := home.Receive(ctx, m)
				h.must(err)
				queue = append(queue, back.Messages...)
			}
		}
		h.t.Fatal("no request comes to the shop")
		return trem.Event{}
	}
	mine, theirs := request(one), request(other)
	if mine.Domain == theirs.Domain {
		h.t.Fatal("the shop knows both by one name")
	}
	terms := h.sell(rental, filmID)(mine)
	terms.Info.ID[3] = 1 // a second one
	p, err := h.issuer.Prepare(ctx, terms)
	h.must(err)
	if _, err := h.issuer.Release(ctx, theirs.Handle, p.Sealed); err == nil {
		h.t.Error("what was made for one household is released to another")
	}
	four, err := h.issuer.Release(ctx, mine.Handle, p.Sealed)
	h.must(err)
	if got, err := other.Receive(ctx, four[0]); err == nil && slices.Contains(kinds(got.Events), trem.EventInstalled) {
		h.t.Error("another household installs it")
	}
	got, err := one.Receive(ctx, four[0])
	h.must(err)
	if !slices.Contains(kinds(got.Events), trem.EventInstalled) {
		h.t.Errorf("its own household does not: %+v", got.Events)
	}
}

// resident is a process's memory, in bytes. Source: proc(5), VmRSS.
func resident(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	t.Fatal("the kernel does not say how much memory it has")
	return 0
}

// TestTREM_PKCS11Behind runs an input TREM in a process of its own, with its
// keys in a token and its walls up. It opens a key delivery and sells: ECDH,
// signatures and seals are done in the token, whose library works inside the walls.
func TestTREM_PKCS11Behind(t *testing.T) {
	h := newHouse(t)
	token := keystoretest.NewToken(t)
	b, cmd, pin := h.shopInToken(token)
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx := context.Background()
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
