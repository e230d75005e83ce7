package core

import (
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"

	box "github.com/lares-drm/lares/content"
)

// session is one open use of an instance: Begin, Track, Decrypt, End.
type session struct {
	inst   *instance
	ask    trem.Ask
	use    license.Session
	link   map[ident.Key]cenc.ContentKey // session keys; nil for an internal output
	tracks []*box.Init
	boot   int64 // boot clock at Begin, ms

	release bool // of a title whose sunset releases it: nothing is counted
	lost    bool // its keeper says that it has no place any more
}

// maxSessions bounds the open sessions of one module, maxTracks those of one session.
const (
	maxSessions = 64
	maxTracks   = 16
)

// begin opens a session on the license that burns least, or refuses with the
// reasons of the one that came closest.
func (c *Core) begin(in trem.Ask, r Reading) (trem.Session, error) {
	if c.peer == nil {
		return trem.Session{}, stateError("this module is not enrolled yet")
	}
	if in.Release {
		return c.releaseTitle(in)
	}
	inst, d := c.choose(in, r, c.pinned(in, r))
	if !d.Allow {
		return trem.Session{}, &trem.RefusalError{Decision: d}
	}
	step := inst.leaf().Begin(c.input(inst, in, r))
	if !step.Decision.Allow {
		return trem.Session{}, &trem.RefusalError{Decision: step.Decision}
	}
	ends := c.surplus(inst, r)
	err := c.room(len(ends))
	if err != nil {
		return trem.Session{}, err
	}
	if len(ends) > 0 {
		if step, err = c.instead(ends, inst, in, r); err != nil {
			return trem.Session{}, err
		}
	}
	if err := c.keep(inst, step, r); err != nil {
		return trem.Session{}, err
	}
	if err := c.takePlaceHere(inst, r); err != nil {
		return trem.Session{}, err
	}
	s := &session{inst: inst, ask: in, use: step.Session, boot: r.Boot}
	if in.Output == trem.OutputLink {
		s.link = map[ident.Key]cenc.ContentKey{}
		for _, kid := range step.Decision.KIDs {
			s.link[kid] = cenc.GenerateKey()
			c.cfg.Memory.Keep(s.link[kid])
		}
	}
	c.last++
	c.sessions[c.last] = s
	return trem.Session{Handle: c.last, License: inst.leaf().Info().ID, KIDs: step.Decision.KIDs, Decision: step.Decision}, nil
}

// instead ends sessions, and begins one on what they leave.
func (c *Core) instead(ends []uint64, inst *instance, in trem.Ask, r Reading) (license.Step, error) {
	for _, handle := range ends {
		if err := c.end(handle, r); err != nil {
			return license.Step{}, err
		}
	}
	step := inst.leaf().Begin(c.input(inst, in, r))
	if !step.Decision.Allow {
		return step, &trem.RefusalError{Decision: step.Decision}
	}
	return step, nil
}

// room fails where this module has no room for one more session, once so many end.
func (c *Core) room(ends int) error {
	if len(c.sessions)-ends >= maxSessions {
		return stateError("too many sessions are open in this module")
	}
	return nil
}

// keep makes a step's state durable before anything depends on it.
func (c *Core) keep(inst *instance, step license.Step, r Reading) error {
	if err := c.note(inst, step, r); err != nil {
		return err
	}
	return c.flush()
}

// note takes a step's state: the next write makes it durable. The clock's floor
// rides along.
func (c *Core) note(inst *instance, step license.Step, r Reading) error {
	if !step.Commit {
		inst.state = step.State
		return c.tick(r)
	}
	paid := *inst
	paid.state = step.State
	rec, err := paid.record()
	if err != nil {
		return err
	}
	next := c.clock
	next.settle(r)
	tick, err := newRecord(kindClock, next)
	if err != nil {
		return err
	}
	c.along(step.Anchor, rec, tick)
	inst.state, c.clock = step.State, next
	return nil
}

// tickEvery is how much use without a durable state may pass before the clock
// is made durable on its own, in ms. Source: local, docs/spec/time.md.
const tickEvery = 10 * 60_000

// tick keeps what this boot has run, also where a license has no state: reboots
// do not stop the grace of a clock.
func (c *Core) tick(r Reading) error {
	if r.BootID == c.clock.BootID && r.Boot-c.clock.Boot < tickEvery {
		return nil
	}
	next := c.clock
	next.settle(r)
	rec, err := newRecord(kindClock, next)
	if err != nil {
		return err
	}
	c.along(false, rec)
	c.clock = next
	return nil
}

func (c *Core) session(handle uint64) (*session, error) {
	s, ok := c.sessions[handle]
	if !ok {
		return nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such session"}
	}
	return s, nil
}

