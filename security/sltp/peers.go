package sltp

import (
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// peers remembers certificates of parties that were verified once, so that
// later exchanges can name them by x5t. It saves bytes, not checks: a chain
// from here is verified again like one from the wire.
type peers struct {
	max   int
	clock uint64
	byID  map[ident.Device]*known
	byX5T map[[wire.X5TLen]byte]*known
}

type known struct {
	id    ident.Device
	x5t   [wire.X5TLen]byte
	chain [][]byte
	used  uint64
	// suites is the proposal that it accepted; nil when it was the Initiator.
	suites []Suite
	// holdsOurs: it has verified our leaf and may still remember it.
	holdsOurs bool
	// trigger is when it was last taken to ask for an exchange.
	trigger time.Time
}

func newPeers(limit int) peers {
	return peers{max: limit, byID: map[ident.Device]*known{}, byX5T: map[[wire.X5TLen]byte]*known{}}
}

// learn remembers a verified peer after a complete exchange.
func (p *peers) learn(peer *pki.Peer, suites []Suite) {
	id := peer.ID()
	old := p.byID[id]
	if old != nil {
		p.forget(old)
	}
	for len(p.byID) >= p.max {
		p.forget(p.oldest())
	}
	p.clock++
	k := &known{id: id, x5t: peer.X5T(), chain: peer.Chain(), used: p.clock, suites: suites, holdsOurs: true}
	if old != nil {
		k.trigger = old.trigger
	}
	p.byID[id], p.byX5T[k.x5t] = k, k
}

func (p *peers) chain(x5t []byte) [][]byte {
	if len(x5t) != wire.X5TLen {
		return nil
	}
	k := p.byX5T[[wire.X5TLen]byte(x5t)]
	if k == nil {
		return nil
	}
	p.clock++
	k.used = p.clock
	return k.chain
}

func (p *peers) forget(k *known) {
	delete(p.byID, k.id)
	if p.byX5T[k.x5t] == k {
		delete(p.byX5T, k.x5t)
	}
}

func (p *peers) oldest() *known {
	var old *known
	for _, k := range p.byID {
		if old == nil || k.used < old.used {
			old = k
		}
	}
	return old
}
