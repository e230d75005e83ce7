package home

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of who sits where. Source: local, docs/spec/people.md.
const (
	maxSittings = 256
	adultSits   = time.Hour      // without a request; then the PIN is asked again
	otherSits   = 24 * time.Hour // likewise of a child or a guest
	onceLife    = 10 * time.Minute
)

// unrated is from which age a title counts that nobody rated: from none that a child
// has. anyAge is a guest's of whom no age was said.
const (
	unrated = 100
	anyAge  = maxAge
)

// sitting is who uses a browser.
type sitting struct {
	person string
	bound  string // whose the browser was when they sat down
	place  string // where; "": at a browser that is a child's or a guest's, or not known
	used   time.Time
	once   ident.Content // that an adult lets be played once
	until  time.Time     // of once
}

// Watcher is who asks: somebody of the people, at a browser.
type Watcher struct {
	Person
	hash  string        // of the sitting; "": a browser or device that is somebody's
	place string        // of the sitting
	once  ident.Content // that an adult let this sitting play once
}

// Administers reports whether somebody may do more than watch.
func (w *Watcher) Administers() bool { return w == nil || w.Kind == Adult }

type watcherKey struct{}

// As is ctx of a question of somebody of the people: what this package asks the module
// under it is judged for them. Without it the house asks, as its owner does.
func As(ctx context.Context, w *Watcher) context.Context {
	return context.WithValue(ctx, watcherKey{}, w)
}

// WatcherIn is who asks; nil: the house.
func WatcherIn(ctx context.Context) *Watcher {
	w, _ := ctx.Value(watcherKey{}).(*Watcher)
	return w
}

// Seat is what somebody says who sits down at a browser.
type Seat struct {
	Token  string // of the browser's sitting so far
	Bound  string // ID of the person whose the browser is
	Place  string // PlaceHere, or the ID of a browser of the house; "": another
	Person string // ID of who it is now
	PIN    string
	By     string // ID of the adult whose PIN it is; "": it is the person's own
}

// SitDown makes a browser somebody's, and returns its new token. A child needs no PIN
// but their own, where they have one; an adult needs theirs; a guest, and everybody else
// at a browser that is a child's or a guest's, needs an adult's: who could choose freely
// would be older whenever they liked.
func (h *Home) SitDown(s Seat) (token string, err error) {
	p, err := h.PersonCalled(s.Person)
	if err != nil {
		return "", err
	}
	bound, err := h.PersonCalled(s.Bound)
	narrow := err == nil && bound.Kind != Adult
	theirs := narrow && bound.ID == p.ID
	if narrow { // who guesses is at it: it is no place of an adult's
		s.Place = ""
	}
	switch {
	case p.Kind != Adult && (narrow || p.Kind == Guest) && !theirs:
		err = h.byAdult(s.By, s.PIN, s.Place)
	case p.Kind == Adult, p.PIN != "" && !theirs:
		if err = h.tryPIN(p.ID, s.PIN, s.Place); err == nil {
			err = h.people.knows(p.ID, s.Place)
		}
	default:
		err = nil
	}
	if err != nil {
		return "", err
	}
	return h.people.seat(s.Token, sitting{person: p.ID, bound: s.Bound, place: s.Place, used: h.cfg.Now()}), nil
}

// byAdult reads an adult's PIN.
func (h *Home) byAdult(id, pin, place string) error {
	p, err := h.PersonCalled(id)
	if err != nil || p.Kind != Adult {
		return ErrWrongPIN
	}
	return h.tryPIN(p.ID, pin, place)
}

