package core

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Kinds of vault records of sunset. Source: local, docs/spec/sunset.md.
const (
	kindNotice = 0x28 // a notice that stands, by the state signer's word
	kindSunset = 0x29 // the sunset of a license has come
	kindBound  = 0x2a // manager: a license was bound to a device of the house
)

// maxNotices bounds the issuers whose notices are kept. Source: local, docs/spec/sunset.md.
const maxNotices = 64

// noticeRecord is a notice that the state signer says stands.
type noticeRecord struct {
	_      struct{} `cbor:",toarray"`
	Notice []byte   // signed by the notice key, which only the license names
	Since  int64    // Unix ms
}

// sunsetRecord says that the sunset of a root license has come. It stays: what a
// household was given once is not taken back by whoever is heard of again.
type sunsetRecord struct {
	_     struct{} `cbor:",toarray"`
	Root  [32]byte // license hash
	At    int64    // signed time at which it was proven, Unix ms
	Cause license.SunsetCause
}

// sunsets is what a module knows of services that end.
type sunsets struct {
	notices map[ident.Issuer]noticeOf
	come    map[[32]byte]sunsetRecord
	bound   map[boundName]boundRecord
}

type noticeOf struct {
	rec  noticeRecord
	read *license.SignedNotice
}

// learnNotices keeps the notices that the state signer says stand. Those that do
// not hold, and older ones, are passed over: a courier can only leave them out.
func (c *Core) learnNotices(standing [][]byte) error {
	if len(standing) == 0 || c.state == nil {
		return nil
	}
	signer, err := x509.ParseCertificate(c.state.Chain[0])
	if err != nil {
		return fmt.Errorf("state signer: %w", err)
	}
	var s log
	var fresh []noticeOf
	for _, data := range standing {
		n, since, err := license.ParseStanding(data, signer.PublicKey)
		if err != nil {
			continue
		}
		old, known := c.sunsets.notices[n.Issuer]
		if known && old.rec.Since >= since || !known && len(c.sunsets.notices)+len(fresh) >= maxNotices {
			continue
		}
		notice, err := license.NoticeIn(data)
		if err != nil {
			continue
		}
		fresh = append(fresh, noticeOf{rec: noticeRecord{Notice: notice, Since: since}, read: n})
		s.add(kindNotice, fresh[len(fresh)-1].rec)
	}
	if len(fresh) == 0 {
		return nil
	}
	if s.err == nil {
		s.err = c.write(true, s.recs...)
	}
	if s.err != nil {
		return s.err
	}
	for _, n := range fresh {
		c.sunsets.keepNotice(n)
	}
	return nil
}

func (s *sunsets) keepNotice(n noticeOf) {
	if s.notices == nil {
		s.notices = map[ident.Issuer]noticeOf{}
	}
	s.notices[n.read.Issuer] = n
}

// signedTime is the latest time that an authority has signed and this module
// knows: none of its own clocks is in it.
func (c *Core) signedTime() int64 {
	at := c.heard
	if c.revoked != nil {
		at = max(at, c.revoked.Head().IssuedAt)
	}
	if c.times.token != nil {
		at = max(at, c.times.token.At)
	}
	return at
}

// sunsetEvidence is what this module knows of an issuer.
func (c *Core) sunsetEvidence(issuer ident.Issuer) license.SunsetEvidence {
	e := license.SunsetEvidence{Time: c.signedTime()}
	if c.revoked == nil {
		return e
	}
	e.Head = c.revoked.Head().IssuedAt
	if leaf, ok := c.revoked.Issuer(issuer); ok {
		e.Listed, e.LastSeen, e.Flag = true, leaf.LastSeen, leaf.Sunset
	}
	if n, ok := c.sunsets.notices[issuer]; ok {
		e.Notice, e.Since = n.read, n.rec.Since
	}
	return e
}

// sunsetOf is the sunset of a root license as it is proven here.
func (c *Core) sunsetOf(root *license.License) (sunsetRecord, bool) {
	if rec, ok := c.sunsets.come[root.Hash()]; ok {
		return rec, true
	}
	if root.Info().Sunset == nil {
		return sunsetRecord{}, false
	}
	e := c.sunsetEvidence(root.Info().Issuer)
	why, ok := root.Info().SunsetBy(e)
	return sunsetRecord{Root: root.Hash(), At: e.Time, Cause: why}, ok
}

