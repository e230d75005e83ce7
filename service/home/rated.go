package home

import (
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// maxRated bounds the titles that a house rates itself. Source: local.
const maxRated = 4096

// Rated is from which age a title is, as an adult of the house says.
type Rated struct {
	Content ident.Content `json:"content"`
	Years   uint8         `json:"years"` // 0: for everybody
}

// Rate says from which age a title or an own film is, durably; nil: what its folder says,
// and of an own film nothing.
func (h *Home) Rate(id ident.Content, years *uint8) error {
	if _, err := h.Title(id); err != nil {
		if _, err := h.Film(id); err != nil {
			return err
		}
	}
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	rated := slices.DeleteFunc(slices.Clone(h.people.rated), func(r Rated) bool { return r.Content == id })
	if years != nil {
		if len(rated) >= maxRated {
			return ErrTooMany
		}
		rated = append(rated, Rated{id, *years})
	}
	if err := h.people.store(h.people.list, rated); err != nil {
		return err
	}
	h.publish(Event{Kind: EventLibrary})
	return nil
}

// Ratings are what adults of the house said, in years.
func (h *Home) Ratings() map[ident.Content]uint8 {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	out := make(map[ident.Content]uint8, len(h.people.rated))
	for _, r := range h.people.rated {
		out[r.Content] = r.Years
	}
	return out
}

// RatedFrom is from which age a title is, in years: what an adult of the house said,
// else what its folder says; false: nobody said.
func (h *Home) RatedFrom(t *Title) (years uint8, known bool) {
	if years, known = h.said(t.Content); known || t.Rated == nil {
		return years, known
	}
	return *t.Rated, true
}

// said is what an adult of the house said of a title or an own film.
func (h *Home) said(id ident.Content) (years uint8, known bool) {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	i := slices.IndexFunc(h.people.rated, func(r Rated) bool { return r.Content == id })
	if i < 0 {
		return 0, false
	}
	return h.people.rated[i].Years, true
}

// FilmsFor lists the own films that somebody may know of: the house and its adults all of
// them, a child or a guest those that an adult rated for their age.
func (h *Home) FilmsFor(w *Watcher) []*Film {
	list := h.Films()
	if w.Administers() {
		return list
	}
	rated, age := h.Ratings(), w.bounds().Age
	return slices.DeleteFunc(list, func(f *Film) bool {
		years, known := rated[f.ID]
		return !known || years > age
	})
}

// MayKnow reports whether somebody may know of a title: a film that the house has protected
// itself is no more a child's or a guest's than its file was, before an adult rated it.
func (h *Home) MayKnow(w *Watcher, t *Title) bool {
	if w.Administers() || !h.IsOwn(t) {
		return true
	}
	_, known := h.said(t.Content)
	return known
}

// MayFilm judges whether somebody may watch an own film now, by the rule that the module
// goes by for titles (docs/spec/evaluation.md, E19), and until when; the zero time: there
// is no end. One that nobody rated is for adults, so that a child does not even learn
// whether there is such a film.
func (h *Home) MayFilm(w *Watcher, id ident.Content) (until time.Time, err error) {
	if w.Administers() {
		return until, nil
	}
	years, known := h.said(id)
	if !known {
		return until, fmt.Errorf("own film: %w", ErrForAdults)
	}
	now := h.cfg.Now()
	asks := w.bounds().asked(years, now)
	if d := asks.Watch(now.UnixMilli()); !d.Allow {
		return until, &trem.RefusalError{Decision: d}
	}
	if asks.Until != 0 {
		until = time.UnixMilli(asks.Until)
	}
	return until, nil
}
