package scenario

import (
	"fmt"
	"strings"

	"github.com/lares-drm/lares/license"
)

func start(r *run, out *outcome, _ *ask, in *instance, x license.Input) error {
	if in.ses != nil {
		return fmt.Errorf("license %s is in use already: stop or crash first", in.name)
	}
	s := in.lic.Begin(x)
	out.in, out.decision, out.vec = in, &s.Decision, r.vecInput("begin", in, &x)
	in.take(&s)
	if s.Decision.Allow {
		in.ses = &session{Session: s.Session, req: x.Request, begun: r.now, pos: x.Request.From}
	}
	return nil
}

// watching is what watch and read ask for.
type watching struct {
	do       string
	with     string
	ms       int64
	tracks   []string
	from     int64 // -1: where the session is
	bytes    int64 // of each fragment; -1 half the peak rate, -2 the peak rate
	fragment int64 // ms
}

func readWatch(words []string) (action, error) { return readPlay("watch", words) }
func readRead(words []string) (action, error)  { return readPlay("read", words) }

func readPlay(do string, words []string) (action, error) {
	names, words, err := pairs(words, "with")
	if err != nil {
		return nil, err
	}
	w := &watching{do: do, with: names["with"], from: -1, bytes: -1, fragment: second}
	if len(words) == 0 {
		return nil, fmt.Errorf("want a duration behind it, such as 60s")
	}
	if w.ms, err = parseDuration(words[0]); err != nil {
		return nil, err
	}
	words = words[1:]
	if len(words) > 0 && words[0] == strings.ToUpper(words[0]) {
		w.tracks, words = strings.Split(words[0], "+"), words[1:]
	}
	o := opts{}
	o.span("from", &w.from)
	o.span("fragment", &w.fragment)
	o.add("bytes", func(v string) error {
		if v == "peak" {
			w.bytes = -2
			return nil
		}
		n, err := parseNumber(v)
		w.bytes = int64(n) //nolint:gosec // below 2^53
		return err
	})
	if err := o.read(words); err != nil {
		return nil, err
	}
	if w.fragment == 0 || w.ms%w.fragment != 0 || w.ms == 0 {
		return nil, fmt.Errorf("%s is not a number of whole fragments of %s", span(w.ms), span(w.fragment))
	}
	return w.run, nil
}

func (w *watching) run(r *run, out *outcome) error {
	in, err := r.instance(w.with)
	if err != nil {
		return err
	}
	if in.ses == nil {
		return fmt.Errorf("license %s is not in use: start it, with confirm where that is needed", in.name)
	}
	rounds := w.ms / w.fragment
	if w.from < 0 {
		w = &watching{w.do, w.with, w.ms, w.tracks, in.ses.pos, w.bytes, w.fragment}
	}
	list, err := w.keys(in)
	if err != nil {
		return err
	}
	if r.left -= rounds * int64(len(list)); rounds > maxFragments || r.left < 0 {
		return fmt.Errorf("the story has more than %d fragments: watch less, or in longer ones (fragment=10s)", maxFragments)
	}
	out.in = in
	x := r.input(in, in.ses.req)
	out.vec = r.vecInput(w.do, in, &x)
	wall := r.now - in.ses.begun
	out.vec.From, out.vec.Fragments, out.vec.FragmentMS, out.vec.WallMS = &w.from, rounds, w.fragment, &wall
	for _, f := range list {
		out.vec.Tracks = append(out.vec.Tracks, vTrack{hexKey(f.KID), f.Bytes})
	}
	w.play(r, in, list, rounds, out)
	out.vec.Expect.Watched = &out.watched
	return nil
}

// play asks for the fragments, round by round, until one is refused.
func (w *watching) play(r *run, in *instance, list []license.Fragment, rounds int64, out *outcome) {
	x := r.input(in, in.ses.req)
	for i := range rounds {
		for _, f := range list {
			f.MediaMS, f.DurMS, f.WallMS = w.from+i*w.fragment, w.fragment, r.now-in.ses.begun
			x.State, x.Clock = in.mem, r.w.clock(r.now, in.lic.Info().Issuer)
			s := in.lic.Extend(in.ses.Session, x, f)
			in.take(&s)
			out.decision = &s.Decision
			if !s.Decision.Allow {
				return
			}
			in.ses.Session = s.Session
		}
		out.watched += w.fragment
		in.ses.pos = w.from + (i+1)*w.fragment
		if w.do == "watch" {
			r.now = min(r.now+w.fragment, maxTime)
		}
	}
}

// keys are the fragments of one round: the tracks that are named, else the
// picture, or the sound where there is none, of the running session.
func (w *watching) keys(in *instance) ([]license.Fragment, error) {
	names := w.tracks
	if len(names) == 0 {
		names = []string{in.ses.Tier.String()}
	}
	var out []license.Fragment
	for _, n := range names {
		kid, err := in.key(n)
		if err != nil {
			return nil, err
		}
		f := license.Fragment{KID: kid, Bytes: w.bytes}
		for i := range in.lic.Info().Keys {
			k := &in.lic.Info().Keys[i]
			peak := int64(min(k.BPS, 1<<32)) * min(w.fragment, day) / second
			switch {
			case k.KID != kid || w.bytes >= 0:
			case w.bytes == -2:
				f.Bytes = peak
			default:
				f.Bytes = peak / 2
			}
		}
		f.Bytes = max(f.Bytes, 0)
		out = append(out, f)
	}
	return out, nil
}

func stop(r *run, out *outcome, in *instance) error {
	if in.ses == nil {
		return fmt.Errorf("license %s is not in use", in.name)
	}
	x := r.input(in, in.ses.req)
	wall := r.now - in.ses.begun
	s := in.lic.End(in.ses.Session, x, wall)
	out.in, out.decision, out.vec = in, &s.Decision, r.vecInput("end", in, &x)
	out.vec.WallMS = &wall
	in.take(&s)
	in.ses = nil
	return nil
}

func crash(r *run, out *outcome, in *instance) error {
	in.mem, in.ses = in.durable, nil
	out.in, out.vec = in, r.vec("crash", in)
	return nil
}
