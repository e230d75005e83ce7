package module_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// faults is the size of a run: LARES_FAULTS, which `make faults N=...` sets.
func faults(t *testing.T, least int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("LARES_FAULTS"))
	if err != nil {
		return least
	}
	return max(n, least)
}

// What a house of the chaos has: one license, with so many plays and copies.
const (
	chaosPlays  = 60
	chaosCopies = 4
	chaosTerms  = "PLAY; PLAY_COUNT=60; COPY=COUNTED; COPY_COUNT=4; MOVE=DOMAIN; LEND"
)

// chaos is a house whose owner hands one title about at random, over a courier
// that loses, doubles and reorders, between modules that die at any moment.
type chaos struct {
	flow
	rnd    *rand.Rand
	film   *stuff
	net    []trem.Letter
	used   uint64 // plays that were seen
	faults int
	done   map[string]int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{rnd: rand.New(rand.NewPCG(seed, 62224)), done: map[string]int{}} //nolint:gosec // a test that must repeat
	h := newHouse(t)
	c.film = h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(filmID, h.stateful(chaosTerms, filmID)), trem.EventInstalled, trem.EventClosed)
	c.flow = flow{house: h}
	c.check = c.invariants
	return c
}

// command gives a module a command, with a fault or without. What it writes
// goes to the courier. A refusal is an answer like another.
func (c *chaos) command(what string, b *box, run func() (trem.Handed, error)) {
	c.t.Helper()
	if c.fault, c.at = never, c.count; c.rnd.IntN(4) == 0 {
		c.fault = []fault{before, torn1, torn2, torn3, unheard, twice}[c.rnd.IntN(6)]
		c.faults++
	}
	var got trem.Handed
	heard := c.do(b, func() error {
		h, err := run()
		got.Letters = append(got.Letters, h.Letters...)
		if what == "letters" {
			c.silent += ends(h.Events)
		}
		if err == nil {
			c.done[what]++
		}
		return c.answer(err)
	})
	if heard {
		c.send(got.Letters)
	}
}

// answer keeps the errors that no module may give here.
func (c *chaos) answer(err error) error {
	var no *trem.RefusalError
	var e *trem.Error
	if errors.As(err, &no) || errors.As(err, &e) && e.Code != trem.CodeBroken && e.Code != trem.CodeInternal {
		return nil
	}
	return err
}

// send gives letters to the courier: lost, carried once, or twice.
func (c *chaos) send(letters []trem.Letter) {
	for _, l := range letters {
		n := c.rnd.IntN(3)
		for range n {
			c.net = append(c.net, l)
		}
		if n != 1 {
			c.faults++
		}
	}
	if over := len(c.net) - 60; over > 0 {
		c.net = c.net[over:]
	}
}

func (c *chaos) any() *box { return c.boxes()[c.rnd.IntN(3)] }

// some is an open transfer of a module.
func (c *chaos) some(b *box, stages ...trem.Stage) (ident.Transfer, bool) {
	c.t.Helper()
	list, err := b.Transfers(context.Background())
	c.must(err)
	list = slices.DeleteFunc(list, func(t trem.Transfer) bool { return !slices.Contains(stages, t.Stage) })
	if len(list) == 0 {
		return ident.Transfer{}, false
	}
	return list[c.rnd.IntN(len(list))].ID, true
}

func (c *chaos) op() trem.Op { return []trem.Op{trem.OpMove, trem.OpCopy, trem.OpLend}[c.rnd.IntN(3)] }

func (c *chaos) span() time.Duration { return time.Duration(1+c.rnd.IntN(180)) * time.Minute }

