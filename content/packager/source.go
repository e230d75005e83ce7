package packager

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lares-drm/lares/content"
)

// Errors of this package.
var (
	// ErrInput is returned for files that cannot be packed.
	ErrInput = errors.New("packager: cannot pack")
	// ErrCheck is returned when a written fragment does not decrypt to its source.
	ErrCheck = errors.New("packager: fragment does not decrypt to its source")
)

// maxSamples bounds a track. Source: local; 24 hours at 240 frames a second are fewer.
const maxSamples = 1 << 25

// source is one input file, open for reading.
type source struct {
	name   string // base name, for messages
	f      *os.File
	size   int64
	tracks []*track
}

// sample is one sample of an input track.
type sample struct {
	off       int64 // in the file
	dts       uint64
	size, dur uint32
	cto       int32
	flags     uint32
	sync      bool
}

// track is one input track.
type track struct {
	src       *source
	trak      *mp4.TrakBox
	kind      string // "video", "audio" or what the handler says
	timescale uint32
	samples   []sample
	edit      *mp4.EdtsBox // where presentation starts, when that is not the first sample's decode time
}

func open(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &source{name: filepath.Base(path), f: f}
	if err := s.read(); err != nil {
		_ = f.Close() // opened for reading
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return s, nil
}

func (s *source) read() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	s.size = info.Size()
	file, err := mp4.DecodeFile(s.f, mp4.WithDecodeMode(mp4.DecModeLazyMdat))
	if err != nil {
		return fmt.Errorf("%w: not an MP4 file: %w", ErrInput, err)
	}
	moov := file.Moov
	if moov == nil && file.Init != nil {
		moov = file.Init.Moov
	}
	if moov == nil {
		return fmt.Errorf("%w: no movie box", ErrInput)
	}
	for _, trak := range moov.Traks {
		t := &track{src: s, trak: trak, kind: trak.Mdia.Hdlr.HandlerType, timescale: trak.Mdia.Mdhd.Timescale}
		switch t.kind {
		case "vide":
			t.kind = "video"
		case "soun":
			t.kind = "audio"
		}
		if t.timescale == 0 {
			return fmt.Errorf("%w: track %d has no timescale", ErrInput, trak.Tkhd.TrackID)
		}
		if file.IsFragmented() {
			err = t.fragmented(file, moov)
		} else {
			err = t.progressive()
		}
		if err != nil {
			return err
		}
		if err := t.edits(moov.Mvhd.Timescale); err != nil {
			return err
		}
		s.tracks = append(s.tracks, t)
	}
	return nil
}

// progressive expands the sample tables of a file with one movie box.
func (t *track) progressive() error {
	stbl := t.trak.Mdia.Minf.Stbl
	n := stbl.Stsz.GetNrSamples()
	if int64(n) > min(t.src.size, maxSamples) {
		return fmt.Errorf("%w: %d samples", ErrInput, n)
	}
	t.samples = make([]sample, 0, n)
	var dts uint64
	i := uint32(0)
	for e, count := range stbl.Stts.SampleCount {
		for range count {
			if i++; i > n {
				return fmt.Errorf("%w: sample tables disagree", ErrInput)
			}
			s := sample{dts: dts, dur: stbl.Stts.SampleTimeDelta[e], size: stbl.Stsz.GetSampleSize(int(i)), sync: true}
			if stbl.Ctts != nil {
				s.cto = stbl.Ctts.GetCompositionTimeOffset(i)
			}
			dts += uint64(s.dur)
			t.samples = append(t.samples, s)
		}
	}
	if i != n {
		return fmt.Errorf("%w: sample tables disagree", ErrInput)
	}
	t.flags(stbl)
	return t.offsets(stbl)
}

// flags marks keyframes, and what sdtp says, in the form of fragments.
func (t *track) flags(stbl *mp4.StblBox) {
	var key map[uint32]bool
	if stbl.Stss != nil {
		key = make(map[uint32]bool, len(stbl.Stss.SampleNumber))
		for _, n := range stbl.Stss.SampleNumber {
			key[n] = true
		}
	}
	for i := range t.samples {
		var f mp4.SampleFlags
		if key != nil {
			t.samples[i].sync = key[uint32(i)+1] // a count of 32 bits
			f.SampleIsNonSync = !t.samples[i].sync
			f.SampleDependsOn = 1
		}
		if t.samples[i].sync {
			f.SampleDependsOn = 2
		}
		if stbl.Sdtp != nil && i < len(stbl.Sdtp.Entries) {
			e := stbl.Sdtp.Entries[i]
			f.IsLeading, f.SampleDependsOn = e.IsLeading(), e.SampleDependsOn()
			f.SampleHasRedundancy, f.SampleIsDependedOn = e.SampleHasRedundancy(), e.SampleIsDependedOn()
		}
		t.samples[i].flags = f.Encode()
	}
}

// offsets places the samples in the file: chunk by chunk.
func (t *track) offsets(stbl *mp4.StblBox) error {
	var chunks []uint64
	switch {
	case stbl.Co64 != nil:
		chunks = stbl.Co64.ChunkOffset
	case stbl.Stco != nil:
		for _, o := range stbl.Stco.ChunkOffset {
			chunks = append(chunks, uint64(o))
		}
	}
	i, e := 0, 0
	for c, off := range chunks {
		for e+1 < len(stbl.Stsc.Entries) && uint64(stbl.Stsc.Entries[e+1].FirstChunk) <= uint64(c)+1 { // an index
			e++
		}
		if stbl.Stsc.GetSampleDescriptionID(c+1) != 1 {
			return fmt.Errorf("%w: more than one sample description", ErrInput)
		}
		for range stbl.Stsc.Entries[e].SamplesPerChunk {
			if i == len(t.samples) {
				return fmt.Errorf("%w: sample tables disagree", ErrInput)
			}
			t.samples[i].off = int64(off) //nolint:gosec // checked when read
			off += uint64(t.samples[i].size)
			i++
		}
	}
	if i != len(t.samples) {
		return fmt.Errorf("%w: sample tables disagree", ErrInput)
	}
	return nil
}

