package content

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of a progressive file's tables. Source: local, docs/spec/content.md.
const (
	maxMovieSamples = 1 << 23 // samples of a protected track
	maxChunks       = 1 << 22 // chunks of all tracks
	unitSamples     = 512     // samples that are described at one time
)

// table is what the movie box of a progressive file says of one track.
type table struct {
	track *Track
	sizes []byte // 32 bits each, unless all are the same
	same  uint32
	n     int
	prot  []*protection // by seig groups; nil: the sample descriptions'

	senc   []byte    // the body of senc, when auxiliary information is there …
	begins []uint32  // … and where in it each sample's begins; one more: its end
	maps   bool      // with subsample maps
	pieces []uint64  // else: places in the file, one, or one for each chunk …
	lens   *auxSizes // … and the length of each sample's
	aux    int64     // while the chunks are read: place of the next sample's
}

// unit is a piece of the file whose samples are described together: some samples
// of a chunk, or the moof boxes before an mdat box with that box.
type unit struct {
	from, to int64
	table    *table // nil: a fragment
	entry    *Entry
	first, n int   // samples of the table
	aux      int64 // place of their auxiliary information
	placed   bool  // in an mdat box
	heads    []box // a fragment's boxes, from its begin; mdat the last
}

// tables reads the sample tables of the movie box into units, in the order of the
// file. movie is the box, at its place in the file.
func (in *Init) tables(movie []byte) ([]unit, error) {
	var out []unit
	for i := range in.Tracks {
		units, err := in.Tracks[i].units(movie)
		if err != nil {
			return nil, fmt.Errorf("track %d: %w", in.Tracks[i].ID, err)
		}
		if len(out)+len(units) > maxChunks {
			return nil, fmt.Errorf("%w: over %d chunks", ErrMalformed, maxChunks)
		}
		out = append(out, units...)
	}
	slices.SortFunc(out, func(a, b unit) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(out); i++ {
		if out[i].from < out[i-1].to {
			return nil, fmt.Errorf("%w: samples overlap", ErrMalformed)
		}
	}
	return out, nil
}

// sizeBox reads stsz or stz2.
func (tb *table) sizeBox(seg []byte, kids []box) error {
	if b, ok := find(kids, "stsz"); ok {
		r := wire.NewReader(seg[b.body:b.end])
		r.U32()
		same, n := r.U32(), r.U32()
		if n > math.MaxInt32 || same == 0 && n > maxMovieSamples {
			return fmt.Errorf("%w: %d samples", ErrMalformed, n)
		}
		if tb.same, tb.n = same, int(n); same == 0 {
			tb.sizes = r.Bytes(4 * tb.n)
		}
		if r.Err() != nil {
			return fmt.Errorf("%w: stsz box", ErrMalformed)
		}
		return nil
	}
	b, ok := find(kids, "stz2")
	if !ok {
		return fmt.Errorf("%w: no stsz box", ErrMalformed)
	}
	r := wire.NewReader(seg[b.body:b.end])
	r.U32()
	bits, n := r.U32()&0xff, r.U32()
	packed := r.Bytes(int((uint64(n)*uint64(bits) + 7) / 8)) //nolint:gosec // too much where it is not below 2^31
	if r.Err() != nil || n > maxMovieSamples || bits != 4 && bits != 8 && bits != 16 {
		return fmt.Errorf("%w: stz2 box", ErrMalformed)
	}
	tb.n, tb.sizes = int(n), make([]byte, 0, 4*n)
	for i := range tb.n {
		var size uint32
		switch bits {
		case 4:
			size = uint32(packed[i/2]>>(4*(1-i%2))) & 15
		case 8:
			size = uint32(packed[i])
		default:
			size = uint32(binary.BigEndian.Uint16(packed[2*i:]))
		}
		tb.sizes = binary.BigEndian.AppendUint32(tb.sizes, size)
	}
	return nil
}

func (tb *table) size(i int) int64 {
	if tb.same != 0 || tb.sizes == nil {
		return int64(tb.same)
	}
	return int64(binary.BigEndian.Uint32(tb.sizes[4*i:]))
}

// units cuts a track into pieces that lie together.
func (t *Track) units(movie []byte) ([]unit, error) {
	kids, err := path(movie, t.stbl)
	if err != nil {
		return nil, err
	}
	tb := &table{track: t}
	offsets, err := chunkOffsets(movie, kids)
	if err != nil || len(offsets) == 0 {
		return nil, err
	}
	if err := tb.sizeBox(movie, kids); err != nil {
		return nil, err
	}
	if t.scheme() != 0 {
		if err := tb.protect(movie, kids, len(offsets)); err != nil {
			return nil, err
		}
	}
	return tb.chunks(movie, kids, offsets)
}

// chunkOffsets reads stco or co64.
func chunkOffsets(seg []byte, kids []box) ([]int64, error) {
	wide := 4
	b, ok := find(kids, "stco")
	if !ok {
		if b, ok = find(kids, "co64"); !ok {
			return nil, nil // a file of fragments may have none
		}
		wide = 8
	}
	r := wire.NewReader(seg[b.body:b.end])
	r.U32()
	n := r.U32()
	if r.Err() != nil || uint64(n)*uint64(wide) > uint64(r.Len()) || n > maxChunks { //nolint:gosec // neither is negative
		return nil, fmt.Errorf("%w: chunk offsets", ErrMalformed)
	}
	out := make([]int64, n)
	for i := range out {
		at := uint64(r.U32())
		if wide == 8 {
			at = at<<32 | uint64(r.U32())
		}
		if at > math.MaxInt64/2 {
			return nil, fmt.Errorf("%w: chunk offsets", ErrMalformed)
		}
		out[i] = int64(at)
	}
	return out, nil
}

// chunks follows stsc: how many samples each chunk has, of which description.
func (tb *table) chunks(seg []byte, kids []box, offsets []int64) ([]unit, error) {
	b, _ := find(kids, "stsc")
	r := wire.NewReader(seg[b.body:b.end])
	r.U32()
	entries := r.U32()
	if uint64(entries)*12 > uint64(r.Len()) { //nolint:gosec // not negative
		return nil, fmt.Errorf("%w: stsc box", ErrMalformed)
	}
	var out []unit
	first, chunk := 0, 0
	next := r.U32()
	for e := range entries {
		per, desc := r.U32(), r.U32()
		end := uint32(len(offsets)) + 1 //nolint:gosec // <= maxChunks
		from := next
		if e+1 < entries {
			next = r.U32()
			end = next
		}
		if r.Err() != nil || uint64(from) != uint64(chunk)+1 || end < from || uint64(end) > uint64(len(offsets))+1 ||
			desc == 0 || uint64(desc) > uint64(len(tb.track.Entries)) {
			return nil, fmt.Errorf("%w: stsc box", ErrMalformed)
		}
		for ; uint64(chunk)+1 < uint64(end); chunk++ {
			if uint64(per) > uint64(tb.n-first) { //nolint:gosec // first <= n
				return nil, fmt.Errorf("%w: sample tables disagree", ErrMalformed)
			}
			c := unit{from: offsets[chunk], table: tb, entry: &tb.track.Entries[desc-1], first: first, n: int(per)}
			var err error
			if out, err = tb.split(out, c, chunk); err != nil {
				return nil, err
			}
			first += int(per)
		}
	}
	if first != tb.n && tb.track.scheme() != 0 {
		return nil, fmt.Errorf("%w: sample tables disagree", ErrMalformed)
	}
	return out, nil
}

// split adds a chunk as units of a size that can be worked on at one time.
func (tb *table) split(out []unit, c unit, chunk int) ([]unit, error) {
	if len(tb.pieces) > chunk && (chunk == 0 || len(tb.pieces) > 1) {
		tb.aux = int64(tb.pieces[chunk]) //nolint:gosec // bounded when read
	}
	at, end := c.from, c.first+c.n
	for i := c.first; i < end; {
		u := c
		u.from, u.to, u.first, u.aux = at, at, i, tb.aux
		if tb.same != 0 && tb.track.scheme() == 0 { // sound without compression: samples without number
			u.to += int64(tb.same) * int64(end-i)
			i = end
		}
		for ; i < min(end, u.first+unitSamples); i++ {
			u.to += tb.size(i)
			if tb.lens != nil {
				tb.aux += int64(tb.lens.of(i))
			}
		}
		if u.n = i - u.first; u.to > u.from {
			out = append(out, u)
		}
		if len(out) > maxChunks || u.to > math.MaxInt64/2 || u.to-u.from > math.MaxInt/2 {
			return nil, fmt.Errorf("%w: over %d chunks", ErrMalformed, maxChunks)
		}
		at = u.to
	}
	return out, nil
}

// protect finds where the auxiliary information of each sample lies.
func (tb *table) protect(seg []byte, stbl []box, chunks int) error {
	if tb.n > maxMovieSamples {
		return fmt.Errorf("%w: %d samples", ErrMalformed, tb.n)
	}
	// A number of samples of one size is a claim, which nothing in the box has to fill.
	seig := func(b box) bool { return isSeig(seg, b, "sbgp") || isSeig(seg, b, "sgpd") }
	if tb.n > 2*len(seg) && slices.ContainsFunc(stbl, seig) {
		return fmt.Errorf("%w: seig groups of %d samples of one size", ErrUnsupported, tb.n)
	}
	var err error
	if tb.prot, err = grouped(seg, stbl, tb.n, tb.track.groups, descriptions{}); err != nil {
		return err
	}
	trak, err := path(seg, tb.track.trak)
	if err != nil {
		return err
	}
	a, err := findAux(seg, append(trak, stbl...))
	if err != nil {
		return err
	}
	if a.senc == nil {
		a.senc = a.piff
	}
	if a.senc != nil {
		return tb.readSenc(seg[a.senc.body:a.senc.end])
	}
	if a.saiz == nil || a.saio == nil {
		return nil // constant vectors, whole samples: jobs sees to it
	}
	z, err := readSaiz(seg[a.saiz.body:a.saiz.end])
	if err != nil {
		return err
	}
	tb.lens = &z
	if tb.pieces, err = readSaio(seg[a.saio.body:a.saio.end]); err != nil {
		return err
	}
	if uint64(z.n) != uint64(tb.n) || len(tb.pieces) != 1 && len(tb.pieces) != chunks { //nolint:gosec // not negative
		return fmt.Errorf("%w: saiz or saio box", ErrMalformed)
	}
	for _, at := range tb.pieces {
		if at > math.MaxInt64/2 {
			return fmt.Errorf("%w: saio offset", ErrMalformed)
		}
	}
	return nil
}

// readSenc notes where each sample's part of a senc box begins: with subsample
// maps they differ in length.
func (tb *table) readSenc(body []byte) error {
	r := wire.NewReader(body)
	head := r.U32()
	if head&sencOverride != 0 {
		return fmt.Errorf("%w: a senc box that overrides its track", ErrUnsupported)
	}
	n := r.U32()
	if head>>24 != 0 || uint64(n) != uint64(tb.n) { //nolint:gosec // not negative
		return fmt.Errorf("%w: senc box of %d samples for %d", ErrMalformed, n, tb.n)
	}
	if tb.maps = head&sencSubsample != 0; len(tb.track.Entries) != 1 {
		return fmt.Errorf("%w: a senc box for several sample descriptions", ErrUnsupported)
	}
	tb.senc = body
	if !tb.maps && r.Len() == 0 {
		tb.senc = nil // constant vectors, whole samples: it describes nothing
		return nil
	}
	tb.begins = make([]uint32, 0, min(tb.n, len(body))+1)
	for i := range tb.n {
		tb.begins = append(tb.begins, uint32(len(body)-r.Len())) //nolint:gosec // within a box
		r.Bytes(int(tb.protection(i, &tb.track.Entries[0]).IVSize))
		if tb.maps {
			r.Bytes(6 * int(r.U16()))
		}
		if r.Err() != nil {
			break
		}
	}
	tb.begins = append(tb.begins, uint32(len(body)-r.Len())) //nolint:gosec // within a box
	if r.End() != nil {
		return fmt.Errorf("%w: senc box", ErrMalformed)
	}
	return nil
}

func (tb *table) protection(i int, entry *Entry) *protection {
	if tb.prot != nil && tb.prot[i] != nil {
		return tb.prot[i]
	}
	return &entry.protection
}

// jobs describes the samples of a unit. Places count from the unit's begin.
func (u *unit) jobs(in *Init, src io.ReaderAt) (*Fragment, error) {
	f := newFragment(nil)
	tb := u.table
	if f.foreign = u.entry.Foreign; tb.track.scheme() == 0 {
		return f, nil
	}
	p := parser{in: in, f: f}
	aux, err := u.auxiliary(src)
	if err != nil {
		return nil, err
	}
	r := wire.NewReader(aux)
	at := 0
	for i := u.first; i < u.first+u.n; i++ {
		prot, one, maps := tb.protection(i, u.entry), r, tb.maps
		if tb.lens != nil {
			n := tb.lens.of(i)
			one, maps = wire.NewReader(r.Bytes(n)), n > int(prot.IVSize)
		}
		size := int(tb.size(i))
		if err := p.job(job{off: at, size: size, prot: prot, entry: u.entry}, one, maps); err != nil {
			return nil, err
		}
		if tb.lens != nil && one.End() != nil {
			return nil, fmt.Errorf("%w: auxiliary information of a sample", ErrMalformed)
		}
		at += size
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: protected samples without senc, saiz and saio boxes", ErrMalformed)
	}
	return f, nil
}

// auxiliary is the auxiliary information of a unit's samples in one piece.
func (u *unit) auxiliary(src io.ReaderAt) ([]byte, error) {
	tb := u.table
	if tb.senc != nil {
		return tb.senc[tb.begins[u.first]:tb.begins[u.first+u.n]], nil
	}
	if tb.lens == nil {
		return nil, nil
	}
	n := 0
	for i := u.first; i < u.first+u.n; i++ {
		n += tb.lens.of(i)
	}
	b := make([]byte, n)
	if _, err := src.ReadAt(b, u.aux); err != nil {
		return nil, fmt.Errorf("read auxiliary information: %w", err)
	}
	return b, nil
}
