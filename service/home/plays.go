package home

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// StopReason says why a playback session ended.
type StopReason string

// The reasons.
const (
	StopOwner    StopReason = "owner"    // somebody of the house stopped it
	StopPlayer   StopReason = "player"   // the player left
	StopIdle     StopReason = "idle"     // no sign of the player
	StopRefused  StopReason = "refused"  // the license no longer allows it
	StopShutdown StopReason = "shutdown" // the home server goes off
	StopFailed   StopReason = "failed"   // the module or a file failed
	StopTaken    StopReason = "taken"    // it goes on on another screen
)

// Limits of playback. Source: local.
const (
	maxSessions  = 64 // at a time in a house, and in its module
	sessionIDLen = 16 // bytes; a session's ID is the right to its stream
	keptStopped  = 64 // ended sessions whose reason is still told
)

// ErrStopped is returned for a session that has ended; errors.As finds *Stopped.
var ErrStopped = errors.New("home: the playback session has ended")

// Stopped is the end of a session.
type Stopped struct {
	Reason   StopReason
	Decision *license.Decision // StopRefused: the module's
	By       string            // StopTaken: the screen; empty: not known which
}

func (s *Stopped) Error() string { return fmt.Sprintf("%v: %s", ErrStopped, s.Reason) }

func (s *Stopped) Unwrap() error { return ErrStopped }

// PlayRequest is what somebody wants to watch in a browser.
type PlayRequest struct {
	Content ident.Content
	Confirm bool  // the decision's confirms were shown
	Again   bool  // from the start, as a new play
	FromMS  int64 // media position

	Screen   string // where it is shown, for people
	Takeover bool   // where every place of the license is in use, the oldest session gives way, and this one goes on where it was

	Protection permission.Protection // that the browser says is on where it shows video
}

// Playback is a playback session: a link-encrypted stream to one browser. Its
// exported fields do not change.
type Playback struct {
	ID       string
	Content  ident.Content
	Title    string
	Started  time.Time
	Screen   string // where it is shown, for people
	From     int64  // media ms at which the player begins
	Decision license.Decision
	Person   string // ID of whom of the people it is for; "": of nobody who is asked

	title  *Title
	handle uint64
	tracks []*linkTrack
	keys   []trem.LinkKey

	used  time.Time        // guarded by plays.mu
	at    int64            // guarded by plays.mu; media ms
	tells bool             // guarded by plays.mu; at is the player's word
	feeds map[string]error // guarded by plays.mu; what Feeds found, by system
}

// linkTrack is a track that the session may use.
type linkTrack struct {
	*content.TrackFiles
	number uint64        // in the module's session
	init   []byte        // what the browser gets as initialization segment
	in     *content.Init // of the packed track: how its segments are cut
}

type plays struct {
	mu      sync.Mutex
	open    map[string]*Playback // guarded by mu
	stopped map[string]*Stopped  // guarded by mu
	order   []string             // guarded by mu; of stopped, oldest first

	begins map[ident.Content]*turns // guarded by mu; of which a session begins
}

// turns are those that begin a session of one title: who, and who waits.
type turns struct {
	one chan struct{} // has room for one
	n   int           // guarded by plays.mu
}

func newPlays() *plays {
	return &plays{open: map[string]*Playback{}, stopped: map[string]*Stopped{}, begins: map[ident.Content]*turns{}}
}