// fragmented collects the samples of a file with movie fragments.
func (t *track) fragmented(file *mp4.File, moov *mp4.MoovBox) error {
	id := t.trak.Tkhd.TrackID
	trex, ok := moov.Mvex.GetTrex(id)
	if !ok {
		return fmt.Errorf("%w: track %d has no trex box", ErrInput, id)
	}
	for _, seg := range file.Segments {
		for _, frag := range seg.Fragments {
			for _, traf := range frag.Moof.Trafs {
				if traf.Tfhd.TrackID == id {
					if err := t.traf(frag.Moof, traf, trex); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (t *track) traf(moof *mp4.MoofBox, traf *mp4.TrafBox, trex *mp4.TrexBox) error {
	if traf.Tfdt == nil {
		return fmt.Errorf("%w: fragment without a time", ErrInput)
	}
	base := moof.StartPos
	if traf.Tfhd.HasBaseDataOffset() {
		base = traf.Tfhd.BaseDataOffset
	} else if len(moof.Trafs) > 1 && !traf.Tfhd.DefaultBaseIfMoof() {
		return fmt.Errorf("%w: fragments of several tracks without a base", ErrInput)
	}
	dts := traf.Tfdt.BaseMediaDecodeTime()
	off := int64(base) //nolint:gosec // checked when read
	for _, trun := range traf.Truns {
		trun.AddSampleDefaultValues(traf.Tfhd, trex)
		if trun.HasDataOffset() {
			off = int64(base) + int64(trun.DataOffset) //nolint:gosec // checked when read
		}
		for _, s := range trun.Samples {
			sync := !mp4.DecodeSampleFlags(s.Flags).SampleIsNonSync
			t.samples = append(t.samples, sample{off: off, dts: dts, size: s.Size, dur: s.Dur, cto: s.CompositionTimeOffset, flags: s.Flags, sync: sync})
			dts += uint64(s.Dur)
			off += int64(s.Size)
		}
	}
	return nil
}

// edits reduces the edit list to where presentation starts: an empty edit
// delays the samples, and negative composition offsets move the start. Players
// differ over negative offsets in fragments; they agree on one edit.
func (t *track) edits(movieScale uint32) error {
	var delay uint64
	var start int64
	parts := 0
	var lists []*mp4.ElstBox
	if t.trak.Edts != nil {
		lists = t.trak.Edts.Elst
	}
	for _, elst := range lists {
		for _, e := range elst.Entries {
			if e.MediaTime < 0 && parts == 0 && movieScale > 0 {
				delay += e.SegmentDuration * uint64(t.timescale) / uint64(movieScale)
				continue
			}
			if parts++; parts > 1 || e.MediaRateInteger != 1 || e.MediaTime < 0 {
				return fmt.Errorf("%w: the edit list cuts the %s track in parts", ErrInput, t.kind)
			}
			start = e.MediaTime
		}
	}
	low := int32(0)
	for i := range t.samples {
		t.samples[i].dts += delay
		low = min(low, t.samples[i].cto)
	}
	for i := range t.samples {
		t.samples[i].cto -= low
	}
	if start -= int64(low); start > 0 {
		t.edit = &mp4.EdtsBox{}
		t.edit.AddChild(&mp4.ElstBox{Version: 1, Entries: []mp4.ElstEntry{{MediaTime: start, MediaRateInteger: 1}}})
	}
	return nil
}

// size is how long samples i to k-1 are together, in bytes: one fragment.
func (t *track) size(i, k int) (n int64, err error) {
	for _, s := range t.samples[i:k] {
		if n += int64(s.size); n > content.MaxFragment {
			return 0, fmt.Errorf("%w: %s: a fragment of more than %d bytes: its keyframes are too far apart", ErrInput, t.src.name, content.MaxFragment)
		}
	}
	return n, nil
}

// read returns the data of samples i to k-1, and all of it in one piece, in buf
// where that is long enough. It reads run by contiguous run.
func (t *track) read(buf []byte, i, k int) (parts [][]byte, all []byte, err error) {
	n, err := t.size(i, k)
	if err != nil {
		return nil, nil, err
	}
	all = slices.Grow(buf[:0], int(n))[:n]
	parts = make([][]byte, 0, k-i)
	for rest := all; i < k; {
		to, n := i, int64(0)
		for to < k && t.samples[to].off == t.samples[i].off+n {
			n += int64(t.samples[to].size)
			to++
		}
		if off := t.samples[i].off; off < 0 || off > t.src.size || n > t.src.size-off {
			return nil, nil, fmt.Errorf("%w: %s ends before its samples", ErrInput, t.src.name)
		}
		if _, err := t.src.f.ReadAt(rest[:n], t.samples[i].off); err != nil {
			return nil, nil, fmt.Errorf("%s: read samples: %w", t.src.name, err)
		}
		for ; i < to; i++ {
			size := int(t.samples[i].size)
			parts = append(parts, rest[:size:size])
			rest = rest[size:]
		}
	}
	return parts, all, nil
}
