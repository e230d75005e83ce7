package home

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestLibrary_3_ReadingGoesOnWhereItWasCutOff: slowly, in the background, over restarts;
// an own film in its middle.
func TestLibrary_3_ReadingGoesOnWhereItWasCutOff(t *testing.T) {
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	root, dir := hometest.OwnFilm(t, "own.mp4"), t.TempDir()
	var all int64
	for f := range m.Listed() {
		all += f.Bytes
	}
	own, err := os.Stat(filepath.Join(root, "own.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	all += own.Size()
	old := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // before the bubble's clock begins
	if err := os.Chtimes(filepath.Join(root, "own.mp4"), old, old); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const rate = 100_000 // bytes a second: about half a minute for everything
		module, runs, spent := hometest.New(t, nil), 0, time.Duration(0)
		for ; runs < 50; runs++ { // each time a new process, that lives for eleven seconds
			h, err := New(Config{Dir: dir, Module: module, Now: time.Now, CheckRate: rate})
			if err != nil {
				t.Fatal(err)
			}
			if runs == 0 {
				if _, err := h.Add(folder); err != nil {
					t.Fatal(err)
				}
				if _, err := h.Watch(t.Context(), root); err != nil {
					t.Fatal(err)
				}
			}
			if h.Look(t.Context()); h.Checked().Read == 2 {
				break
			}
			ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
			if err := h.checkFilms(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
			spent += 11 * time.Second
		}
		want := time.Duration(all) * time.Second / rate
		if spent < want || spent > want+want/2+40*time.Second {
			t.Errorf("all was read in %v and %d lives, want about %v at %d bytes a second", spent, runs, want, rate)
		}
	})
	if _, err := os.Stat(filepath.Join(dir, "integrity.json")); errors.Is(err, fs.ErrNotExist) {
		t.Error("nothing is kept")
	}
}

// TestLibrary_3_WhatIsAwayKeepsNobodyWaiting: others are read meanwhile.
func TestLibrary_3_WhatIsAwayKeepsNobodyWaiting(t *testing.T) {
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	root, old := hometest.OwnFilm(t, "own.mp4"), time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // before the bubble's clock begins
	if err := os.Chtimes(filepath.Join(root, "own.mp4"), old, old); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{Dir: t.TempDir(), Module: hometest.New(t, nil), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Watch(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Add(folder); err != nil {
			t.Fatal(err)
		}
		h.integrity.records[h.Titles()[0].Content] = record{Next: 1} // it is begun, and goes first
		if err := os.Rename(folder, folder+" off"); err != nil {     // and nobody has looked
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := h.checkFilms(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if got := h.Checked(); got.Films != 2 || got.Read != 1 || len(got.Suspects) != 0 {
			t.Errorf("%+v", got)
		}
	})
}
