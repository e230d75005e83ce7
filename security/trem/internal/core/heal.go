package core

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// kindCounted says where in the log the newest record stands that counts. It is
// written by a compaction, whose own records stand further on. Source: local,
// docs/spec/witness.md.
const kindCounted = 0x1f

type countedRecord struct {
	_     struct{} `cbor:",toarray"`
	Batch uint64
}

// counts reports whether a record may be the trace of something that cannot be
// done twice: a use that counts, a transfer, a member. The others say what the
// module has learned, which it can learn again.
func counts(kind uint8) bool {
	switch kind {
	case kindIdentity, kindClock, kindRevocation, kindMembership, kindLicense, kindPeer, kindPairwise,
		kindToken, kindIssuerTime, kindPast, kindWitnessed, kindSetBack, kindTwoHeads, kindFound, kindCounted, kindNotice, kindSunset, kindSeen, kindWant:
		return false
	}
	return true
}

// wrote notes records that are in the batch n.
func (c *Core) wrote(n uint64, recs ...vault.Record) {
	if slices.ContainsFunc(recs, func(r vault.Record) bool { return counts(r.Kind) }) {
		c.counted = n
	}
}

// logCopy hands out the log as it is on the disk, for members to keep: what it
// consists of, and those of its segments that are wanted.
func (c *Core) logCopy(in trem.LogOrder) (trem.Log, []byte, error) {
	var out trem.Log
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return out, nil, err
	}
	if c.witness.setBack != nil {
		return out, nil, stateError("this module was set back: a copy of its log is of no use to anybody")
	}
	if err := c.flush(); err != nil {
		return out, nil, err
	}
	segments, err := c.vault.Copy()
	if err != nil {
		return out, nil, err
	}
	out.Incarnation = c.vault.Incarnation()
	out.Counter, _ = c.vault.Head()
	var data []byte
	for _, s := range segments {
		part := trem.LogSegment{Hash: sha256.Sum256(s), Size: int64(len(s))}
		if slices.Contains(in.Want, part.Hash) && len(data)+len(s) <= trem.MaxPayload {
			part.Here = true
			data = append(data, s...)
		}
		out.Segments = append(out.Segments, part)
	}
	return out, data, nil
}

// kept lists how far this module has seen its peers' logs.
func (c *Core) kept() []trem.LogSeen {
	out := []trem.LogSeen{}
	for _, w := range c.witness.kept {
		out = append(out, trem.LogSeen{Device: w.Device, Incarnation: w.Incarnation, Counter: w.Counter, Head: w.Head})
	}
	slices.SortFunc(out, func(a, b trem.LogSeen) int { return slices.Compare(a.Device[:], b.Device[:]) })
	return out
}

// hear holds a HEAD against the log that a courier brings: who it comes from does
// not matter, since this module has signed it.
func (c *Core) hear(head []byte, r Reading) error {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return err
	}
	var recs log // how far the log was found by a peer is for that peer to ask
	if err := c.seeOwn(c.self, head, &recs); err != nil {
		return err
	}
	return c.endStateful(r)
}

// heal takes the place of a log that was set back by a copy of it that members
// kept. The copy must be this vault's, contain the HEAD by which the set-back was
// found, and lack nothing that counts: what this log has beside it may only be
// what was learned.
func (c *Core) heal(payload []byte, r Reading) (trem.Healed, error) {
	var out trem.Healed
	if c.witness.setBack == nil {
		return out, stateError("this module was not set back: there is nothing to heal")
	}
	if to := anchored(vault.Config{Keystore: c.cfg.Keystore}); to.Anchor != nil || to.Counter != nil {
		return out, stateError("this module's log is tied to a register, which no copy fits")
	}
	other, err := c.openCopy(payload, r)
	if err != nil {
		return out, rejected(fmt.Errorf("copy of the log: %w", err))
	}
	defer other.Close() //nolint:errcheck // it is in memory
	from, err := c.parted(other)
	if err != nil {
		return out, rejected(fmt.Errorf("copy of the log: %w", err))
	}
	before, _ := c.vault.Head()
	other.learnFrom(c, r)
	recs, err := other.snapshot()
	if err != nil {
		return out, err
	}
	if err := c.vault.Adopt(other.vault, recs); err != nil {
		if errors.Is(err, vault.ErrBroken) {
			c.failed = storeError(err)
		}
		return out, rejected(err)
	}
	out.Counter, _ = c.vault.Head()
	out.Dropped = before - from
	c.become(other)
	if err := c.ready(r); err != nil {
		c.failed = storeError(err) // a restart opens what is on the disk
	}
	return out, c.failed
}

