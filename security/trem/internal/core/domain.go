package core

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Membership says that a device belongs to a domain (IEC TS 62579). Source:
// local layout, docs/spec/membership.md.
type Membership struct {
	Domain     ident.Domain                  `cbor:"1,keyasint"`
	Generation uint64                        `cbor:"2,keyasint"`
	Device     ident.Device                  `cbor:"3,keyasint"`
	Hardware   []byte                        `cbor:"4,keyasint"` // 32 bytes
	NotAfter   int64                         `cbor:"5,keyasint"` // Unix ms
	Index      uint64                        `cbor:"6,keyasint"`
	Manager    []byte                        `cbor:"7,keyasint"` // x5t of the manager's certificate, 8 bytes
	Pairwise   map[ident.Issuer]ident.Domain `cbor:"8,keyasint,omitempty"`
	Recovery   []byte                        `cbor:"9,keyasint,omitempty"` // key that checks a RESTORE, 65 bytes; none before the first backup
}

const (
	objectMembership = wire.Object("membership")
	// membershipLife is how long a membership holds, in ms. Source: local, docs/spec/membership.md.
	membershipLife = 30 * 86_400_000
	// maxMembers bounds a household's devices at one time. Source: local.
	maxMembers = 64
	// maxFormer bounds those who were members and are remembered, so that they are not
	// admitted again by mistake; the first ones are forgotten. Source: local.
	maxFormer = 256
)

func membershipLimit() wire.Limit { return wire.Limit{Bytes: 8192, Items: 128, Depth: 4} }

// found makes this module the manager of a new domain, or names the one it has.
func (c *Core) found() (ident.Domain, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return ident.Domain{}, err
	}
	if c.domain != nil {
		return c.domain.ID, nil
	}
	d := domainRecord{ID: ident.NewDomain(), Secret: make([]byte, 32), Generation: 1, Next: 1}
	if _, err := rand.Read(d.Secret); err != nil {
		return ident.Domain{}, err
	}
	if err := c.commit(kindDomain, d); err != nil {
		return ident.Domain{}, err
	}
	c.domain = &d
	return d.ID, nil
}

// pairwise is the domain ID that one issuer sees. The house itself, which issues for its
// own films, knows it by its own.
func (d *domainRecord) pairwise(issuer ident.Issuer) ident.Domain {
	if issuer == ident.Issuer(d.ID[:]) {
		return d.ID
	}
	m := hmac.New(sha256.New, d.Secret)
	m.Write([]byte(issuer))
	return ident.Domain(m.Sum(nil)[:ident.Size])
}

func (d *domainRecord) hardware(mark []byte) []byte {
	m := hmac.New(sha256.New, d.Secret)
	m.Write(append([]byte("hardware"), mark...))
	return m.Sum(nil)
}

// admit signs the membership of a device that the owner approved. A member is
// admitted again under its old index: that is a renewal.
func (c *Core) admit(in trem.Candidate, r Reading) (trem.Admission, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.Admission{}, err
	}
	if c.domain == nil {
		return trem.Admission{}, stateError("this module manages no domain yet")
	}
	if err := c.contested(); err != nil {
		return trem.Admission{}, err
	}
	peer, err := c.verifier.Verify(in.Chain, c.certTime(r), pki.Device)
	if err != nil {
		return trem.Admission{}, rejected(err)
	}
	member, replaced, err := c.enlist(peer.ID(), in, r)
	if err != nil {
		return trem.Admission{}, err
	}
	if err := c.sees(member.Device, r); err != nil {
		return trem.Admission{}, err
	}
	signed, err := c.membershipOf(member, r)
	return trem.Admission{Membership: signed, Manager: c.identity.Chain, Replaced: replaced}, err
}

// membershipOf signs a member's membership, which holds until 30 days after the
// member was seen last.
func (c *Core) membershipOf(member memberRecord, r Reading) ([]byte, error) {
	return c.signMembership(member, c.issuersSeen(), r)
}

func (c *Core) signMembership(member memberRecord, pairwise map[ident.Issuer]ident.Domain, r Reading) ([]byte, error) {
	return c.sealMembership(Membership{
		Domain: c.domain.ID, Generation: c.domain.Generation, Device: member.Device, Hardware: member.Hardware,
		NotAfter: c.endOf(member, r), Index: member.Index, Pairwise: pairwise, Recovery: c.recoveryKey(),
	})
}

