package module_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// ofSimulated is how many faults of the simulation there are to one between real
// modules, each of which costs signatures and syncs.
const ofSimulated = 50

// faults is the size of a run: a part of LARES_FAULTS, which `make faults N=...` sets.
func faults(t *testing.T, least int) int {
	t.Helper()
	least /= needs.Each()
	n, err := strconv.Atoi(os.Getenv("LARES_FAULTS"))
	if err != nil {
		return least
	}
	return max(n/ofSimulated, least)
}

// chaosTerms are what a house of the chaos has: one license.
type chaosTerms struct {
	text          string
	plays, copies uint64 // plays 0: it does not count them
	arbiter       bool   // moves and copies have holds, and members are reported lost
}

// chaos is a house whose owner hands one title about at random, over a courier
// that loses, doubles and reorders, between modules that die at any moment.
type chaos struct {
	flow
	terms  chaosTerms
	rnd    *rand.Rand
	film   *stuff
	net    []trem.Letter
	used   uint64 // plays that were seen
	faults int
	done   map[string]int

	watching map[*box]uint64 // open sessions
}

func newChaos(t *testing.T, terms chaosTerms, seed uint64) *chaos {
	t.Helper()
	c := &chaos{terms: terms, rnd: rand.New(rand.NewPCG(seed, 62224)), done: map[string]int{}, watching: map[*box]uint64{}} //nolint:gosec // a test that must repeat
	h := newHouse(t)
	c.film = h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(filmID, h.stateful(terms.text, filmID)), trem.EventInstalled, trem.EventClosed)
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
		if c.terms.arbiter && order.Op != trem.OpLend && c.rnd.IntN(4) > 0 {
			order.HoldMS = c.span().Milliseconds()
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
		if c.pass(c.span()); c.terms.arbiter && c.rnd.IntN(3) == 0 {
			c.pass(24 * time.Hour)
		}
		c.learn(b)
	case 12:
		c.play(b)
	case 13:
		if id, ok := c.some(b, trem.StageSent, trem.StageUnconfirmed); ok && c.terms.arbiter {
			c.command("lost", b, func() (trem.Handed, error) { return b.Lost(ctx, id) })
		}
	case 14:
		if c.terms.plays == 0 { // a play that is begun is not seen
			c.watch(b)
		}
	default:
		c.deliver()
	}
}

// watch begins to watch, or ends what was begun; in between anything may happen.
func (c *chaos) watch(b *box) {
	c.t.Helper()
	ctx := context.Background()
	if handle, ok := c.watching[b]; ok {
		delete(c.watching, b)
		c.must(c.answer(b.End(ctx, handle)))
		return
	}
	s, err := b.Begin(ctx, trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputInternal, Confirm: true})
	if c.must(c.answer(err)); err == nil {
		c.watching[b] = s.Handle
		c.done["watch"]++
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
		if err != nil && !strings.Contains(err.Error(), "EXPIRED") { // a renewal that comes after its own end
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
	if c.done["play"]++; c.terms.plays > 0 {
		c.used++
	}
	c.check()
}

// invariants: no license is of use in two places, and there are not more plays
// or copies than were sold and not seen.
func (c *chaos) invariants() {
	c.t.Helper()
	usable, copies := map[[32]byte]int{}, map[ident.License]bool{}
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
			if l.Kind == uint64(license.KindCopy) {
				copies[l.License] = true
			}
			if usable[of]++; usable[of] > 1 {
				c.t.Fatalf("license %v is of use in two places", l.License)
			}
		}
	}
	// A copy that was given back by the arbiter is still held where it was, and sleeps.
	if s := c.sum(); s.plays+c.used > c.terms.plays || uint64(len(copies))+s.left > c.terms.copies || s.roots > 1 {
		c.t.Fatalf("there is more than was sold: %+v, %d copies are of use, %d plays were seen", s, len(copies), c.used)
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
			if p := l.Counters.PlaysLeft; p != nil && (!there || *p < n) {
				n = *p
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
	for _, b := range c.boxes() { // some in sessions, whose askers have forgotten them; and a loan keeps what came after it from being confirmed
		list, err := b.Transfers(context.Background())
		c.must(err)
		for _, t := range list {
			got, err := b.Cancel(context.Background(), t.ID)
			if c.must(c.answer(err)); err == nil {
				c.house.mail(got.Letters)
			}
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
	if s.roots != 1 || s.made+s.left != c.terms.copies || s.plays+c.used > c.terms.plays || s.plays+c.used+c.silent < c.terms.plays {
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
	needs.Long(t)
	runChaos(t, 300, chaosTerms{"PLAY; PLAY_COUNT=60; COPY=COUNTED; COPY_COUNT=4; MOVE=DOMAIN; LEND", 60, 4, false},
		"MOVE", "COPY", "LEND", "session", "cancel", "play", "post", "give back", "renew")
}

// TestTransfer_4_FaultsAndAnArbiter: the same where what left may be given back
// by the house's server: what it gives back sleeps or is gone where it was.
func TestTransfer_4_FaultsAndAnArbiter(t *testing.T) {
	needs.Long(t)
	runChaos(t, 200, chaosTerms{"PLAY; COPY=COUNTED; COPY_COUNT=4; MOVE=DOMAIN; LEND", 0, 4, true}, "MOVE", "COPY", "LEND", "lost", "play", "watch", "post")
}

func runChaos(t *testing.T, least int, terms chaosTerms, happens ...string) {
	t.Helper()
	injected, done, n := 0, map[string]int{}, faults(t, least)
	missing := func() bool { // IDs are random, so a run is not the same twice
		return injected < 10*n && slices.ContainsFunc(happens[:3], func(what string) bool { return done[what] == 0 })
	}
	for seed := uint64(1); injected < n || missing(); seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			c := newChaos(t, terms, seed)
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
	for i, what := range happens {
		if often := i < 3 || injected >= 2000; often && done[what] == 0 { // a short run does not have all
			t.Errorf("there was no %s", what)
		}
	}
}
