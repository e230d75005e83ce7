package core

import (
	"errors"
	"slices"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// maxTwinBytes is how much is kept, sealed, of the other states that a signer
// gave out for the epoch that is held. Source: local: a record has 4 MiB.
const maxTwinBytes = 2 << 20

// learnTwin is shown another state of the epoch that is held. It is refused by
// name, and what is held stays; but it is durable evidence, and until the next
// epoch decides nobody deals with whom either state revokes.
func (c *Core) learnTwin(o revocation.Offer, shown error) error {
	twin, err := o.Encode()
	if err != nil {
		return shown // a head alone is no evidence that others could check
	}
	next := *c.state
	next.Twins = append(slices.Clone(next.Twins), twin)
	size := 0
	for _, t := range next.Twins {
		size += len(t)
	}
	if size > maxTwinBytes || slices.ContainsFunc(c.state.Twins, func(t []byte) bool { return slices.Equal(t, twin) }) {
		return shown
	}
	w, err := next.watch(c.verifier.Trust)
	if err != nil {
		return err
	}
	if len(w.Gossip()) < 1+len(next.Twins) {
		return shown // more than a watch keeps
	}
	r, err := newRecord(kindRevocation, next)
	if err != nil {
		return err
	}
	if err := c.write(true, r); err != nil {
		return err
	}
	c.state, c.watch, c.verifier.Status = &next, w, w.Moves()
	c.sltp.EpochAdvanced() // sessions with whom the other state revokes end
	return shown
}

// watch judges what the record holds, each state at the time that its head states.
func (rec *revocationRecord) watch(trust *pki.TrustStore) (*revocation.Watch, error) {
	v, w := &pki.Verifier{Trust: trust}, &revocation.Watch{}
	offers := []revocation.Offer{{Head: rec.Head, Chain: rec.Chain, Change: rec.Change, Snapshot: rec.Snapshot}}
	for _, t := range rec.Twins {
		o, err := revocation.ParseOffer(t)
		if err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	for _, o := range offers {
		head, err := revocation.ParseHead(o.Head)
		if err != nil {
			return nil, err
		}
		if w, err = w.Take(o, v, time.UnixMilli(head.IssuedAt)); err != nil && !errors.Is(err, revocation.ErrTwin) {
			return nil, err
		}
	}
	return w, nil
}
