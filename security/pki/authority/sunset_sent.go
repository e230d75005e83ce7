package authority

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Errors of what an issuer sends by the network. What the rules of sunset refuse is
// ErrSunset.
var (
	ErrProof = errors.New("authority: no running issuer stands behind it")
	ErrOlder = errors.New("authority: a later word of this issuer came before")
	ErrFull  = errors.New("authority: too many notices wait for the operator")
)

// maxWaiting is how many issuers' notices wait at most. Source: local,
// docs/spec/sunset.md.
const maxWaiting = 256

// SentState is what has become of what an issuer sent last.
type SentState uint8

// The states.
const (
	SentWaits     SentState = 1 // a notice, for the operator
	SentStands    SentState = 2
	SentWithdrawn SentState = 3
	SentRefused   SentState = 4 // a notice, by the operator
)

func (s SentState) String() string {
	return [...]string{"none", "waits", "stands", "withdrawn", "refused"}[min(s, SentRefused)]
}

// sentLast is the newest notice or withdrawal that an issuer sent.
type sentLast struct {
	_      struct{} `cbor:",toarray"`
	Issuer []byte
	At     int64    // its module's time, Unix ms: what is not later is a repetition
	Of     [32]byte // hash of the notice that it was about
	State  SentState
	Since  int64 // Unix ms
	Device ident.Device
	Notice []byte // signed, while it waits; else null
	Key    []byte // that signed it, likewise
}

// Sending is a notice of sunset, or a withdrawal, with the word of its issuer's
// module that it is sent.
type Sending struct {
	Statement []byte   // signed with the notice key
	Key       []byte   // that key
	Chain     [][]byte // of the module, leaf first, root not included
	Proof     []byte   // object of kind sunset-sent
}

// Taken is what has become of it.
type Taken struct {
	Issuer ident.Issuer
	State  SentState
	Since  time.Time
}

// Waiting is a notice that waits for the operator.
type Waiting struct {
	Since     time.Time       `json:"since"`
	From      ident.Device    `json:"from"`            // the issuer's module that sent it
	Effective time.Time       `json:"effective"`       // the day that it names
	Scope     []ident.Content `json:"scope,omitempty"` // none = all titles
	Key       string          `json:"key"`             // the notice key, hexadecimal
}

// Take files what an issuer sends. A notice waits for the operator: its key lies in
// a file of the shop, and the module's word says that the running shop sends it, not
// that the shop means it. A withdrawal takes effect at once. The same again is
// answered the same, what is durable when Take returns.
func (a *Authority) Take(in Sending, now time.Time) (Taken, error) {
	s, word, from, err := a.sending(in, now)
	if err != nil {
		return Taken{}, err
	}
	i := a.issuer(s.Issuer)
	if i < 0 {
		return Taken{}, fmt.Errorf("%w: no issuer %v was certified here", ErrSunset, s.Issuer)
	}
	next := sentLast{Issuer: []byte(s.Issuer), At: word.At, Of: s.Of, Since: now.UnixMilli(), Device: from}
	if s.Notice == nil {
		return a.takeWithdrawal(in, next, a.rec.Issuers[i], now)
	}
	next.State, next.Notice, next.Key = SentWaits, in.Statement, in.Key
	return a.takeNotice(s.Notice, next, a.rec.Issuers[i], now)
}

