package home

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// What a PIN costs who tries one: memory and passes of argon2id (RFC 9106), by one
// thread. Source: local, docs/spec/people.md; not below the least that OWASP's Password
// Storage Cheat Sheet gives.
const (
	pinMemory = 19 << 10 // KiB
	pinPasses = 2
	pinSalt   = 16 // bytes
	pinHash   = 32 // bytes
	minPIN    = 4  // digits
	maxPIN    = 12
)

// Wrong PINs: after pinTries in a row the next is read after a pause, which doubles
// with each further one. Source: local, docs/spec/people.md.
const (
	pinTries = 5
	pinPause = time.Minute
	pinMost  = time.Hour
)

// Errors of PINs.
var (
	// ErrPIN is returned for a PIN that is not 4 to 12 digits, and for an adult without one.
	ErrPIN = errors.New("home: a PIN is 4 to 12 digits, and every adult has one")
	// ErrWrongPIN is returned for a PIN that is not that person's.
	ErrWrongPIN = errors.New("home: that is not the PIN")
)

// PINLater says when a PIN is read again after too many wrong ones.
type PINLater struct{ RetryMS int64 }

func (l PINLater) Error() string {
	return fmt.Sprintf("home: no PIN is read for %d ms", l.RetryMS)
}

// pinHashed is a hash of a PIN, in the form of people.md.
type pinHashed struct{ salt, sum []byte }

// pinPrefix is what each begins with: other costs are another version of this file.
var pinPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$", argon2.Version, pinMemory, pinPasses)

func pinSum(pin string, salt []byte) []byte {
	return argon2.IDKey([]byte(pin), salt, pinPasses, pinMemory, 1, pinHash)
}

// hashPIN hashes a new PIN under a salt of its own.
func hashPIN(pin string) (string, error) {
	if !isPIN(pin) {
		return "", ErrPIN
	}
	salt := make([]byte, pinSalt)
	rand.Read(salt) // never returns an error
	return pinHashed{salt, pinSum(pin, salt)}.String(), nil
}

func isPIN(s string) bool {
	return len(s) >= minPIN && len(s) <= maxPIN && strings.Trim(s, "0123456789") == ""
}

func (p pinHashed) String() string {
	return pinPrefix + base64.RawStdEncoding.EncodeToString(p.salt) + "$" + base64.RawStdEncoding.EncodeToString(p.sum)
}

// parsePINHash reads what hashPIN writes, and nothing else: costs that a file names
// could be a gigabyte's.
func parsePINHash(s string) (p pinHashed, err error) {
	rest, ok := strings.CutPrefix(s, pinPrefix)
	salt, sum, two := strings.Cut(rest, "$")
	if !ok || !two {
		return p, ErrPIN
	}
	enc := base64.RawStdEncoding.Strict()
	if p.salt, err = enc.DecodeString(salt); err == nil {
		p.sum, err = enc.DecodeString(sum)
	}
	if err != nil || len(p.salt) != pinSalt || len(p.sum) != pinHash || p.String() != s {
		return pinHashed{}, ErrPIN
	}
	return p, nil
}

// tryPIN reads a PIN of somebody. That it is tried is on disk before it is compared, so
// that who pulls the plug has not tried less.
func (h *Home) tryPIN(id, pin string) error {
	h.people.hashing.Lock()
	defer h.people.hashing.Unlock()
	p, err := h.people.tried(id, h.cfg.Now())
	if err != nil {
		return err
	}
	hashed, err := parsePINHash(p.PIN)
	if err != nil {
		return err
	}
	if !isPIN(pin) || subtle.ConstantTimeCompare(hashed.sum, pinSum(pin, hashed.salt)) != 1 {
		return ErrWrongPIN
	}
	return h.people.forgive(id, p.PIN)
}

// tried notes a try, and says when it comes too early.
func (p *people) tried(id string, now time.Time) (Person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id })
	if i < 0 || list[i].PIN == "" {
		return Person{}, ErrWrongPIN
	}
	who := &list[i]
	if wait := who.Wait.Sub(now); wait > 0 && wait <= pinMost { // longer: the clock was set back, which keeps nobody out
		return *who, PINLater{wait.Milliseconds()}
	}
	if who.Wrong++; who.Wrong >= pinTries {
		who.Wait = now.Add(min(pinMost, pinPause<<min(who.Wrong-pinTries, 10))).UTC()
	}
	return *who, p.store(list, p.rated)
}

// forgive ends the count after the right PIN, where it still is that.
func (p *people) forgive(id, hash string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id && o.PIN == hash })
	if i < 0 {
		return ErrWrongPIN
	}
	list[i].Wrong, list[i].Wait = 0, time.Time{}
	return p.store(list, p.rated)
}
