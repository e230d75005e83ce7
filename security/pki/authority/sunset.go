package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// ErrSunset is returned for a notice of sunset, or a withdrawal, that the
// authority cannot let stand.
var ErrSunset = errors.New("authority: the notice of sunset cannot stand")

// heardOf is what the authority knows of a license issuer.
type heardOf struct {
	_      struct{} `cbor:",toarray"`
	Issuer []byte
	Seen   int64  // Unix ms: when its module showed itself last, or since when its notice stands
	Notice []byte // signed, that stands; null = none
	Key    []byte // that signed it
}

// IssuerInfo is what the authority says of a license issuer.
type IssuerInfo struct {
	Issuer    ident.Issuer    `json:"issuer"`
	LastSeen  time.Time       `json:"last_seen"`
	Effective time.Time       `json:"effective,omitzero"` // of the notice that stands
	Scope     []ident.Content `json:"scope,omitempty"`    // of it; none = all titles
	Waits     *Waiting        `json:"waits,omitempty"`    // a notice that it sent, for the operator
}

// renewedFrom is the latest place of a license issuer's module that it was
// renewed from by a signing request of that time.
type renewedFrom struct {
	_      struct{} `cbor:",toarray"`
	Device []byte
	Index  uint32
}

// fresh says whether a renewal shows that an issuer's module still signs: its
// request names the certificate that it renews, and none of that place or a
// later one was renewed so before. Whoever repeats a request gets certificates
// for it, and keeps nobody alive by that: what they would need next is a
// request that names them, which only the module makes.
func (a *Authority) fresh(peer *pki.Peer, r Renewal) bool {
	m, err := pki.ModuleOf(r.Signing)
	if sum := sha256.Sum256(r.Chain[0]); err != nil || m == nil || !bytes.Equal(m.Renews, sum[:]) {
		return false
	}
	id := peer.ID()
	i := slices.IndexFunc(a.rec.Renewed, func(r renewedFrom) bool { return bytes.Equal(r.Device, id[:]) })
	if i < 0 {
		a.rec.Renewed = append(a.rec.Renewed, renewedFrom{Device: id[:], Index: peer.Index()})
		return true
	}
	later := peer.Index() > a.rec.Renewed[i].Index
	a.rec.Renewed[i].Index = max(a.rec.Renewed[i].Index, peer.Index())
	return later
}

// heard notes that a license issuer has shown itself. While its notice stands the
// time is that of the notice, so that the leaf says which notice it is.
func (a *Authority) heard(id ident.Issuer, now time.Time) {
	i := a.issuer(id)
	if i < 0 {
		a.rec.Issuers = append(a.rec.Issuers, heardOf{Issuer: []byte(id)})
		i = len(a.rec.Issuers) - 1
	}
	if h := &a.rec.Issuers[i]; len(h.Notice) == 0 {
		h.Seen = max(h.Seen, now.UnixMilli())
	}
}

func (a *Authority) issuer(id ident.Issuer) int {
	return slices.IndexFunc(a.rec.Issuers, func(h heardOf) bool { return ident.Issuer(h.Issuer) == id })
}

// draftIssuers puts what is known of the issuers into the next epoch.
func (a *Authority) draftIssuers() error {
	for _, h := range a.rec.Issuers {
		if err := a.draft.SetIssuer(ident.Issuer(h.Issuer), time.UnixMilli(h.Seen), len(h.Notice) > 0); err != nil {
			return err
		}
	}
	return nil
}

// Stand lets an issuer's notice of sunset stand, and publishes that. key is the
// notice key that the operator has from the issuer: modules know it from the
// licenses, and believe a notice by no other. An issuer has one notice at a time.
func (a *Authority) Stand(notice, key []byte, now time.Time) error {
	n, err := license.ParseNotice(notice)
	if err == nil {
		err = n.Verify(key)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSunset, err)
	}
	i := a.issuer(n.Issuer)
	switch {
	case i < 0:
		return fmt.Errorf("%w: no issuer %v was certified here", ErrSunset, n.Issuer)
	case slices.Equal(a.rec.Issuers[i].Notice, notice):
		return nil
	case len(a.rec.Issuers[i].Notice) > 0:
		return fmt.Errorf("%w: another one of this issuer stands; it withdraws that first", ErrSunset)
	case n.Effective < now.UnixMilli()+license.NoticeAhead:
		return fmt.Errorf("%w: it takes effect in less than 30 days; the issuer announces a later day", ErrSunset)
	}
	was := a.rec.Issuers[i]
	a.rec.Issuers[i] = heardOf{Issuer: was.Issuer, Seen: now.UnixMilli(), Notice: notice, Key: key}
	publish := func() error { return a.publishIssuer(i, was, now) }
	if sent := a.lastSent(n.Issuer); sent.State == SentWaits {
		as := SentStands
		if sent.Of != n.Hash { // and the one that waits cannot stand beside this one
			as = sentOver
		}
		_, err = a.keepSent(sent.over(as, now), publish)
		return err
	}
	return publish()
}

