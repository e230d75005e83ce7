package vault

import (
	"fmt"
	"io"
)

// Limits of one batch of a compaction, and of commits that share a batch:
// larger ones would need the memory of all at once when they are read. Source:
// local, docs/spec/vault.md.
const (
	chunkRecs  = 1024
	chunkBytes = 1 << 20
)

const (
	segmentSuffix = ".seg"
	tempName      = "next.tmp"
)

func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, segmentSuffix) }

// startSegment writes a new segment with its first batches and makes it the
// one that is appended to. It comes into being whole, by a rename. Only the
// last batch is anchored.
func (v *Vault) startSegment(base, anchored bool, batches [][]Record) error {
	h := &header{
		Version: version, Device: v.cfg.Device, Incarnation: v.inc, Segment: v.segment + 1, Base: base, Kind: v.at.kind,
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
	old := v.file
	err = v.createFile(data, segmentName(h.Segment))
	if err == nil && old != nil {
		err = old.Close()
	}
	v.sealer, v.segment, v.size = s, h.Segment, v.size+int64(len(data))
	if base {
		v.size, v.base = int64(len(data)), int64(len(data))
	}
	return v.finish(next, err)
}

// createFile makes one durable segment file, and the one that is appended to.
func (v *Vault) createFile(data []byte, name string) (err error) {
	if v.file, err = v.fs.Create(tempName); err != nil {
		return err
	}
	if _, err = v.file.Write(data); err != nil {
		return err
	}
	return inTurn(v.file.Sync, func() error { return v.fs.Rename(tempName, name) }, v.fs.Sync)
}

func (v *Vault) remove(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if err := v.fs.Remove(name); err != nil {
			return fmt.Errorf("vault: %w", err)
		}
	}
	return v.fs.Sync()
}

// Compact replaces the whole log by the records of snapshot, which must mean
// the same: nothing may be committed between the snapshot and the return. It is
// anchored like a commit; a crash leaves the old log or the new.
func (v *Vault) Compact(snapshot []Record) error {
	defer v.still().Unlock()
	if v.err != nil {
		return v.err
	}
	return v.apart(func() error { return v.compact(snapshot) })
}

func (v *Vault) compact(snapshot []Record) error {
	var old []string
	for n := v.first; n <= v.segment; n++ {
		old = append(old, segmentName(n))
	}
	if err := v.startSegment(true, true, chunks(snapshot)); err != nil {
		return err
	}
	v.first = v.segment
	if err := v.remove(old); err != nil {
		return broken(err)
	}
	return nil
}

func chunks(recs []Record) (out [][]Record) {
	queue := make([]*entry, len(recs))
	for i := range recs {
		queue[i] = &entry{recs: recs[i : i+1]}
	}
	for len(queue) > 0 || out == nil {
		n, _, batch := fill(queue)
		out, queue = append(out, batch), queue[n:]
	}
	return out
}