// openCopy replays a copy as a module of its own, in memory: that it opens shows
// that this keystore has sealed it and that its hashes form a chain.
func (c *Core) openCopy(payload []byte, r Reading) (*Core, error) {
	var segments [][]byte
	if err := wire.Unmarshal(payload, &segments, wire.Limit{Bytes: trem.MaxPayload, Items: maxCopied, Depth: 1}); err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return nil, errors.New("it is empty") // the vault would make a new one
	}
	files, err := vault.Memory(segments)
	if err != nil {
		return nil, err
	}
	return Open(Config{FS: files, Keystore: c.cfg.Keystore, Walls: c.cfg.Walls, BuildMS: c.cfg.BuildMS}, r)
}

// maxCopied bounds the segments of a copy; a log that is compacted when it is
// due has fewer. Source: local, docs/spec/vault.md.
const maxCopied = 128

// parted is the last batch that this log and a copy have in common, or why the
// copy cannot take its place.
func (c *Core) parted(other *Core) (from uint64, err error) {
	head, err := transfer.ParseHead(c.witness.setBack.Head, c.peer)
	switch {
	case err != nil:
		return 0, err
	case other.vault.Incarnation() != c.vault.Incarnation():
		return 0, errors.New("it is of another incarnation")
	case !other.contains(head):
		return 0, fmt.Errorf("it does not reach batch %d, which a member has seen", head.Counter)
	case other.witness.setBack != nil:
		return 0, errors.New("it is of a log that was set back")
	}
	own, _ := c.vault.Head()
	theirs, _ := other.vault.Head()
	for from = min(own, theirs); from > 0; from-- {
		a, known := c.hashAt(from)
		b, too := other.hashAt(from)
		if known && too && slices.Equal(a, b) {
			break
		}
	}
	if from == 0 {
		return 0, errors.New("it has nothing in common with this log")
	}
	if c.counted > from {
		return 0, fmt.Errorf("since it was set back this module has done what counts (batch %d), and the copy cannot know of that", c.counted)
	}
	return from, nil
}

// learnFrom takes over what a log that is given up has learned and this one has
// not: time, revocation, and the HEADs and evidence of peers, who were told that
// they are kept.
func (c *Core) learnFrom(gone *Core, r Reading) {
	c.identity = gone.identity
	c.clock.join(gone.clock, r)
	if gone.epoch() > c.epoch() {
		c.state, c.watch, c.revoked = gone.state, gone.watch, gone.revoked
	}
	for _, rec := range gone.witness.twins {
		c.keepTwins(rec)
	}
	for _, w := range gone.witness.kept {
		old := c.witness.kept[w.Device]
		newer := old == nil || old.Incarnation == w.Incarnation && old.Counter < w.Counter || slices.Contains(w.Older, old.Incarnation)
		if newer && !c.quarantined(w.Device) {
			c.keepHead(w)
		}
	}
}

// become makes this module what other is, with its own vault. Sessions and
// exchanges end, as at a restart.
func (c *Core) become(other *Core) {
	cfg, v := c.cfg, c.vault
	*c = *other
	c.cfg, c.vault = cfg, v
	c.sltp, c.verifier, c.peer = nil, nil, nil // they know the other one: ready makes them anew
}
