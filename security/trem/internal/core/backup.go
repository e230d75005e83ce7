package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Kinds of vault records of backup and recovery. Source: local, docs/spec/backup.md.
const (
	kindRecovery = 0x10 // manager: public keys of the code in use
	kindRestored = 0x11 // manager: the RESTORE that made it one
	kindFollowed = 0x12 // member: the RESTORE that it follows
	kindRival    = 0x13 // manager: a RESTORE of another one, of its generation or above
)

// Limits of what a backup holds. Source: local, docs/spec/backup.md.
const (
	maxTitles = 4096    // licenses
	maxHost   = 1 << 20 // bytes that the host may add
)

// backups is what a module knows of its house's recovery code.
type backups struct {
	offered  recovery.Code    // shown to the host in this run, and not in use
	key      *recovery.Public // manager
	restored *restoredRecord  // manager
	rival    *rivalRecord     // manager
	followed *followedRecord  // member
}

// housePart is the part HOUSE of a backup.
type housePart struct {
	_       struct{} `cbor:",toarray"`
	Secret  []byte
	Next    uint64
	Members []memberRecord
}

// titlePart is one license of the part TITLES.
type titlePart struct {
	_     struct{} `cbor:",toarray"`
	Chain [][]byte
	Epoch uint64 // newest revocation epoch at acceptance
}

func partLimit() wire.Limit { return wire.Limit{Bytes: recovery.MaxFile, Items: maxTitles, Depth: 8} }

// drawCode offers a code to the host. Nothing is durable: a code that was not
// written down in time never counts.
func (c *Core) drawCode() ([]byte, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return nil, err
	}
	c.backups.offered.Clear()
	c.backups.offered = recovery.NewCode()
	b, err := c.backups.offered.Reveal()
	return b[:], err
}

// backup makes a backup of the house. The keys of a new code are durable before
// the file leaves.
func (c *Core) backup(in trem.BackupOrder, host []byte, r Reading) (trem.Backup, []byte, error) {
	var out trem.Backup
	if err := c.need(pki.HomeServer); err != nil {
		return out, nil, err
	}
	if c.domain == nil {
		return out, nil, stateError("this module manages no domain yet")
	}
	if err := c.superseded(); err != nil {
		return out, nil, err
	}
	if len(host) > maxHost {
		return out, nil, rejected(fmt.Errorf("backup: %d bytes of the host, %d at most", len(host), maxHost))
	}
	key, err := c.codeFor(in.Code)
	if err != nil {
		return out, nil, err
	}
	parts, titles, err := c.parts(host)
	if err != nil {
		return out, nil, err
	}
	counter, _ := c.vault.Head()
	out = trem.Backup{Generation: c.domain.Generation, Made: c.clock.judge(r).Est, Titles: titles}
	file, err := recovery.Seal(recovery.Header{
		Manager: c.self, Incarnation: c.vault.Incarnation(), Counter: counter, Domain: c.domain.ID,
		Generation: out.Generation, Made: out.Made, Epoch: c.epoch(),
	}, *key, parts, c.signer, c.identity.Chain)
	if err != nil {
		return out, nil, rejected(err)
	}
	if key != c.backups.key {
		if err := c.commit(kindRecovery, *key); err != nil {
			return out, nil, err
		}
		c.backups.key = key
		c.backups.offered.Clear()
		c.backups.offered = recovery.Code{}
	}
	return out, file, nil
}

// codeFor is the key to seal to: of the code that the host was offered and has
// shown to the owner, or of the one in use.
func (c *Core) codeFor(code []byte) (*recovery.Public, error) {
	if len(code) == 0 {
		if c.backups.key == nil {
			return nil, stateError("this house has no recovery code yet")
		}
		return c.backups.key, nil
	}
	got, err := recovery.CodeOf(code)
	if err != nil {
		return nil, malformed(err)
	}
	defer got.Clear()
	if !got.Equal(c.backups.offered) {
		return nil, rejected(fmt.Errorf("recovery code: it is not the one that this module has drawn"))
	}
	key, err := got.Public()
	return &key, err
}

// parts are the parts of a backup of this house as it is, and what becomes of
// its licenses.
func (c *Core) parts(host []byte) ([]recovery.Part, []trem.Title, error) {
	house := housePart{Secret: c.domain.Secret, Next: c.domain.Next, Members: c.memberList()}
	chains, bundles, titles := []titlePart{}, [][]byte{}, []trem.Title{}
	for _, inst := range c.sorted() {
		if p := inst.state.Phase; p == license.Closed || p == license.Escrow {
			continue // it is not here any more, or not for long
		}
		t := c.titleOf(inst)
		chains, titles = append(chains, titlePart{Chain: inst.links, Epoch: inst.epoch}), append(titles, t)
		if t.Needs != trem.NeedsNothing {
			continue
		}
		b, err := inst.bundle(inst.leaf())
		if err != nil {
			return nil, nil, err
		}
		bundles = append(bundles, b)
	}
	if len(chains) > maxTitles {
		return nil, nil, rejected(fmt.Errorf("backup: %d licenses, %d at most", len(chains), maxTitles))
	}
	parts := []recovery.Part{{Kind: recovery.PartHouse}, {Kind: recovery.PartTitles}, {Kind: recovery.PartKeys}, {Kind: recovery.PartHost, Plain: host}}
	for i, v := range []any{house, chains, bundles} {
		plain, err := wire.Marshal(v)
		if err != nil {
			return nil, nil, err
		}
		parts[i].Plain = plain
	}
	return parts, titles, nil
}

