package home_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestBrowsers_OnlyWhomTheOwnerLetIn: a browser that asks is not known before the owner's
// yes, stays known over a restart, and no longer once it is removed or was away for long.
func TestBrowsers_OnlyWhomTheOwnerLetIn(t *testing.T) {
	dir, c := t.TempDir(), &clock{now: time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)}
	h := open(t, dir, hometest.New(t, nil), c)
	token, w, err := h.AskBrowser("Firefox on a phone")
	if err != nil || w.Code == "" || h.KnowsBrowser(token) {
		t.Fatalf("%+v, %v", w, err)
	}
	if got, ok := h.BrowserWaits(token); !ok || got.Code != w.Code {
		t.Errorf("it waits as %+v", got)
	}
	if err := h.LetBrowserIn("nothing"); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("somebody else: %v", err)
	}
	if err := h.LetBrowserIn(w.ID); err != nil || !h.KnowsBrowser(token) || h.KnowsBrowser(token[:63]+"0x") || len(h.WaitingBrowsers()) != 0 {
		t.Fatalf("let in: %v", err)
	}
	h = open(t, dir, hometest.New(t, nil), c)
	c.now = c.now.Add(89 * 24 * time.Hour)
	if !h.KnowsBrowser(token) {
		t.Error("it is forgotten after a restart")
	}
	c.now = c.now.Add(89 * 24 * time.Hour)
	if !h.KnowsBrowser(token) {
		t.Error("that it was here was not noted")
	}
	c.now = c.now.Add(91 * 24 * time.Hour)
	if h.KnowsBrowser(token) {
		t.Error("it is known although it was away for 91 days")
	}
	c.now = c.now.Add(-time.Hour * 48)
	if err := h.RemoveBrowser(w.ID); err != nil || h.KnowsBrowser(token) {
		t.Errorf("removed: %v", err)
	}
	for range 8 {
		if _, _, err := h.AskBrowser("x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := h.AskBrowser("x"); !errors.Is(err, home.ErrTooMany) {
		t.Errorf("the ninth: %v", err)
	}
	late := h.WaitingBrowsers()[0].ID
	c.now = c.now.Add(home.PairingLife)
	if err := h.LetBrowserIn(late); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("after ten minutes: %v", err)
	}
	if _, _, err := h.AskBrowser("x"); err != nil {
		t.Errorf("after the others' time is over: %v", err)
	}
}
