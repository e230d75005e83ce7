package content

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of the box reader.
var (
	// ErrMalformed is returned for segments that break the format or a limit.
	ErrMalformed = errors.New("content: malformed segment")
	// ErrUnsupported is returned for sound segments that Lares does not read.
	ErrUnsupported = errors.New("content: unsupported")
	// ErrUsed is returned when a fragment is worked on a second time.
	ErrUsed = errors.New("content: fragment was worked on before")
)

// Limits of the box reader. Source: local, docs/spec/content.md.
const (
	MaxInit       = 4 << 20  // init segment, bytes
	MaxFragment   = 64 << 20 // fragment (moof and mdat boxes of one segment), bytes
	maxBoxes      = 1 << 12  // boxes on one level
	maxTracks     = 64       // tracks of a movie, runs' tracks of a fragment
	maxEntries    = 64       // sample entries of a track, descriptions of a group
	maxSamples    = 1 << 17  // samples of one fragment
	maxSubsamples = 1 << 19  // subsamples of one fragment
)

// fourCC is a box type.
type fourCC uint32

func cc(s string) fourCC { return fourCC(binary.BigEndian.Uint32([]byte(s))) }

func (c fourCC) String() string {
	b := binary.BigEndian.AppendUint32(nil, uint32(c))
	for _, x := range b {
		if x < 0x20 || x > 0x7e {
			return fmt.Sprintf("0x%08x", uint32(c))
		}
	}
	return string(b)
}

// box is one box in a segment, by offsets into it.
type box struct {
	typ   fourCC
	start int    // of the box
	body  int    // behind size, type and a uuid's user type
	end   int    // behind the box
	user  string // a uuid box's 16 bytes
}

// boxes lists the boxes of seg[from:to]. They fill it exactly; zero bytes
// too few for a box (a QuickTime terminator) may follow.
func boxes(seg []byte, from, to int) ([]box, error) {
	var out []box
	for from < to {
		if to-from == 4 && binary.BigEndian.Uint32(seg[from:]) == 0 {
			return out, nil
		}
		b, err := boxAt(seg, from, to)
		if err != nil {
			return nil, err
		}
		if len(out) == maxBoxes {
			return nil, fmt.Errorf("%w: over %d boxes", ErrMalformed, maxBoxes)
		}
		out = append(out, b)
		from = b.end
	}
	return out, nil
}

func boxAt(seg []byte, from, to int) (box, error) {
	if to-from < 8 {
		return box{}, fmt.Errorf("%w: %d bytes where a box belongs", ErrMalformed, to-from)
	}
	b := box{start: from, body: from + 8, typ: fourCC(binary.BigEndian.Uint32(seg[from+4:]))}
	size := uint64(binary.BigEndian.Uint32(seg[from:]))
	switch size {
	case 0:
		size = uint64(to - from) //nolint:gosec // to > from
	case 1:
		if to-from < 16 {
			return box{}, fmt.Errorf("%w: %v box", ErrMalformed, b.typ)
		}
		size = binary.BigEndian.Uint64(seg[from+8:])
		b.body += 8
	}
	if size > uint64(to-from) || size < uint64(b.body-from) { //nolint:gosec // both differences are positive
		return box{}, fmt.Errorf("%w: %v box of %d bytes in %d", ErrMalformed, b.typ, size, to-from)
	}
	b.end = from + int(size) //nolint:gosec // <= to
	if b.typ == cc("uuid") {
		if b.end-b.body < 16 {
			return box{}, fmt.Errorf("%w: uuid box", ErrMalformed)
		}
		b.user = string(seg[b.body : b.body+16])
		b.body += 16
	}
	return b, nil
}

// find returns the first box of a type.
func find(bs []box, typ string) (box, bool) {
	for _, b := range bs {
		if b.typ == cc(typ) {
			return b, true
		}
	}
	return box{}, false
}

// path descends through container boxes, the first of each type, and lists
// what the last one holds.
func path(seg []byte, b box, types ...string) ([]box, error) {
	kids, err := boxes(seg, b.body, b.end)
	for _, t := range types {
		if err != nil {
			return nil, err
		}
		var ok bool
		if b, ok = find(kids, t); !ok {
			return nil, fmt.Errorf("%w: no %s box", ErrMalformed, t)
		}
		kids, err = boxes(seg, b.body, b.end)
	}
	return kids, err
}

// edit renames the box at an offset.
type edit struct {
	at  int // of the box: its type stands 4 bytes further
	typ fourCC
}

func apply(seg []byte, edits []edit) {
	for _, e := range edits {
		binary.BigEndian.PutUint32(seg[e.at+4:], uint32(e.typ))
	}
}
