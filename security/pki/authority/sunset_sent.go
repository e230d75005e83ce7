package authority

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	sentOver  SentState = 0 // a notice that waited and cannot stand any more
	sentFiled SentState = 5 // a notice that was withdrawn by a file
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
	From      ident.Device    `json:"from"`               // the issuer's module that sent it
	Effective time.Time       `json:"effective"`          // the day that it names
	Scope     []ident.Content `json:"scope,omitempty"`    // none = all titles
	Key       string          `json:"key"`                // the notice key, hexadecimal
	Notice    string          `json:"notice"`             // hash of it, hexadecimal
	Replaced  string          `json:"replaced,omitempty"` // hash of another one that waited before, and was never decided
}

// Late reports whether it can stand no more: its day is too near.
func (w *Waiting) Late(now time.Time) bool { return tooLate(w.Effective.UnixMilli(), now) }

func tooLate(effective int64, now time.Time) bool {
	return effective < now.UnixMilli()+license.NoticeAhead
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

// Proves returns the issuer whose module has signed that it sends this, now; ErrProof
// when none has. It changes nothing, and says nothing of what is sent.
func (a *Authority) Proves(in Sending, now time.Time) (ident.Issuer, error) {
	_, word, _, err := a.sending(in, now)
	if errors.Is(err, ErrProof) {
		return "", err
	}
	return word.Issuer, nil
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
	late := tooLate(n.Effective, now)
	errLate := fmt.Errorf("%w: it takes effect in less than 30 days; announce a later day", ErrSunset)
	switch {
	case stands && standing == n.Hash:
		return Taken{n.Issuer, SentStands, unixMS(h.Seen)}, nil
	case stands:
		return Taken{}, fmt.Errorf("%w: another one of this issuer stands; it withdraws that first", ErrSunset)
	case last.Of == n.Hash && last.State == SentWaits && late: // it has waited until its day was too near
		if _, err := a.keepSent(last.over(sentOver, now), a.save); err != nil {
			return Taken{}, err
		}
		return Taken{}, errLate
	case last.Of == n.Hash && (last.State == SentWaits || last.State == sentFiled):
		return last.taken(), nil
	}
	if since, no := a.refusedBefore(n.Issuer, n.Hash); no {
		return Taken{}, fmt.Errorf("%w: the authority's operator refused it on %s; ask there, or announce another day", ErrSunset, unixMS(since).Format(time.DateOnly))
	}
	switch {
	case next.At <= last.At:
		return Taken{}, ErrOlder
	case late:
		return Taken{}, errLate
	case last.State != SentWaits && a.waiting(now) >= maxWaiting:
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
		return a.keepSent(next, func() error { return a.withdraw(issuer, in.Statement, now) })
	case waits && last.Of != next.Of, stands:
		return Taken{}, fmt.Errorf("%w: the withdrawal is of another notice", ErrSunset)
	case waits && !bytes.Equal(last.Key, in.Key):
		return Taken{}, fmt.Errorf("%w: the withdrawal is signed with another key", ErrSunset)
	}
	return a.keepSent(next, a.save)
}

// keepSent makes durable what an issuer sent last, by the one write of durable.
func (a *Authority) keepSent(next sentLast, durable func() error) (Taken, error) {
	was, before := slices.Clone(a.rec.Sent), slices.Clone(a.rec.Before)
	a.keepBefore(next)
	if i := slices.IndexFunc(a.rec.Sent, next.sameIssuer); i >= 0 {
		a.rec.Sent[i] = next
	} else {
		a.rec.Sent = append(a.rec.Sent, next)
	}
	if err := durable(); err != nil {
		a.rec.Sent, a.rec.Before = was, before
		return Taken{}, err
	}
	return next.taken(), nil
}

func (s *sentLast) sameIssuer(o sentLast) bool { return bytes.Equal(s.Issuer, o.Issuer) }

func (s *sentLast) taken() Taken {
	state := s.State
	if state == sentFiled {
		state = SentWithdrawn
	}
	return Taken{ident.Issuer(s.Issuer), state, unixMS(s.Since)}
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

// waiting counts the notices that wait and can still stand.
func (a *Authority) waiting(now time.Time) (n int) {
	for _, s := range a.rec.Sent {
		if w := s.waits(); w != nil && !w.Late(now) {
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
	return &Waiting{Since: unixMS(s.Since), From: s.Device, Effective: unixMS(n.Effective), Scope: n.Scope, Key: hex.EncodeToString(s.Key), Notice: hex.EncodeToString(s.Of[:])}
}

// NoticeDigits is how many hexadecimal digits of its hash name a notice to the
// operator's commands at least: with fewer, who has the notice key would find another
// notice of the same name. Source: local, docs/spec/sunset.md.
const NoticeDigits = 16

// StandSent lets the notice stand that an issuer sent and that waits. notice is its
// hash as the operator has read it, NoticeDigits of it or more: another one may have
// come since.
func (a *Authority) StandSent(issuer ident.Issuer, notice string, now time.Time) error {
	s, err := a.sentWaiting(issuer, notice)
	if err != nil {
		return err
	}
	return a.Stand(s.Notice, s.Key, now)
}

// RefuseSent ends that a notice waits, named as for StandSent. The issuer is told when
// it sends it again.
func (a *Authority) RefuseSent(issuer ident.Issuer, notice string, now time.Time) error {
	s, err := a.sentWaiting(issuer, notice)
	if err != nil {
		return err
	}
	_, err = a.keepSent(s.over(SentRefused, now), a.save)
	return err
}

func (a *Authority) sentWaiting(issuer ident.Issuer, notice string) (sentLast, error) {
	s := a.lastSent(issuer)
	is := hex.EncodeToString(s.Of[:])
	switch {
	case s.State != SentWaits:
		return s, fmt.Errorf("%w: no notice of issuer %v waits; see lares ca sunset list", ErrSunset, issuer)
	case len(notice) < NoticeDigits:
		return s, fmt.Errorf("%w: name the notice by the first %d digits of its hash or more, as lares ca sunset list shows it", ErrSunset, NoticeDigits)
	case !strings.HasPrefix(is, strings.ToLower(notice)):
		return s, fmt.Errorf("%w: the notice of issuer %v that waits now is %s, another one than you named; read it with lares ca sunset list and call the issuer again", ErrSunset, issuer, is[:NoticeDigits])
	}
	return s, nil
}

// over is what is kept when a notice waits no more.
func (s sentLast) over(as SentState, now time.Time) sentLast {
	s.State, s.Since, s.Notice, s.Key = as, now.UnixMilli(), nil, nil
	return s
}
