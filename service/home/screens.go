package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// InUseError is that as many screens play under the license as it allows.
type InUseError struct {
	Open     []Screen         // what plays under it, oldest first; none where it is not known
	Ends     int              // so many of them give way to a new one
	Ask      bool             // they do with PlayRequest.Takeover
	Decision license.Decision // the module's refusal, where it refused
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("home: %d playback sessions hold every place of the license", len(e.Open))
}

// openOf are the open sessions of a title, oldest first.
func (h *Home) openOf(c ident.Content) []*Playback {
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	var out []*Playback
	for _, p := range h.plays.open {
		if p.Content == c {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *Playback) int { return cmp.Compare(a.handle, b.handle) })
	return out
}

// rivals are the screens that end when a new session begins, as the module ends them;
// devices learn it by their next heartbeats. Where they do not give way without being
// asked it fails with an *InUseError.
func (h *Home) rivals(ctx context.Context, r PlayRequest, ask trem.Ask) ([]Screen, error) {
	places, err := h.cfg.Module.Places(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask who has the places: %w", err)
	}
	if len(h.openOf(r.Content)) == 0 && len(places) == 0 {
		return nil, nil
	}
	d, err := h.cfg.Module.Evaluate(ctx, ask)
	if err != nil {
		return nil, err
	}
	if !d.Allow && !onlyFull(&d) {
		return nil, nil // BEGIN says why
	}
	lic, err := h.licenseOf(ctx, d.License)
	if lic == nil {
		return nil, err
	}
	open, n := giveWay(h.screensOf(r.Content, d.License, places), lic.Info())
	if n == 0 {
		return nil, nil
	}
	rule, may := lic.Info().Policy.Concurrency, h.mayEnd(ctx, open[:n])
	switch {
	case !d.Allow:
		return nil, &InUseError{Open: open, Ends: n, Ask: rule.OnFull != license.BlockNew && may, Decision: d}
	case !may:
		return nil, &InUseError{Open: open, Ends: n}
	case r.Takeover || rule != nil && rule.OnFull == license.TakeoverOldest:
		return open[:n], nil
	}
	return nil, &InUseError{Open: open, Ends: n, Ask: true}
}

// giveWay puts those first that end for one more, and says how many: what counts has
// one session in this module, and the oldest ones end where all places are in use.
func giveWay(open []Screen, info *license.Info) ([]Screen, int) {
	var ends, rest []Screen
	for _, s := range open {
		if s.play != nil && !info.Stateless() {
			ends = append(ends, s)
		} else {
			rest = append(rest, s)
		}
	}
	n := len(ends)
	if rule := info.Policy.Concurrency; rule != nil && uint64(len(rest)) >= rule.Max {
		n += len(rest) - int(rule.Max) + 1 //nolint:gosec // at most len(rest)
	}
	return append(ends, rest...), n
}

// mayEnd reports whether who asks may end others' sessions: who only watches ends
// nobody's but their own: what they began, and what plays on a device that is theirs.
func (h *Home) mayEnd(ctx context.Context, open []Screen) bool {
	w := WatcherIn(ctx)
	if w.Administers() {
		return true
	}
	devices := h.Devices()
	return !slices.ContainsFunc(open, func(s Screen) bool {
		if s.play != nil {
			return s.play.Person != w.ID
		}
		return !slices.ContainsFunc(devices, func(d Device) bool { return d.ID == s.device && d.Person == w.ID })
	})
}

// onlyFull reports whether a place is all that a use lacks.
func onlyFull(d *license.Decision) bool {
	for _, r := range d.Reasons {
		if r.Closed && r.Code != license.SlotFull {
			return false
		}
	}
	return d.Has(license.SlotFull)
}

// InUse says who holds the places of a title that was refused for want of one; nil
// where that is not so.
func (h *Home) InUse(ctx context.Context, c ident.Content, d *license.Decision) *InUseError {
	if !onlyFull(d) {
		return nil
	}
	e := &InUseError{Decision: *d, Ends: 1} // the module was asked now: no more play than may
	places, err := h.cfg.Module.Places(ctx)
	if err != nil {
		return nil //nolint:nilerr // then it is a refusal like any other
	}
	e.Open = h.screensOf(c, d.License, places)
	e.Ask = h.mayEnd(ctx, e.Open[:min(e.Ends, len(e.Open))]) && slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code == license.SlotFull && r.Remedy == license.Takeover })
	return e
}

// licenseOf is a license that the module holds; nil where it does not.
func (h *Home) licenseOf(ctx context.Context, id ident.License) (*license.License, error) {
	held, err := h.cfg.Module.Licenses(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the license of a session: %w", err)
	}
	i := slices.IndexFunc(held, func(l trem.Held) bool { return l.License == id })
	if i < 0 {
		return nil, nil
	}
	lic, err := license.Parse(held[i].Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the license of a session: %w", err)
	}
	return lic, nil
}

// stopTaken ends the sessions whose places a new one took.
func (h *Home) stopTaken(ctx context.Context, open []*Playback, to string) {
	for _, p := range open {
		h.stop(ctx, p.ID, &Stopped{Reason: StopTaken, By: to}) //nolint:errcheck // the returned error is the end itself
	}
}

// lostPlace ends a session that the module does not know any more, because a new one
// took its place; ok is false where err is not that.
func (h *Home) lostPlace(ctx context.Context, id string, err error) (end error, ok bool) {
	if e, is := errors.AsType[*trem.Error](err); !is || e.Code != trem.CodeUnknown {
		return nil, false
	}
	return h.stop(context.WithoutCancel(ctx), id, &Stopped{Reason: StopTaken}), true
}

// playsAhead is how far a player asks ahead of its picture, in ms: of one that does not
// say where it is. Source: local, the buffer of the player page.
const playsAhead = 10_000

// At notes where a session's player is, in media ms.
func (h *Home) At(id string, ms int64) error {
	p, err := h.Playing(id)
	if err != nil {
		return err
	}
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	p.at, p.tells = ms, true
	return nil
}

// asked notes what a player asked for, from which a position is guessed until it tells.
func (h *Home) asked(p *Playback, ms int64) {
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	if !p.tells {
		p.at = max(ms-playsAhead, p.From)
	}
}

func (h *Home) position(p *Playback) int64 {
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	return p.at
}
