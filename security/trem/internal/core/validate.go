package core

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/secret"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// instance is a license that this module holds, with its keys.
type instance struct {
	links [][]byte
	chain []*license.License // leaf first
	keys  map[ident.Key]cenc.ContentKey
	state license.State
	epoch uint64 // newest revocation epoch when it was accepted first, here or where it comes from

	signer *pki.Member // of the root license; nil before it was asked for
}

func (i *instance) leaf() *license.License { return i.chain[0] }
func (i *instance) root() *license.License { return i.chain[len(i.chain)-1] }

// accept judges a license at its first acceptance: every signature, role and
// revocation at the newest known epoch, the derivation, the subject and the
// keys. Later plays do not judge the signers again (shared license design,
// section 2).
func (c *Core) accept(links [][]byte, bundle []byte, from party, r Reading) (*instance, error) {
	inst, signers, err := c.parseChain(links, from, r)
	if err != nil {
		return nil, err
	}
	if err := license.VerifyChain(inst.chain, signers, c.houses(from)); err != nil {
		return nil, err
	}
	if err := c.mayGive(links[0], inst, from, r); err != nil {
		return nil, err
	}
	if err := c.checkTransfers(from.tid, inst, from, r); err != nil {
		return nil, err
	}
	if err := cmp.Or(c.ours(inst, signers, from), notGivenAway(inst, from), c.provenRebind(inst), c.notHandedIn(inst)); err != nil {
		return nil, err
	}
	if need := inst.root().Info().RevMinEpoch; need > c.epoch() {
		return nil, fmt.Errorf("revocation: the license needs epoch %d, this module knows %d", need, c.epoch())
	}
	if inst.epoch == 0 {
		inst.epoch = c.epoch()
	}
	return inst, errors.Join(inst.settle(), inst.open(bundle, c.cfg.Memory))
}

func (c *Core) parseChain(links [][]byte, from party, r Reading) (*instance, []*pki.Peer, error) {
	if len(links) == 0 || len(links) > license.MaxChain {
		return nil, nil, fmt.Errorf("license chain of %d links", len(links))
	}
	inst := &instance{links: links}
	var signers []*pki.Peer
	for n, data := range links {
		l, lic, err := parseLink(data)
		if err != nil {
			return nil, nil, err
		}
		at, err := signerTime(l.Signer, lic.Info().IssuedAt, handedOver(from), c.certTime(r))
		if err != nil {
			return nil, nil, fmt.Errorf("license signer: %w", err)
		}
		judge := c.verifier
		if n == len(links)-1 && handedOver(from) {
			judge, inst.epoch = c.rootVerifier(l.Accepted, from), l.Accepted
		}
		peer, err := judge.Verify(l.Signer, at)
		if err != nil {
			return nil, nil, fmt.Errorf("license signer: %w", err)
		}
		inst.chain, signers = append(inst.chain, lic), append(signers, peer)
	}
	return inst, signers, nil
}

// mayGive checks that a license comes from who may give it in this way:
// an issuer its own, to a home server or to a member of a domain that it manages; a
// home server to its members; a fellow
// member by MOVE and COPY; and anybody certified by LEND. On the way the
// membership that stands beside the license is looked at: the recipient's own,
// renewed, or that of the member who gives.
func (c *Core) mayGive(link []byte, inst *instance, from party, r Reading) error {
	x := from.peer.X5T()
	switch {
	case from.peer.Role() == pki.LicenseIssuer:
		if from.op != 0 && from.op != transfer.OpIssue || c.membership != nil && !c.membership.remote() {
			return fmt.Errorf("license: it does not come from this house's server")
		}
		if info := inst.leaf().Info(); from.peer.Issuer() != info.Issuer {
			return fmt.Errorf("license: issuer %v gives a license of %v", from.peer.Issuer(), info.Issuer)
		}
		return c.renewed(link, from.peer, r)
	case c.membership != nil && (bytes.Equal(x[:], c.membership.Manager) || c.follows(from.peer)):
		return c.renewed(link, from.peer, r)
	case from.op == opLend, from.op == transfer.OpTransfer && from.peer.Role() == pki.HomeServer:
		return nil
	case from.op == transfer.OpMove, from.op == transfer.OpCopy:
		return c.meet(from.peer, linkMembership(link), inst.leaf().Info().Issuer, r)
	}
	return fmt.Errorf("license: it does not come from this house's server")
}

