package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// What is refused to who joins a domain.
var (
	// ErrFull: the domain's limits admit no further device now.
	ErrFull      = errors.New("issuer: this house has as many devices as it may")
	ErrNotItself = errors.New("issuer: the device does not prove that the certificates are its own")
)

// Limits of what a device shows to join. Source: local, docs/spec/issuer-api.md section 10.
const (
	maxJoinCerts = 4
	maxJoinCert  = 8192 // bytes
)

// Joining is what a device shows to become a member of a domain.
type Joining struct {
	Chain    [][]byte `json:"chain"`    // its certificates, leaf first, DER
	Delivery []byte   `json:"delivery"` // certificate of its delivery key, DER
	Hardware []byte   `json:"hardware"` // Machine of its machine's mark; empty: it has none
	Name     string   `json:"name"`
	// Proof is the device's link statement over what is here and the code: nobody joins
	// with another one's certificates.
	Proof []byte `json:"proof"`
}

// Machine is what an issuer learns of a machine: no two issuers learn the same.
func Machine(issuer ident.Device, mark []byte) []byte {
	sum := sha256.Sum256(slices.Concat([]byte("lares/1/machine"), issuer[:], mark))
	return sum[:]
}

// Statement is what a device signs to join with a code at an issuer.
func (j *Joining) Statement(code ClaimCode, issuer ident.Device) (pki.LinkStatement, error) {
	what, err := wire.Marshal([]any{"lares/1/join", j.Delivery, j.Hardware, j.Name})
	if err != nil {
		return pki.LinkStatement{}, fmt.Errorf("encode what a device shows: %w", err)
	}
	return pki.LinkStatement{Link: sha256.Sum256([]byte("lares/1/join " + code.Text())), Relay: issuer, Hello: sha256.Sum256(what)}, nil
}

// check reads who joins; that the certificates hold, the module finds out.
func (j *Joining) check(code ClaimCode, self ident.Device) (ident.Device, error) {
	long := func(c []byte) bool { return len(c) > maxJoinCert }
	if len(j.Chain) == 0 || len(j.Chain) > maxJoinCerts || slices.ContainsFunc(j.Chain, long) || long(j.Delivery) || len(j.Hardware) > sha256.Size {
		return ident.Device{}, fmt.Errorf("%w: what the device shows", ErrTerms)
	}
	if _, err := x509.ParseCertificate(j.Delivery); err != nil {
		return ident.Device{}, fmt.Errorf("%w: the certificate of its delivery key cannot be read", ErrTerms)
	}
	want, err := j.Statement(code, self)
	if err != nil {
		return ident.Device{}, err
	}
	id, err := pki.VerifyLink(j.Chain[0], j.Proof, want)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrNotItself, err)
	}
	return id, nil
}

// JoinCode makes the code by which devices join a domain for a day, in the place of
// the one before. With idle, who joins a full domain may have the place of the device
// that was not seen for the longest time, if its membership is over.
func (i *Issuer) JoinCode(ctx context.Context, domain ident.Domain, idle bool) (ClaimCode, int64, error) {
	if i.cfg.ClaimKey.b == nil {
		return ClaimCode{}, 0, ErrNoCodes
	}
	c := JoinCode{Domain: domain, Idle: idle, Expires: i.cfg.Now().Add(JoinCodeLife).UnixMilli()}
	var code ClaimCode
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		r, err := tx.Roll(ctx, domain)
		if err != nil {
			return fmt.Errorf("domain %v: %w", domain, err)
		}
		for range rollTries { // one that another domain has by chance is passed over
			r.Codes++
			code = i.cfg.ClaimKey.code(BatchID(domain), r.Codes)
			c.Hash = i.cfg.ClaimKey.hash(code)
			fresh, err := tx.PutJoinCode(ctx, c)
			if err != nil {
				return err
			}
			if fresh {
				r.Version++
				ok, err := tx.SetRoll(ctx, r)
				if err == nil && !ok {
					err = ErrBusy
				}
				return err
			}
		}
		return ErrBusy
	})
	return code, c.Expires, err
}

// Join makes a device that shows a code a member of the code's domain. Shown again it
// gets its membership again.
func (i *Issuer) Join(ctx context.Context, from netip.Addr, code ClaimCode, j Joining) (trem.Admission, error) {
	var none trem.Admission
	id, err := j.check(code, i.self)
	if err != nil {
		return none, err
	}
	c, err := i.joinCode(ctx, from, code)
	if err != nil {
		return none, err
	}
	now := i.cfg.Now().UnixMilli()
	d := DomainDevice{Domain: c.Domain, ID: id, Name: deviceName(j.Name), Chain: slices.Concat(j.Chain...), Delivery: j.Delivery, Enrolled: now}
	order := trem.RollOrder{Op: trem.RollAdmit, Who: &trem.Candidate{Chain: j.Chain, Hardware: j.Hardware, Idle: c.Idle}}
	_, got, err := i.roll(ctx, c.Domain, order, func(ctx context.Context, tx Tx, _ trem.Rolled) error {
		if _, err := tx.JoinCode(ctx, c.Hash); errors.Is(err, ErrNotFound) {
			return ErrCodeUnknown // another one took its place meanwhile
		} else if err != nil {
			return err
		}
		return tx.PutDevice(ctx, d)
	})
	if no, ok := errors.AsType[*trem.RefusalError](err); ok {
		return none, full(no.Decision)
	}
	if err != nil {
		return none, err
	}
	i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "device joined", slog.Any("domain", c.Domain), slog.Any("device", id), slog.Bool("in_place", got.Replaced != ident.Device{}))
	return trem.Admission{Membership: got.Membership, Manager: got.Manager, Replaced: got.Replaced}, nil
}

// joinCode finds an open code; wrong ones are counted by where they come from.
func (i *Issuer) joinCode(ctx context.Context, from netip.Addr, code ClaimCode) (c JoinCode, err error) {
	if i.cfg.ClaimKey.b == nil {
		return c, ErrCodeUnknown
	}
	now := i.cfg.Now()
	if !i.guesses.may(from, now) {
		return c, ErrGuessing
	}
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		c, err = r.JoinCode(ctx, i.cfg.ClaimKey.hash(code))
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		i.guesses.wrong(from, now)
		return c, ErrCodeUnknown
	case err == nil && c.Expires <= now.UnixMilli():
		return c, ErrCodeExpired
	}
	return c, err
}

// full says why a domain's limits admit nobody.
func full(d license.Decision) error {
	r := d.Reasons[0]
	return fmt.Errorf("%w: %s, and for one more %s%s", ErrFull, r.Have, r.Need, when(r.Earliest))
}

func when(at int64) string {
	if at == 0 {
		return ""
	}
	return "; not before " + dayOf(at)
}
