package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// Stage is a world of two boxes and one film in which somebody else decides
// what happens: the page "Try to lose a film". Box 0 of its world sells nothing.
type Stage struct {
	parties *Parties
	w       *World
	events  []Event
	log     []string // technical lines, the newest last
	broken  *BrokenError
	seed    uint64
}

// Tickets is how many viewings the film of a stage has.
const Tickets = 3

// Limits of what a stage shows and keeps.
const (
	maxEvents = 12
	maxLog    = 60
	maxOld    = 12
	maxRandom = 20_000 // steps of one surprise
)

// Command is what somebody does. Do is one of the names in Stage.Do.
type Command struct {
	Do     string `json:"do"`
	Box    int    `json:"box"`    // 1 or 2
	Letter int    `json:"letter"` // its number
	Count  int    `json:"count"`  // tickets to hand over, 0 = all; or faults
	Name   string `json:"name"`   // of a mutant, or of what happens at the next write
}

// View is what there is to see.
type View struct {
	Boxes   []BoxView    `json:"boxes"`
	Letters []LetterView `json:"letters"` // on the way
	Old     []LetterView `json:"old"`     // that the relay still has, newest first
	Lost    int          `json:"lost"`    // tickets
	Doubled int          `json:"doubled"` // tickets
	Watched int          `json:"watched"`
	Faults  int          `json:"faults"`
	Mutant  string       `json:"mutant"`
	Events  []Event      `json:"events"` // newest first
	Log     []string     `json:"log"`
	Broken  string       `json:"broken"` // what does not hold, for builders
}

// BoxView is a box.
type BoxView struct {
	On        bool   `json:"on"`
	Tickets   int    `json:"tickets"`   // usable
	Out       int    `json:"out"`       // handed over, and not yet known to have arrived
	Fresh     int    `json:"fresh"`     // arrived; the other one has not yet let go
	Armed     string `json:"armed"`     // what happens at its next write
	Cancelled bool   `json:"cancelled"` // it has asked for what is out
}

// LetterView is a message.
type LetterView struct {
	ID       int    `json:"id"`
	From     int    `json:"from"`
	To       int    `json:"to"`
	Kind     string `json:"kind"`
	Seq      uint64 `json:"seq"`     // of the hand-over
	Tickets  int    `json:"tickets"` // of an XFER
	Arrivals int    `json:"arrivals"`
}

// Event is something that happened, in a word that the page has a sentence for.
type Event struct {
	What string `json:"what"`
	Box  int    `json:"box"`
	Kind string `json:"kind"` // of a letter
	N    int    `json:"n"`
}

// NewStage makes a stage.
func NewStage(p *Parties) (*Stage, error) {
	s := &Stage{parties: p}
	return s, s.reset(None)
}

// reset starts over, with boxes that make a mistake or none.
func (s *Stage) reset(m Mutant) error {
	s.seed++
	s.events, s.log, s.broken = nil, nil, nil
	s.w = empty(Config{Parties: s.parties, Seed: s.seed, Mutant: m, Lenient: true, Log: s})
	s.w.ops, s.w.patience, s.w.calm = stageOps(), 0, true // what goes wrong, somebody decides
	for i := range 3 {
		if err := s.w.addBox(i, &register{}); err != nil {
			return err
		}
	}
	return s.w.give(s.w.boxes[1], 0, units{Plays: Tickets})
}

// stageOps is what a surprise can bring.
func stageOps() []op {
	return []op{
		{"hand over", 10, (*World).opHand},
		{"cancel", 10, (*World).opCancel},
		{"resend", 8, (*World).opResend},
		{"query", 4, (*World).opQuery},
		{"deliver", 24, (*World).opDeliver},
		{"replay", 14, (*World).opReplay},
		{"lose", 6, (*World).opLose},
		{"compact", 2, (*World).opCompact},
		{"stop", 4, (*World).opStop},
	}
}

// opHand hands some tickets over.
func (w *World) opHand(b *box) error {
	n := w.upTo(b.free(asset{}).Plays)
	if n == 0 {
		return nil
	}
	return w.prepare(b, w.boxes[3-b.index], entry{Op: transfer.OpMove, Units: units{Plays: n}}, false, nil, ident.Request{})
}

