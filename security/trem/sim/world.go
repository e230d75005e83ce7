package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Config is a run. The seed decides everything else.
type Config struct {
	Parties *Parties  // required
	Seed    uint64    //
	Steps   int       // default 400
	Mutant  Mutant    // a mistake to make
	Lenient bool      // do not stop when a message leaves too early: wait for what comes of it
	Log     io.Writer // what happens, a line each; nil: nobody reads it
}

// Result is what a run was.
type Result struct {
	Faults    Counts
	Transfers int    // that were opened
	Plays     int    // films that were shown
	Digest    string // of everything that happened: the same seed gives the same
}

// defaultSteps is how long a run is: long enough that old messages come back
// to boxes that have gone on.
const defaultSteps = 400

// World is some boxes, a relay between them, and what may happen to them.
type World struct {
	cfg    Config
	rnd    *rand.Rand
	boxes  []*box // the first is the issuer
	relay  relay
	truth  int64 // the true time, Unix ms
	step   int
	calm   bool // nothing goes wrong any more
	counts Counts

	issued   map[uint64]units // by license: what there was at the beginning
	shown    map[uint64]uint64
	asked    []request
	answered map[ident.Request]ident.Transfer
	opened   map[ident.Transfer]int // the step in which it was
	digest   hash.Hash
	ops      []op // what can happen
	patience int  // steps that the mutant Timeout waits
}

// New makes a world.
func New(cfg Config) (*World, error) {
	if cfg.Parties == nil {
		return nil, errors.New("sim: Config needs Parties")
	}
	if cfg.Steps == 0 {
		cfg.Steps = defaultSteps
	}
	w := empty(cfg)
	anchors := []func() *register{
		func() *register { return nil }, func() *register { return &register{} }, func() *register { return &register{counts: true} },
	}
	anchor := anchors[w.rnd.IntN(len(anchors))]
	if cfg.Mutant == RollBack {
		anchor = anchors[0]
	}
	for i := range 3 + w.rnd.IntN(2) {
		if err := w.addBox(i, anchor()); err != nil {
			return nil, err
		}
	}
	for lic := range 1 + w.rnd.Uint64N(3) {
		if err := w.stock(lic); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func empty(cfg Config) *World {
	return &World{
		cfg: cfg, rnd: newRand(cfg.Seed, 62224), truth: start, issued: map[uint64]units{}, shown: map[uint64]uint64{},
		answered: map[ident.Request]ident.Transfer{}, opened: map[ident.Transfer]int{}, digest: sha256.New(), ops: ops(), patience: 40,
	}
}

func newRand(a, b uint64) *rand.Rand {
	return rand.New(rand.NewPCG(a, b)) //nolint:gosec // a run must be repeatable
}

func (w *World) addBox(i int, anchor *register) (err error) {
	b := &box{party: w.cfg.Parties.all[i], index: i, dice: newRand(w.cfg.Seed, uint64(i)+1)} //nolint:gosec // i >= 0
	b.clock.secure = true
	if b.keys, err = newKeys(b.party); err != nil {
		return err
	}
	b.disk = newDisk(w.rnd, w.cfg.Mutant)
	if b.nv = anchor; anchor != nil {
		b.nv.disk = b.disk
	}
	w.boxes = append(w.boxes, b)
	return w.boot(b)
}

// stock gives the boxes units of a license: the issuer to sell, the others from before.
func (w *World) stock(lic uint64) error {
	for _, b := range w.boxes {
		if b.index > 0 && lic > 0 && w.rnd.IntN(3) == 0 {
			continue
		}
		if err := w.give(b, lic, units{Plays: 3 + w.rnd.Uint64N(9), Copies: 1 + w.rnd.Uint64N(6)}); err != nil {
			return err
		}
	}
	return nil
}

// give starts a box off with units, before anything happens.
func (w *World) give(b *box, lic uint64, u units) error {
	was := w.issued[lic]
	w.issued[lic] = units{Plays: was.Plays + u.Plays, Copies: was.Copies + u.Copies}
	b.account.add(asset{License: lic}, u)
	body, err := b.account.encode(b.dst)
	if err != nil {
		return err
	}
	if err := b.vault.Commit(true, vault.Record{Kind: kindAccount, Body: body}); err != nil {
		return err
	}
	for _, n := range b.disk.live() { // nothing has happened yet, even for a disk that lies
		n.synced = len(n.data)
	}
	return nil
}

// Run makes all steps, and then lets everything come to an end.
func (w *World) Run() (Result, error) {
	for w.step = 1; w.step <= w.cfg.Steps; w.step++ {
		if err := w.Step(); err != nil {
			return w.result(), err
		}
	}
	err := w.Settle()
	return w.result(), err
}

func (w *World) result() Result {
	r := Result{Faults: w.counts, Transfers: len(w.opened), Digest: hex.EncodeToString(w.digest.Sum(nil)[:8])}
	for _, n := range w.shown {
		r.Plays += int(n) //nolint:gosec // a few
	}
	return r
}

// note writes down what happens.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf("%4d  %s\n", w.step, fmt.Sprintf(format, args...))
	_, _ = io.WriteString(w.digest, line) // never fails
	if w.cfg.Log != nil {
		_, _ = io.WriteString(w.cfg.Log, line) // a log that cannot be written is no failure of the run
	}
}

func (w *World) broken(v Verdict, format string, args ...any) error {
	err := &BrokenError{Seed: w.cfg.Seed, Mutant: w.cfg.Mutant, Step: w.step, Verdict: v, What: fmt.Sprintf(format, args...)}
	w.note("BROKEN: %s: %s", v, err.What)
	return err
}

// Step lets one thing happen, and checks the promise.
func (w *World) Step() error {
	w.truth += w.rnd.Int64N(30 * second)
	b := w.boxes[w.rnd.IntN(len(w.boxes))]
	if err := w.happen(b); err != nil {
		return err
	}
	return w.check()
}

// happen picks what happens at a box.
func (w *World) happen(b *box) error {
	if b.down {
		if w.rnd.IntN(8) == 0 && !b.disk.clean() { // it was killed, and now the power goes as well
			w.counts[PowerCut]++
			w.cut(b)
			w.note("box %d loses power while it is down", b.index)
			return nil
		}
		w.armSome(b)
		w.note("box %d starts", b.index)
		err := w.boot(b)
		b.disk.disarm()
		return err
	}
	n := 0
	for _, op := range w.ops {
		n += op.weight
	}
	n = w.rnd.IntN(n)
	for _, op := range w.ops {
		if n -= op.weight; n < 0 {
			return op.run(w, b)
		}
	}
	return nil
}

// armSome lets a durable write of what comes now fail, sometimes.
func (w *World) armSome(b *box) {
	if w.calm || w.rnd.IntN(4) > 0 {
		return
	}
	p := []Plug{PlugKill, PlugKill, PlugPower, PlugPower, PlugPower, PlugHalf, PlugHalf, PlugIO, PlugSync}[w.rnd.IntN(9)]
	b.disk.arm(p, w.rnd.IntN(4))
}
