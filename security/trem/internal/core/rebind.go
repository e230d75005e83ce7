package core

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// objectTransfer is the signed TRANSFER record of docs/spec/objects.md.
const objectTransfer = wire.Object("transfer")

// maxTransfers bounds the TRANSFER records beside one license. Source: local,
// docs/spec/chain.md.
const maxTransfers = 32

// rebinding is what a TRANSFER record says: this license is another's from this
// transfer on. Source: local layout, docs/spec/chain.md.
type rebinding struct {
	TID      ident.Transfer  `cbor:"1,keyasint"`
	License  [32]byte        `cbor:"2,keyasint"` // hash
	Old      license.Subject `cbor:"3,keyasint"`
	New      license.Subject `cbor:"4,keyasint"`
	Number   uint64          `cbor:"5,keyasint"` // 1 for the first change of subject
	NotAgain int64           `cbor:"6,keyasint"` // Unix ms; no further change before
}

// countersigned is a TRANSFER record beside its signer's certificates.
type countersigned struct {
	_      struct{} `cbor:",toarray"`
	Object []byte
	Chain  [][]byte
}

// giveAway is TRANSFER: MOVE, with the subject rebound by this house's server,
// which is the domain's manager.
func (c *Core) giveAway(h *handover) (transfer.Message, ident.Transfer, error) {
	if c.domain == nil {
		return nil, ident.Transfer{}, stateError("only the house's server gives a license away: move it there first")
	}
	to, err := c.subjectOf(h)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	in := c.input(h.inst, trem.Ask{Action: permission.Transfer, Confirm: true}, h.r)
	in.Request.Dest, in.Request.Countersigned = c.destOf(h, h.inst), license.CountersignDomain
	step := h.inst.leaf().Reserve(in)
	if !step.Decision.Allow {
		return nil, ident.Transfer{}, &trem.RefusalError{Decision: step.Decision}
	}
	now := c.clock.judge(h.r).Est
	goes := step.State
	if goes.Reserved[permission.Transfer] > 0 {
		if goes, err = goes.Commit(permission.Transfer, now); err != nil {
			return nil, ident.Transfer{}, err
		}
	}
	goes.LastTransfer = now
	tid, err := c.source.Next(h.peer.ID())
	if err != nil {
		return nil, ident.Transfer{}, rejected(err)
	}
	links, err := c.rebound(h.inst, tid, to, now)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	return c.leave(h, transfer.OpTransfer, links, goes, step.State)
}

// subjectOf is whose a license will be: the receiving house, under the name that
// its issuer knows, or a device.
func (c *Core) subjectOf(h *handover) (license.Subject, error) {
	if h.fellow {
		return license.Subject{}, rejected(fmt.Errorf("give: that device is of this house: move it"))
	}
	if h.peer.Role() != pki.HomeServer {
		return license.DeviceSubject(h.peer.ID()), nil
	}
	if h.order.To.Domain == (ident.Domain{}) || h.order.To.Issuer != h.inst.leaf().Info().Issuer {
		return license.Subject{}, rejected(fmt.Errorf("give: the other house has not said under which name the issuer knows it"))
	}
	return license.DomainSubject(h.order.To.Domain, h.order.To.Generation), nil
}

// rebound is the instance's chain with one more TRANSFER record.
func (c *Core) rebound(inst *instance, tid ident.Transfer, to license.Subject, now int64) ([][]byte, error) {
	l, lic, err := parseLink(inst.links[0])
	if err != nil {
		return nil, err
	}
	if len(l.Transfers) >= maxTransfers {
		return nil, rejected(fmt.Errorf("give: it has changed hands %d times", len(l.Transfers)))
	}
	old, err := lastSubject(l, lic)
	if err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(rebinding{
		TID: tid, License: lic.Hash(), Old: old, New: to, Number: uint64(len(l.Transfers)) + 1, NotAgain: now + lic.TransferCooldown(),
	})
	if err != nil {
		return nil, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectTransfer, payload)
	if err != nil {
		return nil, err
	}
	l.Transfers, l.Membership = append(l.Transfers, countersigned{Object: object, Chain: c.identity.Chain}), nil
	return inst.behind(l, inst.links[1:])
}

