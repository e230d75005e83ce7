package home

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// PathPlaces answers a device that asks for a place of a license. Source: local,
// docs/spec/home-api.md.
const PathPlaces = "/house/v1/places"

// Seater keeps the places of the house's licenses (docs/spec/places.md).
type Seater interface {
	KeepPlace(ctx context.Context, a trem.PlaceAsk) (trem.PlaceKept, error)
	Places(ctx context.Context) ([]trem.Slot, error)
}

// PlaceAnswer is what a device is told: the module's answer, and the house's words for
// who has the places, where they are not this device's.
type PlaceAnswer struct {
	Object  []byte        `json:"object"`
	Screens []PlaceScreen `json:"screens,omitempty"`
}

// PlaceScreen is a screen that has a place.
type PlaceScreen struct {
	Device ident.Device `json:"device"` // the house's server: a browser
	Screen string       `json:"screen"` // for people
	Since  time.Time    `json:"since"`
}

// KeepPlace has the house's module answer a device, and ends the plays whose places the
// device took.
func (h *Home) KeepPlace(ctx context.Context, a trem.PlaceAsk) (PlaceAnswer, error) {
	kept, err := h.cfg.Module.KeepPlace(ctx, a)
	if err != nil {
		return PlaceAnswer{}, err
	}
	if len(kept.Ended) > 0 {
		ended := slices.DeleteFunc(h.Sessions(), func(p *Playback) bool { return !slices.Contains(kept.Ended, p.handle) })
		h.stopTaken(ctx, ended, h.deviceName(kept.Device))
	}
	out := PlaceAnswer{Object: kept.Object}
	if kept.Outcome != trem.PlaceFull && kept.Outcome != trem.PlaceLost {
		return out, nil
	}
	list, err := h.cfg.Module.Places(ctx)
	if err != nil {
		return PlaceAnswer{}, fmt.Errorf("ask who has the places: %w", err)
	}
	open := h.Sessions()
	for _, s := range list {
		if s.License != kept.License || s.Device == kept.Device {
			continue
		}
		p := PlaceScreen{Device: s.Device, Screen: h.deviceName(s.Device), Since: time.UnixMilli(s.Since).UTC()}
		if i := slices.IndexFunc(open, func(p *Playback) bool { return s.Session != 0 && p.handle == s.Session }); i >= 0 {
			p.Screen = open[i].Screen
		}
		out.Screens = append(out.Screens, p)
	}
	slices.SortStableFunc(out.Screens, func(a, b PlaceScreen) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// deviceName is what the house calls a device; its ID where it has no name.
func (h *Home) deviceName(id ident.Device) string {
	for _, d := range h.Devices() {
		if d.ID == id {
			return cmp.Or(d.Name, id.String())
		}
	}
	return id.String()
}

// Screen is one of those that play under a license: a browser, or a device.
type Screen struct {
	Session string // ID of a playback session; "": a device plays
	Screen  string // where it is shown, for people
	Since   time.Time

	play   *Playback    // nil: a device's
	device ident.Device // whose, then
}

// screensOf are those that play under a license of a title, oldest first: by the module's
// clock, as the module judges who that is. What it keeps no place of is alone, or ends with
// the rest.
func (h *Home) screensOf(c ident.Content, lic ident.License, places []trem.Slot) []Screen {
	var out []Screen
	for _, p := range h.openOf(c) {
		if p.Decision.License == lic {
			since := p.Started
			if i := slices.IndexFunc(places, func(s trem.Slot) bool { return s.License == lic && s.Session == p.handle }); i >= 0 {
				since = time.UnixMilli(places[i].Since)
			}
			out = append(out, Screen{Session: p.ID, Screen: p.Screen, Since: since, play: p})
		}
	}
	for _, s := range places {
		if s.License == lic && s.Session == 0 {
			out = append(out, Screen{Screen: h.deviceName(s.Device), Since: time.UnixMilli(s.Since), device: s.Device})
		}
	}
	slices.SortStableFunc(out, func(a, b Screen) int { return a.Since.Compare(b.Since) })
	return out
}
