package transfer

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// maxEvidence is how many proofs one machine keeps whole; of further ones it
// keeps the hash. Source: local, docs/spec/transfer.md.
const maxEvidence = 16

// Evidence is what the other side sent that contradicts the records.
type Evidence struct {
	_     struct{} `cbor:",toarray"`
	TID   ident.Transfer
	Hash  [sha256.Size]byte // its xfer_hash, which is not the recorded one
	Proof []byte            // the object as received; nil when too many were kept
}

func keepEvidence(proofs *[]Evidence, kind uint8, e Evidence) (Record, error) {
	if len(*proofs) >= maxEvidence {
		e.Proof = nil
	}
	*proofs = append(*proofs, e)
	return newRecord(kind, e)
}

func readEvidence(proofs *[]Evidence, r Record) (Evidence, error) {
	var e Evidence
	if err := read(r, &e); err != nil {
		return e, err
	}
	*proofs = append(*proofs, e)
	return e, nil
}

// Evidence lists the proofs against destinations.
func (s *Source) Evidence() []Evidence { return slices.Clone(s.proofs) }

// Evidence lists the proofs against sources.
func (d *Destination) Evidence() []Evidence { return slices.Clone(d.proofs) }

// Snapshot is the records that rebuild the source as it is: for compaction.
func (s *Source) Snapshot() ([]Record, error) {
	var c collector
	for _, key := range sortedKeys(s.pairs) {
		p := s.pairs[key]
		c.add(KindSourcePair, sourcePairRecord{Dst: key.peer, Incarnation: key.inc, Last: p.last, Requests: append([]closedRequest{}, p.requests...)})
		for _, seq := range slices.Sorted(maps.Keys(p.open)) {
			e := p.open[seq]
			tid := ident.Transfer{Src: s.self, Dst: key.peer, Incarnation: key.inc, Seq: seq}
			if l := e.loan; l != nil {
				c.add(KindLend, lendRecord{
					TID: tid, Leaf: e.leaf, Request: e.request, Child: l.child, Number: l.number, Until: l.until, Chain: l.chain, Bundle: l.bundle,
				})
			} else {
				c.add(KindPrepare, prepareRecord{TID: tid, Hash: e.hash, Leaf: e.leaf, Request: e.request, Body: e.body})
			}
			if e.cancelled {
				c.add(KindCancel, endRecord{TID: tid})
			}
			if e.released {
				c.add(KindRelease, decisionRecord{TID: tid, Hash: e.hash, Regrant: map[uint64]uint64{}})
			}
		}
	}
	for _, e := range s.proofs {
		c.add(KindSourceEvidence, e)
	}
	return c.recs, c.err
}

// Snapshot is the records that rebuild the destination as it is: for
// compaction. They do not install: what was installed is in the caller's own records.
func (d *Destination) Snapshot() ([]Record, error) {
	var c collector
	peers := slices.SortedFunc(maps.Keys(d.sources), func(a, b ident.Device) int { return bytes.Compare(a[:], b[:]) })
	for _, peer := range peers {
		for _, inc := range d.sources[peer] { // their order is part of the state
			p := d.pairs[pairKey{peer, inc}]
			rec := destPairRecord{Src: peer, Incarnation: inc, Low: p.low, High: p.high, Outcomes: []keptOutcome{}}
			for _, seq := range slices.Sorted(maps.Keys(p.outcomes)) {
				rec.Outcomes = append(rec.Outcomes, *p.outcomes[seq])
			}
			c.add(KindDestPair, rec)
			d.snapshotPair(&c, pairKey{peer, inc}, p)
		}
	}
	for _, e := range d.proofs {
		c.add(KindEvidence, e)
	}
	return c.recs, c.err
}

// snapshotPair adds what an outcome of the pair does not say of itself.
func (d *Destination) snapshotPair(c *collector, key pairKey, p *receiving) {
	for _, seq := range slices.Sorted(maps.Keys(p.outcomes)) {
		k := p.outcomes[seq]
		tid := ident.Transfer{Src: key.peer, Dst: d.self, Incarnation: key.inc, Seq: seq}
		if k.loan != nil {
			c.add(KindBorrowed, borrowOf(tid, k))
		}
		if k.confirmed {
			c.add(KindConfirm, endRecord{TID: tid})
		}
	}
}

type collector struct {
	recs []Record
	err  error
}

func (c *collector) add(kind uint8, body any) {
	r, err := newRecord(kind, body)
	if c.err == nil {
		c.err = err
	}
	c.recs = append(c.recs, r)
}

func sortedKeys(m map[pairKey]*sending) []pairKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b pairKey) int {
		if c := bytes.Compare(a.peer[:], b.peer[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.inc[:], b.inc[:])
	})
}