// step is one thing that happens.
func (c *chaos) step() {
	c.t.Helper()
	ctx, b := context.Background(), c.any()
	switch n := c.rnd.IntN(20); n {
	case 0, 1, 2:
		to := c.any()
		if to == b {
			return
		}
		order := trem.HandOver{Op: c.op(), Content: filmID, ForMS: c.span().Milliseconds(), Plays: 1, To: c.card(to)}
		if order.Op == trem.OpCopy {
			order.Plays += c.rnd.Uint64N(3)
		}
		c.command(order.Op.String(), b, func() (trem.Handed, error) { return b.HandOver(ctx, order) })
	case 3, 4:
		c.asks()
	case 5, 6, 7:
		c.command("letters", b, func() (trem.Handed, error) { return b.Letters(ctx) })
	case 8:
		if id, ok := c.some(b, trem.StageSent, trem.StageLent); ok {
			c.command("cancel", b, func() (trem.Handed, error) { return b.Cancel(ctx, id) })
		}
	case 9:
		if id, ok := c.some(b, trem.StageBorrowed); ok {
			c.command("give back", b, func() (trem.Handed, error) { return b.GiveBack(ctx, id) })
		}
	case 10:
		if id, ok := c.some(b, trem.StageLent); ok {
			c.command("renew", b, func() (trem.Handed, error) {
				return b.RenewLoan(ctx, trem.Renewal{Transfer: id, ForMS: c.span().Milliseconds()})
			})
		}
	case 11:
		c.pass(c.span())
		c.learn(b)
	case 12:
		c.play(b)
	default:
		c.deliver()
	}
}

// deliver carries a letter, not always the oldest and not always for good.
func (c *chaos) deliver() {
	c.t.Helper()
	if len(c.net) == 0 {
		return
	}
	at := c.rnd.IntN(len(c.net))
	l := c.net[at]
	if c.rnd.IntN(4) > 0 {
		c.net = slices.Delete(c.net, at, at+1)
	}
	b := c.boxOf(l.To)
	c.command("post", b, func() (trem.Handed, error) {
		got, err := c.post(b, l.Bytes)
		if err != nil {
			c.t.Fatalf("an honest letter: %v", err)
		}
		return got, err
	})
}

// asks has a device ask its house, in a session that may break off.
func (c *chaos) asks() {
	c.t.Helper()
	b := []*box{c.tablet, c.phone}[c.rnd.IntN(2)]
	req := trem.LicenseRequest{Peer: c.home.id, Request: ident.NewRequest(), Content: filmID, Op: c.op(), Plays: 1, ForMS: c.span().Milliseconds()}
	if c.fault, c.at = never, -1; c.rnd.IntN(3) > 0 {
		c.fault, c.at = []fault{before, torn1, torn2, torn3, unheard, blackout, twice}[c.rnd.IntN(7)], c.count+c.rnd.IntN(6)
		c.faults++
	}
	o, err := b.Open(context.Background(), req)
	c.must(err)
	for _, e := range c.session(b, o.Messages) {
		if e.Kind == trem.EventInstalled {
			c.done["session"]++
		}
	}
}

// play watches the title once, to its end.
func (c *chaos) play(b *box) {
	c.t.Helper()
	ask := trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputInternal, Confirm: true}
	d, err := b.Evaluate(context.Background(), ask)
	c.must(err)
	if !d.Allow {
		return
	}
	_, err = b.play(c.film, content.SD, ask, 0)
	c.must(err)
	c.used++
	c.done["play"]++
	c.check()
}

// invariants: no license is of use in two places, and there are not more plays
// or copies than were sold and not seen.
func (c *chaos) invariants() {
	c.t.Helper()
	usable := map[[32]byte]int{}
	for _, b := range c.boxes() {
		for _, l := range c.held(b) {
			d, err := b.Evaluate(context.Background(), trem.Ask{License: l.License, Action: permission.Play, Output: trem.OutputInternal, Confirm: true})
			c.must(err)
			if !d.Allow {
				continue
			}
			lic, err := license.Parse(l.Bytes)
			c.must(err)
			of := lic.Hash()
			if p := lic.Info().Parent; p != nil && p.Kind == license.KindLoan {
				of = p.Hash // a loan is of use in the place of what it was made of
			}
			if usable[of]++; usable[of] > 1 {
				c.t.Fatalf("license %v is of use in two places", l.License)
			}
		}
	}
	if s := c.sum(); s.plays > chaosPlays-c.used || s.made+s.left > chaosCopies || s.roots > 1 {
		c.t.Fatalf("there is more than was sold: %+v, %d plays were seen", s, c.used)
	}
}

