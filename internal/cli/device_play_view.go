package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// keptSegments are the clear segments of a track that stay at hand: a player reads
// on in small pieces, and goes back a little. Source: local.
const keptSegments = 3

// clearView is the whole clear view of a track as one file: the init segment, an index
// so that players seek without reading on, and every segment. It is read at any place. A segment is decrypted by the module when
// it is read, and paid for then. It is safe for concurrent use.
type clearView struct {
	ctx    context.Context //nolint:containedctx // of the play: io.ReaderAt has no room for one
	d      *device
	src    *files
	files  *content.TrackFiles
	handle uint64
	track  uint64
	init   int     // length of the clear init segment
	head   []byte  // the clear init segment, and an index of the segments
	ends   []int64 // where each segment ends in the file
	shared *sharedPlay

	finish func(n int, data []byte) error // makes a clear segment what the file has of it; nil: as it is

	kept []keptSegment // guarded by shared.mu; newest last
}

type keptSegment struct {
	n    int
	data []byte
}

// sharedPlay is what the views of one play share: the module and its buffer are used
// by one at a time.
type sharedPlay struct {
	mu       sync.Mutex
	mem      []byte // in common with the module; nil where it has none
	failed   error  // guarded by mu: why the module gave no more
	stop     context.CancelFunc
	bytes    int64 // guarded by mu: decrypted
	segments int   // guarded by mu
}

// came puts down what was played, and why the module gave no more: what a player says of
// that comes after.
func (s *sharedPlay) came(got played, err error) (played, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got.Bytes, got.Segments = s.bytes, s.segments
	if s.failed != nil {
		return got, s.failed
	}
	return got, err
}

// views opens the tracks that a session may show, up to a tier.
func (d *device) views(ctx context.Context, src *files, m *content.Manifest, s trem.Session, most string, shared *sharedPlay) ([]*clearView, []*content.TrackFiles, error) {
	tier, err := content.ParseTier(most)
	if err != nil {
		return nil, nil, usage("%w", err)
	}
	tracks := usable(m, s.KIDs, tier)
	if len(tracks) == 0 {
		return nil, nil, fmt.Errorf("%s has no track that may be shown here", m.Title)
	}
	all := &content.TrackFiles{}
	for _, t := range tracks {
		all.Segments = append(all.Segments, t.Segments...)
	}
	if shared.mem, err = d.buffer(ctx, all, 1); err != nil {
		return nil, nil, err
	}
	var views []*clearView
	for _, t := range tracks {
		v, err := d.view(ctx, src, t, s, shared)
		if err != nil {
			return nil, nil, err
		}
		views = append(views, v)
	}
	return views, tracks, nil
}

// view opens a track of a session.
func (d *device) view(ctx context.Context, src *files, t *content.TrackFiles, s trem.Session, shared *sharedPlay) (*clearView, error) {
	init, err := src.read(ctx, t.Init)
	if err != nil {
		return nil, err
	}
	track, head, err := d.trem.Track(ctx, s.Handle, init)
	if err != nil {
		return nil, err
	}
	v := &clearView{ctx: ctx, d: d, src: src, files: t, handle: s.Handle, track: track, init: len(head), head: append(bytes.Clone(head), sidx(t.Segments)...), shared: shared}
	at := int64(len(v.head))
	for _, seg := range t.Segments {
		at += seg.Bytes
		v.ends = append(v.ends, at)
	}
	return v, nil
}

// sidx is the index box of segments that follow it, in ticks of a millisecond; none
// for more than it can hold. Source: ISO/IEC 14496-12, as in Eyevinn/mp4ff.
func sidx(segments []content.Segment) []byte {
	const fixed, entry = 40, 12
	if len(segments) > math.MaxUint16 {
		return nil
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(fixed+entry*len(segments)))
	b = append(b, "sidx\x01\x00\x00\x00"...)
	b = binary.BigEndian.AppendUint32(b, 1)    // the track
	b = binary.BigEndian.AppendUint32(b, 1000) // ticks a second
	b = binary.BigEndian.AppendUint64(b, uint64(segments[0].StartMS))
	b = binary.BigEndian.AppendUint64(b, 0) // the first is behind this box
	b = binary.BigEndian.AppendUint32(b, uint32(len(segments)))
	for i, s := range segments {
		ms := s.DurationMS
		if i+1 < len(segments) {
			ms = segments[i+1].StartMS - s.StartMS
		}
		b = binary.BigEndian.AppendUint32(b, uint32(s.Bytes))
		b = binary.BigEndian.AppendUint32(b, uint32(ms))
		b = binary.BigEndian.AppendUint32(b, 0x90000000) // begins with a picture of its own
	}
	return b
}

// Size is the length of the file, in bytes.
func (v *clearView) Size() int64 { return v.ends[len(v.ends)-1] }

// ReadAt reads the clear view.
func (v *clearView) ReadAt(p []byte, off int64) (int, error) {
	return readSegments(p, off, v.head, v.ends, v.segment)
}

// readSegments reads a file of a head and segments, of which it is known where they end.
func readSegments(p []byte, off int64, head []byte, ends []int64, segment func(i int) ([]byte, error)) (int, error) {
	if off < 0 {
		return 0, errors.New("a place before the file")
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		switch {
		case at >= ends[len(ends)-1]:
			return n, io.EOF
		case at < int64(len(head)):
			n += copy(p[n:], head[at:])
			continue
		}
		i := sort.Search(len(ends), func(i int) bool { return ends[i] > at })
		data, err := segment(i)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at-(ends[i]-int64(len(data))):])
	}
	return n, nil
}

// segment gives a clear segment: one at hand, or a new one from the module. When
// the module gives no more, the play ends.
func (v *clearView) segment(i int) ([]byte, error) {
	s := v.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range v.kept {
		if k.n == i {
			return k.data, nil
		}
	}
	if s.failed != nil {
		return nil, s.failed
	}
	file := v.files.Segments[i].File
	data, err := v.d.decrypt(v.ctx, v.src, file, v.handle, v.track, s.mem)
	if err == nil && int64(len(data)) != file.Bytes {
		err = fmt.Errorf("%s: %d bytes in the clear of %d", file.Name, len(data), file.Bytes)
	}
	if err != nil {
		s.failed = err
		s.stop()
		return nil, err
	}
	data = bytes.Clone(data) // the buffer is used again
	if v.finish != nil {
		if err := v.finish(i, data); err != nil {
			s.failed = err
			s.stop()
			return nil, err
		}
	}
	s.bytes += int64(len(data))
	s.segments++
	if len(v.kept) == keptSegments {
		clear(v.kept[0].data)
		v.kept = slices.Delete(v.kept, 0, 1)
	}
	v.kept = append(v.kept, keptSegment{i, data})
	return data, nil
}

// usable are the tracks that a session may show: the best picture up to a tier, and
// the sound. What the outputs allow is in the session's keys.
func usable(m *content.Manifest, kids []ident.Key, most content.Tier) []*content.TrackFiles {
	var out []*content.TrackFiles
	for _, tier := range []content.Tier{most, content.Audio} {
		allowed := *m
		allowed.Tracks = slices.DeleteFunc(slices.Clone(m.Tracks), func(t content.TrackFiles) bool { return !slices.Contains(kids, t.KID) })
		if t, ok := allowed.Best(tier); ok && (len(out) == 0 || t.Name != out[0].Name) {
			out = append(out, t)
		}
	}
	return out
}

// moved is how much was decrypted.
func (s *sharedPlay) moved() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}
