package home

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// PathPeople is where a device learns whose it is, by its ID. Source: local,
// docs/spec/people.md, section 6.
const PathPeople = "/house/v1/people"

// Whose is what a device of the house is told of whom it belongs to.
type Whose struct {
	Person *Bounds `json:"person"`          // nil: everybody's
	Rated  []Rated `json:"rated,omitempty"` // of a child's or a guest's device: what the house says of titles
}

// Bounds are what bounds a child or a guest: no name.
type Bounds struct {
	Age   uint8 `json:"age"` // years
	Hours Hours `json:"hours,omitzero"`
}

// Check holds what a device was told, or has kept, to what a house says.
func (w *Whose) Check() error {
	if len(w.Rated) > maxRated || w.Person != nil && w.Person.Age > maxAge {
		return errTooLarge
	}
	return nil
}

// Asked is key 15 of Ask for a title, rated as its folder says, and nil where the device
// is everybody's.
func (w *Whose) Asked(id ident.Content, rated *uint8, now time.Time) *license.Person {
	if w.Person == nil {
		return nil
	}
	years := uint8(unrated)
	if rated != nil {
		years = *rated
	}
	for _, r := range w.Rated {
		if r.Content == id {
			years = r.Years
		}
	}
	return w.Person.asked(years, now)
}

// asked is key 15 of Ask (docs/spec/trem.md) for a title of a rating.
func (b *Bounds) asked(years uint8, now time.Time) *license.Person {
	out := &license.Person{Age: b.Age, Rated: years}
	if b.Hours != (Hours{}) {
		from, until := b.Hours.Window(now)
		out.From, out.Until = from.UnixMilli(), until.UnixMilli()
	}
	return out
}

// bounds of a person who is no adult.
func (p *Person) bounds() *Bounds {
	if p.Kind == Guest && p.Age == 0 {
		return &Bounds{Age: anyAge, Hours: p.Hours}
	}
	return &Bounds{Age: p.Age, Hours: p.Hours}
}

// narrowed is the child or guest whose a device of the house is; nil: it is everybody's.
func (h *Home) narrowed(id ident.Device) (*Person, error) {
	list := h.Devices()
	i := slices.IndexFunc(list, func(d Device) bool { return d.ID == id })
	if i < 0 {
		return nil, ErrUnproven
	}
	if p, err := h.PersonCalled(list[i].Person); err == nil && p.Kind != Adult {
		return &p, nil
	}
	return nil, nil //nolint:nilnil // nobody's, or since it was said
}

// WhoseDevice says whose a device of the house is. One that was put out is told nothing,
// and keeps what it was told.
func (h *Home) WhoseDevice(id ident.Device) (Whose, error) {
	p, err := h.narrowed(id)
	if err != nil || p == nil {
		return Whose{}, err
	}
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	return Whose{Person: p.bounds(), Rated: slices.Clone(h.people.rated)}, nil
}

// LetDeviceOnce reads the PIN of an adult, by name or ID, who lets a device play once. Of
// a device that is everybody's, or none of the house, it reads no PIN: that would only be
// a place to guess at.
func (h *Home) LetDeviceOnce(ctx context.Context, id ident.Device, adult, pin string) error {
	w, err := h.WhoseDevice(id)
	if err != nil {
		return err
	}
	if w.Person == nil {
		return fmt.Errorf("whose the device is: %w", ErrUnknown)
	}
	if err := h.byAdult(adult, pin, ""); err != nil {
		return err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "an adult let a title be played once", slog.Any("device", id))
	return nil
}

// narrow finds a child or a guest: a browser or a device is one's of those, because it
// bounds them. "" is nobody.
func (h *Home) narrow(id string) (Person, error) {
	if id == "" {
		return Person{}, nil
	}
	p, err := h.PersonCalled(id)
	if err == nil && p.Kind == Adult {
		err = fmt.Errorf("%w: what is an adult's is everybody's", ErrPersonKind)
	}
	return p, err
}

// BindBrowser makes a browser of the house a child's or a guest's, durably; "": nobody's.
func (h *Home) BindBrowser(id, person string) error {
	p, err := h.narrow(person)
	if err != nil {
		return err
	}
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	known := slices.Clone(b.known)
	i := slices.IndexFunc(known, func(k Browser) bool { return k.ID == id })
	if i < 0 {
		return fmt.Errorf("browser: %w", ErrUnknown)
	}
	known[i].Person = p.ID
	if err := save(b.dir, browsersFile, browsersState{known}); err != nil {
		return err
	}
	b.known = known
	return nil
}

// BrowserOf is whose the browser with a token is, "" nobody's.
func (h *Home) BrowserOf(token string) string { return h.browserBy(token).Person }

// BrowserPlace is the browser with a token as the place of a Seat; "": none of the house.
func (h *Home) BrowserPlace(token string) string { return h.browserBy(token).ID }

// BindDevice makes a device of the house a child's or a guest's, durably; "": nobody's.
// It is told when it next meets the house.
func (h *Home) BindDevice(id ident.Device, person string) error {
	p, err := h.narrow(person)
	if err != nil {
		return err
	}
	return h.members.change(id, func(d *Device) { d.Person = p.ID })
}