// sealMembership signs a membership as its manager.
func (c *Core) sealMembership(m Membership) ([]byte, error) {
	x := wire.X5T(c.identity.Chain[0])
	m.Manager = x[:]
	payload, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(c.signer, c.identity.Chain[0], objectMembership, payload)
}

// endOf is when a member's membership ends. Of one that an earlier build admitted
// nothing is noted before it is seen.
func (c *Core) endOf(m memberRecord, r Reading) int64 {
	if until := c.until[m.Device]; until != 0 {
		return until
	}
	return c.clock.judge(r).Est + membershipLife
}

// enlist makes a device a member. Hardware that was installed anew comes with a new
// key and takes the place of what it was: the old one is put out in the same step, so
// one machine never has two places. In a full house a new device may take the place
// of the one that was not seen for the longest time, if the owner approves that.
func (c *Core) enlist(id ident.Device, in trem.Candidate, r Reading) (m memberRecord, replaced ident.Device, err error) {
	if m, ok := c.members[id]; ok && (!m.Removed || m.Index != 0) {
		if m.Removed {
			return m, replaced, &trem.Error{Code: trem.CodeRejected, Text: "this device was removed from the house; pair it again after a reset"}
		}
		return m, replaced, nil
	}
	d := *c.domain
	m = memberRecord{Device: id, Index: d.Next, Hardware: d.hardware(in.Hardware)}
	d.Next++
	old, again := c.sameHardware(m.Hardware)
	again = again && len(in.Hardware) > 0
	if !again && c.living() >= maxMembers {
		if old, again = c.idlest(r); !again || !in.Idle {
			return memberRecord{}, replaced, c.full(r)
		}
		old.Index = 0 // as one that left: it may be paired again
	}
	if again {
		old.Removed, replaced = true, old.Device
		d.Generation++
	}
	var recs log
	recs.add(kindDomain, d)
	if again {
		recs.add(kindMember, old)
	}
	recs.add(kindMember, m)
	err = recs.err
	if err == nil {
		err = c.write(true, recs.recs...)
	}
	if err != nil {
		return memberRecord{}, ident.Device{}, err
	}
	*c.domain, c.members[id] = d, m
	if again {
		c.members[old.Device] = old
	}
	c.forgetFormer()
	return m, replaced, nil
}

// living is how many members there are.
func (c *Core) living() (n int) {
	for _, m := range c.members {
		if !m.Removed {
			n++
		}
	}
	return n
}

// sameHardware finds the member of the same machine.
func (c *Core) sameHardware(hardware []byte) (memberRecord, bool) {
	for _, m := range c.members {
		if !m.Removed && bytes.Equal(m.Hardware, hardware) {
			return m, true
		}
	}
	return memberRecord{}, false
}

// forgetFormer keeps the list of former members short. Who is forgotten is a
// stranger: nothing is answered to it, and it comes back by pairing only.
func (c *Core) forgetFormer() {
	for len(c.members)-c.living() > maxFormer {
		var first *memberRecord
		for _, m := range c.members {
			if m.Removed && (first == nil || m.Index < first.Index) {
				first = &m
			}
		}
		delete(c.members, first.Device)
	}
}

// remove ends a membership: the generation rises, so every older membership is
// stale from now on and members renew.
func (c *Core) remove(id ident.Device) error {
	m, ok := c.members[id]
	if c.domain == nil || !ok || m.Removed {
		return &trem.Error{Code: trem.CodeUnknown, Text: "no such member"}
	}
	m.Removed = true
	d := *c.domain
	d.Generation++
	if err := c.commitAll(map[uint8]any{kindDomain: d, kindMember: m}); err != nil {
		return err
	}
	*c.domain, c.members[id] = d, m
	c.keeper.Forget(id)
	return nil
}

// issuersSeen maps the issuers of the held root licenses, and of those that moved to
// a device of the house, to their pairwise IDs.
func (c *Core) issuersSeen() map[ident.Issuer]ident.Domain {
	seen := map[ident.Issuer]ident.Domain{}
	for name, id := range c.told {
		if name.house == c.domain.ID {
			seen[name.issuer] = id
		}
	}
	for _, inst := range c.held {
		if _, house := inst.root().House(); house {
			continue // its members know its name, and no other house's is theirs
		}
		seen[inst.root().Info().Issuer] = c.domain.pairwise(inst.root().Info().Issuer)
	}
	return seen
}

