package slots

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// player is a device of the model: one film, and what its host does.
type player struct {
	id     ident.Device
	holder Holder
	skew   int64 // its boot clock runs so far before the keeper's
	plays  bool
	free   bool // without a place: its keeper was away when it began, or for long since
}

// world is a keeper and its devices. Messages are lost, kept and repeated.
type world struct {
	t       *rapid.T
	now     int64
	rule    license.ConcurrencyRule
	keeper  *Keeper
	own     license.Slots // sessions of the keeper
	handle  uint64
	players []*player
	asks    []sent // what couriers kept
	answers []told
}

type sent struct {
	from *player
	ask  Ask
}

type told struct {
	to     *player
	answer Answer
}

var film = ident.License{7}

func (w *world) at(p *player) int64 { return w.now + p.skew }

// carry takes an ask to the keeper, where it arrives, and its answer back, where that does.
func (w *world) carry(p *player, a *Ask, there, back bool) {
	for a != nil {
		w.asks = append(w.asks, sent{p, *a})
		if !there {
			return
		}
		answer := w.answer(p, a)
		if answer == nil || !back {
			return
		}
		a = w.take(p, answer)
	}
}

func (w *world) answer(p *player, a *Ask) *Answer {
	answer, ended, err := w.keeper.Answer(p.id, a, w.own, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range ended {
		w.own = w.own.End(s.Device)
	}
	w.answers = append(w.answers, told{p, *answer})
	return answer
}

func (w *world) take(p *player, answer *Answer) *Ask {
	asked := p.holder.asked[film].ask
	again, err := p.holder.Take(answer, p.id, w.at(p))
	if err != nil {
		w.t.Fatalf("a fresh answer of %v: %v", answer.Outcome, err)
	}
	if again != nil {
		return again
	}
	w.outcome(p, asked, answer.Outcome)
	placed := p.plays && !p.free
	switch until := p.holder.places[film].until - p.skew; {
	case placed != w.slotted(p.id):
		w.t.Fatalf("%v was heard, plays in a place: %v, and has a slot: %v", p.id, placed, !placed)
	case placed && until > w.now+license.SlotLife:
		w.t.Fatalf("%v has its grant until %d, and its slot until %d", p.id, until, w.now+license.SlotLife)
	}
	return nil
}

// outcome is what a module and its host do about their keeper's word: FULL keeps a play
// from beginning, and one that runs without a place goes on.
func (w *world) outcome(p *player, asked Ask, o Outcome) {
	switch o {
	case Granted:
		p.plays, p.free = true, false
	case Lost:
		p.plays, p.free = false, false
	case Full:
		if asked.Op == Beat && !p.free {
			w.t.Fatalf("%v had a place, and is told FULL instead of LOST", p.id)
		}
		p.free = p.plays
	}
}

// offline is a play that begins because the keeper was not heard: without a place, or
// where use without a keeper needs one, not at all.
func (w *world) offline(p *player) {
	if _, online := p.holder.Slots(film, w.at(p), w.at(p)); !online && !p.plays && !w.rule.Offline {
		p.plays, p.free = true, true
	}
}

func (w *world) send(p *player, op Op, takeover, there, back bool) {
	ask := Ask{Op: op, Keeper: w.keeper.self, License: film}
	if op != End {
		ask.Max, ask.OnFull = w.rule.Max, w.rule.OnFull
	}
	ask.Takeover = takeover && op == Begin
	a, err := p.holder.Ask(ask, w.at(p))
	if err != nil {
		w.t.Fatal(err)
	}
	switch {
	case op == End:
		p.plays, p.free = false, false
	case op == Beat && a.Age == 0: // its grant is long over, or there was none
		p.free = true
	}
	w.carry(p, a, there, back)
	if _, unheard := p.holder.asked[film]; unheard && op == Begin {
		w.offline(p)
	}
}

// slotted is whether the keeper has a slot for a device that was not taken over.
func (w *world) slotted(d ident.Device) bool {
	for _, s := range w.keeper.Slots(film, w.own, w.now, w.now) {
		if s.Device == d && !s.Taken {
			return true
		}
	}
	return false
}

// check: the keeper never has more slots than there are.
func (w *world) check() {
	if all := w.keeper.Slots(film, w.own, w.now, w.now); used(all) > w.rule.Max {
		w.t.Fatalf("%d of %d places are in use: %+v", used(all), w.rule.Max, all)
	}
}

// settle is one heartbeat period in which all that plays is heard: after it no more play
// than may. A second one is for who was told to give way after its own heartbeat.
func (w *world) settle() {
	for range 2 {
		w.now += license.Heartbeat
		for _, p := range w.players {
			if p.plays {
				w.send(p, Beat, false, true, true)
			}
		}
	}
	n := uint64(len(w.own))
	for _, p := range w.players {
		if p.plays && p.holder.Holds(film, w.at(p)) {
			n++
		}
	}
	if n > w.rule.Max {
		w.t.Fatalf("%d play in a place after two heartbeats of all, at most %d may", n, w.rule.Max)
	}
	for _, p := range w.players { // what began without a place has one, or there is none
		if all := w.keeper.Slots(film, w.own, w.now, w.now); p.plays && p.free && used(all) < w.rule.Max {
			w.t.Fatalf("%v plays without a place, and %d of %d are in use", p.id, used(all), w.rule.Max)
		}
	}
}

// restart is the keeper's module that starts again: it knows nothing, and its own
// sessions are over.
func (w *world) restart() {
	w.keeper, w.own = NewKeeper(w.keeper.self, w.now), nil
}

// ownBegin is a session of the keeper's that begins, where one may.
func (w *world) ownBegin(takeover bool) {
	if used(w.keeper.Slots(film, w.own, w.now, w.now)) >= w.rule.Max && w.rule.OnFull != license.TakeoverOldest && (w.rule.OnFull == license.BlockNew || !takeover) {
		return
	}
	yields := w.keeper.Yield(film, w.rule, w.own, w.now)
	ended := w.keeper.Take(film, w.rule, w.own, w.now)
	if fmt.Sprint(yields) != fmt.Sprint(ended) {
		w.t.Fatalf("%v were to give way, %v do", yields, ended)
	}
	for _, s := range ended {
		w.own = w.own.End(s.Device)
	}
	w.handle++
	w.own = append(w.own, license.Slot{Device: Own(w.handle), Since: w.now, Seen: license.Open})
}

// N devices, M places, three ways of giving way, messages that are lost, late and
// repeated, and a keeper that restarts: never more places than there are, and nobody
// plays on whose keeper has answered that it may not. Who begins while the keeper is not
// heard plays besides, without a place, as docs/spec/places.md says, until there is one
// for it.
func TestEvaluator_E5_NeverMoreThanThePlaces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, now: 1000, keeper: NewKeeper(ident.Device{9, 9}, 1000)}
		w.rule = license.ConcurrencyRule{Max: rapid.Uint64Range(1, 3).Draw(rt, "places"), OnFull: license.OnFull(rapid.Uint64Range(0, 3).Draw(rt, "on_full")), Offline: rapid.Bool().Draw(rt, "offline_counts")}
		for i := range rapid.IntRange(1, 5).Draw(rt, "devices") {
			w.players = append(w.players, &player{id: ident.Device{1, byte(i)}, skew: rapid.Int64Range(0, 1_000_000).Draw(rt, "skew")})
		}
		who := func() *player { return w.players[rapid.IntRange(0, len(w.players)-1).Draw(rt, "who")] }
		bit := func(name string) bool { return rapid.Bool().Draw(rt, name) }
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) { w.send(who(), Begin, bit("takeover"), bit("there"), bit("back")) },
			"watch": func(*rapid.T) { w.send(who(), Begin, bit("takeover"), true, true) },
			"beat": func(*rapid.T) {
				if p := who(); p.plays {
					w.send(p, Beat, false, bit("there"), bit("back"))
				}
			},
			"beats": func(*rapid.T) {
				for _, p := range w.players {
					if p.plays {
						w.send(p, Beat, false, true, true)
					}
				}
			},
			"end":  func(*rapid.T) { w.send(who(), End, false, bit("there"), bit("back")) },
			"time": func(*rapid.T) { w.now += rapid.Int64Range(1, 70_000).Draw(rt, "ms") },
			"repeat an ask": func(*rapid.T) {
				if len(w.asks) > 0 {
					s := w.asks[rapid.IntRange(0, len(w.asks)-1).Draw(rt, "ask")]
					w.answer(s.from, &s.ask)
				}
			},
			"repeat an answer": func(*rapid.T) {
				if len(w.answers) == 0 {
					return
				}
				s := w.answers[rapid.IntRange(0, len(w.answers)-1).Draw(rt, "answer")]
				to := who()
				asked := to.holder.asked[film].ask
				for again, err := to.holder.Take(&s.answer, to.id, w.at(to)); err == nil; again, err = nil, ErrFresh {
					if to != s.to {
						rt.Fatalf("%v takes the answer to %v", to.id, s.to.id)
					}
					if w.carry(to, again, true, true); again == nil {
						w.outcome(to, asked, s.answer.Outcome)
					}
				}
			},
			"own":     func(*rapid.T) { w.ownBegin(bit("takeover")) },
			"own end": func(*rapid.T) { w.own = nil },
			"restart": func(*rapid.T) { w.restart() },
			"settle":  func(*rapid.T) { w.settle() },
			"":        func(*rapid.T) { w.check() },
		})
	})
}
