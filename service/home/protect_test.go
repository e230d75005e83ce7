package home_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// protecting is a house that runs, with one film of its own.
type protecting struct {
	*testing.T
	*home.Home
	m    *hometest.Module
	dir  string
	film *home.Film
	free chan struct{} // closed: a busy house is not busy any more
	end  func()        // the house is off then
}

// ownHouse opens a house that has a film of its own in its folder films.
func ownHouse(t *testing.T, dir string, m *hometest.Module, films string) *protecting {
	t.Helper()
	return ownHouseWith(t, dir, m, m, films)
}

// ownHouseWith is ownHouse where another module stands before the house's.
func ownHouseWith(t *testing.T, dir string, before home.Module, m *hometest.Module, films string) *protecting {
	t.Helper()
	h, err := home.New(home.Config{Dir: dir, Module: before, Now: time.Now})
	if err == nil {
		_, err = h.Watch(t.Context(), films)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	p := &protecting{T: t, Home: h, m: m, dir: dir}
	p.end = func() {
		if cancel(); done == nil {
			return
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		done = nil
	}
	t.Cleanup(func() { p.end() })
	return p
}

func newProtecting(t *testing.T) *protecting {
	t.Helper()
	p := ownHouse(t, t.TempDir(), hometest.New(t, nil), hometest.OwnFilm(t, "Grandmother.mp4"))
	p.film = p.Films()[0]
	return p
}

// agrees waits until license and library say the same of the film, and nothing half is
// left in the folder of own films.
func (p *protecting) agrees(what string, id ident.Content, want bool) {
	p.Helper()
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = ""
		entries, err := os.ReadDir(filepath.Join(p.dir, "own"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.Fatal(err)
		}
		for _, e := range entries {
			got += e.Name() + " "
		}
		shown := ""
		if want {
			shown = strings.TrimPrefix(id.String(), home.OwnPrefix) + " "
		}
		held, err := p.m.Licenses(p.Context())
		t, unknown := p.Title(id)
		if err == nil && got == shown && (len(held) == 1) == want && (unknown == nil) == want && (!want || p.IsOwn(t)) && (len(p.Films()) == 0) == want {
			return
		}
		got = fmt.Sprintf("folder has %q, %d licenses, title %v, %d films", got, len(held), unknown, len(p.Films()))
	}
	p.Fatalf("%s: %s, want protected: %v", what, got, want)
}

// TestLibrary_4_ProtectAndBack: a film is packed under fresh keys and stands in the
// library once; it plays; nobody takes the protection back while it is lent; then it is
// the clear film again, which was never touched.
func TestLibrary_4_ProtectAndBack(t *testing.T) {
	p := newProtecting(t)
	id := p.film.ID
	before, err := os.Stat(p.film.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Protect(t.Context(), id)
	if err != nil || got.Content != id || got.Title != "Grandmother" || got.Clear != p.film.Path {
		t.Fatalf("Protect = %+v, %v", got, err)
	}
	p.agrees("protected", id, true)
	if f, ok := p.ClearOf(id); !ok || f.Path != p.film.Path {
		t.Errorf("the clear file: %v, %v", f, ok)
	}
	if _, _, err := p.OpenFilm(id); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("the house serves the clear file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(got.Folder, packager.KeysName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the sealed keys are left: %v", err)
	}
	play, err := p.Play(t.Context(), home.PlayRequest{Content: id})
	if err != nil {
		t.Fatal(err)
	}
	title, err := p.Title(id)
	if err != nil || title.Rated != nil {
		t.Fatalf("title = %+v, %v: nobody has rated it", title, err)
	}
	for i := range title.Tracks {
		if data, err := p.Segment(t.Context(), play.ID, title.Tracks[i].Name, 0); err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", title.Tracks[i].Name, len(data), err)
		}
	}
	if _, err := p.Protect(t.Context(), id); !errors.Is(err, home.ErrProtected) {
		t.Errorf("again: %v", err)
	}
	p.m.Lock()
	p.m.Held[0].Phase = license.Lent.String()
	p.m.Unlock()
	var no *trem.RefusalError
	if err := p.Unprotect(t.Context(), id); !errors.As(err, &no) || !no.Decision.Has(license.LentOut) {
		t.Errorf("while it is lent: %v", err)
	}
	p.agrees("lent", id, true)
	p.m.Lock()
	p.m.Held[0].Phase = license.Held.String()
	p.m.Unlock()
	if err := p.Unprotect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.agrees("taken back", id, false)
	if _, err := p.Playing(play.ID); !errors.Is(err, home.ErrStopped) {
		t.Errorf("it plays on: %v", err)
	}
	if after, err := os.Stat(p.film.Path); err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the clear file was touched: %v", err)
	}
	if err := p.Unprotect(t.Context(), id); !errors.Is(err, home.ErrNotProtected) {
		t.Errorf("again: %v", err)
	}
}

