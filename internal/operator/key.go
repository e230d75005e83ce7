package operator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/internal/audit"
)

// Limits of API keys. Source: local, docs/spec/operators.md.
const (
	maxKeyLife = 2 * 366 * 24 * time.Hour
	maxName    = 64 // bytes
	maxToken   = 128
)

// keyPrefix begins an API key, so that scanners for leaked secrets know one.
const keyPrefix = "lares_key_"

// Hash is what a secret is known by: SHA-256. Secrets are 256 random bits, so
// nothing slower is needed.
type Hash [32]byte

// KeyID names an API key. It is no secret.
type KeyID [8]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText prints the ID for JSON.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *KeyID) UnmarshalText(s []byte) error {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != string(s) {
		return fmt.Errorf("%w: a key's ID is 16 hexadecimal digits", ErrInvalid)
	}
	*id = KeyID(b)
	return nil
}

// Key is an API key, without its secret.
type Key struct {
	ID      KeyID   `json:"id"`
	Name    string  `json:"name"`
	Role    Role    `json:"role"`
	Scopes  []Scope `json:"scopes"`
	Created int64   `json:"created_at"` // Unix ms
	Expires int64   `json:"expires_at"` // Unix ms
	Revoked int64   `json:"revoked_at"` // Unix ms; 0 = it was not
	Hash    Hash    `json:"-"`          // of the whole token
}

// parseKey splits a token into its ID and its hash. A token has one form:
// lares_key_, 16 hexadecimal digits, an underscore and 32 bytes as base64url.
func parseKey(token string) (id KeyID, hash Hash, err error) {
	rest, ok := strings.CutPrefix(token, keyPrefix)
	name, secret, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(token) > maxToken {
		return id, hash, ErrUnknown
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(b) != 32 || id.UnmarshalText([]byte(name)) != nil {
		return id, hash, ErrUnknown
	}
	return id, sha256.Sum256([]byte(token)), nil
}

// NewKey asks for an API key.
type NewKey struct {
	Name    string  `json:"name"`
	Role    Role    `json:"role"`
	Scopes  []Scope `json:"scopes,omitempty"` // default: the role's
	Expires int64   `json:"expires_at"`       // Unix ms
}

// MakeKey makes an API key. The token is in the answer and nowhere else.
func (d *Desk) MakeKey(ctx context.Context, by *Operator, n NewKey) (k Key, token string, err error) {
	now := d.cfg.Now().UnixMilli()
	scopes, err := narrow(n.Role, n.Scopes)
	switch {
	case err != nil:
		return k, "", err
	case !line(n.Name, maxName):
		return k, "", fmt.Errorf("%w: a key's name is one line of 1 to %d bytes", ErrInvalid, maxName)
	case n.Expires <= now || n.Expires > now+maxKeyLife.Milliseconds():
		return k, "", fmt.Errorf("%w: a key ends within two years", ErrInvalid)
	}
	for _, s := range scopes {
		if !by.May(s) && !by.May(Operators) {
			return k, "", ErrForbidden
		}
	}
	var secret [32]byte
	rand.Read(secret[:]) // never returns an error
	rand.Read(k.ID[:])
	token = keyPrefix + k.ID.String() + "_" + base64.RawURLEncoding.EncodeToString(secret[:])
	k.Name, k.Role, k.Scopes, k.Created, k.Expires, k.Hash = n.Name, n.Role, scopes, now, n.Expires, sha256.Sum256([]byte(token))
	err = d.act(ctx, by, "key.new", k.ID.String()+" "+string(k.Role), func(ctx context.Context, tx Tx) error { return tx.PutKey(ctx, k) })
	if err != nil {
		return Key{}, "", err
	}
	return k, token, nil
}

// line reports whether s is one line of text of at most so many bytes.
func line(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

// Keys lists the API keys, those that ended too.
func (d *Desk) Keys(ctx context.Context) (all []Key, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		all, err = r.Keys(ctx)
		return err
	})
	return all, err
}

// RevokeKey ends an API key. One that has ended stays so, and that is no error.
func (d *Desk) RevokeKey(ctx context.Context, by *Operator, id KeyID) error {
	return d.act(ctx, by, "key.revoke", id.String(), func(ctx context.Context, tx Tx) error {
		if _, err := tx.Key(ctx, id); err != nil {
			return err
		}
		_, err := tx.RevokeKey(ctx, id, d.cfg.Now().UnixMilli())
		return err
	})
}

// Authenticate finds out whose token it is: the owner's, or an API key.
func (d *Desk) Authenticate(ctx context.Context, token string) (*Operator, error) {
	sum := Hash(sha256.Sum256([]byte(token)))
	if subtle.ConstantTimeCompare(sum[:], d.cfg.OwnerHash[:]) == 1 {
		return &Operator{actor: ownerActor, name: ownerActor, scopes: ownerScopes()}, nil
	}
	id, hash, err := parseKey(token)
	if err != nil {
		return nil, err
	}
	var k Key
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		k, err = r.Key(ctx, id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(hash[:], k.Hash[:]) != 1 || k.Revoked != 0 || k.Expires <= d.cfg.Now().UnixMilli() {
		return nil, ErrUnknown
	}
	return &Operator{actor: "key:" + id.String(), name: k.Name, role: k.Role, scopes: k.Scopes}, nil
}

// entry is a line of the log.
func (d *Desk) entry(by *Operator, action, subject string) audit.Entry {
	return audit.Entry{At: d.cfg.Now().UnixMilli(), Actor: by.actor, Action: action, Subject: subject}
}