// Withdraw takes the notice of an issuer back by a file that it has signed, whether
// the notice stands, which is published, or waits. When the issuer's host sends that
// notice again it hears that it is withdrawn. What has taken effect stays.
func (a *Authority) Withdraw(issuer ident.Issuer, withdrawal []byte, now time.Time) error {
	last, stands := a.lastSent(issuer), false
	next := last.over(sentFiled, now)
	if i := a.issuer(issuer); i >= 0 {
		var hash [32]byte
		if hash, stands = a.rec.Issuers[i].standing(); stands {
			next.Of = hash
		}
	}
	if stands || last.State != SentWaits {
		_, err := a.keepSent(next, func() error { return a.withdraw(issuer, withdrawal, now) })
		return err
	}
	n, err := license.ParseNotice(last.Notice)
	if err == nil {
		err = n.Withdrawn(withdrawal, last.Key)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSunset, err)
	}
	_, err = a.keepSent(next, a.save)
	return err
}

// withdraw takes a notice back that stands.
func (a *Authority) withdraw(issuer ident.Issuer, withdrawal []byte, now time.Time) error {
	i := a.issuer(issuer)
	if i < 0 || len(a.rec.Issuers[i].Notice) == 0 {
		return fmt.Errorf("%w: no notice of issuer %v stands, and none waits", ErrSunset, issuer)
	}
	was := a.rec.Issuers[i]
	n, err := license.ParseNotice(was.Notice)
	if err == nil {
		err = n.Withdrawn(withdrawal, was.Key)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSunset, err)
	}
	if now.UnixMilli() >= n.Effective {
		return fmt.Errorf("%w: it has taken effect and is not withdrawn any more", ErrSunset)
	}
	a.rec.Issuers[i] = heardOf{Issuer: was.Issuer, Seen: now.UnixMilli()}
	return a.publishIssuer(i, was, now)
}

// publishIssuer publishes a change of one issuer. Its epoch and the record that
// holds the change become current by one write; a failure leaves both as they were.
func (a *Authority) publishIssuer(i int, was heardOf, now time.Time) error {
	err := a.Publish(now)
	if err != nil {
		a.rec.Issuers[i] = was
		_ = a.draftIssuers() // was accepted before
	}
	return err
}

// Issuers lists the license issuers that were certified here.
func (a *Authority) Issuers() []IssuerInfo {
	out := make([]IssuerInfo, 0, len(a.rec.Issuers))
	for _, h := range a.rec.Issuers {
		info := IssuerInfo{Issuer: ident.Issuer(h.Issuer), LastSeen: unixMS(h.Seen)}
		if n, err := license.ParseNotice(h.Notice); err == nil {
			info.Effective, info.Scope = unixMS(n.Effective), n.Scope
		}
		sent := a.lastSent(info.Issuer)
		if info.Waits = sent.waits(); info.Waits != nil {
			before := a.before(info.Issuer)
			info.Waits.Replaced = hex.EncodeToString(before.Replaced)
		}
		out = append(out, info)
	}
	return out
}

// Notices are the notices that stand, each in the words of the state signer.
func (a *Authority) Notices() ([][]byte, error) {
	out := [][]byte{}
	for _, h := range a.rec.Issuers {
		if len(h.Notice) == 0 {
			continue
		}
		key, err := a.key(a.stateKey())
		if err != nil {
			return nil, err
		}
		s, err := license.SignStanding(key, a.rec.State.Chain[0], h.Notice, h.Seen)
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}
