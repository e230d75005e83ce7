package home

import (
	"context"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Feeds checks that the license of an open session may feed a foreign system:
// its data export condition names it. It fails with adapt.ErrNotExportable.
// The module itself asks for that of the household's browsers; a system with
// less than a browser is asked for here. The answer is kept with the session.
func (h *Home) Feeds(ctx context.Context, session, system string) error {
	p, err := h.Playing(session)
	if err != nil {
		return err
	}
	h.plays.mu.Lock()
	known, asked := p.feeds[system]
	h.plays.mu.Unlock()
	if asked {
		return known
	}
	lic, err := h.licenseOf(ctx, p.Decision.License)
	if err != nil {
		return err
	}
	answer := fmt.Errorf("%w: its license is not here", adapt.ErrNotExportable)
	if lic != nil {
		_, answer = adapt.Exportable(lic, system)
	}
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	if p.feeds == nil {
		p.feeds = map[string]error{}
	}
	p.feeds[system] = answer
	return answer
}

// Tracks lists the tracks that an open session may use.
func (h *Home) Tracks(session string) ([]*content.TrackFiles, error) {
	p, err := h.Playing(session)
	if err != nil {
		return nil, err
	}
	out := make([]*content.TrackFiles, 0, len(p.tracks))
	for _, t := range p.tracks {
		out = append(out, t.TrackFiles)
	}
	return out, nil
}

// LinkKey is a key of the session, by its ID.
func (h *Home) LinkKey(session string, kid ident.Key) (cenc.ContentKey, error) {
	keys, err := h.Keys(session)
	if err != nil {
		return cenc.ContentKey{}, err
	}
	i := slices.IndexFunc(keys, func(k trem.LinkKey) bool { return k.KID == kid })
	if i < 0 {
		return cenc.ContentKey{}, fmt.Errorf("session key: %w", ErrUnknown)
	}
	return cenc.NewContentKey(keys[i].Key)
}
