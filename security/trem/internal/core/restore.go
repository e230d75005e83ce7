package core

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
)

// restoredRecord is a manager's note of the restore that made it one.
type restoredRecord struct {
	_          struct{} `cbor:",toarray"`
	Restore    []byte   // signed
	Generation uint64
	Old        ident.Device
}

// opened is a backup that the code opened and whose manager was verified.
type opened struct {
	header recovery.Header
	old    *pki.Peer // the manager that made it
	at     time.Time // when its certificates are judged
	code   recovery.Code
	house  housePart
	titles []titlePart
	keys   map[[32]byte][]byte // key bundles by license hash
	host   []byte
}

// restoreHouse makes this module the manager of the house of a backup. All of it
// is one batch: a crash leaves the new house, or the restored one.
func (c *Core) restoreHouse(in trem.RestoreOrder, data []byte, r Reading) (trem.Restored, []byte, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.Restored{}, nil, err
	}
	if c.domain == nil {
		return trem.Restored{}, nil, stateError("this module manages no domain yet")
	}
	b, err := c.openBackup(in.Code, data)
	if err != nil {
		return trem.Restored{}, nil, rejected(err)
	}
	defer b.code.Clear()
	var out trem.Restored
	if c.backups.restored != nil {
		out, err = c.restoreAgain(b, in.Above)
	} else {
		out, err = c.restoreFirst(b, in.Above, c.clock.judge(r).Est)
	}
	return out, b.host, rejected(err)
}

// openBackup reads a file: the manager that signed it, then the code.
func (c *Core) openBackup(code, data []byte) (*opened, error) {
	f, err := recovery.Parse(data)
	if err != nil {
		return nil, err
	}
	b := &opened{header: f.Header}
	if b.at, err = enrollTime(f.Chain, time.UnixMilli(f.Header.Made)); err != nil {
		return nil, err
	}
	// Whether the old manager is revoked by now does not matter: a stolen home
	// server is a reason to restore.
	if b.old, err = (&pki.Verifier{Trust: c.verifier.Trust}).Verify(f.Chain, b.at, pki.HomeServer); err != nil {
		return nil, fmt.Errorf("backup: its home server: %w", err)
	}
	if b.old.ID() != f.Header.Manager {
		return nil, fmt.Errorf("%w: another home server's certificate", recovery.ErrFile)
	}
	if err := f.Verify(b.old.Public()); err != nil {
		return nil, err
	}
	if b.code, err = recovery.CodeOf(code); err != nil {
		return nil, err
	}
	parts, err := f.Open(b.code)
	if err != nil {
		return nil, err
	}
	return b, b.read(parts)
}

func (b *opened) read(parts map[recovery.Kind][]byte) error {
	var bundles [][]byte
	for kind, v := range map[recovery.Kind]any{recovery.PartHouse: &b.house, recovery.PartTitles: &b.titles, recovery.PartKeys: &bundles} {
		if err := wire.Unmarshal(parts[kind], v, partLimit()); err != nil {
			return fmt.Errorf("%w: part of kind %d: %w", recovery.ErrFile, kind, err)
		}
	}
	if len(b.house.Secret) != 32 || len(b.house.Members) > maxMembers+maxFormer {
		return fmt.Errorf("%w: part of kind %d", recovery.ErrFile, recovery.PartHouse)
	}
	b.host, b.keys = parts[recovery.PartHost], map[[32]byte][]byte{}
	for _, data := range bundles {
		k, err := license.ParseKeyBundle(data)
		if err != nil {
			return fmt.Errorf("%w: %w", recovery.ErrFile, err)
		}
		b.keys[k.License] = data
	}
	return nil
}

