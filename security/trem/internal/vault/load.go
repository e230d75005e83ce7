package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/security/keystore"
)

// segment is a segment file that is being read.
type segment struct {
	*header
	name string
	data []byte
	off  int
}

func (s *segment) damage(what string, err error) error {
	return fmt.Errorf("segment %s, byte %d: %s: %w", s.name, s.off, what, err)
}

// load reads the log and hands its records out. It changes nothing, and returns
// the names of leftovers: a temporary file, and segments that a compaction has
// replaced.
func (v *Vault) load(replay func(Record) error) (stale []string, err error) {
	segs, stale, err := v.segments()
	if err != nil {
		return nil, err
	}
	for i, s := range segs {
		if i == 0 {
			v.first, v.segment, v.inc = s.Segment, s.Segment-1, s.Incarnation
			v.at.counter, v.at.hash, v.at.anchor = s.Counter, s.Hash, s.Anchor
			v.remember(v.at)
		}
		if err := v.follow(s); err != nil {
			return nil, err
		}
		var next *segment
		if i+1 < len(segs) {
			next = segs[i+1]
		}
		if err := v.readSegment(s, next, replay); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// segments reads the headers of all segments from the newest base on.
func (v *Vault) segments() (segs []*segment, stale []string, err error) {
	names, err := v.fs.List()
	if err != nil {
		return nil, nil, fmt.Errorf("vault: %w", err)
	}
	slices.Sort(names) // fixed width: in the order of the numbers
	for _, name := range names {
		if name == tempName {
			stale = append(stale, name)
		}
		if !strings.HasSuffix(name, segmentSuffix) {
			continue // not ours
		}
		s, err := v.read(name)
		if err != nil {
			return nil, nil, err
		}
		if s.Base {
			for _, old := range segs {
				stale = append(stale, old.name)
			}
			segs = nil
		}
		segs = append(segs, s)
	}
	if len(segs) == 0 {
		return nil, nil, errEmpty
	}
	if !segs[0].Base {
		return nil, nil, fmt.Errorf("%w: the segments before %s are missing", ErrCorrupt, segs[0].name)
	}
	return segs, stale, nil
}

func (v *Vault) read(name string) (*segment, error) {
	data, err := v.fs.Read(name)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s := &segment{name: name, data: data}
	if s.header, s.off, err = parseHeader(data); err != nil {
		return nil, s.damage("header", err)
	}
	if name != segmentName(s.Segment) {
		return nil, s.damage("the file name is not that of the header", ErrCorrupt)
	}
	return s, nil
}

// settle makes durable what was read: it may have been written by a process
// that was killed before its sync, and effects will follow from it now.
func (v *Vault) settle() error {
	return inTurn(func() error { return v.fs.SyncFile(segmentName(v.segment)) }, v.fs.Sync)
}

// follow holds a header against what came before it, and opens the vault's key
// with the first.
func (v *Vault) follow(s *segment) error {
	switch {
	case s.Device != v.cfg.Device:
		return fmt.Errorf("%w: it is of device %v", ErrKey, s.Device)
	case s.Kind != v.at.kind:
		return fmt.Errorf("vault: created with anchor kind %d, opened with %d", s.Kind, v.at.kind)
	case s.Incarnation != v.inc || s.Segment != v.segment+1 || s.Counter != v.at.counter || s.Hash != v.at.hash || s.Anchor != v.at.anchor:
		return s.damage("it does not follow the segment before it", ErrCorrupt)
	case v.key != nil && !bytes.Equal(s.Key, v.sealed):
		return s.damage("another vault key", ErrCorrupt)
	}
	v.segment, v.size = s.Segment, v.size+int64(len(s.data))
	if v.key != nil {
		return nil
	}
	aad, err := v.keyAAD()
	if err != nil {
		return err
	}
	key, err := v.cfg.Keystore.Unseal(s.Key, aad)
	if errors.Is(err, keystore.ErrUnseal) || err == nil && len(key) != keyLen {
		return fmt.Errorf("%w: the vault key does not open", ErrKey)
	}
	if err != nil {
		return fmt.Errorf("vault: open the key: %w", err)
	}
	defer clear(key)
	v.key, v.sealed = (*[keyLen]byte)(bytes.Clone(key)), s.Key
	return nil
}

// readSegment hands out a segment's batches: of the last segment all, and a
// torn write at its end is passed over; of another up to where the next one
// begins, because whoever started that has already passed over the rest. What
// came with the segment's rename is whole: the first batch, and in a base all
// up to the end of the snapshot, which is its first anchored batch.
func (v *Vault) readSegment(s, next *segment, replay func(Record) error) error {
	seal, err := newSealer(s.header, v.key[:])
	if err != nil {
		return err
	}
	for whole := true; ; {
		if !whole && (next == nil && s.off == len(s.data) || next != nil && next.Counter == v.at.counter) {
			return nil
		}
		n := v.at.counter + 1
		p, h, size, err := s.batch(seal, n, v.at.hash)
		if err != nil {
			if !whole && next == nil && s.torn(seal, n) {
				return nil
			}
			return s.damage(fmt.Sprintf("batch %d", n), err)
		}
		v.at.step(h, p.Anchored)
		v.remember(v.at)
		s.off += size
		if whole = whole && s.Base && !p.Anchored; !whole && v.base == 0 {
			v.base = int64(s.off)
		}
		v.cfg.Batch(n)
		for _, r := range p.Records {
			if err := replay(Record{Kind: r.Kind, Body: r.Body}); err != nil {
				return s.damage(fmt.Sprintf("replay batch %d", n), err)
			}
		}
	}
}

// batch reads the frame at s.off.
func (s *segment) batch(seal *sealer, n uint64, prev hash) (*payload, hash, int, error) {
	rest := s.data[s.off:]
	number, size, ok := seal.head(rest)
	if !ok || number != n || size > len(rest) {
		return nil, prev, 0, fmt.Errorf("%w: frame head", ErrCorrupt)
	}
	p, h, err := seal.open(n, prev, rest[headLen:size])
	return p, h, size, err
}

// torn reports whether what is at s.off can be a write that a crash cut short:
// it is the file's last, and it is incomplete, or a sector of it was never
// written. Anything else is damage: a later frame shows that this one had been
// synced, and a complete last frame that does not open has been changed.
func (s *segment) torn(seal *sealer, n uint64) bool {
	rest := s.data[s.off:]
	for o := align; o+headLen <= len(rest); o += align {
		if later, _, ok := seal.head(rest[o:]); ok && later > n && later-n <= uint64(len(rest)) {
			return false
		}
	}
	number, size, ok := seal.head(rest)
	if len(rest) < headLen || ok && number == n && size > len(rest) {
		return true
	}
	if !ok || number != n {
		size = len(rest)
	}
	for from := s.off; from < s.off+size; {
		to := min(from-from%sector+sector, s.off+size)
		if len(bytes.Trim(s.data[from:to], "\x00")) == 0 {
			return true
		}
		from = to
	}
	return false
}
