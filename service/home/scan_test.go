package home_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// twoFilms is the state of a house with two folders, of which the second has no
// content.json yet.
func twoFilms(t *testing.T) (dir string, first *content.Manifest, module *hometest.Module, name string, data []byte) {
	t.Helper()
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	other := t.TempDir()
	dir = t.TempDir()
	state, err := json.Marshal(map[string]any{"folders": []string{folder, other}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "library.json"), state, 0o600); err != nil {
		t.Fatal(err)
	}
	second := *m
	second.Content, second.Title = "slow", "Slow"
	if data, err = second.Encode(); err != nil {
		t.Fatal(err)
	}
	return dir, m, hometest.New(t, keys), filepath.Join(other, content.ManifestName), data
}

func TestLibrary_AStartDoesNotWaitForItsTitles(t *testing.T) {
	dir, first, module, name, data := twoFilms(t)
	if err := syscall.Mkfifo(name, 0o600); err != nil { // who reads it waits
		t.Fatal(err)
	}
	h := open(t, dir, module, newClock())
	all := make(chan []*home.Title)
	go func() { all <- h.Titles() }()
	for len(h.TitlesSoFar()) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing is found")
		}
	}
	if found, of, looking := h.Looking(); found != 1 || of != 2 || !looking {
		t.Errorf("looking = %d of %d, %v", found, of, looking)
	}
	if got, err := h.Title(first.Content); err != nil || got.Title != first.Title {
		t.Errorf("a title that was found: %v, %v", got, err)
	}
	select {
	case got := <-all:
		t.Errorf("%d titles are said to be all", len(got))
	default:
	}
	late := make(chan error)
	go func() {
		_, err := h.Title("slow")
		late <- err
	}()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-all; len(got) != 2 {
		t.Errorf("%d titles, want 2", len(got))
	}
	if err := <-late; err != nil {
		t.Errorf("a title that was found later: %v", err)
	}
	if _, _, looking := h.Looking(); looking {
		t.Error("the house looks on")
	}
}

// TestLibrary_LookingGoesOnWhereItEnded: Run, whose end stops it, is not the last
// who looks.
func TestLibrary_LookingGoesOnWhereItEnded(t *testing.T) {
	dir, _, module, name, data := twoFilms(t)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, dir, module, newClock())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := h.Titles(); len(got) != 2 {
		t.Errorf("%d titles, want 2", len(got))
	}
}

func TestLibrary_RunLooksAndTellsThePages(t *testing.T) {
	dir, _, module, name, data := twoFilms(t)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, dir, module, newClock())
	events, stop, err := h.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	for e := range events {
		if e.Kind == home.EventLibrary {
			break
		}
	}
	if got := h.TitlesSoFar(); len(got) != 2 {
		t.Errorf("%d titles, want 2", len(got))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