// TestLibrary_4_TheTitleStaysAfterARestart, also without its clear file.
func TestLibrary_4_TheTitleStaysAfterARestart(t *testing.T) {
	p := newProtecting(t)
	id := p.film.ID
	if _, err := p.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.end()
	if err := os.Remove(p.film.Path); err != nil {
		t.Fatal(err)
	}
	q := ownHouse(t, p.dir, p.m, filepath.Dir(p.film.Path))
	q.agrees("restarted", id, true)
	if _, ok := q.ClearOf(id); ok {
		t.Error("the clear file is there")
	}
}

// TestLibrary_4_RelativeStateFolder: a house whose state folder was typed as a relative
// path knows what it has protected, and shows no clear file beside it.
func TestLibrary_4_RelativeStateFolder(t *testing.T) {
	dir, m, films := t.TempDir(), hometest.New(t, nil), hometest.OwnFilm(t, "Grandmother.mp4")
	t.Chdir(dir)
	p := ownHouse(t, "house", m, films)
	id := p.Films()[0].ID
	if _, err := p.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.agrees("protected", id, true)
	if _, _, err := p.OpenFilm(id); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("the house serves the clear file: %v", err)
	}
	if err := p.Unprotect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.agrees("taken back", id, false)
}

// TestLibrary_4_NobodyRatedIt: a child sees it when an adult has said from which age it
// is, as with any title.
func TestLibrary_4_NobodyRatedIt(t *testing.T) {
	p := newProtecting(t)
	add(t, p.Home, said("Ada", home.Adult, -1, "", "1234"))
	ben := add(t, p.Home, said("Ben", home.Child, 9, "", ""))
	if _, err := p.Protect(t.Context(), p.film.ID); err != nil {
		t.Fatal(err)
	}
	var asked *license.Person
	p.m.Decide = func(a trem.Ask) license.Decision {
		asked = a.Person
		return license.Decision{Allow: true}
	}
	rated := func() uint8 {
		t.Helper()
		if _, err := p.Rights(home.As(t.Context(), &home.Watcher{Person: ben}), p.film.ID); err != nil || asked == nil {
			t.Fatalf("asked for %v, %v", asked, err)
		}
		return asked.Rated
	}
	if got := rated(); got != 100 {
		t.Errorf("rated from %d, want from no age that a child has", got)
	}
	six := uint8(6)
	if err := p.Rate(p.film.ID, &six); err != nil {
		t.Fatal(err)
	}
	if got := rated(); got != 6 {
		t.Errorf("rated from %d, want 6", got)
	}
}

