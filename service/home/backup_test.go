package home_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// keeper is a module whose backup is the host's part in the clear.
type keeper struct {
	*hometest.Module
	code  bool
	got   []byte
	fails error
	out   trem.Restored
}

func (k *keeper) RecoveryCode(context.Context) ([]byte, error) { return make([]byte, 32), k.fails }

func (k *keeper) Backup(_ context.Context, o trem.BackupOrder, host []byte) (trem.Backup, []byte, error) {
	k.code, k.got = k.code || len(o.Code) > 0, host
	return trem.Backup{Generation: 1}, host, k.fails
}

func (k *keeper) Restore(_ context.Context, _ trem.RestoreOrder, file []byte) (trem.Restored, []byte, error) {
	return k.out, file, k.fails
}

func (k *keeper) Succession(context.Context) (trem.Succession, error) {
	s := trem.Succession{Code: k.code}
	if k.code {
		s.Restore, s.Manager = []byte("restore"), [][]byte{k.State.Leaf}
	}
	return s, k.fails
}

func (k *keeper) Follow(context.Context, trem.Succession) (trem.Following, error) {
	return trem.Following{}, k.fails
}

func (k *keeper) open(t *testing.T, dir string) *home.Home {
	t.Helper()
	h, err := home.New(home.Config{Dir: dir, Module: k, Now: newClock().Now, Courier: func(context.Context, string, ident.Device, trem.Opened) ([]trem.Event, error) {
		return []trem.Event{{Kind: trem.EventInstalled, License: ident.License{1}}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What a restored host gets is what the lost one had, once, however often it is
// repeated; it asks again only for what its shop gives without counting.
func TestBackup_HostFilesComeBack(t *testing.T) {
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	k := &keeper{Module: hometest.New(t, keys)}
	k.OnOpen = func(trem.LicenseRequest) (trem.Opened, error) { return trem.Opened{}, nil }
	h := k.open(t, t.TempDir())
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	var asked []home.Wanted
	for _, id := range []ident.Content{"steady", "counted"} {
		w := home.Wanted{Content: id, URL: "http://shop", Peer: ident.Device{1}, Issuer: "shop"}
		if _, err := h.Fetch(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, w)
	}
	if _, _, err := h.Backup(t.Context(), nil); !errors.Is(err, home.ErrNoCode) {
		t.Fatalf("a first backup without a code: %v", err)
	}
	code, err := h.RecoveryCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, file, err := h.Backup(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	k.out.Titles = []trem.Title{{Content: "steady", Issuer: "shop", Needs: trem.NeedsIssuer}, {Content: "counted", Issuer: "shop", Needs: trem.NeedsState}}
	dir := t.TempDir()
	for range 2 {
		_, wanted, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(asked[:1], wanted); d != "" {
			t.Error(d)
		}
	}
	again := k.open(t, dir)
	if titles := again.Titles(); len(titles) != 1 {
		t.Errorf("%d titles in the library", len(titles))
	}
	if d := cmp.Diff(asked[:1], again.Waiting()); d != "" {
		t.Error(d)
	}
	if _, err := again.Succession(t.Context(), ident.Domain{9}); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("another house's ID: %v", err)
	}
	if s, err := again.Succession(t.Context(), k.State.Domain); err != nil || string(s.Restore) != "restore" {
		t.Errorf("succession: %+v %v", s, err)
	}
}

func TestBackup_AFailedRestoreWritesNothing(t *testing.T) {
	k := &keeper{Module: hometest.New(t, nil), fails: &trem.Error{Code: trem.CodeRejected, Text: "no"}}
	dir := t.TempDir()
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, Now: newClock().Now}); err == nil {
		t.Error("restored")
	}
	k.fails = nil
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: []byte("{"), Now: newClock().Now}); err == nil {
		t.Error("restored without the host's part")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("%d files left: %v", len(all), err)
	}
	if h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: newClock().Now}); err != nil {
		t.Error(err)
	} else if _, err := h.HasCode(t.Context()); !errors.Is(err, home.ErrNoBackup) {
		t.Errorf("a module that makes no backups: %v", err)
	}
	_, err := os.Stat(filepath.Join(dir, "sources.json"))
	if !os.IsNotExist(err) {
		t.Error(err)
	}
}
