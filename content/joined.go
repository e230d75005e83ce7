package content

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Joined writes one ordinary file from the clear segments of several tracks: a
// fragmented MP4 with a track of each (ISO/IEC 14496-12). It holds one segment at
// a time.
type Joined struct {
	w   io.Writer
	seq uint32
	n   int // tracks
}

// NewJoined writes the head of the file: from clear initialization segments, each
// of one track, in the order in which Segment counts them.
func NewJoined(w io.Writer, inits [][]byte) (*Joined, error) {
	if len(inits) == 0 || len(inits) > maxTracks {
		return nil, fmt.Errorf("%w: %d tracks to join", ErrMalformed, len(inits))
	}
	var ftyp, mvhd, traks, trexs []byte
	for i, seg := range inits {
		id := uint32(i) + 1
		top, err := boxes(seg, 0, len(seg))
		if err != nil {
			return nil, err
		}
		moov, ok := find(top, "moov")
		if !ok {
			return nil, fmt.Errorf("%w: no moov box", ErrMalformed)
		}
		if b, ok := find(top, "ftyp"); ok && ftyp == nil {
			ftyp = seg[b.start:b.end]
		}
		trak, trex, head, err := oneTrack(seg, moov, id)
		if err != nil {
			return nil, err
		}
		if mvhd == nil {
			mvhd = head
		}
		traks, trexs = append(traks, trak...), append(trexs, trex...)
	}
	binary.BigEndian.PutUint32(mvhd[len(mvhd)-4:], uint32(len(inits))+1) //nolint:gosec // next_track_ID, the last field
	moov := appendBox(nil, "moov", mvhd, traks, appendBox(nil, "mvex", trexs))
	if _, err := w.Write(append(append([]byte{}, ftyp...), moov...)); err != nil {
		return nil, fmt.Errorf("write the joined file: %w", err)
	}
	return &Joined{w: w, n: len(inits)}, nil
}

// oneTrack copies what a movie of one track says of it, under another track ID.
func oneTrack(seg []byte, moov box, id uint32) (trak, trex, mvhd []byte, err error) {
	kids, err := boxes(seg, moov.body, moov.end)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, k := range kids {
		switch k.typ {
		case cc("trak"):
			if trak != nil {
				return nil, nil, nil, fmt.Errorf("%w: an initialization segment of several tracks is not joined", ErrUnsupported)
			}
			trak = append([]byte{}, seg[k.start:k.end]...)
			if err := renumber(trak, "tkhd", id); err != nil {
				return nil, nil, nil, err
			}
		case cc("mvex"):
			inner, err := boxes(seg, k.body, k.end)
			if err != nil {
				return nil, nil, nil, err
			}
			if b, ok := find(inner, "trex"); ok && b.end-b.body >= 8 {
				trex = append([]byte{}, seg[b.start:b.end]...)
				binary.BigEndian.PutUint32(trex[b.body-b.start+4:], id)
			}
		case cc("mvhd"):
			mvhd = append([]byte{}, seg[k.start:k.end]...)
		}
	}
	if trak == nil || trex == nil || len(mvhd) < 104 {
		return nil, nil, nil, fmt.Errorf("%w: an initialization segment without mvhd, trak or trex box", ErrMalformed)
	}
	return trak, trex, mvhd, nil
}

// renumber sets the track ID of the header box in a container: behind version and
// flags, in tkhd behind the two times as well.
func renumber(container []byte, header string, id uint32) error {
	b, err := boxAt(container, 0, len(container))
	if err != nil {
		return err
	}
	kids, err := boxes(container, b.body, b.end)
	if err != nil {
		return err
	}
	h, ok := find(kids, header)
	if !ok || h.end-h.body < 24 && header == "tkhd" || h.end-h.body < 8 {
		return fmt.Errorf("%w: %s box", ErrMalformed, header)
	}
	at := h.body + 4
	if header == "tkhd" {
		at += 8
		if container[h.body] == 1 {
			at += 8
		}
	}
	binary.BigEndian.PutUint32(container[at:], id)
	return nil
}

// boxesOf are the boxes of a media segment of a track that is in the file.
func (j *Joined) boxesOf(track int, data []byte) ([]box, error) {
	if track < 0 || track >= j.n {
		return nil, fmt.Errorf("%w: track %d of %d", ErrMalformed, track, j.n)
	}
	return boxes(data, 0, len(data))
}

// Segment writes the fragments of a clear media segment of a track. data is used up.
func (j *Joined) Segment(track int, data []byte) error {
	top, err := j.boxesOf(track, data)
	if err != nil {
		return err
	}
	for _, b := range top {
		if b.typ == cc("moof") {
			j.seq++
			if err := fragment(data[b.start:b.end], uint32(track)+1, j.seq); err != nil { //nolint:gosec // below maxTracks
				return err
			}
		} else if b.typ != cc("mdat") {
			continue // styp, sidx, emsg: of the segment, not of the film
		}
		if _, err := j.w.Write(data[b.start:b.end]); err != nil {
			return fmt.Errorf("write the joined file: %w", err)
		}
	}
	return nil
}

// InPlace makes a clear media segment of a track a part of the file without a change of
// its length, so that the file can be read at any place: what is of the segment and not of
// the film becomes free space. Its fragments are numbered from first on. It writes nothing.
func (j *Joined) InPlace(track int, data []byte, first uint32) error {
	top, err := j.boxesOf(track, data)
	if err != nil {
		return err
	}
	for _, b := range top {
		switch b.typ {
		case cc("moof"):
			if err := fragment(data[b.start:b.end], uint32(track)+1, first); err != nil { //nolint:gosec // below maxTracks
				return err
			}
			first++
		case cc("mdat"):
		default:
			copy(data[b.start+4:], "free")
		}
	}
	return nil
}

// fragment renumbers a movie fragment of one track.
func fragment(moof []byte, id, seq uint32) error {
	b, err := boxAt(moof, 0, len(moof))
	if err != nil {
		return err
	}
	kids, err := boxes(moof, b.body, b.end)
	if err != nil {
		return err
	}
	trafs := 0
	for _, k := range kids {
		switch k.typ {
		case cc("mfhd"):
			if k.end-k.body < 8 {
				return fmt.Errorf("%w: mfhd box", ErrMalformed)
			}
			binary.BigEndian.PutUint32(moof[k.body+4:], seq)
		case cc("traf"):
			trafs++
			traf := moof[k.start:k.end]
			if err := renumber(traf, "tfhd", id); err != nil {
				return err
			}
			inner, err := boxes(traf, k.body-k.start, k.end-k.start)
			if err != nil {
				return err
			}
			if tfhd, _ := find(inner, "tfhd"); traf[tfhd.body+3]&1 != 0 { // base_data_offset: of the file that it was in
				return fmt.Errorf("%w: a fragment with places in the whole file", ErrUnsupported)
			}
		}
	}
	if trafs != 1 {
		return fmt.Errorf("%w: a fragment of %d tracks is not joined", ErrUnsupported, trafs)
	}
	return nil
}

// appendBox appends a box of a type around what it holds.
func appendBox(out []byte, typ string, parts ...[]byte) []byte {
	size := 8
	for _, p := range parts {
		size += len(p)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(size))
	out = append(out, typ...)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
