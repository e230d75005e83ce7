package edhoc

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"
)

// hashLen is the output length in bytes of every suite's hash, SHA-256; with
// signature keys it is the MAC length too (RFC 9528 section 4.1.2).
const hashLen = sha256.Size

// Labels of EDHOC_KDF (RFC 9528 section 4.1.2 and appendix H).
const (
	kdfKeystream2  = 0
	kdfMAC2        = 2
	kdfK3          = 3
	kdfIV3         = 4
	kdfMAC3        = 6
	kdfPRKOut      = 7
	kdfK4          = 8
	kdfIV4         = 9
	kdfPRKExporter = 10
	kdfUpdate      = 11
)

// secret is a pseudorandom key. It prints redacted. The HMAC under it is kept
// from use to use: keying it anew costs as much as a use.
type secret struct {
	_   [0]func()
	b   *[hashLen]byte
	mac hash.Hash
}

// Format prints nothing of the key.
func (secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[secret]") }

func newSecret(b []byte) secret { return secret{b: (*[hashLen]byte)(b)} }

// wipe overwrites the key and drops the HMAC, whose state the standard library
// gives no way to overwrite.
func (s *secret) wipe() {
	if s.b != nil {
		clear(s.b[:])
	}
	s.b, s.mac = nil, nil
}

// kdf is EDHOC_KDF (RFC 9528 section 4.1.2): HKDF-Expand (RFC 5869 section
// 2.3) whose info is (label, context, length) as a CBOR sequence.
func (s *secret) kdf(label uint64, context []byte, n int) ([]byte, error) {
	return s.kdfOf(label, [][]byte{context}, n)
}

// kdfOf is kdf with the context in parts: it holds certificates at times, which
// are not copied into one piece.
func (s *secret) kdfOf(label uint64, context [][]byte, n int) ([]byte, error) {
	if n < 0 || n > 255*hashLen {
		return nil, fmt.Errorf("%w: output of EDHOC_KDF", ErrTooLong)
	}
	if s.b == nil {
		return nil, ErrStep
	}
	fresh := s.mac == nil // so there is nothing to reset, which costs as much as to key it
	if fresh {
		s.mac = hmac.New(sha256.New, s.b[:])
	}
	head, tail := infoAround(label, size(context), n)
	out := make([]byte, 0, (n+hashLen-1)/hashLen*hashLen)
	for i := 1; len(out) < n; i++ {
		if !fresh {
			s.mac.Reset()
		}
		fresh = false
		if len(out) > 0 {
			s.mac.Write(out[len(out)-hashLen:])
		}
		s.mac.Write(head)
		for _, part := range context {
			s.mac.Write(part)
		}
		s.mac.Write(append(tail, byte(i)))
		out = s.mac.Sum(out)
	}
	clear(out[n:])
	return out[:n:n], nil
}

// size is the length of parts together.
func size(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// infoAround is what info has before and after a context of size bytes.
func infoAround(label uint64, size, n int) (head, tail []byte) {
	buf := make([]byte, 0, 32)                                                    // two heads of 9 bytes; one of 3 and the block number
	buf = appendHead(appendHead(buf, majorUint, label), majorBytes, uint64(size)) //nolint:gosec // size >= 0
	head = slices.Clip(buf)
	return head, appendInt(buf[len(buf):], int64(n))
}

// derive is EDHOC_KDF for another pseudorandom key.
func (s *secret) derive(label uint64, context []byte) (secret, error) {
	b, err := s.kdf(label, context, hashLen)
	if err != nil {
		return secret{}, err
	}
	return newSecret(b), nil
}
