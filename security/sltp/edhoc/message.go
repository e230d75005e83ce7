package edhoc

import (
	"fmt"
	"slices"
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
		out = appendInt(out, it.Label)
		if it.Value != nil {
			out = appendBytes(out, it.Value)
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
		case majorOf(item) <= majorNint && len(out) < maxEAD:
			label, err := intOf(item)
			if err != nil {
				return nil, err
			}
			out = append(out, EAD{Label: label})
		case majorOf(item) == majorBytes && len(out) > 0 && out[len(out)-1].Value == nil:
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
	return slices.Concat([]byte{0}, encodeSuites(m.suites), bstr(m.gx), encodeID(m.ci), encodeEAD(m.ead))
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
	cr   []byte // nil in PLAINTEXT_3
	id   IDCred
	sig  []byte
	ead  []byte // encoded, as received
	eads []EAD  // the same read; not to be handed out before the signature holds
}

func (p plaintext) encode() ([]byte, error) {
	out := make([]byte, 0, len(p.cr)+p.id.room()+len(p.sig)+len(p.ead)+16)
	if p.cr != nil {
		out = appendID(out, p.cr)
	}
	out, err := p.id.appendPlain(out)
	if err != nil {
		return nil, err
	}
	return append(appendBytes(out, p.sig), p.ead...), nil
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
	p.ead = rest
	p.eads, err = parseEAD(rest)
	return p, err
}
