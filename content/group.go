package content

import (
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

// localGroup is added to group numbers that a fragment defines itself.
// Source: ISO/IEC 14496-12.
const localGroup = 0x10000

// descriptions are those of an sgpd box of seig.
type descriptions struct {
	all    []protection
	others uint32 // the description of samples that no sbgp box names; 0: none
}

// isSeig reports whether a box is a sample group (sgpd or sbgp) of key rotation.
func isSeig(seg []byte, b box, typ string) bool {
	return b.typ == cc(typ) && b.end-b.body >= 8 && string(seg[b.body+4:b.body+8]) == "seig"
}

// seigGroups reads the seig descriptions among sibling boxes, and lists the
// boxes of these groups for renaming.
func seigGroups(seg []byte, kids []box, scheme cenc.Scheme) (edits []edit, groups descriptions, err error) {
	for _, k := range kids {
		if isSeig(seg, k, "sbgp") {
			edits = append(edits, edit{k.start, cc("free")})
		}
		if !isSeig(seg, k, "sgpd") {
			continue
		}
		if groups.all != nil {
			return nil, groups, fmt.Errorf("%w: two sgpd boxes of seig", ErrMalformed)
		}
		edits = append(edits, edit{k.start, cc("free")})
		if groups, err = sgpd(wire.NewReader(seg[k.body:k.end]), scheme); err != nil {
			return nil, groups, err
		}
	}
	return edits, groups, nil
}

// sgpd reads descriptions of versions 0 (one behind the other), 1 (with their
// lengths) and 2 (with one for the samples that are in no group).
func sgpd(r *wire.Reader, scheme cenc.Scheme) (out descriptions, err error) {
	version := r.U32() >> 24
	if version > 2 {
		return out, fmt.Errorf("%w: sgpd version %d", ErrUnsupported, version)
	}
	r.U32()
	var size uint32
	if version > 0 {
		size = r.U32()
	}
	if version == 2 {
		out.others = r.U32()
	}
	n := r.U32()
	if n == 0 || n > maxEntries || out.others > n || r.Err() != nil {
		return out, fmt.Errorf("%w: sgpd box", ErrMalformed)
	}
	if scheme == 0 {
		return out, fmt.Errorf("%w: seig groups in a track without protection", ErrUnsupported)
	}
	out.all = make([]protection, n)
	for i := range out.all {
		one := r
		if version > 0 {
			length := size
			if size == 0 {
				length = r.U32()
			}
			if uint64(length) > uint64(r.Len()) { //nolint:gosec // Len is never negative
				return out, fmt.Errorf("%w: sgpd box", ErrMalformed)
			}
			one = wire.NewReader(r.Bytes(int(length)))
		}
		if err := out.all[i].read(one, scheme, true); err != nil {
			return out, err
		}
	}
	return out, nil
}

// group gives each sample of the fragment its protection by seig groups.
func (t *traf) group(kids []box) error {
	scheme := t.entry.Scheme
	if scheme == 0 {
		scheme = t.track.scheme()
	}
	edits, local, err := seigGroups(t.seg, kids, scheme)
	if err != nil {
		return err
	}
	t.f.edits = append(t.f.edits, edits...)
	t.prot, err = grouped(t.seg, kids, len(t.samples), t.track.groups, local)
	return err
}

// grouped gives each of n samples the description that sbgp says, nil for those
// whose sample description counts. Without any group it gives nil.
func grouped(seg []byte, kids []box, n int, movie, local descriptions) (out []*protection, err error) {
	var others *protection
	switch {
	case local.others > 0:
		others = &local.all[local.others-1]
	case movie.others > 0:
		others = &movie.all[movie.others-1]
	}
	if others != nil {
		out = make([]*protection, n)
	}
	found := false
	for _, k := range kids {
		if !isSeig(seg, k, "sbgp") {
			continue
		}
		if found {
			return nil, fmt.Errorf("%w: two sbgp boxes of seig", ErrMalformed)
		}
		found = true
		if out == nil {
			out = make([]*protection, n)
		}
		if err := sbgp(wire.NewReader(seg[k.body:k.end]), out, movie, local); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if out[i] == nil {
			out[i] = others
		}
	}
	return out, nil
}

// sbgp gives the samples of out their descriptions, run by run.
func sbgp(r *wire.Reader, out []*protection, movie, local descriptions) error {
	version := r.U32() >> 24
	if r.U32(); version == 1 {
		r.U32()
	}
	at := 0
	for range r.U32() {
		n, index := r.U32(), r.U32()
		if r.Err() != nil || version > 1 || uint64(n) > uint64(len(out)-at) { // at <= len(out)
			return fmt.Errorf("%w: sbgp box", ErrMalformed)
		}
		from := movie.all
		if index > localGroup {
			from, index = local.all, index-localGroup
		}
		if uint64(index) > uint64(len(from)) {
			return fmt.Errorf("%w: seig group %d", ErrMalformed, index)
		}
		for range n {
			if index > 0 { // 0: no group
				out[at] = &from[index-1]
			}
			at++
		}
	}
	return nil
}
