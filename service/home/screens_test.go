package home_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// fullHouse is a house with a title whose places a play of it and a device have.
func fullHouse(t *testing.T, device home.Device) (*home.Home, *hometest.Module, license.Decision) {
	t.Helper()
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	dir, module, c := t.TempDir(), hometest.New(t, keys), newClock()
	data, err := json.Marshal(map[string]any{"devices": []home.Device{device}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "devices.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, dir, module, c)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	id := ident.License{4}
	module.Decide = func(trem.Ask) license.Decision { return license.Decision{Allow: true, License: id} }
	if _, err := h.Play(t.Context(), home.PlayRequest{Content: m.Content}); err != nil {
		t.Fatal(err)
	}
	now := c.Now().UnixMilli()
	module.Lock()
	defer module.Unlock()
	module.Slots = []trem.Slot{
		{License: id, Device: device.ID, Since: now + 60_000}, {License: id, Device: module.State.Device, Session: 1, Since: now + 120_000}, // its clock is before the host's
	}
	return h, module, license.Decision{License: id, Reasons: []license.Reason{{Code: license.SlotFull, Closed: true, Remedy: license.Takeover}}}
}

// Which of a browser and a device is the oldest is by the clock of the module, which ends it.
func TestScreens_TheOldestIsByTheModulesClock(t *testing.T) {
	h, module, full := fullHouse(t, home.Device{ID: ident.Device{0xd1}, Name: "Tablet"})
	content := h.Sessions()[0].Content
	got := h.InUse(t.Context(), content, &full)
	if got == nil || len(got.Open) != 2 || got.Open[0].Screen != "Tablet" || got.Open[1].Session == "" {
		t.Fatalf("who has the places: %+v", got)
	}
	if since := got.Open[1].Since.UnixMilli(); since != module.Slots[1].Since {
		t.Errorf("the session began at %d, by the module at %d", since, module.Slots[1].Since)
	}
	module.OnKeepPlace = func(trem.PlaceAsk) (trem.PlaceKept, error) {
		return trem.PlaceKept{Device: ident.Device{7}, License: full.License, Outcome: trem.PlaceFull}, nil
	}
	said, err := h.KeepPlace(t.Context(), trem.PlaceAsk{})
	if err != nil || len(said.Screens) != 2 || said.Screens[0].Screen != "Tablet" || said.Screens[1].Since.UnixMilli() != module.Slots[1].Since {
		t.Errorf("a device is told %+v %v", said.Screens, err)
	}
	module.Lock()
	module.Slots[0].Since += time.Hour.Milliseconds()
	module.Unlock()
	if got := h.InUse(t.Context(), content, &full); got.Open[0].Session == "" {
		t.Errorf("then the browser is the oldest: %+v", got.Open)
	}
}

// A child may take over from a device that is its own: from one that has crashed, too. From
// another's, or everybody's, an adult does.
func TestScreens_AChildTakesOverFromItsOwnDevice(t *testing.T) {
	child := &home.Watcher{Person: home.Person{ID: "b", Kind: home.Child, Age: 9}}
	for whose, may := range map[string]bool{"b": true, "c": false, "": false} {
		h, _, full := fullHouse(t, home.Device{ID: ident.Device{0xd1}, Name: "Tablet", Person: whose})
		got := h.InUse(home.As(t.Context(), child), h.Sessions()[0].Content, &full)
		if got == nil || got.Ask != may {
			t.Errorf("a device of %q: %+v", whose, got)
		}
		if got := h.InUse(t.Context(), h.Sessions()[0].Content, &full); !got.Ask {
			t.Errorf("the house itself: %+v", got)
		}
	}
}
