package content

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// Summary is what a file says of the film in it.
type Summary struct {
	DurationMS    int64    // of the longest track; 0: the file says none
	Width, Height int      // of the largest picture, in pixels; 0: none
	Codecs        []string // of all tracks, as Entry.Codec
	Video, Audio  bool
	Protected     bool // samples are encrypted, or in a scheme that is not read
}

// Summarize reads all boxes of the file, so that a file which lacks a part, such as
// one that is being copied, is an error: its boxes end behind the file, or samples are
// named that are not in it. It needs no key and reads no sample.
func (f *View) Summarize() (Summary, error) {
	var s Summary
	err := f.Describe(func(p *Piece) error {
		s.Protected = s.Protected || len(p.Keys) > 0
		s.DurationMS = max(s.DurationMS, p.StartMS+p.DurationMS)
		return nil
	})
	if err != nil {
		return Summary{}, err
	}
	if f.in == nil {
		return Summary{}, fmt.Errorf("%w: no moov box", ErrMalformed)
	}
	for i := range f.in.Tracks {
		t := &f.in.Tracks[i]
		s.Video, s.Audio = s.Video || t.Handler == "vide", s.Audio || t.Handler == "soun"
		s.Width, s.Height = max(s.Width, int(t.Width)), max(s.Height, int(t.Height))
		for _, e := range t.Entries {
			s.Codecs = append(s.Codecs, e.Codec)
			s.Protected = s.Protected || e.Protected() || e.Foreign != 0
		}
	}
	ms, err := f.in.duration()
	s.DurationMS = max(s.DurationMS, ms)
	return s, err
}

// duration is what the movie's header says, in milliseconds; 0 where it says that it
// does not know, as before fragments.
func (in *Init) duration() (int64, error) {
	top, err := boxes(in.raw, 0, len(in.raw))
	if err != nil {
		return 0, err
	}
	moov, ok := find(top, "moov")
	if !ok {
		return 0, fmt.Errorf("%w: no moov box", ErrMalformed)
	}
	kids, err := path(in.raw, moov)
	if err != nil {
		return 0, err
	}
	mvhd, ok := find(kids, "mvhd")
	if !ok {
		return 0, fmt.Errorf("%w: no mvhd box", ErrMalformed)
	}
	r := wire.NewReader(in.raw[mvhd.body:mvhd.end])
	var scale uint32
	var ticks uint64
	if r.U32()>>24 == 1 {
		r.Bytes(16)
		if scale, ticks = r.U32(), r.U64(); ticks == 1<<64-1 {
			ticks = 0
		}
	} else {
		r.Bytes(8)
		if scale, ticks = r.U32(), uint64(r.U32()); ticks == 1<<32-1 {
			ticks = 0
		}
	}
	if r.Err() != nil || scale == 0 || ticks/uint64(scale) > maxMS/1000 {
		return 0, fmt.Errorf("%w: mvhd box", ErrMalformed)
	}
	return int64(ticks/uint64(scale)*1000 + ticks%uint64(scale)*1000/uint64(scale)), nil //nolint:gosec // at most maxMS
}