// TestLibrary_4_TwinOfAnotherHouse: the copy of another house that has the same file does
// not take the place of the house's own, which alone it has keys for; and what is lent to
// the house is not protected meanwhile.
func TestLibrary_4_TwinOfAnotherHouse(t *testing.T) {
	p := newProtecting(t)
	id := p.film.ID
	loan := trem.Held{License: ident.License{1}, Content: id, House: true, Kind: uint64(license.KindLoan)}
	p.m.Lock()
	p.m.Held = append(p.m.Held, loan)
	p.m.Unlock()
	if err := p.BeginProtect(t.Context(), id); !errors.Is(err, home.ErrBorrowed) {
		t.Errorf("protect what is lent to the house: %v", err)
	}
	p.m.Lock()
	p.m.Held = nil // the loan is over
	p.m.Unlock()
	got, err := p.Protect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stick := filepath.Join(t.TempDir(), "twin")
	if err := os.CopyFS(stick, os.DirFS(got.Folder)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(stick); !errors.Is(err, home.ErrTwin) {
		t.Errorf("add another house's copy: %v", err)
	}
	if _, err := p.Add(got.Folder); err != nil {
		t.Errorf("add the house's own again: %v", err)
	}
	p.agrees("with a twin", id, true)
	if err := p.Unprotect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if title, err := p.Add(stick); err != nil || title.Folder() != stick {
		t.Errorf("add it when the protection is back: %v", err)
	}
}

// TestLibrary_4_Refusals: what cannot be protected is refused before anything is written,
// and what fails on the way leaves nothing.
func TestLibrary_4_Refusals(t *testing.T) {
	p := newProtecting(t)
	for _, id := range []ident.Content{"urn:film", home.OwnPrefix + "0", home.OwnPrefix + ident.Content(strings.Repeat("0", 32))} {
		if err := p.BeginProtect(t.Context(), id); !errors.Is(err, home.ErrUnknown) {
			t.Errorf("protect %v: %v", id, err)
		}
		if err := p.Unprotect(t.Context(), id); !errors.Is(err, home.ErrNotProtected) {
			t.Errorf("unprotect %v: %v", id, err)
		}
	}
	if err := p.Unprotect(t.Context(), home.OwnPrefix+"../library.json"); !errors.Is(err, home.ErrNotProtected) {
		t.Errorf("a name that leads out: %v", err)
	}
	data, err := os.ReadFile(p.film.Path)
	if err != nil {
		t.Fatal(err)
	}
	other, old := filepath.Join(filepath.Dir(p.film.Path), "Other.mp4"), time.Now().Add(-time.Hour)
	odd := []byte(strings.ReplaceAll(string(data), "avc1", "mp4v"))
	if err := errors.Join(os.WriteFile(other, odd, 0o600), os.Chtimes(other, old, old)); err != nil {
		t.Fatal(err)
	}
	p.Look(t.Context())
	odd = nil
	for _, f := range p.Films() {
		if f.Path != other {
			continue
		}
		var no *home.UnpackableError
		if err := p.BeginProtect(t.Context(), f.ID); !errors.As(err, &no) || !strings.Contains(no.Why, `codec "mp4v" of the video track`) || strings.Contains(no.Why, "packager") {
			t.Errorf("a codec that is not packed: %v", err)
		}
		odd = data
	}
	if odd == nil {
		t.Fatal("the house has no such film")
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	p.Look(t.Context())
	p.m.OnProtect = func() error { return &trem.Error{Code: trem.CodeRejected, Text: "no"} }
	if _, err := p.Protect(t.Context(), p.film.ID); err == nil {
		t.Error("protected without the module")
	}
	if now, asked := p.ProtectingOf(p.film.ID); !asked || now.Err == nil {
		t.Errorf("how it ended: %+v, %v", now, asked)
	}
	p.agrees("refused by the module", p.film.ID, false)
	p.m.OnProtect = nil
	if _, err := p.Protect(t.Context(), p.film.ID); err != nil {
		t.Errorf("tried again: %v", err)
	}
}

// TestLibrary_4_WhatACrashLeaves: whatever was done when the plug was pulled, a start
// brings license and folder together.
func TestLibrary_4_WhatACrashLeaves(t *testing.T) {
	for _, tc := range []struct {
		name       string
		left       string // name of the packed folder, with HEX for the film's
		keys, held bool   // the sealed keys are in it; the license is there
		want       bool
		other      bool // the keys are for another certificate than the module's
		no         bool // the module issues nothing any more
		stays      bool // the folder is left where it is
	}{
		{name: "packing", left: ".HEX.packing", keys: true},
		{name: "a folder of the packer", left: ".lares-pack-123", keys: true},
		{name: "packed, and no license yet", left: ".HEX.ready", keys: true, want: true},
		{name: "packed, and the module takes it not", left: ".HEX.ready", keys: true, other: true},
		{name: "packed, and another home server took the house over", left: ".HEX.ready", keys: true, no: true},
		{name: "licensed, with its keys", left: ".HEX.ready", keys: true, held: true, want: true},
		{name: "licensed, with keys for an older certificate", left: ".HEX.ready", keys: true, held: true, other: true, want: true},
		{name: "licensed, with its keys, and another home server took the house over", left: ".HEX.ready", keys: true, held: true, no: true, want: true},
		{name: "licensed, and not in its place", left: ".HEX.ready", held: true, want: true},
		{name: "in its place, and not in the library", left: "HEX", held: true, want: true},
		{name: "in its place, and no license", left: "HEX", stays: true},
		{name: "taken back, and not removed", left: ".HEX.ready"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			films, dir, m := hometest.OwnFilm(t, "Grandmother.mp4"), t.TempDir(), hometest.New(t, nil)
			h := open(t, t.TempDir(), m, &clock{time.Now()})
			if _, err := h.Watch(t.Context(), films); err != nil {
				t.Fatal(err)
			}
			id := h.Films()[0].ID
			to := m.State.Delivery
			if tc.other {
				to = hometest.New(t, nil).State.Delivery
			}
			left := filepath.Join(dir, "own", strings.Replace(tc.left, "HEX", strings.TrimPrefix(id.String(), home.OwnPrefix), 1))
			if err := os.Mkdir(filepath.Dir(left), 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := packager.Pack(t.Context(), packager.Config{Inputs: []string{h.Films()[0].Path}, Dir: left, Content: id, Title: "Grandmother", Recipient: to}); err != nil {
				t.Fatal(err)
			}
			keys := filepath.Join(left, packager.KeysName)
			if tc.held {
				m.Held = []trem.Held{{Content: id, House: true, Phase: license.Held.String()}}
			}
			if tc.no {
				m.OnProtect = func() error { return &trem.Error{Code: trem.CodeState, Text: "another home server manages this house"} }
			}
			if !tc.keys {
				if err := os.Remove(keys); err != nil {
					t.Fatal(err)
				}
			}
			p := ownHouse(t, dir, m, films)
			p.end() // it has settled what was left
			if !tc.stays {
				p.agrees(tc.name, id, tc.want)
				return
			}
			if _, err := p.Title(id); !errors.Is(err, home.ErrUnknown) || len(p.Films()) != 1 || !home.IsPacked(left) {
				t.Errorf("title: %v, %d films, folder: %v", err, len(p.Films()), home.IsPacked(left))
			}
			q := ownHouse(t, dir, m, films)
			if _, err := q.Protect(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			q.agrees("protected anew", id, true)
		})
	}
}

// TestLibrary_4_DiskThatIsOff: a film whose packed folder is on a disk that is off stays
// protected, also after a start, and is there again with the disk; taken back meanwhile it
// is the clear film, and its copy comes back as nothing.
func TestLibrary_4_DiskThatIsOff(t *testing.T) {
	p := newProtecting(t)
	id, films := p.film.ID, filepath.Dir(p.film.Path)
	if _, err := p.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.end()
	own, disk := filepath.Join(p.dir, "own"), filepath.Join(t.TempDir(), "disk")
	off := func() error { return errors.Join(os.Rename(own, disk), os.Mkdir(own, 0o700)) } // the mount point stays
	on := func() error { return errors.Join(os.Remove(own), os.Rename(disk, own)) }
	start := func(change func() error) *protecting {
		t.Helper()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		return ownHouse(t, p.dir, p.m, films)
	}
	q := start(off)
	q.end()
	if _, err := q.Title(id); !errors.Is(err, home.ErrUnknown) || len(q.Films()) != 0 {
		t.Errorf("off: title %v, %d films", err, len(q.Films()))
	}
	q = start(on)
	q.agrees("on again", id, true)
	q.end()
	q = start(off)
	if err := q.Unprotect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	q.agrees("taken back", id, false)
	q.end()
	q = start(on)
	q.end()
	if _, err := q.Title(id); !errors.Is(err, home.ErrUnknown) || len(q.Films()) != 1 {
		t.Errorf("on after it was taken back: title %v, %d films", err, len(q.Films()))
	}
}

// TestLibrary_4_LostReply: when a module ends before it has answered, nobody knows
// whether it has done it. A second try, or a start, finds out, and no film is packed twice
// or shown without a license.
func TestLibrary_4_LostReply(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("tried again %v", again), func(t *testing.T) {
			p := newProtecting(t)
			id, films := p.film.ID, filepath.Dir(p.film.Path)
			lost := func(do func() error) {
				t.Helper()
				p.m.Unheard = func() error { return fmt.Errorf("%w: it ended", trem.ErrStream) }
				if err := do(); !errors.Is(err, trem.ErrStream) {
					t.Fatal(err)
				}
				p.m.Unheard = nil
				var err error
				if again {
					err = do()
				} else {
					p.end()
					p = ownHouse(t, p.dir, p.m, films)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			lost(func() error {
				got, err := p.Protect(t.Context(), id)
				if err == nil && (got.Title != "Grandmother" || got.Clear != filepath.Join(films, "Grandmother.mp4")) {
					t.Errorf("Protect = %+v", got)
				}
				return err
			})
			p.agrees("protected", id, true)
			title, err := p.Title(id)
			if err != nil || len(p.m.Keys) != 1 {
				t.Fatalf("%d keys, %v: it was packed twice", len(p.m.Keys), err)
			}
			if _, ok := p.m.Keys[title.Tracks[0].KID]; !ok {
				t.Error("the module has not the keys of what is shown")
			}
			lost(func() error { return p.Unprotect(t.Context(), id) })
			p.agrees("taken back", id, false)
		})
	}
}

// packedThen is a module that does something when it is asked for its status, and knows
// whether a film is packed whose keys are not sealed.
type packedThen struct {
	*hometest.Module
	dir string
	do  func(ctx context.Context, packed bool, st *trem.Status) error
}

func (m *packedThen) Status(ctx context.Context) (trem.Status, error) {
	st, err := m.Module.Status(ctx)
	if err != nil {
		return st, err
	}
	packed, err := filepath.Glob(filepath.Join(m.dir, "own", ".*.packing"))
	if err == nil {
		err = m.do(ctx, len(packed) > 0, &st)
	}
	return st, err
}

// TestLibrary_4_RenewedWhileItPacks: the keys are sealed to the certificate that the
// module has when all is packed.
func TestLibrary_4_RenewedWhileItPacks(t *testing.T) {
	m, dir := hometest.New(t, nil), t.TempDir()
	old := hometest.New(t, nil).State.Delivery
	p := ownHouseWith(t, dir, &packedThen{m, dir, func(_ context.Context, packed bool, st *trem.Status) error {
		if !packed {
			st.Delivery = old
		}
		return nil
	}}, m, hometest.OwnFilm(t, "Grandmother.mp4"))
	id := p.Films()[0].ID
	if _, err := p.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.agrees("protected", id, true)
}

// busyHouse is a house with so many films of its own, of which the first that is
// protected stays where it is packed and not sealed, until it is called off.
func busyHouse(t *testing.T, films int) (p *protecting, started chan struct{}) {
	t.Helper()
	m, dir, folder := hometest.New(t, nil), t.TempDir(), hometest.OwnFilm(t, "Film.mp4")
	data, err := os.ReadFile(filepath.Join(folder, "Film.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for i := 1; i < films; i++ {
		path := filepath.Join(folder, fmt.Sprintf("Film %d.mp4", i))
		free := []byte{0, 0, 0, 9, 'f', 'r', 'e', 'e', byte(i)} // a box that says nothing
		if err := errors.Join(os.WriteFile(path, slices.Concat(data, free), 0o600), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	started = make(chan struct{})
	var once sync.Once
	free := make(chan struct{})
	p = ownHouseWith(t, dir, &packedThen{m, dir, func(ctx context.Context, packed bool, _ *trem.Status) (err error) {
		if packed {
			select {
			case <-free:
			default:
				once.Do(func() { close(started) }) // also by who looks whether the module is there
				<-ctx.Done()
				err = ctx.Err()
			}
		}
		return err
	}}, m, folder)
	if len(p.Films()) != films {
		t.Fatalf("%d films, want %d", len(p.Films()), films)
	}
	p.free = free
	return p, started
}

// TestLibrary_4_CalledOff: taking the protection back ends one that is not done, while it
// is packed and while it waits for its turn.
func TestLibrary_4_CalledOff(t *testing.T) {
	p, started := busyHouse(t, 2)
	films := p.Films()
	ended := make(chan error, 2)
	protect := func(f *home.Film) {
		go func() {
			_, err := p.Protect(t.Context(), f.ID)
			ended <- err
		}()
	}
	protect(films[0])
	<-started
	protect(films[1])
	for _, asked := p.ProtectingOf(films[1].ID); !asked; _, asked = p.ProtectingOf(films[1].ID) {
		time.Sleep(time.Millisecond)
	}
	for _, f := range []*home.Film{films[1], films[0]} {
		if err := p.Unprotect(t.Context(), f.ID); err != nil {
			t.Errorf("%s: %v", f.Title, err)
		}
		if err := <-ended; !errors.Is(err, home.ErrWithdrawn) {
			t.Errorf("%s: who waits hears %v", f.Title, err)
		}
		if now, asked := p.ProtectingOf(f.ID); asked {
			t.Errorf("%s: it goes on: %+v", f.Title, now)
		}
		if err := p.Unprotect(t.Context(), f.ID); !errors.Is(err, home.ErrNotProtected) {
			t.Errorf("%s: again: %v", f.Title, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(p.dir, "own")); err != nil || len(left) != 0 || len(p.m.Held) != 0 {
		t.Errorf("left: %v, %v, %d licenses", left, err, len(p.m.Held))
	}
	close(p.free)
	if _, err := p.Protect(t.Context(), films[1].ID); err != nil {
		t.Errorf("asked for anew: %v", err)
	}
}

// TestLibrary_4_Queue: who comes when so many wait is told that, and a house that goes off
// ends all that wait.
func TestLibrary_4_Queue(t *testing.T) {
	p, started := busyHouse(t, 66)
	films := p.Films()
	ended := make(chan error, 1)
	for i, f := range films {
		err := p.BeginProtect(t.Context(), f.ID)
		if i == 0 {
			<-started
		}
		if full := i == len(films)-1; full != errors.Is(err, home.ErrQueueFull) || !full && err != nil {
			t.Fatalf("film %d: %v", i, err)
		}
	}
	go func() {
		_, err := p.Protect(t.Context(), films[64].ID) // it waits already
		ended <- err
	}()
	p.end()
	for _, f := range films[:65] {
		if now, asked := p.ProtectingOf(f.ID); !asked || !errors.Is(now.Err, context.Canceled) {
			t.Fatalf("%s: %+v, %v", f.Title, now, asked)
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits hears %v", err)
	}
	if err := p.BeginProtect(t.Context(), films[65].ID); !errors.Is(err, context.Canceled) {
		t.Errorf("afterwards: %v", err)
	}
}

// ownFilmsDir names the folder of the house in which the child of a kill test protects a
// film and takes it back.
const ownFilmsDir = "LARES_TEST_OWN_DIR"

// filed is a module of which the license of one film outlives its process: it is a file
// with the sealed keys that it was issued for.
type filed struct {
	*hometest.Module
	file string
	id   ident.Content
}

func (f *filed) Licenses(context.Context) ([]trem.Held, error) {
	if _, err := os.Stat(f.file); err != nil {
		return nil, nil //nolint:nilerr // there is none
	}
	return []trem.Held{{Content: f.id, House: true, Phase: license.Held.String()}}, nil
}

// Protect answers the same to the same keys, and refuses others, as the real one does. The
// license is there whole or not at all.
func (f *filed) Protect(_ context.Context, sealed []byte) (trem.Protected, error) {
	switch held, err := os.ReadFile(f.file); {
	case err == nil && bytes.Equal(held, sealed):
		return trem.Protected{}, nil
	case err == nil:
		return trem.Protected{}, &trem.Error{Code: trem.CodeRejected, Text: "protect: this film is protected with other keys"}
	}
	if err := os.WriteFile(f.file+".part", sealed, 0o600); err != nil {
		return trem.Protected{}, err
	}
	return trem.Protected{}, os.Rename(f.file+".part", f.file)
}

func (f *filed) Unprotect(context.Context, ident.Content) error {
	if err := os.Remove(f.file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// openFiled opens a house of which films is the folder of its films.
func openFiled(ctx context.Context, dir string, m *hometest.Module) (*home.Home, *filed, error) {
	f := &filed{Module: m, file: filepath.Join(dir, "license")}
	h, err := home.New(home.Config{Dir: filepath.Join(dir, "house"), Module: f, Now: time.Now})
	if err != nil {
		return nil, nil, err
	}
	film, err := os.Open(filepath.Join(dir, "films", "Grandmother.mp4"))
	if err != nil {
		return nil, nil, err
	}
	defer film.Close() //nolint:errcheck // read only
	info, err := film.Stat()
	if err != nil {
		return nil, nil, err
	}
	if f.id, err = home.OwnID(film, info.Size()); err == nil {
		_, err = h.Watch(ctx, filepath.Join(dir, "films"))
	}
	return h, f, err
}

// protectAndBack protects a film and takes it back as fast as it can, and says so.
func protectAndBack(dir string) error {
	ctx := context.Background()
	m := &hometest.Module{}
	delivery, err := os.ReadFile(filepath.Join(dir, "delivery"))
	if err != nil {
		return err
	}
	m.State.Delivery = delivery
	h, f, err := openFiled(ctx, dir, m)
	if err != nil {
		return err
	}
	go h.Run(ctx) //nolint:errcheck // it is killed
	for {
		_, err := h.Protect(ctx, f.id)
		if err != nil && !errors.Is(err, home.ErrProtected) {
			return err
		}
		fmt.Println("protected")
		if err := h.Unprotect(ctx, f.id); err != nil {
			return err
		}
		fmt.Println("back")
	}
}

// TestLibrary_4_KilledWhileItProtects: after a kill at any moment the license is there if
// and only if the film stands in the library as protected, whole.
func TestLibrary_4_KilledWhileItProtects(t *testing.T) {
	dir, m := t.TempDir(), hometest.New(t, nil)
	err := errors.Join(os.Rename(hometest.OwnFilm(t, "Grandmother.mp4"), filepath.Join(dir, "films")), os.Mkdir(filepath.Join(dir, "house"), 0o700),
		os.WriteFile(filepath.Join(dir, "delivery"), m.State.Delivery, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
		cmd.Env = append(os.Environ(), ownFilmsDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if in := bufio.NewScanner(out); !in.Scan() {
			t.Fatalf("round %d: it ended by itself: %v", round, cmd.Wait())
		}
		time.Sleep(time.Duration(round) * 7 * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		h, f, err := openFiled(t.Context(), dir, m)
		if err != nil {
			t.Fatal(err)
		}
		p := &protecting{T: t, Home: h, m: m, dir: filepath.Join(dir, "house")}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		p.settled(fmt.Sprintf("round %d", round), f)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// settled waits until a house that was killed has put in order what was left, and holds
// license and library against each other.
func (p *protecting) settled(what string, f *filed) {
	p.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		hidden, err := filepath.Glob(filepath.Join(p.dir, "own", ".*"))
		if err != nil {
			p.Fatal(err)
		}
		held, err := f.Licenses(p.Context())
		t, unknown := p.Title(f.id)
		if err == nil && len(hidden) == 0 && (len(held) == 1) == (unknown == nil) {
			if unknown == nil {
				for file := range t.Listed() {
					info, err := os.Stat(filepath.Join(t.Folder(), filepath.FromSlash(file.Name)))
					if err != nil || info.Size() != file.Bytes {
						p.Fatalf("%s: %s is not whole: %v", what, file.Name, err)
					}
				}
				p.opens(what, f, t)
			}
			return
		}
		if time.Now().After(end) {
			p.Fatalf("%s: %v is left, %d licenses, title: %v", what, hidden, len(held), unknown)
		}
	}
}

// opens holds the keys that the license was issued for against those that a title was
// packed with.
func (p *protecting) opens(what string, f *filed, t *home.Title) {
	p.Helper()
	sealed, err := os.ReadFile(f.file)
	if err == nil {
		p.m.Keys = nil
		_, err = p.m.Protect(p.Context(), sealed)
	}
	if err != nil {
		p.Fatalf("%s: the keys of the license: %v", what, err)
	}
	for i := range t.Tracks {
		if _, ok := p.m.Keys[t.Tracks[i].KID]; !ok {
			p.Fatalf("%s: the license does not open %s", what, t.Tracks[i].Name)
		}
	}
}
