package authority

import (
	"bytes"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// maxRefused is how many refused notices of an issuer are remembered, the newest.
// Only the operator adds one. Source: local, docs/spec/sunset.md.
const maxRefused = 64

// sentBefore is what of an issuer's earlier notices still counts.
type sentBefore struct {
	_        struct{} `cbor:",toarray"`
	Issuer   []byte
	Refused  []refusedNotice // by the operator, oldest first, at most maxRefused
	Replaced []byte          // hash of the notice whose place the one has that waits; else null
}

// refusedNotice is a notice that the operator refused.
type refusedNotice struct {
	_     struct{} `cbor:",toarray"`
	Of    [32]byte // hash of it
	Since int64    // Unix ms
}

// before is what is kept of an issuer; the zero value where nothing is.
func (a *Authority) before(issuer ident.Issuer) sentBefore {
	for _, b := range a.rec.Before {
		if ident.Issuer(b.Issuer) == issuer {
			return b
		}
	}
	return sentBefore{Issuer: []byte(issuer)}
}

// refusedBefore reports whether the operator has refused a notice, and when.
func (a *Authority) refusedBefore(issuer ident.Issuer, of [32]byte) (since int64, yes bool) {
	if last := a.lastSent(issuer); last.Of == of && last.State == SentRefused {
		return last.Since, true
	}
	for _, r := range a.before(issuer).Refused {
		if r.Of == of {
			return r.Since, true
		}
	}
	return 0, false
}

// keepBefore notes what next changes about the notices before it. What next replaces
// is still the last that was sent.
func (a *Authority) keepBefore(next sentLast) {
	last, b := a.lastSent(ident.Issuer(next.Issuer)), a.before(ident.Issuer(next.Issuer))
	b.Replaced = nil
	switch {
	case next.State == SentRefused:
		b.Refused = append(slices.Clone(b.Refused), refusedNotice{Of: next.Of, Since: next.Since})
		b.Refused = b.Refused[max(0, len(b.Refused)-maxRefused):]
	case next.State == SentWaits && last.State == SentWaits:
		b.Replaced = last.Of[:]
	}
	i := slices.IndexFunc(a.rec.Before, func(o sentBefore) bool { return bytes.Equal(o.Issuer, b.Issuer) })
	switch {
	case i >= 0:
		a.rec.Before[i] = b
	case len(b.Refused) > 0 || b.Replaced != nil:
		a.rec.Before = append(a.rec.Before, b)
	}
}
