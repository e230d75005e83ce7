package content

import (
	"fmt"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

// localGroup is added to group numbers that a fragment defines itself.
// Source: ISO/IEC 14496-12.
const localGroup = 0x10000

// isSeig reports whether a box is a sample group (sgpd or sbgp) of key rotation.
func isSeig(seg []byte, b box, typ string) bool {
	return b.typ == cc(typ) && b.end-b.body >= 8 && string(seg[b.body+4:b.body+8]) == "seig"
}

// seigGroups reads the seig descriptions among sibling boxes, and lists the
// boxes of these groups for renaming.
func seigGroups(seg []byte, kids []box, scheme cenc.Scheme) (edits []edit, groups []protection, err error) {
	for _, k := range kids {
		if isSeig(seg, k, "sbgp") {
			edits = append(edits, edit{k.start, cc("free")})
		}
		if !isSeig(seg, k, "sgpd") {
			continue
		}
		if groups != nil {
			return nil, nil, fmt.Errorf("%w: two sgpd boxes of seig", ErrMalformed)
		}
		edits = append(edits, edit{k.start, cc("free")})
		if groups, err = sgpd(wire.NewReader(seg[k.body:k.end]), scheme); err != nil {
			return nil, nil, err
		}
	}
	return edits, groups, nil
}

func sgpd(r *wire.Reader, scheme cenc.Scheme) ([]protection, error) {
	if version := r.U32() >> 24; version != 1 {
		return nil, fmt.Errorf("%w: sgpd version %d", ErrUnsupported, version)
	}
	r.U32()
	size, n := r.U32(), r.U32()
	if n == 0 || n > maxEntries || r.Err() != nil {
		return nil, fmt.Errorf("%w: sgpd box", ErrMalformed)
	}
	if scheme == 0 {
		return nil, fmt.Errorf("%w: seig groups in a track without protection", ErrUnsupported)
	}
	out := make([]protection, n)
	for i := range out {
		one := size
		if size == 0 {
			one = r.U32()
		}
		if uint64(one) > uint64(r.Len()) { //nolint:gosec // Len is never negative
			return nil, fmt.Errorf("%w: sgpd box", ErrMalformed)
		}
		if err := out[i].read(wire.NewReader(r.Bytes(int(one))), scheme, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// group gives each sample of the fragment its protection by seig groups.
func (t *traf) group(kids []box) error {
	edits, local, err := seigGroups(t.seg, kids, t.track.scheme())
	if err != nil {
		return err
	}
	t.f.edits = append(t.f.edits, edits...)
	for _, k := range kids {
		if !isSeig(t.seg, k, "sbgp") {
			continue
		}
		if t.prot != nil {
			return fmt.Errorf("%w: two sbgp boxes of seig", ErrMalformed)
		}
		t.prot = make([]*protection, len(t.samples))
		if err := t.sbgp(k, local); err != nil {
			return err
		}
	}
	return nil
}

func (t *traf) sbgp(b box, local []protection) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	version := r.U32() >> 24
	if r.U32(); version == 1 {
		r.U32()
	}
	at := 0
	for range r.U32() {
		n, index := r.U32(), r.U32()
		if r.Err() != nil || version > 1 || uint64(n) > uint64(len(t.samples)-at) { // at <= len(samples)
			return fmt.Errorf("%w: sbgp box", ErrMalformed)
		}
		p, err := t.described(index, local)
		if err != nil {
			return err
		}
		for range n {
			t.prot[at] = p
			at++
		}
	}
	return nil
}

func (t *traf) described(index uint32, local []protection) (*protection, error) {
	from := t.track.groups
	if index > localGroup {
		from, index = local, index-localGroup
	}
	if index == 0 {
		return nil, nil //nolint:nilnil // no group: the sample description counts
	}
	if uint64(index) > uint64(len(from)) {
		return nil, fmt.Errorf("%w: seig group %d", ErrMalformed, index)
	}
	return &from[index-1], nil
}
