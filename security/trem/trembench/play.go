package trembench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	inside "github.com/lares-drm/lares/security/trem/module"
)

// Watch is the order to play the film's HD tier, with every consent.
func Watch() trem.Ask {
	return trem.Ask{Content: Film, Action: permission.Play, Tier: uint64(content.HD), Output: trem.OutputInternal, Confirm: true}
}

// Player is two devices that may play the film, and the film: the module of one
// is not running, its folder is Dir; that of the other runs in this process.
type Player struct {
	Dir  string
	Reel Reel

	house *House
	near  *module
	part  []byte // the order to decrypt a segment
}

// Player makes a house whose devices may play the film without a count. Close
// ends what runs of it.
func (h House) Player(ctx context.Context) (p *Player, err error) {
	h.offers = map[ident.Content]string{Film: "PLAY"}
	p = &Player{Dir: filepath.Join(h.Dir, "tablet"), house: &h}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := h.open(ctx); err != nil {
		return p, err
	}
	p.near = h.phone
	for _, m := range []*module{h.tablet, h.phone} {
		if _, err := h.allow(ctx, m, Film); err != nil {
			return p, err
		}
	}
	if p.Reel, err = h.reel(Film); err != nil {
		return p, err
	}
	return p, errors.Join(p.begin(ctx), h.tablet.Close())
}

// begin opens the session of the module in this process.
func (p *Player) begin(ctx context.Context) error {
	s, err := p.near.Begin(ctx, Watch())
	if err != nil {
		return err
	}
	track, _, err := p.near.Track(ctx, s.Handle, p.Reel.Init())
	if err != nil {
		return err
	}
	p.part, err = trem.NewRequest(trem.CmdDecrypt, trem.Part{Session: s.Handle, Track: track})
	return err
}

// Decrypt decrypts a segment where it lies as a module does, with its license and
// the kernel's clocks, but in this process: no stream, no other memory.
func (p *Player) Decrypt(segment []byte) error {
	now, err := inside.System()
	if err != nil {
		return err
	}
	out, err := p.near.core.Do(trem.Message{Header: p.part, Payload: segment}, now)
	if err == nil && len(out.Payload) != len(segment) {
		err = fmt.Errorf("%d bytes of %d came back, and %x", len(out.Payload), len(segment), out.Header)
	}
	return err
}

// Close ends the modules that run.
func (p *Player) Close() error { return p.house.close() }

// allow has a device ask the house for a title: for one play, where they are
// counted.
func (h *House) allow(ctx context.Context, m *module, id ident.Content) ([]trem.Event, error) {
	plays := uint64(0)
	if h.counts(id) {
		plays = 1
	}
	o, err := m.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: id, Plays: plays})
	if err != nil {
		return nil, err
	}
	r := h.newRun(h.home, m)
	if err := r.session(ctx, o.Messages); err != nil {
		return r.events, err
	}
	if !slices.ContainsFunc(r.events, func(e trem.Event) bool { return e.Kind == trem.EventInstalled }) {
		return r.events, fmt.Errorf("a device asked for %v, and that led to %+v", id, r.events)
	}
	return r.events, nil
}

// reel is the HD tier of a title.
func (h *House) reel(id ident.Content) (Reel, error) {
	for _, k := range h.keys[id] {
		if k.Tier == content.HD {
			c, err := cenc.NewCipher(k.Key)
			return Reel{kid: k.KID, key: k.Key, cipher: c}, err
		}
	}
	return Reel{}, fmt.Errorf("%v has no HD tier", id)
}

// Hour is what an hour of play made durable.
type Hour struct {
	Segments int
	Syncs    int // of files and folders
	Batches  int
	Anchors  int // writes to the register that cannot be set back
}

// Hour plays an hour of the film under terms of one play or more, in segments of
// so many bytes and four seconds each, on a clock that goes on by four seconds
// with each. The device has a register against being set back.
func (h House) Hour(ctx context.Context, terms string, bytes int) (out Hour, err error) {
	now := h.Now()
	h.Now, h.offers, h.anchors, h.Off = func() time.Time { return now }, map[ident.Content]string{Film: terms}, true, true // syncs are counted, whether they are done or not
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.open(ctx); err != nil {
		return out, err
	}
	if _, err := h.allow(ctx, h.tablet, Film); err != nil {
		return out, err
	}
	r, err := h.reel(Film)
	if err != nil {
		return out, err
	}
	before, err := h.tablet.tally(ctx)
	if err != nil {
		return out, err
	}
	anchors := h.tablet.anchor.writes
	s, err := h.tablet.Begin(ctx, Watch())
	if err != nil {
		return out, fmt.Errorf("begin: %w", err)
	}
	track, _, err := h.tablet.Track(ctx, s.Handle, r.Init())
	if err != nil {
		return out, err
	}
	for ; out.Segments < int(time.Hour/SegmentTime); out.Segments++ {
		seg, err := r.Segment(out.Segments, bytes)
		if err != nil {
			return out, err
		}
		if _, err := h.tablet.Decrypt(ctx, s.Handle, track, seg); err != nil {
			return out, fmt.Errorf("segment %d: %w", out.Segments, err)
		}
		now = now.Add(SegmentTime)
	}
	if err := h.tablet.End(ctx, s.Handle); err != nil {
		return out, err
	}
	after, err := h.tablet.tally(ctx)
	d := after.less(before)
	out.Syncs, out.Batches, out.Anchors = d.Syncs, d.Batches, h.tablet.anchor.writes-anchors
	return out, err
}
