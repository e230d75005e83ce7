package core

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// compactAfter is how many records a log may have at the start before it is
// replaced by what they mean. Source: local, docs/spec/trem.md.
const compactAfter = 2048

// snapshot is the shortest log that rebuilds this module as it is.
func (c *Core) snapshot() ([]vault.Record, error) {
	var s log
	s.add(kindClock, c.clock)
	if c.identity != nil {
		s.add(kindIdentity, *c.identity)
	}
	if c.wiped != nil {
		s.add(kindWiped, *c.wiped)
	}
	if c.state != nil {
		s.add(kindRevocation, *c.state)
	}
	if c.domain != nil {
		s.add(kindDomain, *c.domain)
	}
	for _, m := range slices.SortedFunc(maps.Values(c.members), func(a, b memberRecord) int { return cmp.Compare(a.Index, b.Index) }) {
		s.add(kindMember, m)
		if until := c.until[m.Device]; until != 0 && !m.Removed {
			s.add(kindSeen, seenRecord{Device: m.Device, Until: until})
		}
	}
	if c.membership != nil {
		s.add(kindMembership, membershipRecord{Membership: c.membershipBytes, Manager: c.manager})
	} else if c.left != nil {
		s.add(kindMembership, leftRecord(c.left, c.leftTo))
	}
	c.snapshotRecovery(&s)
	c.snapshotWitness(&s)
	c.snapshotEnds(&s)
	s.add(kindPast, c.pastNow())
	if err := c.snapshotContents(&s); err != nil {
		return nil, err
	}
	if err := c.snapshotHeld(&s); err != nil {
		return nil, err
	}
	for tid, hash := range c.came {
		s.add(kindCame, cameRecord{TID: tid, Hash: hash})
	}
	c.snapshotNames(&s)
	c.snapshotAside(&s)
	c.snapshotReach(&s)
	for _, rec := range c.backs {
		if c.domain != nil || !rec.Over {
			s.add(kindBack, rec)
		}
	}
	for tid, word := range c.rulings {
		if o, err := c.source.Opened(tid); err == nil && o.Released {
			s.add(kindRuling, rulingRecord{TID: tid, Letter: word})
		}
	}
	for _, rep := range c.reports {
		s.add(kindLost, rep)
	}
	for _, away := range c.away {
		s.add(kindAway, away)
	}
	for _, tid := range c.source.Open() {
		if p, ok := c.peers[tid.Dst]; ok {
			s.add(kindPeer, p)
		}
	}
	out, err := c.source.Snapshot()
	if err != nil {
		return nil, err
	}
	in, err := c.dest.Snapshot()
	if err != nil {
		return nil, err
	}
	decided, err := c.arbiter.Snapshot()
	if err != nil {
		return nil, err
	}
	s.recs = append(s.recs, records(slices.Concat(out, in, decided))...)
	s.add(kindCounted, countedRecord{Batch: c.counted}) // last: what stands before it counted there
	return s.recs, s.err
}

func (c *Core) snapshotContents(s *log) error {
	for _, id := range slices.Sorted(maps.Keys(c.contents)) {
		rec, err := c.contents[id].record(id)
		if err != nil {
			return err
		}
		s.add(kindContent, rec)
	}
	return nil
}

func (c *Core) snapshotHeld(s *log) error {
	for _, inst := range c.sorted() {
		bundle, err := inst.bundle(inst.leaf())
		if err != nil {
			return err
		}
		s.add(kindLicense, licenseRecord{Chain: inst.links, Bundle: bundle, Epoch: inst.epoch})
		rec, err := inst.record()
		if err != nil {
			return err
		}
		s.recs = append(s.recs, rec)
	}
	for _, rec := range c.exports {
		s.add(kindExported, rec)
	}
	return nil
}

// forgetCame forgets closed transfers: those that brought what is gone, and of
// those from one log that brought the same license all but the last. So a title
// that goes to and fro for years makes no snapshot longer.
func (c *Core) forgetCame() {
	type way struct {
		hash [32]byte
		src  ident.Device
		inc  ident.Incarnation
	}
	last := map[way]uint64{}
	for tid, hash := range c.came {
		w := way{hash, tid.Src, tid.Incarnation}
		last[w] = max(last[w], tid.Seq)
	}
	for tid, hash := range c.came {
		if c.dest.Unconfirmed(tid) {
			continue
		}
		if _, here := c.held[hash]; !here || tid.Seq < last[way{hash, tid.Src, tid.Incarnation}] {
			delete(c.came, tid)
		}
	}
}

// cameRecord names a transfer that was installed here and its license.
type cameRecord struct {
	_    struct{} `cbor:",toarray"`
	TID  ident.Transfer
	Hash [32]byte
}

// log collects records.
type log struct {
	recs []vault.Record
	err  error
}

func (s *log) add(kind uint8, body any) {
	rec, err := newRecord(kind, body)
	s.err = cmp.Or(s.err, err)
	s.recs = append(s.recs, rec)
}
