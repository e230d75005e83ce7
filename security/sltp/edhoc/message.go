package edhoc

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// MaxMessage is the longest message in bytes that is read. Source: local; an
// AES-CCM suite cannot carry more in one message.
const MaxMessage = 1 << 16

// MaxPlaintext2 is the longest PLAINTEXT_2 in bytes: HKDF-Expand with SHA-256
// gives no longer keystream (RFC 5869).
const MaxPlaintext2 = 255 * 32

// maxEAD is how many EAD items one message may have. Source: local.
const maxEAD = 16

// EAD is one item of external authorization data. A negative label makes it
// critical: a receiver that does not know it must abort (RFC 9528 section 3.8).
type EAD struct {
	Label int64
	Value []byte // nil when the item has none
}

func encodeEAD(items []EAD) []byte {
	var out []byte
	for _, it := range items {
		out = append(out, encode(it.Label)...)
		if it.Value != nil {
			out = append(out, encode(it.Value)...)
		}
	}
	return out
}

func parseEAD(data []byte) ([]EAD, error) {
	var out []EAD
	for len(data) > 0 {
		item, rest, err := next(data)
		if err != nil {
			return nil, err
		}
		switch {
		case item[0]>>5 <= 1 && len(out) < maxEAD:
			var label int64
			if err := wire.Unmarshal(item, &label, wire.Limit{}); err != nil {
				return nil, fmt.Errorf("%w: EAD label", ErrMalformed)
			}
			out = append(out, EAD{Label: label})
		case item[0]>>5 == 2 && len(out) > 0 && out[len(out)-1].Value == nil:
			b, err := bytesOf(item)
			if err != nil {
				return nil, err
			}
			out[len(out)-1].Value = b
		default:
			return nil, fmt.Errorf("%w: EAD", ErrMalformed)
		}
		data = rest
	}
	return out, nil
}

// message1 is message_1 (RFC 9528 section 5.2.1).
type message1 struct {
	suites []Suite // in order of preference, the selected one last
	gx     []byte
	ci     []byte
	ead    []EAD
}

func (m message1) encode() []byte {
	return slices.Concat([]byte{0}, encodeSuites(m.suites), encode(m.gx), encodeID(m.ci), encodeEAD(m.ead))
}

func parseMessage1(data []byte) (message1, error) {
	items, rest, err := take(data, 4)
	if err != nil {
		return message1{}, err
	}
	if len(items[0]) != 1 || items[0][0] != 0 {
		return message1{}, fmt.Errorf("%w: method", ErrRejected)
	}
	var m message1
	if m.suites, err = parseSuites(items[1]); err != nil {
		return message1{}, err
	}
	if m.gx, err = bytesOf(items[2]); err != nil {
		return message1{}, err
	}
	if m.ci, err = parseID(items[3]); err != nil {
		return message1{}, err
	}
	m.ead, err = parseEAD(rest)
	return m, err
}

// plaintext is PLAINTEXT_2, or PLAINTEXT_3 when it has no connection ID.
type plaintext struct {
	cr  []byte // nil in PLAINTEXT_3
	id  IDCred
	sig []byte
	ead []byte // encoded, as received
}

func (p plaintext) encode() ([]byte, error) {
	id, err := p.id.plain()
	if err != nil {
		return nil, err
	}
	var cr []byte
	if p.cr != nil {
		cr = encodeID(p.cr)
	}
	return slices.Concat(cr, id, bstr(p.sig), p.ead), nil
}

func parsePlaintext(data []byte, withCR bool) (p plaintext, err error) {
	n := 2
	if withCR {
		n = 3
	}
	items, rest, err := take(data, n)
	if err != nil {
		return p, err
	}
	if withCR {
		if p.cr, err = parseID(items[0]); err != nil {
			return p, err
		}
		items = items[1:]
	}
	if p.id, err = parseIDCred(items[0]); err != nil {
		return p, err
	}
	if p.sig, err = bytesOf(items[1]); err != nil {
		return p, err
	}
	if _, err := parseEAD(rest); err != nil {
		return p, err
	}
	p.ead = rest
	return p, nil
}

func encodeSuites(list []Suite) []byte {
	if len(list) == 1 {
		return encode(int(list[0]))
	}
	return encode(list)
}

// parseSuites reads one suite or an array of at least two, none twice.
func parseSuites(item []byte) ([]Suite, error) {
	if item[0]>>5 <= 1 {
		var s Suite
		if err := wire.Unmarshal(item, &s, wire.Limit{}); err != nil {
			return nil, fmt.Errorf("%w: suites", ErrMalformed)
		}
		return []Suite{s}, nil
	}
	var list []Suite
	if err := wire.Unmarshal(item, &list, wire.Limit{Items: maxSuites, Depth: 1}); err != nil || len(list) < 2 {
		return nil, fmt.Errorf("%w: suites", ErrMalformed)
	}
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			return nil, fmt.Errorf("%w: suites", ErrMalformed)
		}
	}
	return list, nil
}

// encodeID writes a connection or key ID: one byte that is the encoding of a
// small integer stands for itself (RFC 9528 section 3.3.2).
func encodeID(id []byte) []byte {
	if len(id) == 1 && small(id[0]) {
		return []byte{id[0]}
	}
	return bstr(id)
}

func parseID(item []byte) ([]byte, error) {
	if len(item) == 1 && small(item[0]) {
		return []byte{item[0]}, nil
	}
	id, err := bytesOf(item)
	if err != nil {
		return nil, err
	}
	if len(id) == 1 && small(id[0]) {
		return nil, fmt.Errorf("%w: byte string where an integer belongs", ErrMalformed)
	}
	return id, nil
}

// small reports whether b alone encodes an integer between -24 and 23.
func small(b byte) bool { return b>>5 <= 1 && b&31 < 24 }

// take cuts n items off a CBOR sequence.
func take(data []byte, n int) (items [][]byte, rest []byte, err error) {
	if len(data) > MaxMessage {
		return nil, nil, fmt.Errorf("%w: message", ErrTooLong)
	}
	for range n {
		item, after, err := next(data)
		if err != nil {
			return nil, nil, err
		}
		items, data = append(items, item), after
	}
	return items, data, nil
}

func next(data []byte) (item, rest []byte, err error) {
	item, rest, err = wire.Next(data, wire.Limit{Bytes: MaxMessage})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return item, rest, nil
}

// only reads a message that is a single byte string.
func only(data []byte) ([]byte, error) {
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("%w: message", ErrTooLong)
	}
	return bytesOf(data)
}

func bytesOf(item []byte) ([]byte, error) {
	if len(item) == 0 || item[0]>>5 != 2 {
		return nil, fmt.Errorf("%w: not a byte string", ErrMalformed)
	}
	b := []byte{}
	if err := wire.Unmarshal(item, &b, wire.Limit{Bytes: MaxMessage}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return b, nil
}

// bstr encodes a byte string; a nil one is empty.
func bstr(b []byte) []byte {
	if b == nil {
		b = []byte{}
	}
	return encode(b)
}

// encode encodes integers, byte strings, text and lists of suites.
func encode(v any) []byte {
	b, err := wire.Marshal(v)
	if err != nil {
		panic(err) //nolint:forbidigo // these kinds always encode
	}
	return b
}