// reachSunsets writes down the sunsets that have come by what was just learned.
func (c *Core) reachSunsets() error {
	var s log
	var come []sunsetRecord
	for _, inst := range c.sorted() {
		rec, ok := c.sunsetOf(inst.root())
		if _, known := c.sunsets.come[rec.Root]; !ok || known || slices.ContainsFunc(come, func(r sunsetRecord) bool { return r.Root == rec.Root }) {
			continue
		}
		come = append(come, rec)
		s.add(kindSunset, rec)
	}
	if len(come) == 0 {
		return nil
	}
	if s.err == nil {
		s.err = c.write(true, s.recs...)
	}
	if s.err != nil {
		return s.err
	}
	for _, rec := range come {
		c.sunsets.keepCome(rec)
	}
	return nil
}

func (s *sunsets) keepCome(rec sunsetRecord) {
	if s.come == nil {
		s.come = map[[32]byte]sunsetRecord{}
	}
	s.come[rec.Root] = rec
}

// sunsetAt is what a license's evaluation says of it: when it came, or will come
// by what is known. A clock that is merely believed makes none come.
func (c *Core) sunsetAt(inst *instance, est int64) int64 {
	root := inst.root()
	if root.Info().Sunset == nil {
		return 0
	}
	if rec, ok := c.sunsetOf(root); ok {
		return rec.At
	}
	if at := root.Info().SunsetFrom(c.sunsetEvidence(root.Info().Issuer)); at > est {
		return at
	}
	return 0
}

// releaseTitle opens a session on a title whose sunset has come and releases it: all
// of it, clear, uncounted, for the ordinary file.
func (c *Core) releaseTitle(in trem.Ask) (trem.Session, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.Session{}, err
	}
	inst, at := c.released(in)
	if inst == nil {
		return trem.Session{}, &trem.RefusalError{Decision: license.Decision{Action: in.Action, Reasons: []license.Reason{{
			Code: license.NoGrant, Constraint: "SUNSET", Have: "no sunset of mode 2 that has come", Need: "the end of the shop, proven", Closed: true, Earliest: at, Remedy: license.WaitUntil,
		}}}}
	}
	if err := c.room(0); err != nil {
		return trem.Session{}, err
	}
	d := license.Decision{Allow: true, Action: in.Action, License: inst.leaf().Info().ID, KIDs: inst.kids()}
	c.last++
	c.sessions[c.last] = &session{inst: inst, ask: in, release: true, use: license.Session{KIDs: d.KIDs}}
	return trem.Session{Handle: c.last, License: d.License, KIDs: d.KIDs, Decision: d}, nil
}

// released is the license of the ask that may be released, or when the first one
// may be, where that is known. A license that is elsewhere, and a part of one, is not.
func (c *Core) released(in trem.Ask) (found *instance, earliest int64) {
	for _, inst := range c.sorted() {
		info := inst.root().Info()
		if info.Content != in.Content || len(inst.chain) != 1 || info.Sunset == nil || info.Sunset.Mode != license.SunsetRelease || inst.state.Phase != license.Held || c.unclosed(inst) {
			continue
		}
		if in.License != (ident.License{}) && info.ID != in.License {
			continue
		}
		if _, ok := c.sunsetOf(inst.root()); ok {
			return inst, 0
		}
		if at := info.SunsetFrom(c.sunsetEvidence(info.Issuer)); at != 0 && (earliest == 0 || at < earliest) {
			earliest = at
		}
	}
	return nil, earliest
}

func (c *Core) replaySunset(r vault.Record) error {
	switch r.Kind {
	case kindNotice:
		var err error
		bad := replayed(r.Body, func(rec noticeRecord) {
			var n *license.SignedNotice
			if n, err = license.ParseNotice(rec.Notice); err == nil {
				c.sunsets.keepNotice(noticeOf{rec: rec, read: n})
			}
		})
		return cmp.Or(bad, err)
	case kindSunset:
		return replayed(r.Body, c.sunsets.keepCome)
	default:
		return replayed(r.Body, c.sunsets.keepBound)
	}
}

func (c *Core) snapshotSunset(s *log) {
	for _, issuer := range slices.Sorted(maps.Keys(c.sunsets.notices)) {
		s.add(kindNotice, c.sunsets.notices[issuer].rec)
	}
	for _, rec := range slices.SortedFunc(maps.Values(c.sunsets.come), func(a, b sunsetRecord) int { return slices.Compare(a.Root[:], b.Root[:]) }) {
		s.add(kindSunset, rec)
	}
	for _, rec := range slices.SortedFunc(maps.Values(c.sunsets.bound), func(a, b boundRecord) int {
		return cmp.Or(strings.Compare(a.License.String(), b.License.String()), strings.Compare(a.Device.String(), b.Device.String()))
	}) {
		s.add(kindBound, rec)
	}
}
