package pki

// Tags of certificates, and of the member and module extensions (X.690; context tags: RFC 5280 and docs/spec/certificates.md).
const (
	tagInteger         = 0x02
	tagBits            = 0x03
	tagOctets          = 0x04
	tagPrintable       = 0x13
	tagUTCTime         = 0x17
	tagGeneralizedTime = 0x18
	tagSequence        = 0x30
	tagSet             = 0x31
	tagExtensions      = 0xa3 // of a certificate
	tagImplementation  = 0x80
	tagInterfaces      = 0x81
	tagIssuer          = 0x82
	tagRange           = 0xa3
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

// field is the content of the next field. It is not a copy.
func (r *derReader) field(tag byte) []byte {
	from, _ := r.head(tag)
	if b := r.element(tag); !r.bad {
		return b[from:]
	}
	return nil
}

// element is the next field with its tag and length.
func (r *derReader) element(tag byte) []byte {
	_, end := r.head(tag)
	return r.next(end)
}

// head is how many bytes the tag and length of the next field take, and all of it,
// of at most 65,535 bytes, with its length in the one form that DER has for it.
func (r *derReader) head(tag byte) (from, end int) {
	b := r.rest
	switch {
	case r.bad || len(b) < 2 || b[0] != tag:
	case b[1] < 0x80:
		return 2, 2 + int(b[1])
	case b[1] == 0x81 && len(b) > 2 && b[2] >= 0x80:
		return 3, 3 + int(b[2])
	case b[1] == 0x82 && len(b) > 3 && b[2] > 0:
		return 4, 4 + int(b[2])<<8 + int(b[3])
	}
	r.bad = true
	return 0, 0
}

// next is the next n bytes.
func (r *derReader) next(n int) []byte {
	if r.bad || len(r.rest) < n {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// literal is for what must come next.
func (r *derReader) literal(s string) { r.want(string(r.next(len(s))) == s) }

// after is the byte behind what must come next, 0 without one.
func (r *derReader) after(s string) byte {
	r.literal(s)
	if b := r.next(1); b != nil {
		return b[0]
	}
	return 0
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