// ours checks that the license is for this module or its domain, and that a
// derived one was signed by who may: this house's server, or who copies or
// lends it. A license that moves was judged where it was accepted first.
func (c *Core) ours(inst *instance, signers []*pki.Peer, from party) error {
	info := inst.leaf().Info()
	if p := info.Parent; p != nil && from.op != transfer.OpMove && from.op != transfer.OpTransfer {
		server := c.membership != nil && from.op != opLend && !bytes.Equal(x5tOf(signers[0]), c.membership.Manager)
		if mine := from.op == transfer.OpCopy || from.op == opLend; mine && signers[0].X5T() != from.peer.X5T() || !mine && server {
			return fmt.Errorf("license: it is derived by another than who may")
		}
		if loan := p.Kind == license.KindLoan; loan != (from.op == opLend) || (p.Kind == license.KindCopy) != (from.op == transfer.OpCopy) {
			return fmt.Errorf("license: kind %d does not come in this way", p.Kind)
		}
	} else if p == nil && (from.op == opLend || from.op == transfer.OpCopy) {
		return fmt.Errorf("license: a root license is not a copy or a loan")
	}
	if s := inst.owner(); !c.isOwner(s, info.Issuer) {
		return fmt.Errorf("license: its subject is another %s", map[license.SubjectKind]string{license.SubjectDevice: "device", license.SubjectDomain: "house"}[s.Kind])
	}
	return nil
}

func x5tOf(p *pki.Peer) []byte {
	x := p.X5T()
	return x[:]
}

// open takes the keys of a bundle that belongs to the leaf license. They rest in mem.
func (i *instance) open(bundle []byte, mem *secret.Arena) error {
	b, err := license.ParseKeyBundle(bundle)
	if err != nil {
		return err
	}
	if err := b.Check(i.leaf()); err != nil {
		return err
	}
	i.keys = map[ident.Key]cenc.ContentKey{}
	for _, k := range b.Keys {
		mem.Keep(k.Key)
		i.keys[k.KID] = k.Key
	}
	return nil
}

// bundle is the key bundle of lic with the keys of this instance.
func (i *instance) bundle(lic *license.License) ([]byte, error) {
	b := license.KeyBundle{License: lic.Hash()}
	for _, ref := range lic.Info().Keys {
		if k, ok := i.keys[ref.KID]; ok {
			b.Keys = append(b.Keys, license.BundleKey{KID: ref.KID, Key: k})
		}
	}
	return b.Encode()
}

// bundleFor is the key bundle of lic for another module: without the keys of
// tiers that need a higher level than its own.
func (i *instance) bundleFor(lic *license.License, peer *pki.Peer) ([]byte, error) {
	b := license.KeyBundle{License: lic.Hash()}
	for _, ref := range lic.Info().Keys {
		rules, err := ref.Rules()
		if err != nil {
			return nil, err
		}
		if k, ok := i.keys[ref.KID]; ok && uint64(peer.Level()) >= rules.MinLevel {
			b.Keys = append(b.Keys, license.BundleKey{KID: ref.KID, Key: k})
		}
	}
	return b.Encode()
}

// renewed takes the renewed membership that a manager put beside the license it
// gives to its member.
func (c *Core) renewed(link []byte, from *pki.Peer, r Reading) error {
	l, _, err := parseLink(link)
	if err != nil || c.membership == nil {
		return err
	}
	if l.Membership == nil {
		return c.isManager(from, c.membership.Generation)
	}
	m, err := c.checkMembership(l.Membership, from.Chain(), c.self, r)
	if errors.Is(err, errLapsed) { // a letter that waited for long: the membership that is here counts, or the next one
		if c.clock.judge(r).Est >= c.membership.NotAfter {
			return fmt.Errorf("%w: %w", transfer.ErrLater, err)
		}
		return c.isManager(from, c.membership.Generation)
	}
	if err != nil {
		return err
	}
	return c.renewWith(m, l.Membership, from)
}

// renewWith takes a membership of this module, whose signature was checked, in the
// place of the one that it has.
func (c *Core) renewWith(m *Membership, data []byte, from *pki.Peer) error {
	if c.membership == nil {
		return fmt.Errorf("membership: this module is in no house")
	}
	if m.Domain != c.membership.Domain || m.Generation < c.membership.Generation {
		return fmt.Errorf("membership: the renewal is of another house or an older generation")
	}
	if err := c.isManager(from, m.Generation); err != nil {
		return err
	}
	if bytes.Equal(data, c.membershipBytes) || m.Generation == c.membership.Generation && m.NotAfter < c.membership.NotAfter {
		return nil // it is here, or a newer one is
	}
	if err := c.keepNames(m); err != nil {
		return err
	}
	rec, err := newRecord(kindMembership, membershipRecord{Membership: data, Manager: from.Chain()})
	if err != nil {
		return err
	}
	c.along(true, rec)
	c.membership, c.membershipBytes, c.manager = m, data, from.Chain()
	return nil
}

