package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Kinds of vault records of witnesses. Source: local, docs/spec/witness.md.
const (
	kindWitnessed = 0x18 // the newest HEAD of a peer
	kindSetBack   = 0x19 // a HEAD of one's own that the log does not contain
	kindTwoHeads  = 0x1a // two HEADs of a peer that exclude each other
	kindFound     = 0x1b // how far a peer's HEADs of this module were found in the log
	kindPast      = 0x17 // hashes of the log from before a compaction
)

// Bounds of what a witness keeps. Source: local, docs/spec/witness.md.
const (
	maxWitnessed = 256 // peers
	maxOlder     = 16  // former incarnations of one peer
	maxTwoHeads  = 256 // peers with evidence
)

// witness is what a module keeps of its peers' logs, and what they told it of
// its own.
type witness struct {
	kept    map[ident.Device]*witnessedRecord
	order   uint64 // of the newest in kept
	setBack *setBackRecord
	twins   map[ident.Device]twoHeadsRecord
	found   map[ident.Device]uint64 // by peer: counter of the newest own HEAD that it gave back and the log contains
	past    pastRecord
}

// witnessedRecord is the newest HEAD of one peer, as received.
type witnessedRecord struct {
	_           struct{} `cbor:",toarray"`
	Device      ident.Device
	Head        []byte
	Incarnation ident.Incarnation
	Counter     uint64
	Hash        [32]byte
	Older       []ident.Incarnation // that were seen before this one
	Order       uint64              // rises with each that is kept: the smallest goes first
}

type setBackRecord struct {
	_    struct{} `cbor:",toarray"`
	Head []byte   // this module's own signature
}

type twoHeadsRecord struct {
	_      struct{} `cbor:",toarray"`
	Device ident.Device
	One    []byte
	Two    []byte
}

// foundRecord says that the log contains what a peer gave back.
type foundRecord struct {
	_       struct{} `cbor:",toarray"`
	Peer    ident.Device
	Counter uint64
}

// heads is what EAD_3 and EAD_4 carry in the place of a HEAD: the sender's own,
// the one that it keeps of the receiver, and how far the receiver's earlier
// answers were found in the sender's log: only then the receiver lets a newer HEAD
// take the place of the one it keeps. Otherwise who was set back could lose one
// answer and be witnessed as it is now.
type heads struct {
	_     struct{} `cbor:",toarray"`
	Own   []byte
	Yours []byte // nil without
	Found uint64
}

func headsLimit() wire.Limit {
	return wire.Limit{Bytes: 2*transfer.MaxHead + 32, Items: 3, Depth: 1}
}

func parseHeads(data []byte) (heads, error) {
	var h heads
	if err := wire.Unmarshal(data, &h, headsLimit()); err != nil {
		return heads{}, err
	}
	if len(h.Own) == 0 || len(h.Own) > transfer.MaxHead || len(h.Yours) > transfer.MaxHead || h.Yours != nil && len(h.Yours) == 0 {
		return heads{}, wire.ErrShape
	}
	return h, nil
}

// ownHead states where this module's log stands: of what is durable, with all
// that this command has noted so far.
func (c *Core) ownHead() ([]byte, error) {
	if err := c.flush(); err != nil {
		return nil, err
	}
	counter, hash := c.vault.Head()
	return transfer.SignHead(c.signer, c.identity.Chain[0], transfer.Head{
		Device: c.self, Incarnation: c.vault.Incarnation(), Counter: counter, Hash: hash, Epoch: c.epoch(),
	})
}

// headsFor is what a peer of the household is shown: this module's HEAD, and its
// own. Issuers witness nobody.
func (c *Core) headsFor(peer ident.Device) ([]byte, error) {
	if c.peer.Role() == pki.LicenseIssuer {
		return nil, nil
	}
	own, err := c.ownHead()
	if err != nil {
		return nil, err
	}
	h := heads{Own: own, Found: c.witness.found[peer]}
	if k := c.witness.kept[peer]; k != nil {
		h.Yours = k.Head
	}
	return wire.Marshal(h)
}

// headFor is headsFor where only one fits: RECEIPT and XFER.
func (c *Core) headFor(peer *pki.Peer) ([]byte, error) {
	if c.peer.Role() == pki.LicenseIssuer || peer.Role() == pki.LicenseIssuer {
		return nil, nil
	}
	return c.ownHead()
}

// receiptHead is headFor for the source of a transfer: a home server shows its
// HEAD to its members only.
func (c *Core) receiptHead(src ident.Device) ([]byte, error) {
	if _, member := c.members[src]; c.peer.Role() == pki.LicenseIssuer || c.domain != nil && !member {
		return nil, nil
	}
	return c.ownHead()
}

