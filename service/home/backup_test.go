package home_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
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
	k.code, k.got = k.code || len(o.Code) > 0, bytes.Clone(host)
	return trem.Backup{Generation: 1}, k.got, k.fails
}

func (k *keeper) Restore(_ context.Context, _ trem.RestoreOrder, file []byte) (trem.Restored, []byte, error) {
	return k.out, bytes.Clone(file), k.fails
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

// The packed copies of protected own films lie in the state folder, so their paths mean
// nothing on another machine; where `own` was copied there, they are shown again, and where
// it is lost, a film is protected anew once its protection was taken back.
func TestBackup_OwnFilmsArePathsOfThisMachine(t *testing.T) {
	p := newProtecting(t)
	id := p.film.ID
	if _, err := p.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.end()
	k := &keeper{Module: p.m, code: true}
	h := k.open(t, p.dir)
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	_, file, err := h.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var part struct{ Folders []string }
	if err := json.Unmarshal(file, &part); err != nil || !slices.Equal(part.Folders, []string{folder}) {
		t.Errorf("the backup names %v, %v; want %s", part.Folders, err, folder)
	}
	dir := t.TempDir()
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "own"), os.DirFS(filepath.Join(p.dir, "own"))); err != nil {
		t.Fatal(err)
	}
	q := ownHouse(t, dir, p.m, filepath.Dir(p.film.Path))
	q.agrees("restored, and own was copied", id, true)
	q.end()
	dir = t.TempDir()
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now}); err != nil {
		t.Fatal(err)
	}
	q = ownHouse(t, dir, p.m, filepath.Dir(p.film.Path))
	if _, err := q.Protect(t.Context(), id); !errors.Is(err, home.ErrProtected) {
		t.Errorf("own was lost, protect: %v", err)
	}
	if err := q.Unprotect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	q.agrees("own was lost, and the film is protected anew", id, true)
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

// The CA that devices know the house's HTTPS by is in a backup, and comes back but for
// a house that was stolen. Backups of earlier builds have none, and restore as ever.
func TestBackup_TheHousesCAComesBack(t *testing.T) {
	k := &keeper{Module: hometest.New(t, nil), code: true}
	secret, err := home.OpenTLS(t.TempDir(), ident.Device{1}, newClock().Now)
	if err != nil {
		t.Fatal(err)
	}
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: k, TLS: secret, Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	_, file, err := h.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile("testdata/host-part.json")
	if err != nil {
		t.Fatal(err)
	}
	cut, err := json.Marshal(map[string]any{"tls": map[string]any{"ca": secret.CA(), "key": []byte("none")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		file       []byte
		newCA      bool
		same, fail bool
	}{
		"as it was": {file: file, same: true}, "stolen": {file: file, newCA: true}, "of an earlier build": {file: []byte(`{"folders":null,"devices":null,"sources":null}`)},
		"the vector": {file: old}, "a key that is none": {file: cut, fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := home.OpenTLS(dir, ident.Device{2}, newClock().Now); err != nil { // the new server ran before
				t.Fatal(err)
			}
			before, err := os.ReadFile(filepath.Join(dir, "tls.json"))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: tc.file, NewCA: tc.newCA, Now: newClock().Now})
			if (err != nil) != tc.fail {
				t.Fatal(err)
			}
			after, err := os.ReadFile(filepath.Join(dir, "tls.json"))
			if err != nil {
				t.Fatal(err)
			}
			if had := tc.fail || tc.newCA || name == "of an earlier build"; slices.Equal(before, after) != had {
				t.Errorf("its own CA is there: %v, want %v", !had, had)
			}
			if info, err := os.Stat(filepath.Join(dir, "tls.json")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
			now, err := home.OpenTLS(dir, ident.Device{2}, newClock().Now)
			if err != nil || slices.Equal(now.CA(), secret.CA()) != tc.same {
				t.Errorf("the CA of the backup: %v, want %v (%v)", !tc.same, tc.same, err)
			}
		})
	}
}

// What adults said, and which folders are watched, comes back: one that is there shows its
// films at once, one that is not is a disk that is off, whose films come with it.
func TestBackup_WatchedFoldersAndRatingsComeBack(t *testing.T) {
	k, c := &keeper{Module: hometest.New(t, nil), code: true}, newClock()
	c.now = time.Now().Add(time.Hour) // so that the films are old
	start := func(dir string) *home.Home {
		h, err := home.New(home.Config{Dir: dir, Module: k, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := start(t.TempDir())
	here, off := hometest.OwnFilm(t, "Holidays.mp4"), hometest.OwnFilm(t, "Birthday.mp4")
	if err := os.WriteFile(filepath.Join(off, "Birthday.mp4"), demo(t, film.HD), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{here, off} {
		if _, err := h.Watch(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	adult, child, pin, age := home.Adult, home.Child, "1111", uint8(9)
	hours, err := home.ParseHours("07:00-19:30")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []home.PersonChange{{Name: new("Ada"), Kind: &adult, PIN: &pin}, {Name: new("Ben"), Kind: &child, Age: &age, Hours: &hours}} {
		if _, err := h.AddPerson(c); err != nil {
			t.Fatal(err)
		}
	}
	id := h.Films()[0].ID // that is not there at first
	if err := h.Rate(id, &age); err != nil {
		t.Fatal(err)
	}
	_, file, err := h.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(off, off+" off"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 {
		if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := home.Watched(dir); err != nil || !slices.Equal(got, []home.Found{{Folder: here}, {Folder: off, Away: true}}) {
		t.Errorf("watched: %+v, %v", got, err)
	}
	again := start(dir)
	again.Look(t.Context())
	if films := again.Films(); len(films) != 1 || films[0].Title != "Holidays" {
		t.Errorf("films: %+v", films)
	}
	for _, f := range again.Folders() {
		if f.Away != (f.Folder == off) {
			t.Errorf("%+v", f)
		}
	}
	if d := cmp.Diff(h.People(), again.People()); d != "" || again.Ratings()[id] != age {
		t.Errorf("people: %s, ratings %v", d, again.Ratings())
	}
	if err := os.Rename(off+" off", off); err != nil {
		t.Fatal(err)
	}
	again.Look(t.Context())
	for _, f := range again.Folders() {
		if f.Away || f.Films != 1 {
			t.Errorf("with its disk: %+v", f)
		}
	}
}

// What is in the part HOST is on the page: the vector, byte for byte as this program
// writes it, and the same without a CA, as earlier builds wrote it.
func TestBackup_HostPartOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	vector, err := os.ReadFile("testdata/host-part.json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(bytes.TrimSpace(vector))
	if !strings.Contains(string(page), "```json host\n"+text+"\n```") {
		t.Errorf("the page has another HOST part than testdata/host-part.json")
	}
	dir := t.TempDir()
	k := &keeper{Module: hometest.New(t, nil), code: true, out: trem.Restored{Members: []ident.Device{{2}}}}
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: vector, Now: newClock().Now}); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }
	secret, err := home.OpenTLS(dir, ident.Device{2}, now)
	if err != nil {
		t.Fatal(err)
	}
	h, err := home.New(home.Config{Dir: dir, Module: k, TLS: secret, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Backup(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, vector); err != nil {
		t.Fatal(err)
	}
	if got := string(k.got); got != want.String() {
		t.Errorf("a backup of what the vector restores:\n%s\nwant\n%s", got, want.String())
	}
}
