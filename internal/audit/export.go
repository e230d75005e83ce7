package audit

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// format is the first member of an export.
const format = "lares/1/audit-export"

// MaxLine is how long a line of an export may be, in bytes. Source: local,
// docs/spec/audit.md.
const MaxLine = 4096

// Line is one line of an export: one of its members is set.
type Line struct {
	Format string `json:"format,omitempty"` // of the first line
	Issuer string `json:"issuer,omitempty"` // of the first line
	Key    []byte `json:"key,omitempty"`    // of the first line: the public audit key, SubjectPublicKeyInfo
	Entry  *Entry `json:"entry,omitempty"`
	Head   []byte `json:"head,omitempty"` // signed
}

// Encode writes the line with its end.
func (l *Line) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("encode a line of the audit log: %w", err)
	}
	return b.Bytes(), nil
}

var errLine = errors.New("audit: not a line of an export")

// ParseLine reads a line without its end. A line has one form: what Encode writes.
func ParseLine(data []byte) (l Line, err error) {
	if len(data) > MaxLine {
		return l, errLine
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, errLine
	}
	again, err := l.Encode()
	if err != nil || !bytes.Equal(again, append(bytes.Clone(data), '\n')) {
		return l, errLine
	}
	n := 0
	for _, set := range []bool{l.Format != "" || l.Issuer != "" || l.Key != nil, l.Entry != nil, l.Head != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return l, errLine
	}
	return l, nil
}

// First is the first line of an export.
func First(issuer string, pub crypto.PublicKey) (Line, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return Line{}, fmt.Errorf("encode the audit key: %w", err)
	}
	return Line{Format: format, Issuer: issuer, Key: spki}, nil
}

// VerifyExport reads a whole export and follows it. With a key that the caller
// knows, the export's own must be that; known may be nil. The last line of an
// export is the head that closes it: a file that was cut off has none.
func VerifyExport(r io.Reader, known crypto.PublicKey) (Report, error) {
	in := &lines{r: r}
	first, err := in.next()
	if err != nil {
		return Report{}, err
	}
	pub, err := x509.ParsePKIXPublicKey(first.Key)
	if err != nil || first.Format != format {
		return Report{}, errors.New("audit: the first line is not that of an export")
	}
	if k, ok := known.(interface{ Equal(crypto.PublicKey) bool }); ok && !k.Equal(pub) {
		return Report{}, errors.New("audit: the export is signed by another key than the one that you have")
	}
	v := NewVerifier(pub)
	closed := false
	for {
		l, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v.Report(), err
		}
		closed = false
		switch {
		case l.Entry != nil:
			v.Entry(*l.Entry)
		case l.Head != nil:
			closed = v.Head(l.Head).Day == ""
		default:
			return v.Report(), errLine
		}
	}
	if !closed {
		v.fault(v.last.Seq, "the export is not closed: its end was cut off")
	}
	return v.Report(), nil
}

// lines reads lines of bounded length.
type lines struct {
	r   io.Reader
	buf []byte
	eof bool
}

func (in *lines) next() (Line, error) {
	for {
		if i := bytes.IndexByte(in.buf, '\n'); i >= 0 {
			line := in.buf[:i]
			in.buf = in.buf[i+1:]
			return ParseLine(line)
		}
		switch {
		case in.eof && len(in.buf) == 0:
			return Line{}, io.EOF
		case in.eof || len(in.buf) > MaxLine:
			return Line{}, errLine
		}
		chunk := make([]byte, MaxLine)
		n, err := in.r.Read(chunk)
		in.buf = append(in.buf, chunk[:n]...)
		if errors.Is(err, io.EOF) {
			in.eof = true
		} else if err != nil {
			return Line{}, err
		}
	}
}
