package vault

import (
	"fmt"
	"io"
)

// Limits of one batch of a compaction: larger ones would need the memory of
// all at once when they are read. Source: local, docs/spec/vault.md.
const (
	chunkRecs  = 1024
	chunkBytes = 1 << 20
)

func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, segmentSuffix) }

const (
	segmentSuffix = ".seg"
	tempName      = "next.tmp"
)

// startSegment writes a new segment with its first batches and makes it the
// one that is appended to. It comes into being whole, by a rename. Only the
// last batch is anchored.
func (v *Vault) startSegment(base, anchored bool, batches [][]Record) error {
	h := &header{
		Version: version, Device: v.cfg.Device, Incarnation: v.inc, Segment: v.segment + 1, Base: base, Anchored: v.cfg.Anchor != nil,
		Counter: v.at.counter, Hash: v.at.hash, Anchor: v.at.anchor, Key: v.sealed,
	}
	if _, err := io.ReadFull(v.cfg.Rand, h.Salt[:]); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	s, err := newSealer(h, v.key[:])
	if err != nil {
		return err
	}
	data, err := h.encode()
	if err != nil {
		return err
	}
	next := v.at
	for i, recs := range batches {
		var frame []byte
		if frame, next, err = v.frame(s, next, anchored && i == len(batches)-1, recs); err != nil {
			return err
		}
		data = append(data, frame...)
	}
	file, err := v.create1(data, h.Segment)
	if err == nil && v.file != nil {
		err = v.file.Close()
	}
	v.file, v.sealer, v.segment = file, s, h.Segment
	return v.finish(next, err)
}

// create1 makes one durable segment file.
func (v *Vault) create1(data []byte, n uint64) (File, error) {
	f, err := v.fs.Create(tempName)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = v.fs.Rename(tempName, segmentName(n))
	}
	if err == nil {
		err = v.fs.Sync()
	}
	return f, err
}

// Compact replaces the whole log by the records of snapshot, which must mean
// the same. It is anchored like a commit; a crash leaves the old log or the new.
func (v *Vault) Compact(snapshot []Record) error {
	if v.err != nil {
		return v.err
	}
	old := v.first
	if err := v.startSegment(true, true, chunks(snapshot)); err != nil {
		return err
	}
	v.first = v.segment
	for n := old; n < v.segment; n++ {
		if err := v.fs.Remove(segmentName(n)); err != nil {
			return v.fail(err)
		}
	}
	if err := v.fs.Sync(); err != nil {
		return v.fail(err)
	}
	return nil
}

func chunks(recs []Record) (out [][]Record) {
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && n < chunkRecs && (n == 0 || size+len(recs[n].Body) <= chunkBytes) {
			size += len(recs[n].Body)
			n++
		}
		out, recs = append(out, recs[:n]), recs[n:]
	}
	if out == nil {
		out = [][]Record{nil}
	}
	return out
}
