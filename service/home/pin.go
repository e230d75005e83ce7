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
type PINLater struct {
	RetryMS   int64
	Elsewhere bool // the wait is not for the places that are known: the house's machine, and where that person has sat down
}

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

// PlaceHere is the machine of the house's server, as the place of a Seat.
const PlaceHere = "here"

// Limits of places that are known. Source: local, docs/spec/people.md.
const (
	maxKnown   = 4   // of a person, besides PlaceHere
	knownTries = 100 // wrong PINs in a row, in all: then a known place waits as every other
	maxPlace   = 16  // bytes of a browser's ID
)

// Tries are wrong PINs, in a row.
type Tries struct {
	Wrong int       `json:"wrong,omitempty"`
	Wait  time.Time `json:"wait,omitzero"` // no PIN is read before
}

// KnownPlace is a browser of the house at which somebody sat down, or PlaceHere. It has a
// count of its own: wrong PINs elsewhere keep nobody out there.
type KnownPlace struct {
	Place string `json:"place"`
	Tries
}

// arePlaces holds places to what people.json may have.
func arePlaces(list []KnownPlace) bool {
	for i, k := range list {
		if k.Place == "" || len(k.Place) > maxPlace || k.Wrong < 0 || placeIn(list[:i], k.Place) >= 0 {
			return false
		}
	}
	return len(list) <= maxKnown+1
}

func placeIn(list []KnownPlace, place string) int {
	return slices.IndexFunc(list, func(k KnownPlace) bool { return k.Place == place })
}

// early is how long no PIN is read yet.
func (t *Tries) early(now time.Time) error {
	if wait := t.Wait.Sub(now); wait > 0 && wait <= pinMost { // longer: the clock was set back, which keeps nobody out
		return PINLater{RetryMS: wait.Milliseconds()}
	}
	return nil
}

// again notes a try.
func (t *Tries) again(now time.Time) {
	if t.Wrong++; t.Wrong >= pinTries {
		t.Wait = now.Add(min(pinMost, pinPause<<min(t.Wrong-pinTries, 10))).UTC()
	}
}

// tryPIN reads a PIN of somebody at a place; "": one that is nobody's. That it is tried is
// on disk before it is compared, so that who pulls the plug has not tried less.
func (h *Home) tryPIN(id, pin, place string) error {
	h.people.hashing.Lock()
	defer h.people.hashing.Unlock()
	p, err := h.people.tried(id, place, h.cfg.Now())
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
	return h.people.forgive(id, p.PIN, place)
}

// tried notes a try, and says when it comes too early: by the count of the place, where
// that is known, and else, and after many, by that of all.
func (p *people) tried(id, place string, now time.Time) (Person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id })
	if i < 0 || list[i].PIN == "" {
		return Person{}, ErrWrongPIN
	}
	who := &list[i]
	who.Known = slices.Clone(who.Known)
	if place == PlaceHere && placeIn(who.Known, place) < 0 {
		who.Known = slices.Insert(who.Known, 0, KnownPlace{Place: place})
	}
	k := placeIn(who.Known, place)
	var err error
	if k >= 0 {
		err = who.Known[k].early(now)
	}
	if err == nil && (k < 0 || who.Wrong >= knownTries) {
		err = who.early(now)
	}
	if later, ok := errors.AsType[PINLater](err); ok {
		later.Elsewhere = k < 0 && who.Wrong < knownTries
		return *who, later
	}
	who.again(now)
	if k >= 0 {
		who.Known[k].again(now)
	}
	return *who, p.store(list, p.rated)
}

// forgive ends the counts of all and of the place after the right PIN, where it still is
// that.
func (p *people) forgive(id, hash, place string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id && o.PIN == hash })
	if i < 0 {
		return ErrWrongPIN
	}
	list[i].Tries = Tries{}
	list[i].Known = slices.Clone(list[i].Known)
	if k := placeIn(list[i].Known, place); k >= 0 {
		list[i].Known[k].Tries = Tries{}
	}
	return p.store(list, p.rated)
}

// knows notes that somebody sat down at a place by their own PIN, durably. The place of
// longest ago goes where there are too many.
func (p *people) knows(id, place string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id })
	if i < 0 || place == "" || place == PlaceHere {
		return nil
	}
	var here, others []KnownPlace
	for _, k := range list[i].Known {
		switch k.Place {
		case PlaceHere:
			here = append(here, k)
		case place:
		default:
			others = append(others, k)
		}
	}
	others = append(others, KnownPlace{Place: place})
	list[i].Known = slices.Concat(here, others[max(0, len(others)-maxKnown):])
	if slices.Equal(list[i].Known, p.list[i].Known) {
		return nil
	}
	return p.store(list, p.rated)
}