// stock is what all modules hold together.
type stock struct{ roots, made, left, plays uint64 }

// sum counts each license once: while it moves its source keeps it, locked.
func (c *chaos) sum() (s stock) {
	c.t.Helper()
	left := map[ident.License]uint64{}
	for _, b := range c.boxes() {
		for _, l := range c.held(b) {
			n, there := left[l.License]
			if there {
				n = min(n, *l.Counters.PlaysLeft)
			} else {
				n = *l.Counters.PlaysLeft
			}
			left[l.License] = n
			if l.Kind == 0 && l.Counters.CopiesLeft != nil {
				s.left = *l.Counters.CopiesLeft
			}
			if l.Kind == 0 && l.Phase == license.Held.String() {
				s.roots++
			}
			if l.Kind == uint64(license.KindCopy) && !there {
				s.made++
			}
		}
	}
	for _, n := range left {
		s.plays += n
	}
	return s
}

// end lets everything come to rest: what is lent is called back.
func (c *chaos) end() {
	c.t.Helper()
	c.fault, c.at = never, -1
	for _, b := range c.boxes() {
		c.again(b)
	}
	list, err := c.home.Transfers(context.Background())
	c.must(err)
	for _, t := range list { // some in sessions, whose askers have forgotten them
		got, err := c.home.Cancel(context.Background(), t.ID)
		if c.answer(err) == nil {
			c.house.mail(got.Letters)
		}
	}
	c.letter, c.net = c.net, nil
	c.straggle()
	for range 2 { // what was lent when a letter came late
		for _, b := range c.boxes() {
			for id, ok := c.lent(b, trem.StageLent); ok; id, ok = c.lent(b, trem.StageLent) {
				got, err := b.Cancel(context.Background(), id)
				c.must(err)
				c.house.mail(got.Letters)
			}
		}
		c.rest()
	}
	for _, b := range c.boxes() {
		c.waiting(b)
	}
	s := c.sum()
	if s.roots != 1 || s.made+s.left != chaosCopies || s.plays > chaosPlays-c.used || s.plays+c.silent < chaosPlays-c.used {
		c.t.Fatalf("in the end there are %+v; %d plays were seen and at most %d went with silent borrowers", s, c.used, c.silent)
	}
}

// why says of a module that has ended by itself what it said.
func (c *chaos) why() {
	for i, b := range c.boxes() {
		select {
		case err := <-b.exited:
			c.t.Logf("module %d has ended: %v", i, err)
			b.exited <- err
		default:
		}
	}
}

// TestTransfer_4_FaultsRoundTheHouse: whatever three modules hand to each other
// at random, and whatever is lost, doubled, reordered or cut off meanwhile, one
// license is one, and all plays and copies are there in the end.
func TestTransfer_4_FaultsRoundTheHouse(t *testing.T) {
	injected, done := 0, map[string]int{}
	for seed := uint64(1); injected < faults(t, 300); seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			c := newChaos(t, seed)
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, after %v", seed, c.done)
					c.why()
				}
			}()
			for range 120 {
				c.step()
			}
			c.end()
			injected += c.faults
			for what, n := range c.done {
				done[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d faults in %v", injected, done)
	for _, what := range []string{"MOVE", "COPY", "LEND", "session", "cancel", "renew", "give back", "play", "post"} {
		if done[what] == 0 {
			t.Errorf("there was no %s", what)
		}
	}
}