// restoreFirst takes the house over. Nobody knows which members were seen since the
// backup was made: each has its place until then, as if it had just been.
func (c *Core) restoreFirst(b *opened, above uint64, now int64) (trem.Restored, error) {
	until := now + membershipLife
	switch {
	case b.header.Manager == c.self:
		return trem.Restored{}, fmt.Errorf("backup: this very home server made it; there is nothing to restore here")
	case len(c.members) > 0 || len(c.held) > 0 || c.backups.key != nil || len(c.source.Open()) > 0:
		return trem.Restored{}, fmt.Errorf("backup: this home server has a house of its own already; restore into a new one")
	}
	d := domainRecord{ID: b.header.Domain, Secret: b.house.Secret, Generation: max(b.header.Generation, above) + 1, Next: b.house.Next}
	key, err := b.code.Public()
	if err != nil {
		return trem.Restored{}, err
	}
	rec := restoredRecord{Generation: d.Generation, Old: b.header.Manager}
	if rec.Restore, err = c.signRestore(b, d.Generation); err != nil {
		return trem.Restored{}, err
	}
	out, back := c.judgeTitles(b, &d)
	for i, inst := range back {
		if isOwn(inst.leaf()) {
			if back[i], err = c.renewOwn(inst, &d, now); err != nil {
				return trem.Restored{}, err
			}
		}
	}
	var s log
	s.add(kindDomain, d)
	for _, m := range b.house.Members {
		s.add(kindMember, m)
		s.add(kindSeen, seenRecord{Device: m.Device, Until: until})
	}
	s.add(kindRecovery, key)
	s.add(kindRestored, rec)
	for _, inst := range back {
		bundle, err := inst.bundle(inst.leaf())
		s.err = cmp.Or(s.err, err)
		s.add(kindLicense, licenseRecord{Chain: inst.links, Bundle: bundle, Epoch: inst.epoch})
	}
	if s.err != nil {
		return trem.Restored{}, s.err
	}
	if err := c.write(true, s.recs...); err != nil {
		return trem.Restored{}, err
	}
	c.domain, c.backups.key, c.backups.restored = &d, &key, &rec
	for _, m := range b.house.Members {
		c.members[m.Device], c.until[m.Device] = m, until
	}
	for _, inst := range back {
		c.hold(inst)
	}
	return out, nil
}

// restoreAgain answers a repetition. A generation that a member knows already,
// or that another restore has too, makes a new RESTORE above it; nothing else of
// the file is taken a second time.
func (c *Core) restoreAgain(b *opened, above uint64) (trem.Restored, error) {
	was := c.backups.restored
	if !bytes.Equal(b.header.Key, c.backups.key.Sign) {
		return trem.Restored{}, fmt.Errorf("backup: this house has a newer recovery code than this file")
	}
	if b.header.Domain != c.domain.ID || b.header.Manager != was.Old {
		return trem.Restored{}, fmt.Errorf("backup: this home server was restored from another one; restore into a new one")
	}
	d := *c.domain
	if c.backups.rival != nil && c.backups.rival.Generation >= was.Generation {
		above = max(above, c.backups.rival.Generation)
	}
	if above >= d.Generation {
		d.Generation = above + 1
		rec := restoredRecord{Generation: d.Generation, Old: was.Old}
		var err error
		if rec.Restore, err = c.signRestore(b, d.Generation); err != nil {
			return trem.Restored{}, err
		}
		if err := c.commitAll(map[uint8]any{kindDomain: d, kindRestored: rec}); err != nil {
			return trem.Restored{}, err
		}
		*c.domain, c.backups.restored = d, &rec
	}
	out, _ := c.judgeTitles(b, &d)
	return out, nil
}

func (c *Core) signRestore(b *opened, generation uint64) ([]byte, error) {
	return b.code.SignRestore(recovery.Restore{
		Domain: b.header.Domain, Generation: generation, Old: b.header.Manager, Incarnation: c.vault.Incarnation(), Manager: c.self,
	})
}

// judgeTitles decides license by license what comes back: out says it, back are
// those that do.
func (c *Core) judgeTitles(b *opened, d *domainRecord) (out trem.Restored, back []*instance) {
	out = trem.Restored{Domain: d.ID, Generation: d.Generation, Made: b.header.Made, Old: b.header.Manager, Members: []ident.Device{}, Titles: []trem.Title{}}
	for _, m := range b.house.Members {
		if !m.Removed {
			out.Members = append(out.Members, m.Device)
		}
	}
	for _, t := range b.titles {
		inst := &instance{links: t.Chain, epoch: t.Epoch}
		signers, err := c.readChain(inst, b)
		if err != nil {
			continue // not of this system's licenses: nothing can be said of it
		}
		title := titleOf(inst)
		if _, sealed := b.keys[inst.leaf().Hash()]; sealed && title.Needs == trem.NeedsIssuer {
			title.Backup, title.Needs = license.BackupHousehold, trem.NeedsNothing // its sunset had come
		}
		if title.Needs == trem.NeedsNothing {
			if c.backsUp(inst, signers, b, d) == nil {
				back = append(back, inst)
			} else {
				title.Needs = trem.NeedsIssuer
			}
		}
		out.Titles = append(out.Titles, title)
	}
	return out, back
}