// seeHeads takes what a peer has put into EAD_3 or EAD_4. What cannot be read or
// does not hold changes nothing; only a store that fails is an error.
func (c *Core) seeHeads(from *pki.Peer, data []byte) error {
	if len(data) == 0 || c.peer.Role() == pki.LicenseIssuer || from.Role() == pki.LicenseIssuer {
		return nil
	}
	h, err := parseHeads(data)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	var recs log
	if err := c.seeOwn(from.ID(), h.Yours, &recs); err != nil {
		return err
	}
	return c.seeHead(from, h, &recs)
}

// seeOwn holds a HEAD that a peer gives back against the log. It is believed
// because this module signed it; another incarnation's says nothing.
func (c *Core) seeOwn(peer ident.Device, data []byte, recs *log) error {
	if len(data) == 0 {
		return nil
	}
	h, err := transfer.ParseHead(data, c.peer)
	if err != nil || h.Incarnation != c.vault.Incarnation() || h.Counter <= c.witness.found[peer] {
		return nil //nolint:nilerr // not our words, or looked at before
	}
	if c.witness.setBack != nil { // the furthest place is where healing must lead
		if was, err := transfer.ParseHead(c.witness.setBack.Head, c.peer); err != nil || h.Counter <= was.Counter {
			return err
		}
	}
	if c.contains(h) {
		if c.witness.setBack == nil {
			recs.add(kindFound, foundRecord{Peer: peer, Counter: h.Counter})
		}
		return nil
	}
	rec := setBackRecord{Head: data}
	if err := c.commit(kindSetBack, rec); err != nil {
		return err
	}
	c.witness.setBack = &rec
	return nil
}

// seeHead keeps the newest HEAD of a peer that has found the one before it, or
// the evidence that there are two. recs are what goes along with it: what is
// given to the peer for this HEAD is not on the disk before the HEAD is.
func (c *Core) seeHead(from *pki.Peer, got heads, recs *log) error {
	next, twins := c.newer(from, got)
	switch {
	case twins != nil:
		recs.add(kindTwoHeads, *twins)
	case next != nil:
		recs.add(kindWitnessed, *next)
	}
	if recs.err != nil || len(recs.recs) == 0 {
		return recs.err
	}
	c.along(false, recs.recs...)
	for _, r := range recs.recs {
		if err := c.replayWitness(r); err != nil {
			return err
		}
	}
	return nil
}

// newer judges a peer's HEAD: it is to be kept, or it and the kept one cannot
// both be true, or neither.
func (c *Core) newer(from *pki.Peer, got heads) (*witnessedRecord, *twoHeadsRecord) {
	h, err := transfer.ParseHead(got.Own, from)
	if err != nil || c.quarantined(from.ID()) {
		return nil, nil // what does not hold changes nothing
	}
	next := &witnessedRecord{Device: h.Device, Head: got.Own, Incarnation: h.Incarnation, Counter: h.Counter, Hash: h.Hash, Order: c.witness.order + 1}
	old := c.witness.kept[h.Device]
	switch {
	case old == nil:
		return next, nil
	case old.excludes(h):
		if len(c.witness.twins) >= maxTwoHeads {
			return nil, nil
		}
		return nil, &twoHeadsRecord{Device: h.Device, One: old.Head, Two: got.Own}
	case h.Incarnation != old.Incarnation:
		next.Older = append(slices.Clone(old.Older), old.Incarnation)
		next.Older = next.Older[max(0, len(next.Older)-maxOlder):]
		return next, nil
	case h.Counter <= old.Counter || got.Found < old.Counter:
		return nil, nil // late, set back, or it has not seen yet what it gets back
	}
	next.Older = old.Older
	return next, nil
}

// isKept reports whether the HEAD that a peer has shown in a request is the one
// that is kept of it now. It is not while the peer has not looked at an older one
// yet, which goes to it with the answer: until then it gets nothing that counts, or
// it could be set back to before this request and nobody would know.
func (c *Core) isKept(from *pki.Peer, data []byte) bool {
	got, err := parseHeads(data)
	if err != nil {
		return true // it shows nothing that could be kept
	}
	h, err := transfer.ParseHead(got.Own, from)
	k := c.witness.kept[from.ID()]
	return err == nil && k != nil && k.Incarnation == h.Incarnation && k.Counter == h.Counter && k.Hash == h.Hash
}

// excludes reports whether both HEADs cannot be of one log: one place in it with
// two hashes, or an incarnation that another had ended.
func (w *witnessedRecord) excludes(h transfer.Head) bool {
	if h.Incarnation == w.Incarnation {
		return h.Counter == w.Counter && h.Hash != w.Hash
	}
	return slices.Contains(w.Older, h.Incarnation)
}

func (c *Core) keepHead(w *witnessedRecord) {
	k := &c.witness
	if k.kept == nil {
		k.kept = map[ident.Device]*witnessedRecord{}
	}
	k.kept[w.Device], k.order = w, max(k.order, w.Order)
	if len(k.kept) > maxWitnessed {
		oldest := slices.MinFunc(slices.Collect(maps.Values(k.kept)), func(a, b *witnessedRecord) int { return cmp.Compare(a.Order, b.Order) })
		delete(k.kept, oldest.Device)
	}
}

