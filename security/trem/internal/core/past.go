package core

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// pastLen is how much of each hash a compaction keeps, in bytes: enough that
// nobody makes another log with it. Source: local, docs/spec/witness.md.
const pastLen = 8

// pastRecord is the log's past before a compaction: the first pastLen bytes of its
// hash after batch First and after each that follows; zeros where it is not known.
type pastRecord struct {
	_      struct{} `cbor:",toarray"`
	First  uint64
	Hashes []byte
}

// contains reports whether the log has been where a HEAD of this module says. A
// place that is too long ago to know, and was never found before, is not in it:
// to go on so far is easy for who was set back.
func (c *Core) contains(h transfer.Head) bool {
	if now, _ := c.vault.Head(); h.Counter > now {
		return false
	}
	got, known := c.hashAt(h.Counter)
	return known && bytes.Equal(got, h.Hash[:pastLen])
}

func (c *Core) hashAt(ctr uint64) ([]byte, bool) {
	if full, known := c.vault.HashAt(ctr); known {
		return full[:pastLen], true
	}
	p := c.witness.past
	if ctr < p.First || ctr-p.First >= uint64(len(p.Hashes)/pastLen) {
		return nil, false
	}
	at := (ctr - p.First) * pastLen
	got := p.Hashes[at : at+pastLen]
	return got, !bytes.Equal(got, make([]byte, pastLen))
}

// pastNow is the past that a compaction keeps.
func (c *Core) pastNow() pastRecord {
	now, _ := c.vault.Head()
	p := pastRecord{First: now - min(now, vault.MaxPast-1)}
	for ctr := p.First; ctr <= now; ctr++ {
		h, known := c.hashAt(ctr)
		if !known {
			h = make([]byte, pastLen)
		}
		p.Hashes = append(p.Hashes, h...)
	}
	return p
}

// keepFound bounds how many peers are remembered by what is kept of them.
func (c *Core) keepFound(rec foundRecord) {
	if c.witness.found == nil {
		c.witness.found = map[ident.Device]uint64{}
	}
	c.witness.found[rec.Peer] = rec.Counter
	if len(c.witness.found) > maxWitnessed {
		delete(c.witness.found, slices.MinFunc(slices.Collect(maps.Keys(c.witness.found)), func(a, b ident.Device) int {
			return cmp.Or(cmp.Compare(c.witness.found[a], c.witness.found[b]), slices.Compare(a[:], b[:]))
		}))
	}
}
