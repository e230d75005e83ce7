package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// load reads the log and hands its records out. It changes nothing.
func (v *Vault) load(replay func(Record) error) error {
	segs, err := v.segments()
	if err != nil {
		return err
	}
	v.first, v.segment, v.inc = segs[0].Segment, segs[len(segs)-1].Segment, segs[0].Incarnation
	v.at = position{counter: segs[0].Counter, hash: segs[0].Hash, anchor: segs[0].Anchor}
	v.remember(v.at)
	for i, s := range segs {
		if err := v.check(s, i); err != nil {
			return err
		}
		next := uint64(0) // where the segment after this one begins
		if i+1 < len(segs) {
			next = segs[i+1].Counter
		}
		if err := v.readSegment(s, next, i+1 == len(segs), replay); err != nil {
			return err
		}
	}
	return nil
}

// segments reads the headers of all segments from the newest base on.
func (v *Vault) segments() ([]*segment, error) {
	names, err := v.fs.List()
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	slices.Sort(names) // fixed width: in the order of the numbers
	var segs []*segment
	var stale []string
	for _, name := range names {
		if name == tempName {
			stale = append(stale, name)
		}
		if !strings.HasSuffix(name, segmentSuffix) {
			continue // not ours
		}
		s, err := v.open1(name)
		if err != nil {
			return nil, err
		}
		if s.Base {
			for _, old := range segs {
				stale = append(stale, old.name)
			}
			segs = nil
		}
		segs = append(segs, s)
	}
	if len(segs) > 0 && !segs[0].Base {
		return nil, fmt.Errorf("%w: the segments before %s are missing", ErrCorrupt, segs[0].name)
	}
	v.stale = stale
	if len(segs) == 0 {
		return nil, errEmpty
	}
	return segs, nil
}

// settle makes durable what was read: it may have been written by a process
// that was killed before its sync, and effects will follow from it now.
func (v *Vault) settle() error {
	err := v.fs.SyncFile(segmentName(v.segment))
	if err == nil {
		err = v.fs.Sync()
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

// tidy removes leftovers: temporary files, and segments that a compaction has
// replaced. It comes last, when the rest is known to be sound.
func (v *Vault) tidy() error {
	for _, name := range v.stale {
		if err := v.fs.Remove(name); err != nil {
			return fmt.Errorf("vault: %w", err)
		}
	}
	v.stale = nil
	return nil
}

func (v *Vault) open1(name string) (*segment, error) {
	data, err := v.fs.Read(name)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s := &segment{name: name, data: data}
	h, off, err := parseHeader(data)
	if err != nil {
		return nil, s.damage("header", err)
	}
	s.header, s.off = h, off
	if n, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 16, 64); err != nil || n != h.Segment || name != segmentName(n) {
		return nil, s.damage("the file name is not that of the header", ErrCorrupt)
	}
	return s, nil
}

// check holds a header against what came before it.
func (v *Vault) check(s *segment, i int) error {
	if s.Device != v.cfg.Device {
		return fmt.Errorf("%w: it is of device %v", ErrKey, s.Device)
	}
	if s.Anchored != (v.cfg.Anchor != nil) {
		return fmt.Errorf("vault: created with anchor: %v, opened with anchor: %v", s.Anchored, v.cfg.Anchor != nil)
	}
	if s.Incarnation != v.inc || s.Segment != v.first+uint64(i) || s.Counter != v.at.counter || s.Hash != v.at.hash || s.Anchor != v.at.anchor { //nolint:gosec // i >= 0
		return s.damage("it does not follow the segment before it", ErrCorrupt)
	}
	if i == 0 {
		if err := v.unsealKey(s); err != nil {
			return err
		}
	} else if !bytes.Equal(s.Key, v.sealed) {
		return s.damage("another vault key", ErrCorrupt)
	}
	return nil
}

func (v *Vault) unsealKey(s *segment) error {
	aad, err := v.keyAAD(s.Incarnation)
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
// torn write at its end is passed over; of another up to batch next, because
// whoever started the segment after it has already passed over the rest.
func (v *Vault) readSegment(s *segment, next uint64, last bool, replay func(Record) error) error {
	seal, err := newSealer(s.header, v.key[:])
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		if !last && v.at.counter == next && !first {
			return nil
		}
		if s.off == len(s.data) && last && !first {
			return nil
		}
		n := v.at.counter + 1
		p, h, size, err := s.batch(seal, n, v.at.hash)
		if err != nil && last && !first && s.torn(seal, n) {
			return nil
		}
		if err != nil {
			return s.damage(fmt.Sprintf("batch %d", n), err)
		}
		v.at.step(h, p.Anchored)
		v.remember(v.at)
		s.off += size
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
	if errors.Is(err, errSeal) {
		err = fmt.Errorf("%w: seal", ErrCorrupt)
	}
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
