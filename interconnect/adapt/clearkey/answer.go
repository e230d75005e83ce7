package clearkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/license/ident"
)

// KeySize is the length of a session key in bytes: AES-128. Source: ISO/IEC 23001-7.
const KeySize = 16

// ErrNoKeys is returned when a request asks only for keys that the session
// does not have. An answer without keys would leave the browser waiting, so it
// must become an HTTP error.
var ErrNoKeys = errors.New("clearkey: the session has none of these keys")

// SessionKey is the key of one track of a link-encrypted session, made by the
// trusted module for this session only; it opens nothing else. It prints
// redacted and marshals only inside an Answer.
type SessionKey struct {
	_   [0]func()
	KID ident.Key
	b   *[KeySize]byte
}

// NewSessionKey takes a copy of the module's key.
func NewSessionKey(kid ident.Key, key []byte) (SessionKey, error) {
	if len(key) != KeySize {
		return SessionKey{}, fmt.Errorf("clearkey: a session key has %d bytes", KeySize)
	}
	b := [KeySize]byte(key)
	return SessionKey{KID: kid, b: &b}, nil
}

// Format prints the key ID and never the key.
func (k SessionKey) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, "[session key "+k.KID.String()+"]")
}

var errSecret = errors.New("clearkey: a session key is not marshaled")

// MarshalText refuses.
func (SessionKey) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalBinary refuses.
func (SessionKey) MarshalBinary() ([]byte, error) { return nil, errSecret }

type answerJSON struct {
	Keys []jwk  `json:"keys"`
	Type string `json:"type"`
}

type jwk struct {
	Kty string `json:"kty"`
	KID string `json:"kid"`
	K   string `json:"k"`
}

// Answer gives the license that answers req: a JSON Web Key Set with those of
// keys that were asked for. It fails with ErrNoKeys when there is none.
// Source: EME, "License Format" of Clear Key.
func Answer(req *Request, keys []SessionKey) ([]byte, error) {
	out := answerJSON{Type: Temporary}
	for _, kid := range req.KIDs {
		for _, k := range keys {
			if k.KID == kid && k.b != nil {
				out.Keys = append(out.Keys, jwk{Kty: "oct", KID: encode(kid[:]), K: encode(k.b[:])})
				break
			}
		}
	}
	if len(out.Keys) == 0 {
		return nil, ErrNoKeys
	}
	return json.Marshal(out)
}