// seat puts a new sitting in the place of an old one, under a new token: who knows the
// old one has nothing by it.
func (p *people) seat(old string, s sitting) (token string) {
	var raw [browserTokenSize]byte
	rand.Read(raw[:]) // never returns an error
	token = hex.EncodeToString(raw[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sittings, hashOf(old))
	for hash := range p.sittings {
		p.alive(hash, s.used)
	}
	if len(p.sittings) >= maxSittings {
		delete(p.sittings, p.idlest())
	}
	p.sittings[hashOf(token)] = &s
	return token
}

// idlest is the sitting that gives way where there are too many: the longest unused of a
// child or a guest, who may sit down without a PIN as often as they like, and only where
// there is none of those an adult's. The caller holds mu.
func (p *people) idlest() (hash string) {
	adult := func(s *sitting) bool {
		return slices.ContainsFunc(p.list, func(o Person) bool { return o.ID == s.person && o.Kind == Adult })
	}
	for other, s := range p.sittings {
		now := p.sittings[hash]
		if now == nil || adult(now) && !adult(s) || adult(now) == adult(s) && s.used.Before(now.used) {
			hash = other
		}
	}
	return hash
}

// alive finds a sitting that is not over; the caller holds mu.
func (p *people) alive(hash string, now time.Time) (*sitting, Person) {
	s := p.sittings[hash]
	if s == nil {
		return nil, Person{}
	}
	i := slices.IndexFunc(p.list, func(o Person) bool { return o.ID == s.person })
	life := otherSits
	if i >= 0 && p.list[i].Kind == Adult {
		life = adultSits
	}
	if i < 0 || now.Sub(s.used) > life {
		delete(p.sittings, hash)
		return nil, Person{}
	}
	return s, p.list[i]
}

// Sitter is who uses the browser with a token, or whose it is; false: nobody said. That
// it asks is noted.
func (h *Home) Sitter(token, bound string) (*Watcher, bool) { return h.sitter(token, bound, true) }

// Seated is Sitter of what a page asks by itself: it keeps nobody seated.
func (h *Home) Seated(token, bound string) (*Watcher, bool) { return h.sitter(token, bound, false) }

// sitter finds who sits. Who sat down before the browser was made somebody's, or somebody
// else's, sits there no more: else what an adult says of a browser would not hold for who
// is at it.
func (h *Home) sitter(token, bound string, uses bool) (*Watcher, bool) {
	now := h.cfg.Now()
	p := h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	hash := hashOf(token)
	if s, who := p.alive(hash, now); s != nil && s.bound != bound {
		delete(p.sittings, hash)
	} else if s != nil {
		if uses {
			s.used = now
		}
		w := &Watcher{Person: who, hash: hash, place: s.place}
		if now.Before(s.until) {
			w.once = s.once
		}
		return w, true
	}
	if i := slices.IndexFunc(p.list, func(o Person) bool { return o.ID == bound && o.Kind != Adult }); i >= 0 {
		return &Watcher{Person: p.list[i]}, true
	}
	return nil, false
}

// StandUp forgets who uses the browser with a token, and has its open pages look again.
func (h *Home) StandUp(token string) {
	h.people.mu.Lock()
	delete(h.people.sittings, hashOf(token))
	h.people.mu.Unlock()
	h.publish(Event{Kind: EventLibrary})
}

// LetOnce lets the one who asks play a title once, whatever it is rated and whatever
// time it is, on the word of an adult; within ten minutes. Whose the browser is sits
// nowhere: they sit down for it, under a token that is not "".
func (h *Home) LetOnce(ctx context.Context, id ident.Content, adult, pin string) (token string, err error) {
	w := WatcherIn(ctx)
	if w == nil {
		return "", ErrWho
	}
	if _, err := h.Title(id); err != nil {
		return "", err
	}
	if err := h.byAdult(adult, pin, w.place); err != nil {
		return "", err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "an adult let a title be played once")
	now := h.cfg.Now()
	if w.hash == "" {
		return h.people.seat("", sitting{person: w.ID, bound: w.ID, used: now, once: id, until: now.Add(onceLife)}), nil
	}
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	s := h.people.sittings[w.hash]
	if s == nil {
		return "", ErrWho
	}
	s.once, s.until = id, now.Add(onceLife)
	return "", nil
}

// spend takes what LetOnce gave for a title that is about to begin, so that two do not
// begin by it; back gives it again, where it did not.
func (p *people) spend(ctx context.Context, id ident.Content) (out context.Context, back func()) {
	w := WatcherIn(ctx)
	if w == nil || w.once != id {
		return ctx, func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sittings[w.hash]
	if s == nil || s.once != id { // it has begun before
		without := *w
		without.once = ""
		return As(ctx, &without), func() {}
	}
	until := s.until
	s.once, s.until = "", time.Time{}
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.once, s.until = id, until
	}
}

// leave ends what somebody has going on: their sittings, and what plays for them.
func (h *Home) leave(person string) {
	h.people.mu.Lock()
	for hash, s := range h.people.sittings {
		if s.person == person {
			delete(h.people.sittings, hash)
		}
	}
	h.people.mu.Unlock()
	for _, p := range h.Sessions() {
		if p.Person == person {
			_ = h.Stop(context.Background(), p.ID, StopOwner) // it has ended meanwhile
		}
	}
	h.publish(Event{Kind: EventLibrary})
}

// judged is who asks for a title, as the module's evaluator takes it: nil for the house
// and its adults. It has nobody hand on but those.
func (h *Home) judged(ctx context.Context, id ident.Content, action permission.Permission) *license.Person {
	w := WatcherIn(ctx)
	if w.Administers() || action == permission.Play && w.once == id && id != "" {
		return nil
	}
	t, err := h.Title(id)
	years, known := uint8(unrated), false
	if err == nil {
		years, known = h.RatedFrom(t)
	}
	if !known {
		years = unrated
	}
	return w.Person.bounds().asked(years, h.cfg.Now())
}

// mayHandle has the module judge whether who asks may hand a title on. It is asked
// nothing for the house and its adults: it judges the order itself.
func (h *Home) mayHandle(ctx context.Context, id ident.Content, op trem.Op) error {
	if WatcherIn(ctx).Administers() {
		return nil
	}
	action, ok := map[trem.Op]permission.Permission{
		trem.OpMove: permission.Move, trem.OpCopy: permission.Copy, trem.OpLend: permission.Lend, trem.OpTransfer: permission.Transfer,
	}[op]
	if !ok {
		return ErrForAdults
	}
	d, err := h.decide(ctx, id, action, "")
	if err == nil && !d.Allow {
		err = &trem.RefusalError{Decision: d}
	}
	return err
}