// join checks and stores this module's own membership.
func (c *Core) join(in trem.Admission, r Reading) error {
	if err := c.need(pki.Device); err != nil {
		return err
	}
	m, err := c.checkMembership(in.Membership, in.Manager, c.self, r)
	if err == nil {
		err = c.mayJoin(m, in.Manager)
	}
	if err != nil {
		return rejected(err)
	}
	if old := c.membership; old != nil && old.Domain == m.Domain && old.Generation > m.Generation {
		return rejected(fmt.Errorf("membership: generation %d is older than the known %d", m.Generation, old.Generation))
	}
	if c.membership != nil {
		if err := c.keepNames(m); err != nil {
			return err
		}
	}
	if err := c.commit(kindMembership, membershipRecord{Membership: in.Membership, Manager: in.Manager}); err != nil {
		return err
	}
	if c.membership != nil && c.membership.Domain != m.Domain {
		c.holder.Leave()
	}
	c.membership, c.membershipBytes, c.manager = m, in.Membership, in.Manager
	return nil
}

// mayJoin refuses a membership that would change unseen who manages this device's
// house: from its server to an issuer, or back, or from one issuer to another, it goes
// by leaving only.
func (c *Core) mayJoin(m *Membership, manager [][]byte) error {
	old := c.membership
	if old == nil {
		return nil
	}
	if old.remote() || m.remote() {
		was, err := idOf(c.manager)
		is, failed := idOf(manager)
		if err != nil || failed != nil || was != is || m.Domain != old.Domain {
			return fmt.Errorf("membership: this device belongs to a house that another one manages, and has to leave it first")
		}
	}
	if m.Domain != old.Domain {
		return nil
	}
	return c.undecided()
}

// remote reports whether an issuer manages the domain: the issuer knows it by its own
// name, and no other issuer knows it.
func (m *Membership) remote() bool {
	for _, id := range m.Pairwise {
		if id == m.Domain {
			return true
		}
	}
	return false
}

// managerKey is the key of this member's manager.
func (c *Core) managerKey() (any, error) {
	leaf, err := x509.ParseCertificate(c.manager[0])
	if err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	return leaf.PublicKey, nil
}

// checkMembership verifies a membership of device by its manager's chain.
func (c *Core) checkMembership(data []byte, manager [][]byte, device ident.Device, r Reading) (*Membership, error) {
	peer, err := c.verifier.Verify(manager, c.certTime(r), pki.HomeServer, pki.LicenseIssuer)
	if err != nil {
		return nil, err
	}
	m, err := parseMembership(data, peer.Public())
	if err != nil {
		return nil, err
	}
	x := peer.X5T()
	switch {
	case !bytes.Equal(m.Manager, x[:]):
		return nil, fmt.Errorf("membership: names another manager")
	case m.Device != device:
		return nil, fmt.Errorf("membership: is of another device")
	case !mayManage(peer, m):
		return nil, fmt.Errorf("membership: a %v does not manage such a domain", peer.Role())
	case c.clock.judge(r).Est >= m.NotAfter:
		return nil, errLapsed
	}
	return m, nil
}

// mayManage reports whether a membership is one that its signer's role may sign: an
// issuer manages domains that it alone knows, by their own name, and that have no
// recovery code; a home server no such domain.
func mayManage(peer *pki.Peer, m *Membership) bool {
	if peer.Role() != pki.LicenseIssuer {
		return !m.remote()
	}
	id, ok := m.Pairwise[peer.Issuer()]
	return ok && id == m.Domain && len(m.Pairwise) == 1 && len(m.Recovery) == 0
}

func parseMembership(data []byte, manager any) (*Membership, error) {
	s, err := wire.ParseSign1(data, objectMembership, membershipLimit())
	if err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	if err := s.Verify(manager); err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	m := new(Membership)
	if err := wire.Unmarshal(s.Payload, m, membershipLimit()); err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	return m, nil
}

// commitAll writes several core records as one batch, in the order of their kinds.
func (c *Core) commitAll(bodies map[uint8]any) error {
	var recs []vault.Record
	for kind := range uint8(kindForeign) {
		body, ok := bodies[kind]
		if !ok {
			continue
		}
		rec, err := newRecord(kind, body)
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	return c.write(true, recs...)
}
