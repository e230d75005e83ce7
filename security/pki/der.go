package pki

// Tags of the member and module extensions (X.690; context tags: docs/spec/certificates.md).
const (
	tagInteger        = 0x02
	tagOctets         = 0x04
	tagSequence       = 0x30
	tagImplementation = 0x80
	tagInterfaces     = 0x81
	tagIssuer         = 0x82
	tagRange          = 0xa3
)

// derReader cuts DER fields off the front of rest. After the first that is not
// as asked it gives zero values and is never at its end.
type derReader struct {
	rest []byte
	bad  bool
}

// at reports whether the next field has this tag.
func (r *derReader) at(tag byte) bool { return len(r.rest) > 0 && r.rest[0] == tag }

// want marks the whole as bad unless ok.
func (r *derReader) want(ok bool) { r.bad = r.bad || !ok }

// end reports whether everything was read and was good.
func (r *derReader) end() bool { return !r.bad && len(r.rest) == 0 }

// field is the content of the next field, of at most 255 bytes: the longest
// extension has fewer. It is not a copy.
func (r *derReader) field(tag byte) []byte {
	if r.bad || len(r.rest) < 2 || r.rest[0] != tag {
		r.bad = true
		return nil
	}
	n, from := int(r.rest[1]), 2
	if n == 0x81 && len(r.rest) > 2 && r.rest[2] >= 0x80 { // the long form, where the short one does not reach
		n, from = int(r.rest[2]), 3
	} else if n >= 0x80 {
		r.bad = true
		return nil
	}
	if len(r.rest)-from < n {
		r.bad = true
		return nil
	}
	b := r.rest[from : from+n : from+n]
	r.rest = r.rest[from+n:]
	return b
}

// u32 is an INTEGER from 0 to 4,294,967,295 in its shortest form.
func (r *derReader) u32(tag byte) uint32 {
	b := r.field(tag)
	if len(b) == 0 || len(b) > 5 || b[0] >= 0x80 || len(b) > 1 && b[0] == 0 && b[1] < 0x80 || len(b) == 5 && b[0] != 0 {
		r.bad = true
		return 0
	}
	var n uint32
	for _, x := range b {
		n = n<<8 | uint32(x)
	}
	return n
}
