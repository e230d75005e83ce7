package cenc

import (
	"errors"
	"fmt"
)

// Errors of this package. None carries a byte of a key or a sample.
var (
	ErrScheme  = errors.New("cenc: unknown protection scheme")
	ErrKey     = errors.New("cenc: not a content key of 16 bytes")
	ErrIV      = errors.New("cenc: initialization vector does not fit the scheme")
	ErrPattern = errors.New("cenc: pattern does not fit the scheme")
	ErrSample  = errors.New("cenc: subsamples do not cover the sample")
	ErrPSSH    = errors.New("cenc: not a pssh box")
)

// BlockSize is the AES block in bytes. Source: FIPS 197.
const BlockSize = 16

// Scheme is a protection scheme type, the four-character code of a schm box.
// Source: ISO/IEC 23001-7.
type Scheme uint32

// The protection schemes of ISO/IEC 23001-7.
const (
	SchemeCENC Scheme = 'c'<<24 | 'e'<<16 | 'n'<<8 | 'c' // AES-CTR, whole protected ranges
	SchemeCENS Scheme = 'c'<<24 | 'e'<<16 | 'n'<<8 | 's' // AES-CTR, pattern
	SchemeCBC1 Scheme = 'c'<<24 | 'b'<<16 | 'c'<<8 | '1' // AES-CBC, whole protected ranges
	SchemeCBCS Scheme = 'c'<<24 | 'b'<<16 | 'c'<<8 | 's' // AES-CBC, pattern, IV anew in each subsample
)

// ParseScheme reads the four letters of a scheme.
func ParseScheme(s string) (Scheme, error) {
	for _, sc := range []Scheme{SchemeCENC, SchemeCENS, SchemeCBC1, SchemeCBCS} {
		if s == sc.String() {
			return sc, nil
		}
	}
	return 0, fmt.Errorf("%w: want cenc, cens, cbc1 or cbcs", ErrScheme)
}

// Known reports whether s is one of the four schemes.
func (s Scheme) Known() bool {
	return s == SchemeCENC || s == SchemeCENS || s == SchemeCBC1 || s == SchemeCBCS
}

// String gives the four letters; a code with unprintable bytes in hexadecimal.
func (s Scheme) String() string {
	b := []byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)} //nolint:gosec // one byte of four
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return fmt.Sprintf("0x%08x", uint32(s))
		}
	}
	return string(b)
}

// MarshalText prints the scheme for JSON.
func (s Scheme) MarshalText() ([]byte, error) {
	if !s.Known() {
		return nil, ErrScheme
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText prints.
func (s *Scheme) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScheme(string(b))
	return err
}

func (s Scheme) ctr() bool     { return s == SchemeCENC || s == SchemeCENS }
func (s Scheme) pattern() bool { return s == SchemeCENS || s == SchemeCBCS }
