package home

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/sltp"
)

// Epoch is the epoch of the state that is kept, and can be shown, as HELLO writes
// it; 0 before the first.
func (r *Relay) Epoch() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := revocation.ParseHead(r.kept[PathHead].Body)
	if err != nil {
		return 0
	}
	epoch, _ := sltp.EpochToWire(h.Epoch) // a head with another epoch does not verify anywhere
	return epoch
}

// Gossip answers a question for the revocation state with pieces of what is kept:
// the head with what shows it, the step from the asker's epoch, or the whole. It is
// answered from what is here; the authority is asked for what is not.
func (r *Relay) Gossip(ctx context.Context, ask lrp.Gossip) ([]lrp.Gossip, error) {
	if ask.Kind != lrp.GossipAsk { // nobody is believed here: the authority is asked
		return nil, nil
	}
	head, err := r.Kept(ctx, PathHead)
	if err != nil {
		return nil, err
	}
	h, err := revocation.ParseHead(head.Body)
	if err != nil {
		return nil, fmt.Errorf("read the kept head: %w", err)
	}
	epoch, err := sltp.EpochToWire(h.Epoch)
	if err != nil {
		return nil, fmt.Errorf("read the kept head: %w", err)
	}
	whole, err := r.gossip(ctx, ask, head.Body, h.Epoch.Number)
	if err != nil {
		return nil, err
	}
	return ask.Pieces(epoch, whole), nil
}

// gossip is the whole that is asked for; nil where there is none.
func (r *Relay) gossip(ctx context.Context, ask lrp.Gossip, head []byte, epoch uint64) ([]byte, error) {
	switch ask.Want {
	case lrp.GossipHead:
		return r.claim(ctx, head)
	case lrp.GossipDelta:
		from, err := sltp.EpochFromWire(ask.Epoch)
		if err != nil {
			return nil, nil //nolint:nilerr // nobody has that: the whole does
		}
		c, err := r.Delta(ctx, strconv.FormatUint(from.Number, 10), strconv.FormatUint(epoch, 10))
		if errors.Is(err, ErrAway) || errors.Is(err, ErrUnknown) { // then the whole does
			return nil, nil
		}
		return c.Body, err
	case lrp.GossipSnapshot:
		c, err := r.Snapshot(ctx, strconv.FormatUint(epoch, 10))
		return c.Body, err
	default: // a page alone: whoever wants one takes the step
		return nil, nil
	}
}

// claim is the kept head with what shows it.
func (r *Relay) claim(ctx context.Context, head []byte) ([]byte, error) {
	c, err := r.Kept(ctx, PathTrust)
	if err != nil {
		return nil, err
	}
	var t authority.Trust
	if err := wire.Unmarshal(c.Body, &t, wire.Limit{Bytes: maxTrust, Items: 64, Depth: 3}); err != nil {
		return nil, fmt.Errorf("read the kept trust: %w", err)
	}
	return revocation.NewClaim(head, t.StateSigner, t.Change, t.Rotations).Encode()
}

// maxTrust bounds the authority's answer to PathTrust, in bytes. Source: docs/spec/authority-api.md.
const maxTrust = 1 << 16