// sending checks who sends: a license issuer that stands, whose module has signed
// that it sends this statement with this key, now.
func (a *Authority) sending(in Sending, now time.Time) (*license.Statement, license.Sent, ident.Device, error) {
	fail := func(err error) (*license.Statement, license.Sent, ident.Device, error) {
		return nil, license.Sent{}, ident.Device{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	peer, err := (&pki.Verifier{Trust: a.trust, Status: a.state}).Verify(in.Chain, now, pki.LicenseIssuer)
	if err != nil {
		return fail(err)
	}
	word, err := license.ParseSent(in.Proof, peer.Public())
	switch at := now.UnixMilli(); {
	case err != nil:
		return fail(err)
	case word != license.SentBy(peer.Issuer(), in.Statement, in.Key, word.At):
		return fail(errors.New("its module's word is about something else"))
	case word.At < at-license.SentWithin || word.At > at+license.SentWithin:
		return fail(fmt.Errorf("its module's word is of %s, it is %s", unixMS(word.At).Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	}
	s, err := license.ParseStatement(in.Statement)
	if err == nil {
		err = s.Verify(in.Key)
	}
	if err == nil && s.Issuer != word.Issuer {
		err = errors.New("it is of another issuer")
	}
	if err != nil {
		return nil, word, ident.Device{}, fmt.Errorf("%w: %w", ErrSunset, err)
	}
	return s, word, peer.ID(), nil
}

func (a *Authority) takeNotice(n *license.SignedNotice, next sentLast, h heardOf, now time.Time) (Taken, error) {
	last := a.lastSent(n.Issuer)
	standing, stands := h.standing()
	switch {
	case stands && standing == n.Hash:
		return Taken{n.Issuer, SentStands, unixMS(h.Seen)}, nil
	case stands:
		return Taken{}, fmt.Errorf("%w: another one of this issuer stands; it withdraws that first", ErrSunset)
	case last.Of == n.Hash && last.State == SentWaits:
		return last.taken(), nil
	case last.Of == n.Hash && last.State == SentRefused:
		return Taken{}, fmt.Errorf("%w: the authority's operator refused it on %s; ask there, or announce another day", ErrSunset, unixMS(last.Since).Format(time.DateOnly))
	case next.At <= last.At:
		return Taken{}, ErrOlder
	case n.Effective < now.UnixMilli()+license.NoticeAhead:
		return Taken{}, fmt.Errorf("%w: it takes effect in less than 30 days; announce a later day", ErrSunset)
	case last.State != SentWaits && a.waiting() >= maxWaiting:
		return Taken{}, ErrFull
	}
	return a.keepSent(next, a.save)
}

func (a *Authority) takeWithdrawal(in Sending, next sentLast, h heardOf, now time.Time) (Taken, error) {
	issuer := ident.Issuer(h.Issuer)
	next.State = SentWithdrawn
	last := a.lastSent(issuer)
	standing, stands := h.standing()
	waits := last.State == SentWaits
	switch {
	case !stands && !waits && last.Of == next.Of && last.State == SentWithdrawn:
		return last.taken(), nil
	case next.At <= last.At:
		return Taken{}, ErrOlder
	case stands && standing == next.Of:
		return a.keepSent(next, func() error { return a.Withdraw(issuer, in.Statement, now) })
	case waits && last.Of != next.Of, stands:
		return Taken{}, fmt.Errorf("%w: the withdrawal is of another notice", ErrSunset)
	case waits && !bytes.Equal(last.Key, in.Key):
		return Taken{}, fmt.Errorf("%w: the withdrawal is signed with another key", ErrSunset)
	}
	return a.keepSent(next, a.save)
}

// keepSent makes durable what an issuer sent last, by the one write of durable.
func (a *Authority) keepSent(next sentLast, durable func() error) (Taken, error) {
	was := slices.Clone(a.rec.Sent)
	if i := slices.IndexFunc(a.rec.Sent, next.sameIssuer); i >= 0 {
		a.rec.Sent[i] = next
	} else {
		a.rec.Sent = append(a.rec.Sent, next)
	}
	if err := durable(); err != nil {
		a.rec.Sent = was
		return Taken{}, err
	}
	return next.taken(), nil
}

func (s *sentLast) sameIssuer(o sentLast) bool { return bytes.Equal(s.Issuer, o.Issuer) }

func (s *sentLast) taken() Taken {
	return Taken{ident.Issuer(s.Issuer), s.State, unixMS(s.Since)}
}

// lastSent is the newest that an issuer sent; the zero value where it sent nothing.
func (a *Authority) lastSent(issuer ident.Issuer) sentLast {
	for _, s := range a.rec.Sent {
		if ident.Issuer(s.Issuer) == issuer {
			return s
		}
	}
	return sentLast{Issuer: []byte(issuer)}
}

func (a *Authority) waiting() (n int) {
	for _, s := range a.rec.Sent {
		if s.State == SentWaits {
			n++
		}
	}
	return n
}

// standing is the hash of the notice that stands.
func (h *heardOf) standing() (hash [32]byte, ok bool) {
	n, err := license.ParseNotice(h.Notice)
	if err != nil {
		return hash, false
	}
	return n.Hash, true
}

// waits is the notice of an issuer that waits.
func (s *sentLast) waits() *Waiting {
	n, err := license.ParseNotice(s.Notice)
	if err != nil || s.State != SentWaits {
		return nil
	}
	return &Waiting{Since: unixMS(s.Since), From: s.Device, Effective: unixMS(n.Effective), Scope: n.Scope, Key: fmt.Sprintf("%x", s.Key)}
}

// StandSent lets the notice stand that an issuer sent and that waits.
func (a *Authority) StandSent(issuer ident.Issuer, now time.Time) error {
	s, err := a.sentWaiting(issuer)
	if err != nil {
		return err
	}
	return a.Stand(s.Notice, s.Key, now)
}

// RefuseSent ends that a notice waits. The issuer is told when it sends it again.
func (a *Authority) RefuseSent(issuer ident.Issuer, now time.Time) error {
	s, err := a.sentWaiting(issuer)
	if err != nil {
		return err
	}
	_, err = a.keepSent(s.over(SentRefused, now), a.save)
	return err
}

func (a *Authority) sentWaiting(issuer ident.Issuer) (sentLast, error) {
	s := a.lastSent(issuer)
	if s.State != SentWaits {
		return s, fmt.Errorf("%w: no notice of issuer %v waits; see lares ca sunset list", ErrSunset, issuer)
	}
	return s, nil
}

// over is what is kept when a notice waits no more.
func (s sentLast) over(as SentState, now time.Time) sentLast {
	s.State, s.Since, s.Notice, s.Key = as, now.UnixMilli(), nil, nil
	return s
}
