package core

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// nonce makes the value that the next time token must repeat. A newer one
// replaces it.
func (c *Core) nonce(r Reading) ([]byte, error) {
	c.sent = nonce{boot: r.Boot, id: r.BootID, set: true}
	if _, err := rand.Read(c.sent.value[:]); err != nil {
		return nil, err
	}
	return c.sent.value[:], nil
}

// learnRotations trusts the roots that a trusted one says are in its place. What
// is known already is passed over, and so are statements of roots before it.
func (c *Core) learnRotations(statements [][]byte) error {
	if len(statements) == 0 {
		return nil
	}
	trust, err := c.verifier.Trust.Follow(c.verifier.Status, statements)
	if err != nil || trust == c.verifier.Trust {
		return err
	}
	rec := *c.identity
	rec.Roots = trust.Roots()
	if err := c.commit(kindIdentity, rec); err != nil {
		return err
	}
	c.identity, c.verifier.Trust = &rec, trust
	return nil
}

// learnHead takes a newer state: a snapshot, or a delta from the one that is held.
// What is older than it is passed over; another one of its epoch is refused, and
// kept as evidence.
func (c *Core) learnHead(in trem.Learned, r Reading) error {
	head, err := revocation.ParseHead(in.Head)
	if err != nil {
		return err
	}
	shown := revocation.Offer{Head: in.Head, Chain: in.HeadChain, Change: in.Change, Snapshot: in.Snapshot, Delta: in.Delta}
	w, err := c.watch.Take(shown, &pki.Verifier{Trust: c.verifier.Trust}, time.UnixMilli(head.IssuedAt))
	switch {
	case errors.Is(err, revocation.ErrOlder):
		return nil
	case errors.Is(err, revocation.ErrTwin):
		return c.learnTwin(shown, err)
	case err != nil:
		return err
	case w == c.watch:
		return nil // the same again
	}
	state := w.State()
	rec := revocationRecord{Head: in.Head, Chain: in.HeadChain, Snapshot: in.Snapshot, Change: in.Change}
	if len(rec.Snapshot) == 0 {
		rec.Snapshot = state.Snapshot()
	}
	next := c.clock
	if err := c.oneOrTwo(in.HeadChain, head.IssuedAt, r, func() error {
		next = c.clock
		return next.learnFloor(head.IssuedAt, r)
	}); err != nil {
		return err
	}
	a, err := newRecord(kindClock, next)
	if err != nil {
		return err
	}
	b, err := newRecord(kindRevocation, rec)
	if err != nil {
		return err
	}
	if err := c.write(true, a, b); err != nil {
		return err
	}
	c.clock, c.state, c.watch, c.revoked, c.verifier.Status = next, &rec, w, state, state
	c.heard = max(c.heard, head.IssuedAt)
	c.sltp.EpochAdvanced()
	return nil
}

func (c *Core) loadRevocation() error {
	w, err := c.state.watch(c.verifier.Trust)
	if err != nil {
		return fmt.Errorf("stored revocation state: %w", err)
	}
	c.watch, c.revoked, c.verifier.Status = w, w.State(), w.Moves()
	return nil
}

// epoch is the newest state known as licenses and messages write it (docs/spec/sltp.md);
// 0 before the first.
func (c *Core) epoch() uint64 {
	if c.revoked == nil {
		return 0
	}
	n, err := sltp.EpochToWire(c.revoked.Epoch())
	if err != nil {
		return 0 // no state with such an epoch verifies
	}
	return n
}

func (c *Core) status(r Reading) trem.Status {
	now := c.clock.judge(r)
	ctr, _ := c.vault.Head()
	s := trem.Status{
		Device: c.self, Incarnation: c.sending(), Level: c.level(), Keystore: c.storage(), Licenses: len(c.held), Records: ctr, Walls: c.cfg.Walls,
		Clock: trem.ClockStatus{Lo: now.Lo, Est: now.Est, Quality: now.Q.String(), Unsynced: now.Unsynced},
	}
	s.SetBack, s.Twins, s.Outputs = c.witness.setBack != nil, c.twins(), c.connectors()
	if c.revoked != nil {
		s.Epoch, s.Signer, s.StateAt = c.revoked.Epoch().Number, c.revoked.Epoch().Generation, c.revoked.Head().IssuedAt
	}
	if c.peer != nil {
		s.Role, s.Anchor, s.Leaf, s.Chain, s.Roots = c.peer.Role().String(), uint8(c.peer.Anchor()), c.peer.Leaf(), c.identity.Chain, c.identity.Roots
		s.Class, s.Index = uint32(c.peer.Class()), c.peer.Index()
		s.Delivery, s.Issuer, s.Until = c.identity.Delivery, c.peer.Issuer(), c.peer.Expires().UnixMilli()
	}
	switch {
	case c.domain != nil:
		s.Domain, s.Generation = c.domain.ID, c.domain.Generation
	case c.membership != nil:
		s.Domain, s.Generation = c.membership.Domain, c.membership.Generation
	}
	return s
}