// keepTwins quarantines a peer. Both of the two that use its key are meant, since
// nobody can tell which is which.
func (c *Core) keepTwins(rec twoHeadsRecord) {
	if c.witness.twins == nil {
		c.witness.twins = map[ident.Device]twoHeadsRecord{}
	}
	c.witness.twins[rec.Device] = rec
	delete(c.witness.kept, rec.Device)
}

func (c *Core) quarantined(peer ident.Device) bool {
	_, twice := c.witness.twins[peer]
	return twice
}

// twins lists the quarantined peers.
func (c *Core) twins() []ident.Device {
	return slices.SortedFunc(maps.Keys(c.witness.twins), func(a, b ident.Device) int { return slices.Compare(a[:], b[:]) })
}

// waits reports whether the stateful right of an instance waits: this module's
// log was set back, so its state may be older than what was used.
func (c *Core) waits(inst *instance) bool {
	return c.witness.setBack != nil && !inst.leaf().Info().Stateless()
}

// standStill is the decision about an instance that waits: all that the license
// says, and that.
func (c *Core) standStill(inst *instance, d license.Decision) license.Decision {
	if !c.waits(inst) {
		return d
	}
	d.Allow, d.KIDs, d.Confirm = false, nil, nil
	d.Reasons = append(slices.Clone(d.Reasons), license.Reason{Code: license.StateRolledBack, Closed: true, Remedy: license.Contact})
	return d
}

// noTransfer says why no stateful right is exchanged with a peer now.
func (c *Core) noTransfer(peer ident.Device) error {
	switch {
	case c.witness.setBack != nil:
		return fmt.Errorf("%w: this module was set back to an older state", transfer.ErrLater)
	case c.quarantined(peer):
		return fmt.Errorf("%w: the peer exists twice", transfer.ErrLater)
	}
	return nil
}

// endStateful ends the sessions of what waits from now on.
func (c *Core) endStateful(r Reading) error {
	for handle, s := range c.sessions {
		if c.waits(s.inst) {
			if err := c.end(handle, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Core) replayWitness(r vault.Record) error {
	switch r.Kind {
	case kindWitnessed:
		w := new(witnessedRecord)
		err := wire.Unmarshal(r.Body, w, recordLimit)
		c.keepHead(w)
		return err
	case kindSetBack:
		c.witness.setBack = new(setBackRecord)
		return wire.Unmarshal(r.Body, c.witness.setBack, recordLimit)
	case kindTwoHeads:
		var rec twoHeadsRecord
		err := wire.Unmarshal(r.Body, &rec, recordLimit)
		c.keepTwins(rec)
		return err
	case kindFound:
		var rec foundRecord
		err := wire.Unmarshal(r.Body, &rec, recordLimit)
		c.keepFound(rec)
		return err
	case kindCounted: // read when the log was opened
		return nil
	case kindPast:
		return wire.Unmarshal(r.Body, &c.witness.past, recordLimit)
	}
	return fmt.Errorf("unknown kind")
}

func (c *Core) snapshotWitness(s *log) {
	for _, w := range slices.SortedFunc(maps.Values(c.witness.kept), func(a, b *witnessedRecord) int { return cmp.Compare(a.Order, b.Order) }) {
		s.add(kindWitnessed, *w)
	}
	if c.witness.setBack != nil {
		s.add(kindSetBack, *c.witness.setBack)
	}
	for _, peer := range slices.SortedFunc(maps.Keys(c.witness.found), func(a, b ident.Device) int { return slices.Compare(a[:], b[:]) }) {
		s.add(kindFound, foundRecord{Peer: peer, Counter: c.witness.found[peer]})
	}
	for _, rec := range slices.SortedFunc(maps.Values(c.witness.twins), func(a, b twoHeadsRecord) int { return slices.Compare(a.Device[:], b.Device[:]) }) {
		s.add(kindTwoHeads, rec)
	}
}

// seen is seeHeads for a message that was received; what plays on counts ends
// when this module finds itself set back.
func (c *Core) seen(from *pki.Peer, data []byte, r Reading) error {
	if err := c.seeHeads(from, data); err != nil {
		return err
	}
	return c.endStateful(r)
}

// seenOne is the same for the single HEAD of a RECEIPT or XFER.
func (c *Core) seenOne(from *pki.Peer, head []byte) error {
	if len(head) == 0 || c.peer.Role() == pki.LicenseIssuer || from.Role() == pki.LicenseIssuer {
		return nil
	}
	var recs log
	return c.seeHead(from, heads{Own: head}, &recs)
}

// headsTo is headsFor for a request: a home server shows issuers nothing.
func (c *Core) headsTo(in trem.LicenseRequest) ([]byte, error) {
	if in.Issuer != "" {
		return nil, nil
	}
	return c.headsFor(in.Peer)
}