// readChain parses a license of a backup. Its signers are judged at the time of
// the backup, or at the end of a certificate that had run out by then, without
// revocation: the manager has accepted them, and the epoch of that stands beside
// the license.
func (c *Core) readChain(inst *instance, b *opened) ([]*pki.Peer, error) {
	v := &pki.Verifier{Trust: c.verifier.Trust}
	var signers []*pki.Peer
	for _, data := range inst.links {
		l, lic, err := parseLink(data)
		if err != nil {
			return nil, err
		}
		inst.chain = append(inst.chain, lic)
		at, err := signerTime(l.Signer, lic.Info().IssuedAt, true, b.at)
		if err != nil {
			continue
		}
		if peer, err := v.Verify(l.Signer, at); err == nil {
			signers = append(signers, peer)
		}
	}
	if len(inst.chain) == 0 {
		return nil, fmt.Errorf("license chain of no links")
	}
	return signers, nil
}

// backsUp checks a license that comes back by itself, and takes its keys.
func (c *Core) backsUp(inst *instance, signers []*pki.Peer, b *opened, d *domainRecord) error {
	if len(signers) != len(inst.chain) {
		return fmt.Errorf("license: a signer is not of this system")
	}
	if err := license.VerifyChain(inst.chain, signers, license.Houses{Domain: b.header.Domain, Manager: b.header.Manager}); err != nil {
		return err
	}
	s := inst.leaf().Info().Subject
	if s.Kind != license.SubjectDomain || ident.Domain(s.ID) != d.pairwise(inst.leaf().Info().Issuer) || s.Generation > d.Generation {
		return fmt.Errorf("license: its subject is another house")
	}
	if err := c.oneIdentity(inst.leaf()); err != nil {
		return err
	}
	return inst.open(b.keys[inst.leaf().Hash()], c.cfg.Memory)
}

// succession is the RESTORE that members of the house need.
func (c *Core) succession() (trem.Succession, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.Succession{}, err
	}
	if c.backups.restored == nil {
		return trem.Succession{Code: c.backups.key != nil}, nil
	}
	return trem.Succession{Restore: c.backups.restored.Restore, Manager: c.identity.Chain, Code: true}, nil
}

// parseOurs reads a membership that a member shows. After a restore it may be of a
// manager that this one never knew; then the list of members, whom SLTP has
// authenticated, says all that its signature would.
func (c *Core) parseOurs(data []byte) (*Membership, error) {
	m, err := parseMembership(data, c.signer.Public())
	if err == nil || c.backups.restored == nil {
		return m, err
	}
	s, err := wire.ParseSign1(data, objectMembership, membershipLimit())
	if err != nil {
		return nil, err
	}
	m = new(Membership)
	return m, wire.Unmarshal(s.Payload, m, membershipLimit())
}

// recoveryKey is what members check a RESTORE with; nil before the first backup.
func (c *Core) recoveryKey() []byte {
	if c.backups.key == nil {
		return nil
	}
	return c.backups.key.Sign
}

// superseded refuses what only the manager of the house may do, when another
// restore has taken the house over.
func (c *Core) superseded() error {
	if c.isSuperseded() {
		return stateError("another home server was restored for this house and manages it now")
	}
	return nil
}

func (c *Core) isSuperseded() bool {
	r := c.backups.rival
	return r != nil && r.Generation > c.restoreGeneration()
}

// contested refuses joins as long as two restores of one generation are known.
func (c *Core) contested() error {
	if err := c.superseded(); err != nil {
		return err
	}
	if r := c.backups.rival; r != nil && r.Generation == c.restoreGeneration() {
		return stateError("this house was restored twice; decide for one home server and restore it again, which puts it above the other")
	}
	return nil
}

// restoreGeneration is that of the RESTORE that made this module manager; 0
// for the founder.
func (c *Core) restoreGeneration() uint64 {
	if c.backups.restored == nil {
		return 0
	}
	return c.backups.restored.Generation
}