// track parses an initialization segment. Its keys must be the session's.
func (c *Core) track(in trem.Part, segment []byte, _ Reading) (any, []byte, error) {
	s, err := c.session(in.Session)
	if err != nil {
		return nil, nil, err
	}
	if len(s.tracks) >= maxTracks {
		return nil, nil, stateError("too many tracks in one session")
	}
	init, err := box.ParseInit(segment)
	if err != nil {
		return nil, nil, rejected(fmt.Errorf("initialization segment: %w", err))
	}
	out := segment
	if s.link == nil {
		if out, err = init.Clear(segment); err != nil {
			return nil, nil, rejected(fmt.Errorf("initialization segment: %w", err))
		}
	}
	s.tracks = append(s.tracks, init)
	return uint64(len(s.tracks) - 1), out, nil //nolint:gosec // one was just appended
}

// decrypt releases one segment: the license is asked, what it costs is durable,
// then the bytes are decrypted or link-encrypted in place, in the payload or in
// the buffer.
func (c *Core) decrypt(in trem.Part, segment []byte, r Reading) (any, []byte, error) {
	s, err := c.session(in.Session)
	if err != nil {
		return nil, nil, err
	}
	if in.Track >= uint64(len(s.tracks)) {
		return nil, nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such track"}
	}
	switch {
	case len(in.More) > 0:
		err = malformed(fmt.Errorf("%d segments, and no file for each", 1+len(in.More)))
	case in.Bytes == 0 && in.At == 0:
		err = c.decryptOwn(in, s, segment, r)
	case len(segment) > 0:
		err = malformed(fmt.Errorf("a segment in the buffer and one in the payload"))
	default:
		segment, err = nil, c.decryptBuffer(in, s, r)
	}
	if err != nil {
		return nil, nil, err
	}
	return trem.None{}, segment, nil
}

// pay extends the session's license over one fragment, key by key.
func (c *Core) pay(s *session, f *box.Fragment, r Reading) error {
	if s.release {
		return nil
	}
	start, dur := f.Time()
	for _, kid := range f.KIDs() {
		step := s.inst.leaf().Extend(s.use, c.running(s, r), license.Fragment{
			KID: kid, Bytes: int64(f.Bytes()), MediaMS: start, DurMS: dur, WallMS: max(r.Boot-s.boot, 0),
		})
		if !step.Decision.Allow {
			return &trem.RefusalError{Decision: step.Decision}
		}
		if err := c.keep(s.inst, step, r); err != nil {
			return err
		}
		s.use = step.Session
	}
	return nil
}

// running is input for a session: one that lost its place has lost it for good.
func (c *Core) running(s *session, r Reading) license.Input {
	in := c.input(s.inst, s.ask, r)
	if s.lost {
		in.Env.Slots, in.Env.Offline = []license.Slot{{Device: c.self, Taken: true}}, false
	}
	return in
}

func (s *session) title(kid ident.Key) (cenc.ContentKey, error) { return pick(s.inst.keys, kid) }

func (s *session) session(kid ident.Key) (cenc.ContentKey, error) { return pick(s.link, kid) }

func pick(keys map[ident.Key]cenc.ContentKey, kid ident.Key) (cenc.ContentKey, error) {
	k, ok := keys[kid]
	if !ok {
		return k, fmt.Errorf("no key %v in this session", kid)
	}
	return k, nil
}

// end closes a session; the unused part of its slice is refunded. That is durable
// with what the command does next, such as to hand the license over.
func (c *Core) end(handle uint64, r Reading) error {
	s, err := c.session(handle)
	if err != nil {
		return err
	}
	c.drop(handle, s)
	if s.release {
		return nil
	}
	return c.note(s.inst, s.inst.leaf().End(s.use, c.input(s.inst, s.ask, r), max(r.Boot-s.boot, 0)), r)
}

// drop ends a session without a word to its license.
func (c *Core) drop(handle uint64, s *session) {
	delete(c.sessions, handle)
	for _, k := range s.link {
		k.Clear()
	}
}

// linkKeys gives out the session keys of a link-encrypted session: they open
// that session's stream and nothing else.
func (c *Core) linkKeys(handle uint64) ([]trem.LinkKey, error) {
	s, err := c.session(handle)
	if err != nil {
		return nil, err
	}
	if s.link == nil {
		return nil, stateError("this session is not link-encrypted")
	}
	out := make([]trem.LinkKey, 0, len(s.link))
	for _, kid := range s.use.KIDs {
		key, ok := s.link[kid]
		if !ok {
			continue
		}
		plain, err := key.Reveal()
		if err != nil {
			return nil, err
		}
		out = append(out, trem.LinkKey{KID: kid, Key: plain[:]})
	}
	return out, nil
}
