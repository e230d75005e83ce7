package home

import (
	"context"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Listed is a member with what the house's module knows of it.
type Listed struct {
	Device
	Seen   time.Time `json:"seen,omitzero"`    // to the hour; zero: not known
	Lapsed bool      `json:"lapsed,omitempty"` // not seen for 30 days: it gets nothing before it meets the house
	Aside  []Aside   `json:"aside,omitempty"`  // plays, or time, that are set aside there
}

// Aside is what of a title is set aside at a device: what it may still have, since it
// says how much it has used only when it gives the rest back.
type Aside struct {
	Content ident.Content `json:"content,omitempty"`
	Title   string        `json:"title,omitempty"` // empty where its film is not in the library
	Plays   uint64        `json:"plays,omitempty"`
	MS      int64         `json:"ms,omitempty"`
}

// Roll lists the members by name.
func (h *Home) Roll(ctx context.Context) ([]Listed, error) {
	known, err := h.cfg.Module.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the devices: %w", err)
	}
	of := map[ident.Device]trem.Member{}
	for _, m := range known {
		of[m.Device] = m
	}
	out := []Listed{}
	for _, d := range h.Devices() {
		m := of[d.ID]
		x := Listed{Device: d, Lapsed: m.Lapsed}
		if m.Seen > 0 {
			x.Seen = time.UnixMilli(m.Seen).UTC().Truncate(time.Second)
		}
		for _, a := range m.Aside {
			y := Aside{Content: a.Content, Plays: a.Plays, MS: a.MS}
			if t, err := h.Title(a.Content); err == nil {
				y.Title = t.Manifest.Title
			}
			x.Aside = append(x.Aside, y)
		}
		out = append(out, x)
	}
	return out, nil
}
