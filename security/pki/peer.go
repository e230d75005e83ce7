package pki

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ErrNotVerified is returned where a Peer is needed and nil or the zero Peer was given.
var ErrNotVerified = errors.New("pki: the peer was not verified")

// Peer is a party whose chain, class and revocation status were checked. Only
// Verify makes one. The methods of nil and of the zero Peer return zero
// values: no key, no role, so nothing verifies against them.
//
// A Peer does not change: it may be shared, and a Cache gives the same one again.
type Peer struct {
	path    []*cert // leaf first, with the root
	cert    *cert   // the leaf
	chain   [][]byte
	members []Member // of the path
	expires time.Time
	epoch   Epoch // at which its standing was judged; zero without a state
	id      ident.Device
	x5t     [wire.X5TLen]byte
	room    struct { // of chain and members
		chain   [MaxChain][]byte
		members [MaxChain + 1]Member
	}
}

func newPeer(path []*cert, epoch Epoch) *Peer {
	leaf, below := path[0], len(path)-1
	p := &Peer{
		path: path, cert: leaf, epoch: epoch, expires: leaf.NotAfter,
		id: ident.DeviceOf(leaf.RawSubjectPublicKeyInfo), x5t: wire.X5T(leaf.Raw),
	}
	p.chain, p.members = p.room.chain[:below], p.room.members[:below+1]
	for i, c := range path {
		p.members[i] = c.member.Member
	}
	for i, c := range path[:below] {
		p.chain[i] = c.Raw
		if c.NotAfter.Before(p.expires) {
			p.expires = c.NotAfter
		}
	}
	return p
}

// Verified reports whether Verify made this Peer.
func (p *Peer) Verified() bool { return p != nil && p.cert != nil }

// ID is the device ID: derived from the signing key.
func (p *Peer) ID() ident.Device {
	if !p.Verified() {
		return ident.Device{}
	}
	return p.id
}

// Role is the one role of the certificate, 0 for no Peer.
func (p *Peer) Role() Role {
	if !p.Verified() {
		return 0
	}
	return p.cert.roles[0]
}

// Level is the security level, 0 for no Peer.
func (p *Peer) Level() Level {
	if !p.Verified() {
		return 0
	}
	return p.cert.levels[0]
}

// Anchor is the anchor of the vault.
func (p *Peer) Anchor() Anchor {
	if !p.Verified() {
		return 0
	}
	return p.cert.anchors[0]
}

// Class is the class ID.
func (p *Peer) Class() Class { return p.member().Class }

// Index is the index within the class.
func (p *Peer) Index() uint32 { return p.member().Index }

// SVN is the security version number.
func (p *Peer) SVN() uint32 { return p.member().SVN }

// Interfaces is which doors the TREM has.
func (p *Peer) Interfaces() Interfaces { return p.member().Interfaces }

// Implementation is the implementation ID, opaque, nil if the certificate has none.
func (p *Peer) Implementation() []byte { return bytes.Clone(p.member().Implementation) }

// Issuer is the issuer ID that the certificate asserts: of license issuers and
// home servers; empty for others.
func (p *Peer) Issuer() ident.Issuer { return p.member().Issuer }

// Public is the P-256 signing key, nil for no Peer.
func (p *Peer) Public() *ecdsa.PublicKey {
	if !p.Verified() {
		return nil
	}
	pub, _ := p.cert.PublicKey.(*ecdsa.PublicKey)
	return pub
}

// Leaf is the certificate in DER. Nobody may write to it.
func (p *Peer) Leaf() []byte {
	if !p.Verified() {
		return nil
	}
	return p.chain[0]
}

// Chain is the chain as it was verified: leaf first, root not included. Nobody
// may write to the certificates.
func (p *Peer) Chain() [][]byte {
	if !p.Verified() {
		return nil
	}
	return slices.Clone(p.chain)
}

// Members is the places in their classes of the chain's certificates, leaf
// first, then of the root: what a stapled proof covers.
func (p *Peer) Members() []Member {
	if !p.Verified() {
		return nil
	}
	return slices.Clone(p.members)
}

// X5T is the truncated hash that refers to the certificate (RFC 9360).
func (p *Peer) X5T() [wire.X5TLen]byte {
	if !p.Verified() {
		return [wire.X5TLen]byte{}
	}
	return p.x5t
}

// NotBefore is the start of the certificate's validity.
func (p *Peer) NotBefore() time.Time {
	if !p.Verified() {
		return time.Time{}
	}
	return p.cert.NotBefore
}

// NotAfter is the end of the certificate's validity.
func (p *Peer) NotAfter() time.Time {
	if !p.Verified() {
		return time.Time{}
	}
	return p.cert.NotAfter
}

// Expires is the first end of validity in the chain, the root not counted.
func (p *Peer) Expires() time.Time {
	if !p.Verified() {
		return time.Time{}
	}
	return p.expires
}

// Epoch is the epoch of the revocation state by which the party stood: what who
// accepts something of it records. It is zero when no state was known.
func (p *Peer) Epoch() Epoch {
	if !p.Verified() {
		return Epoch{}
	}
	return p.epoch
}

func (p *Peer) member() *member {
	if !p.Verified() {
		return &member{}
	}
	return p.cert.member
}
