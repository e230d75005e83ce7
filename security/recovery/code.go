package recovery

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
)

// CodeSize is the length of a code in bytes: 256 random bits.
const CodeSize = 32

var errSecret = errors.New("recovery: a code is never marshalled")

// Code is a household's recovery code. Who holds it can bring the house back and
// opens its backups. It prints redacted; the zero Code is none.
type Code struct {
	_ [0]func()
	b *hidden
}

// hidden keeps the bytes two pointers away, because fmt prints the unexported
// fields of an enclosing struct without calling Format.
type hidden struct{ b *[CodeSize]byte }

// NewCode draws a code.
func NewCode() Code {
	b := new([CodeSize]byte)
	rand.Read(b[:]) // never returns an error
	return Code{b: &hidden{b}}
}

// CodeOf copies 32 bytes into a code.
func CodeOf(b []byte) (Code, error) {
	if len(b) != CodeSize {
		return Code{}, ErrWords
	}
	c := [CodeSize]byte(b)
	return Code{b: &hidden{&c}}, nil
}

// ParseCode reads the 24 words as people type them.
func ParseCode(typed string) (Code, error) {
	b, err := decode(typed)
	if err != nil {
		return Code{}, err
	}
	return Code{b: &hidden{&b}}, nil
}

// Valid reports whether c holds a code.
func (c Code) Valid() bool { return c.b != nil }

// Reveal copies the code out, for the module that it goes to.
func (c Code) Reveal() ([CodeSize]byte, error) {
	if c.b == nil {
		return [CodeSize]byte{}, ErrWords
	}
	return *c.b.b, nil
}

// Text is the 24 words with single spaces, to be written down.
func (c Code) Text() (string, error) {
	b, err := c.Reveal()
	if err != nil {
		return "", err
	}
	defer clear(b[:])
	return strings.Join(encode(b), " "), nil
}

// Clear overwrites the code in every copy of c.
func (c Code) Clear() {
	if c.b != nil {
		clear(c.b.b[:])
	}
}

// Equal compares in constant time. No code equals the zero Code.
func (c Code) Equal(o Code) bool {
	return c.b != nil && o.b != nil && subtle.ConstantTimeCompare(c.b.b[:], o.b.b[:]) == 1
}

// Format prints the same words whatever the code and the verb.
func (Code) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[recovery code]") }

// MarshalText refuses.
func (Code) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalBinary refuses.
func (Code) MarshalBinary() ([]byte, error) { return nil, errSecret }
