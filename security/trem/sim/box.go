package sim

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// box is a module: machines and account in memory, and a vault that outlives
// them. Box 0 of a world is the issuer.
type box struct {
	*party
	index int
	keys  *keys
	disk  *disk
	nv    *register // nil: not anchored
	clock clock
	dice  *rand.Rand // the vault's randomness
	life

	down   bool
	moment string            // of a Stage: what happens at the next write
	image  map[string]*inode // what the owner has kept of the disk
	view   *view             // what the disk said when it was last read
}

// life is what a box has in memory.
type life struct {
	vault   *vault.Vault
	src     *transfer.Source
	dst     *transfer.Destination
	arbiter *transfer.Arbiter // box 0 decides
	account *account
}

// view is a box as its disk has it.
type view struct {
	life
	version uint64
	state   string
}

// diceReader makes a rand.Rand an io.Reader.
type diceReader struct{ *rand.Rand }

func (d diceReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(d.Uint32()) //nolint:gosec // a byte of it
	}
	return len(p), nil
}

// open replays a disk into a life.
func (b *box) open(d *disk, nv *register, dice io.Reader) (l life, err error) {
	cfg := vault.Config{FS: d, Keystore: b.keys, Device: b.id, Rand: dice}
	switch {
	case nv != nil && nv.counts:
		cfg.Counter = nv
	case nv != nil:
		cfg.Anchor = nv
	}
	var recs []vault.Record
	v, err := vault.Open(cfg, func(r vault.Record) error {
		recs = append(recs, r)
		return nil
	})
	if err != nil {
		return l, err
	}
	l = life{vault: v, src: transfer.NewSource(b.id, v.Incarnation()), dst: transfer.NewDestination(b.id), arbiter: transfer.NewArbiter(), account: newAccount()}
	for _, r := range recs {
		if err := l.replay(r); err != nil {
			return l, errors.Join(err, v.Close())
		}
	}
	return l, nil
}

func (l *life) replay(r vault.Record) error {
	if !transfer.Known(r.Kind) {
		return l.account.replay(r)
	}
	if err := l.src.Replay(transfer.Record(r)); err != nil {
		return err
	}
	if err := l.arbiter.Replay(transfer.Record(r)); err != nil {
		return err
	}
	_, err := l.dst.Replay(transfer.Record(r))
	return err
}

// state is everything that must be the same on disk and in memory.
func (l *life) state() (string, error) {
	recs, err := l.snapshot()
	var out []byte
	for _, r := range recs {
		out = append(append(out, r.Kind), r.Body...)
	}
	return string(out), err
}

// snapshot is the records of a compaction.
func (l *life) snapshot() ([]vault.Record, error) {
	account, err := l.account.encode(l.dst)
	if err != nil {
		return nil, err
	}
	src, err := l.src.Snapshot()
	if err != nil {
		return nil, err
	}
	dst, err := l.dst.Snapshot()
	if err != nil {
		return nil, err
	}
	arbiter, err := l.arbiter.Snapshot()
	if err != nil {
		return nil, err
	}
	out := []vault.Record{{Kind: kindAccount, Body: account}}
	for _, r := range append(append(src, dst...), arbiter...) {
		out = append(out, vault.Record(r))
	}
	return out, nil
}

// boot starts a box from its disk. The error is errDown when something stopped
// it again on the way.
func (w *World) boot(b *box) error {
	b.down = true
	b.disk.fired = PlugNone
	l, err := b.open(b.disk, b.nv, diceReader{b.dice})
	if errors.Is(err, errCrash) || errors.Is(err, errIO) {
		return w.stop(b)
	}
	if err != nil {
		return w.broken(Bricked, "box %d does not start: %v", b.index, err)
	}
	b.life, b.down = l, false
	return nil
}

// stop ends a box: what it had in memory is gone, and with a power cut also
// what it had not synced.
func (w *World) stop(b *box) error {
	fired := b.disk.fired
	w.counts.stop(fired)
	b.down = true
	if b.vault != nil {
		_ = b.vault.Close() // the box is gone anyway
	}
	b.life = life{}
	b.disk.disarm()
	if fired == PlugPower || fired == PlugHalf {
		b.clock.powerCut()
		w.cut(b)
	}
	w.note("box %d stops (%s)", b.index, plugNames[fired])
	return nil
}

func (w *World) cut(b *box) {
	if b.disk.powerCut(); b.disk.torn {
		w.counts[Torn]++
	}
}

// commit makes records durable in one batch: the machines' and the account's.
func (w *World) commit(b *box, recs []transfer.Record, entries ...entry) error {
	batch := make([]vault.Record, 0, len(recs)+len(entries))
	anchored := len(entries) > 0
	for _, r := range recs {
		anchored = anchored || r.Anchored()
		batch = append(batch, vault.Record(r))
	}
	for _, e := range entries {
		r, err := e.record()
		if err != nil {
			return err
		}
		batch = append(batch, r)
	}
	if w.cfg.Mutant == SplitBatch {
		for _, r := range batch {
			if err := b.vault.Commit(anchored, r); err != nil {
				return err
			}
		}
	} else if err := b.vault.Commit(anchored, batch...); err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.account.apply(e); err != nil {
			return w.broken(Doubled, "box %d: %v", b.index, err)
		}
	}
	return nil
}

// settled ends an event: a commit that failed for a reason of the disk stops
// the box, and is no error of the run.
func (w *World) settled(b *box, err error) error {
	if err == nil && b.disk.fired == PlugNone {
		return nil
	}
	if err == nil || errors.Is(err, errCrash) || errors.Is(err, errIO) || errors.Is(err, vault.ErrBroken) {
		if w.cfg.Mutant == GoOn && b.disk.fired == PlugSync { // the failure is not looked at
			b.disk.fired = PlugNone
			w.counts.stop(PlugSync)
			return nil
		}
		return w.stop(b)
	}
	return err
}

// look reads what a box's disk says, if it has changed. For a box that is
// down this is what its next start will find.
func (b *box) look(files map[string]*inode) (*view, error) {
	nv := b.nv
	if nv != nil {
		nv = &register{counts: nv.counts, value: nv.value, count: nv.count, disk: newDisk(nil, None)}
	}
	l, err := b.open(viewOf(files), nv, diceReader{newRand(0, 0)})
	if err != nil {
		return nil, err
	}
	s, err := l.state()
	return &view{life: l, version: b.disk.version, state: s}, err
}

// seen is look, once per state of the disk.
func (b *box) seen() (*view, error) {
	if b.view != nil && b.view.version == b.disk.version {
		return b.view, nil
	}
	files := b.disk.surely()
	if b.down {
		files = b.disk.cached()
	}
	v, err := b.look(files)
	if err != nil {
		return nil, fmt.Errorf("box %d: %w", b.index, err)
	}
	b.view = v
	return v, nil
}

// free is what a box may hand on: not what is still unconfirmed.
func (b *box) free(a asset) units {
	h := b.account.have[a]
	for tid, e := range b.account.fresh {
		if x, u := e.gets(); x == a && b.dst.Unconfirmed(tid) {
			h.Plays -= min(h.Plays, u.Plays)
			h.Copies -= min(h.Copies, u.Copies)
		}
	}
	return h
}

// installed reports whether the box says that a transfer is here.
func (l *life) installed(tid ident.Transfer) bool {
	s, err := l.dst.Query(tid)
	return err == nil && s.Verdict == transfer.Installed
}
