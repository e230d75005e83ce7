package content

import "fmt"

// FragmentShared is Fragment for a segment that lies in memory which another
// process can change at any time. All that decides anything is read once, into
// own, which nobody else has and which is at least as long as seg; samples alone
// are worked on where they lie. So what was counted is what is decrypted,
// whatever the other process does meanwhile. A segment that describes its samples
// inside of an mdat box is not for it: copy that, and use Fragment.
func (in *Init) FragmentShared(seg, own []byte) (*Fragment, error) {
	if len(seg) > MaxFragment || len(own) < len(seg) {
		return nil, fmt.Errorf("%w: fragment of %d bytes in %d", ErrMalformed, len(seg), len(own))
	}
	own = own[:len(seg)]
	if err := fetch(own, seg); err != nil {
		return nil, err
	}
	f, err := in.fragment(own, -1, true)
	if err != nil {
		return nil, err
	}
	f.seg = seg
	return f, nil
}

// fetch copies a segment without the bodies of its mdat boxes, each byte once.
func fetch(own, seg []byte) error {
	const head = 16 // bytes of the longest box header, without a user type
	for at := 0; at < len(seg); {
		n := copy(own[at:], seg[at:min(at+head, len(seg))])
		if n <= 4 {
			return nil // what this is, who parses it will say
		}
		b, err := boxAt(own, at, len(seg))
		if err != nil {
			return err
		}
		if b.typ != cc("mdat") && b.end > at+n {
			copy(own[at+n:b.end], seg[at+n:b.end])
		}
		at = b.end
	}
	return nil
}