// Write takes the world's notes.
func (s *Stage) Write(p []byte) (int, error) {
	s.log = append(s.log, strings.TrimSpace(string(p)))
	s.log = s.log[max(0, len(s.log)-maxLog):]
	return len(p), nil
}

func (s *Stage) tell(what string, box int, kind string, n int) {
	s.events = append([]Event{{what, box, kind, n}}, s.events...)
	s.events = s.events[:min(len(s.events), maxEvents)]
}

// Do does something, and says what there is to see then. What is not possible
// now changes nothing.
func (s *Stage) Do(c Command) (*View, error) {
	if c.Do == "reset" {
		m, err := ParseMutant(c.Name)
		if err != nil {
			return nil, err
		}
		if err := s.reset(m); err != nil {
			return nil, err
		}
		return s.view()
	}
	if s.broken == nil {
		s.w.step++
		err := s.act(c)
		if err == nil {
			err = s.w.check()
		}
		if b, ok := errors.AsType[*BrokenError](err); ok {
			s.broken = b
			s.tell("broken", 0, b.Verdict.String(), 0)
		} else if err != nil {
			return nil, err
		}
	}
	return s.view()
}

func (s *Stage) act(c Command) error {
	w := s.w
	switch c.Do {
	case "look":
		return nil
	case "surprise":
		return s.surprise(c.Count)
	case "through":
		return s.through()
	case "deliver", "double", "lose", "replay":
		return s.letter(c)
	}
	if c.Box < 1 || c.Box > 2 {
		return fmt.Errorf("sim: box %d", c.Box)
	}
	b := w.boxes[c.Box]
	switch {
	case c.Do == "plug" && b.down:
		s.tell("on", c.Box, "", 0)
		return w.boot(b)
	case c.Do == "unplug" && !b.down:
		b.disk.fired = PlugPower
		s.tell("off", c.Box, "", 0)
		return w.stop(b)
	case b.down:
		return nil
	case c.Do == "arm":
		return s.arm(b, c.Name)
	}
	return s.asked(b, c)
}

// asked is what the owner asks of a box that is on.
func (s *Stage) asked(b *box, c Command) error {
	w := s.w
	var err error
	switch c.Do {
	case "hand":
		u := units{Plays: b.free(asset{}).Plays}
		if c.Count > 0 {
			u.Plays = min(u.Plays, uint64(c.Count))
		}
		if u.Plays == 0 {
			return nil
		}
		s.tell("hand", b.index, "", int(u.Plays)) //nolint:gosec // a few
		err = w.prepare(b, w.boxes[3-b.index], entry{Op: transfer.OpMove, Units: u}, false, nil, ident.Request{})
	case "watch":
		if b.account.have[asset{}].Plays == 0 {
			return nil
		}
		s.tell("watch", b.index, "", 1)
		err = w.opPlay(b)
	case "cancel":
		if len(b.src.Open()) > 0 {
			s.tell("cancel", b.index, "", 0)
			err = w.opCancel(b)
		}
	case "again":
		s.tell("again", b.index, "", 0)
		if err = w.resend(b, w.boxes[3-b.index]); err == nil && !b.down {
			err = w.opQuery(b)
		}
	default:
		return fmt.Errorf("sim: nothing is called %q", c.Do)
	}
	s.died(b)
	return err
}

// died tells that a box has lost its power while it did something.
func (s *Stage) died(b *box) {
	if b.down {
		s.tell("died", b.index, "", 0)
	}
}

// arm pulls the plug at a moment of the box's next write.
func (s *Stage) arm(b *box, name string) error {
	switch name {
	case "before":
		b.disk.arm(PlugPower, 0)
	case "middle":
		b.disk.arm(PlugHalf, 0)
	case "unsafe": // written, and not yet synced
		b.disk.arm(PlugPower, 1)
	case "after": // synced, and nothing was sent
		b.disk.arm(PlugPower, 2)
	case "":
		b.disk.disarm()
	default:
		return fmt.Errorf("sim: no moment %q", name)
	}
	b.moment = name
	return nil
}