// turn waits until nobody else begins a session of a title: one that has begun in the
// module and is not open yet would be nobody's, so that anybody might end it.
func (s *plays) turn(ctx context.Context, c ident.Content) (done func(), err error) {
	s.mu.Lock()
	t := s.begins[c]
	if t == nil {
		t = &turns{one: make(chan struct{}, 1)}
		s.begins[c] = t
	}
	t.n++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.n--; t.n == 0 {
			delete(s.begins, c)
		}
	}
	select {
	case t.one <- struct{}{}:
		return func() { <-t.one; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// Play opens a session for who asks (As), or fails with a *trem.RefusalError that has every
// reason.
func (h *Home) Play(ctx context.Context, r PlayRequest) (*Playback, error) {
	t, err := h.Title(r.Content)
	if err != nil {
		return nil, err
	}
	h.plays.mu.Lock()
	full := len(h.plays.open) >= maxSessions
	h.plays.mu.Unlock()
	if full {
		return nil, ErrBusy
	}
	done, err := h.plays.turn(ctx, r.Content)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, back := h.people.spend(ctx, r.Content)
	ask := trem.Ask{
		Content: r.Content, Action: permission.Play, Output: trem.OutputLink,
		Protection: r.Protection, Person: h.judged(ctx, r.Content, permission.Play),
		Confirm: r.Confirm, Consent: r.Confirm, Again: r.Again, FromMS: r.FromMS, Takeover: r.Takeover, // what asks for consent is among the confirms that were shown
	}
	rivals, err := h.rivals(ctx, r, ask)
	if err != nil {
		back()
		return nil, err
	}
	var ended []*Playback
	for _, s := range rivals {
		if s.play != nil {
			ended = append(ended, s.play)
		}
	}
	if n := len(ended); n > 0 && r.Takeover && !r.Again && r.FromMS == 0 {
		ask.FromMS = h.position(ended[n-1])
	}
	s, err := h.cfg.Module.Begin(ctx, ask)
	if err != nil {
		back()
		return nil, err
	}
	h.stopTaken(ctx, ended, r.Screen)
	p := &Playback{
		Content: r.Content, Title: t.Title, Started: h.cfg.Now(), Decision: s.Decision, Screen: r.Screen, From: ask.FromMS,
		title: t, handle: s.Handle, used: h.cfg.Now(), at: ask.FromMS,
	}
	if w := WatcherIn(ctx); w != nil {
		p.Person = w.ID
	}
	if err := h.prepare(ctx, p, s.KIDs); err != nil {
		back()
		return nil, errors.Join(err, h.cfg.Module.End(context.WithoutCancel(ctx), s.Handle))
	}
	var id [sessionIDLen]byte
	rand.Read(id[:])
	p.ID = hex.EncodeToString(id[:])
	h.plays.mu.Lock()
	h.plays.open[p.ID] = p
	h.plays.mu.Unlock()
	h.log.LogAttrs(ctx, slog.LevelInfo, "playback began", slog.String("session", p.ID[:8]), slog.Any("license", s.License))
	return p, nil
}

// prepare gives the module the initialization segments of all tracks whose
// keys the session may use, and gets the session's keys.
func (h *Home) prepare(ctx context.Context, p *Playback, kids []ident.Key) error {
	for i := range p.title.Tracks {
		t := &p.title.Tracks[i]
		if !slices.Contains(kids, t.KID) {
			continue
		}
		data, err := p.title.read(t.Init)
		if err != nil {
			return err
		}
		number, out, err := h.cfg.Module.Track(ctx, p.handle, data)
		if err != nil {
			return fmt.Errorf("open track %s: %w", t.Name, err)
		}
		in, err := content.ParseInit(data)
		if err != nil {
			return fmt.Errorf("open track %s: %w", t.Name, err)
		}
		p.tracks = append(p.tracks, &linkTrack{TrackFiles: t, number: number, init: out, in: in})
	}
	if len(p.tracks) == 0 {
		return errors.New("home: the title has no track for the keys of its license")
	}
	keys, err := h.cfg.Module.LinkKeys(ctx, p.handle)
	p.keys = keys
	return err
}

// Playing returns an open session and notes that its player is alive. For
// one that has ended it fails with a *Stopped.
func (h *Home) Playing(id string) (*Playback, error) {
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	if p := h.plays.open[id]; p != nil {
		p.used = h.cfg.Now()
		return p, nil
	}
	if s := h.plays.stopped[id]; s != nil {
		return nil, s
	}
	return nil, fmt.Errorf("playback session: %w", ErrUnknown)
}

// Sessions lists the open sessions, oldest first.
func (h *Home) Sessions() []*Playback {
	h.plays.mu.Lock()
	defer h.plays.mu.Unlock()
	out := make([]*Playback, 0, len(h.plays.open))
	for _, p := range h.plays.open {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Playback) int { return a.Started.Compare(b.Started) })
	return out
}

// Keys returns the session's keys: all that a browser may have.
func (h *Home) Keys(id string) ([]trem.LinkKey, error) {
	p, err := h.Playing(id)
	if err != nil {
		return nil, err
	}
	return p.keys, nil
}

// Initialization returns the initialization segment of a track of a session.
func (h *Home) Initialization(id, track string) ([]byte, error) {
	p, err := h.Playing(id)
	if err != nil {
		return nil, err
	}
	t, err := p.track(track)
	if err != nil {
		return nil, err
	}
	return t.init, nil
}

func (p *Playback) track(name string) (*linkTrack, error) {
	for _, t := range p.tracks {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("track: %w", ErrUnknown)
}

// Stop ends a session and tells its player at once. A session that has ended
// before is no error.
func (h *Home) Stop(ctx context.Context, id string, reason StopReason) error {
	if _, err := h.Playing(id); err != nil {
		if errors.Is(err, ErrStopped) {
			return nil
		}
		return err
	}
	h.stop(ctx, id, &Stopped{Reason: reason}) //nolint:errcheck // the returned error is the end itself
	return nil
}

// stop takes a session out, ends it in the module and tells the pages. It
// returns how the session ended, which is another way if two were at it.
func (h *Home) stop(ctx context.Context, id string, why *Stopped) error {
	h.plays.mu.Lock()
	p := h.plays.open[id]
	if p == nil {
		defer h.plays.mu.Unlock()
		if s := h.plays.stopped[id]; s != nil {
			return s
		}
		return ErrStopped
	}
	delete(h.plays.open, id)
	h.plays.stopped[id] = why
	if h.plays.order = append(h.plays.order, id); len(h.plays.order) > keptStopped {
		delete(h.plays.stopped, h.plays.order[0])
		h.plays.order = h.plays.order[1:]
	}
	h.plays.mu.Unlock()
	h.publish(Event{Kind: EventStopped, Session: id, Reason: why.Reason, Stopped: why})
	if err := h.cfg.Module.End(ctx, p.handle); err != nil && why.Reason != StopTaken { // then the module ended it
		h.log.LogAttrs(ctx, slog.LevelWarn, "session not ended in the module", slog.String("session", id[:8]), slog.Any("error", err))
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "playback ended", slog.String("session", id[:8]), slog.String("reason", string(why.Reason)))
	h.publish(Event{Kind: EventLibrary})
	return why
}

func (h *Home) stopAll(ctx context.Context, reason StopReason) {
	for _, p := range h.Sessions() {
		h.stop(ctx, p.ID, &Stopped{Reason: reason}) //nolint:errcheck // the returned error is the end itself
	}
}

// sweepSessions ends sessions whose player is gone: it neither asks nor listens.
func (h *Home) sweepSessions(ctx context.Context) {
	now := h.cfg.Now()
	for _, p := range h.Sessions() {
		h.plays.mu.Lock()
		idle := now.Sub(p.used) >= h.cfg.IdleAfter
		h.plays.mu.Unlock()
		if idle && !h.watched(p.ID) {
			h.stop(ctx, p.ID, &Stopped{Reason: StopIdle}) //nolint:errcheck // the returned error is the end itself
		}
	}
}

// touch notes a sign of life.
func (s *plays) touch(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open[id]; p != nil {
		p.used = now
	}
}
