package core

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
)

// followedRecord is a member's note of the newest RESTORE of its house.
type followedRecord struct {
	_          struct{} `cbor:",toarray"`
	Domain     ident.Domain
	Restore    []byte // signed
	Manager    ident.Device
	Generation uint64
	Rival      []byte // another RESTORE of the same generation; nil without
}

// rivalRecord is a manager's note of the RESTORE of another one.
type rivalRecord struct {
	_          struct{} `cbor:",toarray"`
	Restore    []byte   // signed
	Generation uint64
	Manager    ident.Device
}

// followed is the newest RESTORE of this member's house; nil without.
func (c *Core) followed() *followedRecord {
	if f := c.backups.followed; f != nil && c.membership != nil && f.Domain == c.membership.Domain {
		return f
	}
	return nil
}

// follow takes a RESTORE. The chain of its manager is verified now and again
// with each message that the manager sends.
func (c *Core) follow(in trem.Succession, r Reading) (trem.Following, error) {
	if err := c.need(pki.Device, pki.HomeServer); err != nil {
		return trem.Following{}, err
	}
	domain, key := c.recoveryOf()
	if key == nil {
		return trem.Following{}, stateError("this module knows no recovery key of a house; a device is paired again instead")
	}
	got, err := recovery.ParseRestore(in.Restore, key)
	if err != nil {
		return trem.Following{}, rejected(err)
	}
	if got.Domain != domain {
		return trem.Following{}, rejected(fmt.Errorf("restore: it is of another house"))
	}
	if c.domain != nil {
		return c.followAsManager(got, in.Restore)
	}
	peer, err := c.verifier.Verify(in.Manager, c.certTime(r), pki.HomeServer)
	if err != nil {
		return trem.Following{}, rejected(fmt.Errorf("restore: its home server: %w", err))
	}
	if peer.ID() != got.Manager {
		return trem.Following{}, rejected(fmt.Errorf("restore: it names another home server"))
	}
	out, err := c.followAsMember(got, in.Restore)
	return out, rejected(err)
}

// recoveryOf is the house that this module belongs to and its recovery key.
func (c *Core) recoveryOf() (ident.Domain, []byte) {
	switch {
	case c.domain != nil:
		return c.domain.ID, c.recoveryKey()
	case c.membership != nil && len(c.membership.Recovery) > 0:
		return c.membership.Domain, c.membership.Recovery
	}
	return ident.Domain{}, nil
}

// followAsMember keeps the highest RESTORE. A second one of the same generation
// is kept beside it.
func (c *Core) followAsMember(got recovery.Restore, raw []byte) (trem.Following, error) {
	next := followedRecord{Domain: got.Domain, Restore: raw, Manager: got.Manager, Generation: got.Generation}
	manager, err := idOf(c.manager)
	if err != nil {
		return trem.Following{}, err
	}
	switch old := c.followed(); {
	case old != nil && got.Generation == old.Generation && bytes.Equal(raw, old.Restore):
		return old.following(), nil
	case old != nil && got.Generation == old.Generation:
		next = *old
		if next.Rival == nil {
			next.Rival = raw
		}
	case old != nil && got.Generation < old.Generation, got.Generation <= c.membership.Generation && got.Manager != manager:
		return trem.Following{}, fmt.Errorf("restore: of generation %d, this module knows generation %d", got.Generation, c.generationKnown())
	}
	if err := c.commit(kindFollowed, next); err != nil {
		return trem.Following{}, err
	}
	c.backups.followed = &next
	return next.following(), nil
}

func (f *followedRecord) following() trem.Following {
	return trem.Following{Manager: f.Manager, Generation: f.Generation, Restore: f.Restore, Rival: f.Rival}
}

// generationKnown is the newest generation of the house that a member knows.
func (c *Core) generationKnown() uint64 {
	g := c.membership.Generation
	if f := c.followed(); f != nil {
		g = max(g, f.Generation)
	}
	return g
}

// followAsManager takes note of another restore of the same house.
func (c *Core) followAsManager(got recovery.Restore, raw []byte) (trem.Following, error) {
	out := trem.Following{Manager: c.self, Generation: c.restoreGeneration()}
	if got.Manager == c.self || got.Generation < out.Generation {
		return out, nil
	}
	if old := c.backups.rival; old == nil || old.Generation < got.Generation {
		rec := rivalRecord{Restore: raw, Generation: got.Generation, Manager: got.Manager}
		if err := c.commit(kindRival, rec); err != nil {
			return trem.Following{}, err
		}
		c.backups.rival = &rec
	}
	if got.Generation > out.Generation {
		out.Manager, out.Generation = got.Manager, got.Generation
	} else {
		out.Rival = raw
	}
	return out, nil
}

// undecided refuses memberships as long as two restores of one generation are
// known and no higher one.
func (c *Core) undecided() error {
	if f := c.followed(); f != nil && f.Rival != nil {
		return fmt.Errorf("membership: this house was restored twice with generation %d; its owner decides by restoring one again", f.Generation)
	}
	return nil
}

// follows reports whether a peer is the home server that the newest RESTORE
// names, before the first membership of it is here.
func (c *Core) follows(from *pki.Peer) bool {
	f := c.followed()
	return f != nil && c.membership.Generation < f.Generation && from.ID() == f.Manager
}

// isManager reports whether a peer manages this member's house: the one that
// signed the membership, or that the newest RESTORE names.
func (c *Core) isManager(from *pki.Peer, generation uint64) error {
	if err := c.undecided(); err != nil {
		return err
	}
	f := c.followed()
	if f != nil && c.membership.Generation < f.Generation {
		if from.ID() != f.Manager || generation < f.Generation {
			return fmt.Errorf("membership: the renewal is not by the home server that this house was restored to")
		}
		return nil
	}
	manager, err := idOf(c.manager)
	if err == nil && manager != from.ID() {
		err = fmt.Errorf("membership: the renewal is by another home server")
	}
	return err
}

// idOf is the device ID of a chain's leaf.
func idOf(chain [][]byte) (ident.Device, error) {
	if len(chain) == 0 {
		return ident.Device{}, fmt.Errorf("no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return ident.Device{}, fmt.Errorf("certificate: %w", err)
	}
	return ident.DeviceOf(leaf.RawSubjectPublicKeyInfo), nil
}