// holdStateless stores a license that has no state.
func (c *Core) holdStateless(links [][]byte, bundle []byte, from party, r Reading) (*instance, error) {
	inst, err := c.accept(links, bundle, from, r)
	if err != nil {
		return nil, err
	}
	if !inst.leaf().Info().Stateless() {
		return nil, fmt.Errorf("license: a license with counts or times from first use comes by a transfer")
	}
	if old, ok := c.held[inst.leaf().Hash()]; ok {
		return old, nil
	}
	if away, ok := c.away[inst.leaf().Hash()]; ok {
		return nil, fmt.Errorf("license: it moved away to %v, and comes back from there only", away.TID.Dst)
	}
	if err := c.oneIdentity(inst.leaf()); err != nil {
		return nil, err
	}
	if err := c.takeOver(inst, r); err != nil {
		return nil, err
	}
	install, err := newRecord(kindLicense, licenseRecord{Chain: inst.links, Bundle: bundle, Epoch: inst.epoch})
	if err != nil {
		return nil, err
	}
	recs := []vault.Record{install}
	if inst.state.Ver > 0 {
		rec, err := inst.record()
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	if err := c.write(false, recs...); err != nil {
		return nil, err
	}
	c.hold(inst)
	return inst, nil
}

// record is the instance's STATE record.
func (i *instance) record() (vault.Record, error) {
	state, err := i.state.Encode()
	if err != nil {
		return vault.Record{}, err
	}
	return newRecord(kindState, stateRecord{Hash: i.leaf().Hash(), State: state, Epoch: i.epoch})
}

// takeOver gives a renewal or a continuation the state of the license that it
// supersedes here, and ends those of its sessions that cannot go on under the
// new one. A license that has been superseded is refused: the highest version is
// kept.
func (c *Core) takeOver(inst *instance, r Reading) error {
	for _, old := range c.sorted() {
		if old.leaf().Supersedes(inst.leaf()) == nil {
			return fmt.Errorf("license: a newer version of it is here")
		}
		if inst.leaf().Supersedes(old.leaf()) != nil {
			continue
		}
		if c.unclosed(old) || old.state.Phase != license.Held {
			return fmt.Errorf("license: the version before it is not closed yet")
		}
		for handle, s := range c.sessions {
			if s.release {
				if s.inst == old {
					c.drop(handle, s)
				}
				continue
			}
			if _, goes := inst.leaf().Carry(old.leaf(), s.use); s.inst != old || goes {
				continue
			}
			if err := c.end(handle, r); err != nil {
				return err
			}
		}
		state, err := inst.leaf().Continue(old.leaf(), old.state)
		if err != nil {
			return err
		}
		inst.state = state
	}
	return nil
}

// hold takes an instance in, in the place of what it supersedes.
func (c *Core) hold(inst *instance) {
	for hash, old := range c.held {
		if inst.leaf().Supersedes(old.leaf()) != nil {
			continue
		}
		for _, s := range c.sessions { // a renewal interrupts nobody
			if s.inst == old {
				s.use, _ = inst.leaf().Carry(old.leaf(), s.use)
				s.inst = inst
			}
		}
		delete(c.held, hash)
	}
	c.held[inst.leaf().Hash()] = inst
}

// successor is the instance of a license, or of what has superseded it.
func (c *Core) successor(lic *license.License) *instance {
	if inst, ok := c.held[lic.Hash()]; ok {
		return inst
	}
	for _, inst := range c.held {
		if inst.leaf().Supersedes(lic) == nil {
			return inst
		}
	}
	return nil
}

// oneIdentity refuses a second hash for one (issuer, license ID, version).
func (c *Core) oneIdentity(lic *license.License) error {
	a := lic.Info()
	for hash, inst := range c.held {
		b := inst.leaf().Info()
		if a.Issuer == b.Issuer && a.ID == b.ID && a.Version == b.Version && hash != lic.Hash() {
			return fmt.Errorf("license: another license has the same ID and version")
		}
	}
	return nil
}

func (c *Core) replayLicense(body []byte) error {
	var rec licenseRecord
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	defer clear(rec.Bundle)
	return c.restore(rec.Chain, rec.Bundle, rec.Epoch, license.State{})
}

// restore rebuilds an instance from the vault, where it was judged before.
func (c *Core) restore(links [][]byte, bundle []byte, epoch uint64, state license.State) error {
	inst := &instance{links: links, epoch: epoch, state: state}
	for _, data := range links {
		_, lic, err := parseLink(data)
		if err != nil {
			return err
		}
		inst.chain = append(inst.chain, lic)
	}
	if err := errors.Join(inst.settle(), inst.open(bundle, c.cfg.Memory)); err != nil {
		return err
	}
	c.hold(inst)
	return nil
}

func (c *Core) replayState(body []byte) error {
	var rec stateRecord
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	inst, ok := c.held[rec.Hash]
	if !ok {
		return fmt.Errorf("state of a license that is not held")
	}
	var err error
	inst.epoch = rec.Epoch
	inst.state, err = license.ParseState(rec.State)
	return err
}