// letter does something with a letter.
func (s *Stage) letter(c Command) error {
	w := s.w
	list := w.relay.waiting
	if c.Do == "replay" {
		list = w.relay.kept
	}
	i := slices.IndexFunc(list, func(l *letter) bool { return l.id == c.Letter })
	if i < 0 {
		return nil
	}
	l := list[i]
	b := w.boxes[l.to]
	if c.Do == "lose" {
		w.relay.drop(l)
		w.counts[Lost]++
		s.tell("lose", l.to, l.kind, l.show().Tickets)
		return nil
	}
	if b.down {
		s.tell("nobody", l.to, l.kind, l.show().Tickets)
		return nil
	}
	if c.Do != "double" {
		w.relay.drop(l)
	}
	s.tell(c.Do, l.to, l.kind, l.show().Tickets)
	err := w.deliver(l)
	s.died(b)
	return err
}

// surprise lets things happen at random until so many faults were injected.
func (s *Stage) surprise(faults int) error {
	w := s.w
	for _, b := range w.boxes {
		b.disk.disarm()
		b.moment = ""
	}
	was := w.counts.Total()
	w.calm = false
	defer func() { w.calm = true; s.tell("surprise", 0, "", w.counts.Total()-was) }()
	for range maxRandom {
		if w.counts.Total()-was >= faults {
			break
		}
		w.step++
		if err := w.happen(w.boxes[1+w.rnd.IntN(2)]); err != nil {
			return err
		}
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
}

// through lets everything arrive, until nothing is open.
func (s *Stage) through() error {
	w := s.w
	for _, b := range w.boxes {
		b.moment = ""
	}
	for range 4 {
		if err := w.round(); err != nil {
			return err
		}
	}
	s.tell("through", 0, "", 0)
	return nil
}

func (s *Stage) view() (*View, error) {
	w := s.w
	v := &View{Boxes: []BoxView{}, Letters: []LetterView{}, Old: []LetterView{}, Faults: w.counts.Total(), Mutant: w.cfg.Mutant.String(), Events: append([]Event{}, s.events...), Log: append([]string{}, s.log...)}
	if s.broken != nil {
		v.Broken = s.broken.What
	}
	var views []*view
	for _, b := range w.boxes {
		x, err := b.seen()
		if err != nil {
			return nil, err
		}
		if views = append(views, x); b.index > 0 {
			v.Boxes = append(v.Boxes, b.show(x))
		}
	}
	plays, _ := w.balance(views, 0)
	v.Watched = int(w.shown[0])                                                                                //nolint:gosec // a few
	v.Lost, v.Doubled = max(0, int(plays.Issued)-int(plays.Sum())), max(0, int(plays.Sum())-int(plays.Issued)) //nolint:gosec // a few
	for _, l := range w.relay.waiting {
		v.Letters = append(v.Letters, l.show())
	}
	for _, l := range slices.Backward(w.relay.kept) {
		if len(v.Old) < maxOld && !slices.Contains(w.relay.waiting, l) {
			v.Old = append(v.Old, l.show())
		}
	}
	return v, nil
}

// show is a box as its disk has it.
func (b *box) show(x *view) BoxView {
	out := BoxView{On: !b.down, Armed: b.moment, Tickets: int(x.account.have[asset{}].Plays)} //nolint:gosec // a few
	if b.disk.plug == PlugNone {
		out.Armed = ""
	}
	for tid, e := range x.account.escrow {
		out.Out += int(e.Units.Plays) //nolint:gosec // a few
		if o, err := x.src.Opened(tid); err == nil && o.Cancelled {
			out.Cancelled = true
		}
	}
	for tid, e := range x.account.fresh {
		if x.dst.Unconfirmed(tid) {
			out.Fresh += int(e.Units.Plays) //nolint:gosec // a few
		}
	}
	return out
}

func (l *letter) show() LetterView {
	v := LetterView{ID: l.id, From: l.from, To: l.to, Kind: l.kind, Seq: l.tid.Seq, Arrivals: l.arrivals}
	if x, err := transfer.ParseXFER(l.data); err == nil && l.kind == "XFER" {
		if b, err := transfer.ParseBody(x.Body); err == nil {
			v.Tickets = int(b.Amounts[rightPlay]) //nolint:gosec // a few
		}
	}
	return v
}