func (c *Core) memberList() []memberRecord {
	return slices.SortedFunc(maps.Values(c.members), func(a, b memberRecord) int { return cmp.Compare(a.Index, b.Index) })
}

// titleOf says what a license needs to come back. Its keys are in the backup
// only where its terms let the household restore it and nothing can have become
// of it since.
func titleOf(inst *instance) trem.Title {
	info := inst.leaf().Info()
	t := trem.Title{License: info.ID, Content: info.Content, Issuer: info.Issuer, Backup: inst.leaf().RestoredBy(), Hash: inst.leaf().Hash()}
	switch {
	case t.Backup == license.BackupNone:
		t.Needs = trem.NeedsGrant
	case isOwn(inst.leaf()): // it leaves by loans only, which end by themselves
	case !inst.leaf().Steady() || inst.state.Phase != license.Held:
		t.Needs = trem.NeedsState
	case t.Backup == license.BackupIssuer:
		t.Needs = trem.NeedsIssuer
	}
	return t
}

// titleOf is what becomes of a license of this house: from the sunset on the
// household's code restores what only the shop could restore before.
func (c *Core) titleOf(inst *instance) trem.Title {
	t := titleOf(inst)
	if _, over := c.sunsetOf(inst.root()); over && t.Needs == trem.NeedsIssuer && inst.leaf().Info().Policy.MinLevel <= 1 {
		t.Backup, t.Needs = license.BackupHousehold, trem.NeedsNothing
	}
	return t
}

// replayRecovery takes a record of this file's kinds.
func (c *Core) replayRecovery(r vault.Record) error {
	b := &c.backups
	switch r.Kind {
	case kindRecovery:
		b.key = new(recovery.Public)
		return wire.Unmarshal(r.Body, b.key, recordLimit)
	case kindRestored:
		b.restored = new(restoredRecord)
		return wire.Unmarshal(r.Body, b.restored, recordLimit)
	case kindFollowed:
		b.followed = new(followedRecord)
		return wire.Unmarshal(r.Body, b.followed, recordLimit)
	case kindRival:
		b.rival = new(rivalRecord)
		return wire.Unmarshal(r.Body, b.rival, recordLimit)
	}
	return c.replayWitness(r)
}

// snapshotRecovery adds the records of this file's kinds to a compacted log.
func (c *Core) snapshotRecovery(s *log) {
	b := &c.backups
	if b.key != nil {
		s.add(kindRecovery, *b.key)
	}
	if b.restored != nil {
		s.add(kindRestored, *b.restored)
	}
	if b.followed != nil {
		s.add(kindFollowed, *b.followed)
	}
	if b.rival != nil {
		s.add(kindRival, *b.rival)
	}
}

// payloadRecovery runs the commands that carry a file, plainRecovery the others.
func (c *Core) payloadRecovery(cmd trem.Command, body, payload []byte, r Reading) (any, []byte, error) {
	switch cmd {
	case trem.CmdBackup:
		return with2(body, func(in trem.BackupOrder) (any, []byte, error) { return c.backup(in, payload, r) })
	case trem.CmdLog:
		return with2(body, func(in trem.LogOrder) (any, []byte, error) { return c.logCopy(in) })
	case trem.CmdHeal:
		return with2(body, func(trem.None) (any, []byte, error) {
			out, err := c.heal(payload, r)
			return out, nil, err
		})
	default:
		return with2(body, func(in trem.RestoreOrder) (any, []byte, error) { return c.restoreHouse(in, payload, r) })
	}
}

func (c *Core) plainRecovery(cmd trem.Command, body []byte, r Reading) (any, error) {
	switch cmd {
	case trem.CmdCode:
		return c.drawCode()
	case trem.CmdRestored:
		return c.succession()
	case trem.CmdKept:
		return c.kept(), nil
	case trem.CmdRelayTime:
		return with(body, func(in []byte) (any, error) { return c.relayTime(in, r) })
	case trem.CmdHear:
		return with(body, func(in []byte) (any, error) { return trem.None{}, c.hear(in, r) })
	default:
		return with(body, func(in trem.Succession) (any, error) { return c.follow(in, r) })
	}
}