// lastSubject is whose a license is, by what stands beside it.
func lastSubject(l *Link, lic *license.License) (license.Subject, error) {
	if len(l.Transfers) == 0 {
		return lic.Info().Subject, nil
	}
	r, _, err := parseRebinding(l.Transfers[len(l.Transfers)-1])
	return r.New, err
}

func parseRebinding(s countersigned) (r rebinding, sig *wire.Sign1, err error) {
	lim := wire.Limit{Bytes: 1024, Items: 8, Depth: 4}
	if sig, err = wire.ParseSign1(s.Object, objectTransfer, lim); err != nil {
		return r, nil, fmt.Errorf("transfer record: %w", err)
	}
	if err = wire.Unmarshal(sig.Payload, &r, lim); err != nil {
		return r, nil, fmt.Errorf("transfer record: %w", err)
	}
	return r, sig, nil
}

// checkTransfers verifies the TRANSFER records beside an instance's license:
// each follows the one before it, and is signed by a home server or by the
// license's issuer. What is given now is signed by who gives it, or by the issuer.
func (c *Core) checkTransfers(tid ident.Transfer, inst *instance, from party, r Reading) error {
	l, lic, err := parseLink(inst.links[0])
	if err != nil {
		return err
	}
	subject := lic.Info().Subject
	for i, s := range l.Transfers {
		rec, sig, err := parseRebinding(s)
		if err != nil {
			return err
		}
		signer, err := c.writer(s.Chain, r)
		if err != nil {
			return fmt.Errorf("transfer record: %w", err)
		}
		if err := sig.Verify(signer.Public()); err != nil {
			return fmt.Errorf("transfer record: %w", err)
		}
		issuer := signer.Role() == pki.LicenseIssuer && signer.Issuer() == lic.Info().Issuer
		last := i == len(l.Transfers)-1 && from.op == transfer.OpTransfer
		switch {
		case rec.License != lic.Hash() || rec.Number != uint64(i)+1 || rec.Old != subject:
			return fmt.Errorf("transfer record: it does not follow the one before it")
		case !issuer && signer.Role() != pki.HomeServer:
			return fmt.Errorf("transfer record: %w: a %v signs none", license.ErrSigner, signer.Role())
		case last && (rec.TID != tid || !issuer && signer.X5T() != from.peer.X5T()):
			return fmt.Errorf("transfer record: it is of another transfer, or signed by another than who gives")
		}
		subject = rec.New
	}
	if from.op == transfer.OpTransfer && len(l.Transfers) == 0 {
		return fmt.Errorf("transfer record: there is none")
	}
	return nil
}

// owner is whose the leaf license is: its subject, or what a TRANSFER made of
// the license that has this subject.
func (i *instance) owner() license.Subject {
	leaf := i.leaf().Info().Subject
	for n, data := range i.links {
		if !hasTransfers(data) || i.chain[n].Info().Subject != leaf {
			continue
		}
		l := new(Link)
		if err := l.decode(data); err != nil {
			continue
		}
		if to, err := lastSubject(l, i.chain[n]); err == nil {
			return to
		}
	}
	return leaf
}

// stands is the membership by which this module stands where the license's
// subject stood, after a TRANSFER to it or to its house.
func (c *Core) stands(inst *instance) (license.Membership, bool) {
	subject, owner := inst.leaf().Info().Subject, inst.owner()
	if owner == subject || subject.Kind != license.SubjectDomain || !c.isOwner(owner, inst.leaf().Info().Issuer) {
		return license.Membership{}, false
	}
	return license.Membership{Domain: ident.Domain(subject.ID), Generation: subject.Generation}, true
}

// isOwner reports whether a subject is this module, or its house.
func (c *Core) isOwner(s license.Subject, issuer ident.Issuer) bool {
	if s.Kind == license.SubjectDevice {
		return ident.Device(s.ID) == c.self
	}
	id, gen, ok := c.pairwise(issuer)
	return s.Kind == license.SubjectDomain && ok && id == ident.Domain(s.ID) && gen >= s.Generation
}
