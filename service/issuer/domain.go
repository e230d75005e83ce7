package issuer

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Registrar is the input TREM as the manager of domains; *trem.Client is one.
type Registrar interface {
	Roll(ctx context.Context, o trem.RollOrder) (trem.Rolled, error)
}

// Limits of a domain that nobody set others for, and how long a code to join is good.
// Source: local, docs/spec/issuer-api.md section 10.
const (
	DomainDevices = 8
	DomainNew     = 16
	JoinCodeLife  = 24 * time.Hour

	maxDeviceName = 64 // bytes
	rollTries     = 8  // of an operation that others were before
)

// NewDomain asks for a domain that this issuer manages.
type NewDomain struct {
	Devices  uint64 // at one time, 1 to 64; default 8
	NewAYear uint64 // new devices in 365 days, at most 64; 0 = no limit
}

// Domain is a domain that this issuer manages.
type Domain struct {
	Domain     ident.Domain `json:"domain"`
	Devices    uint64       `json:"devices"`    // at one time
	NewAYear   uint64       `json:"new_a_year"` // 0 = no limit
	Generation uint64       `json:"generation"`
	Created    int64        `json:"created_at"` // Unix ms
	Members    []Member     `json:"members"`    // none in a list of domains
}

// Member is a device of it.
type Member struct {
	Device ident.Device `json:"device"`
	Name   string       `json:"name"`
	Since  int64        `json:"since"`  // Unix ms: when it, or what its machine was before, came first
	Until  int64        `json:"until"`  // Unix ms: the end of its membership
	Lapsed bool         `json:"lapsed"` // it is over: the device was not seen for 30 days
}

func (r *DomainRoll) view() Domain {
	return Domain{Domain: r.Domain, Devices: r.Devices, NewAYear: r.NewAYear, Generation: r.Generation, Created: r.Created, Members: []Member{}}
}

// CreateDomain makes a domain without members.
func (i *Issuer) CreateDomain(ctx context.Context, n NewDomain) (Domain, error) {
	if n.Devices == 0 {
		n.Devices = DomainDevices
	}
	got, err := i.cfg.TREM.Roll(ctx, trem.RollOrder{Op: trem.RollCreate, Devices: n.Devices, NewAYear: n.NewAYear})
	if err != nil {
		return Domain{}, i.watch(err)
	}
	r := DomainRoll{
		Domain: got.Domain, Roll: got.Roll, Version: 1, Generation: got.Generation, Devices: n.Devices, NewAYear: n.NewAYear, Created: i.cfg.Now().UnixMilli(),
	}
	About(ctx, r.Domain.String())
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		fresh, err := tx.PutRoll(ctx, r)
		if err != nil || fresh {
			return err
		}
		have, err := tx.Roll(ctx, r.Domain)
		if err == nil && !bytes.Equal(have.Roll, r.Roll) { // else it was recorded, and nobody heard of it
			err = ErrConflict
		}
		return err
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "domain made", slog.Any("domain", r.Domain))
	}
	return r.view(), err
}

// Domains returns at most limit domains behind after, without their members.
func (i *Issuer) Domains(ctx context.Context, after ident.Domain, limit int) (out []Domain, err error) {
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		out = []Domain{}
		all, err := r.Rolls(ctx, after, limit)
		for _, d := range all {
			out = append(out, d.view())
		}
		return err
	})
	return out, err
}

// Domain returns a domain with its members.
func (i *Issuer) Domain(ctx context.Context, domain ident.Domain) (Domain, error) {
	r, got, err := i.roll(ctx, domain, trem.RollOrder{Op: trem.RollCard}, nil)
	if err != nil {
		return Domain{}, err
	}
	out := r.view()
	out.Members, err = i.members(ctx, domain, got.Members)
	return out, err
}

// members are the devices of a roll, with their names.
func (i *Issuer) members(ctx context.Context, domain ident.Domain, list []trem.RollMember) ([]Member, error) {
	names := map[ident.Device]string{}
	err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		all, err := r.Devices(ctx, domain)
		for _, d := range all {
			names[d.ID] = d.Name
		}
		return err
	})
	out := []Member{}
	for _, m := range list {
		out = append(out, Member{Device: m.Device, Name: names[m.Device], Since: m.Since, Until: m.Until, Lapsed: m.Lapsed})
	}
	return out, err
}

// roll has the module do one operation on a domain and records what came of it, with
// what also does, in one transaction. Who was before it is never overwritten: the
// operation is done again on what is there then. What the module puts out it does not
// forget, whether this is recorded or not.
func (i *Issuer) roll(ctx context.Context, domain ident.Domain, o trem.RollOrder, also func(context.Context, Tx, trem.Rolled) error) (r DomainRoll, got trem.Rolled, err error) {
	for range rollTries {
		err := i.cfg.Store.View(ctx, func(ctx context.Context, rd Reader) (err error) {
			r, err = rd.Roll(ctx, domain)
			return err
		})
		if err != nil {
			return r, got, fmt.Errorf("domain %v: %w", domain, err)
		}
		o.Roll = r.Roll
		got, err = i.cfg.TREM.Roll(ctx, o)
		if isState(err) {
			if err := i.anew(ctx, r); err != nil {
				return r, got, err
			}
			continue
		}
		if err != nil {
			return r, got, i.watch(err)
		}
		if bytes.Equal(got.Roll, r.Roll) && also == nil {
			return r, got, nil
		}
		r.Roll, r.Generation, r.Version = got.Roll, got.Generation, r.Version+1
		var ok bool
		err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) (err error) {
			if ok, err = tx.SetRoll(ctx, r); err != nil {
				return err
			}
			if !ok { // another one was before, or this one, and nobody heard of it
				have, err := tx.Roll(ctx, domain)
				ok = err == nil && have.Version == r.Version && bytes.Equal(have.Roll, r.Roll)
				return err
			}
			if also != nil {
				if err := also(ctx, tx, got); err != nil {
					return err
				}
			}
			return forgetOthers(ctx, tx, domain, got.Members)
		})
		if err != nil || ok {
			return r, got, err
		}
	}
	return r, got, ErrBusy
}

// forgetOthers drops the devices that are no members any more.
func forgetOthers(ctx context.Context, tx Tx, domain ident.Domain, members []trem.RollMember) error {
	all, err := tx.Devices(ctx, domain)
	if err != nil {
		return err
	}
	for _, d := range all {
		if !slices.ContainsFunc(members, func(m trem.RollMember) bool { return m.Device == d.ID }) {
			if err := tx.DropDevice(ctx, domain, d.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// RemoveDevice puts a device out of a domain: it gets nothing more. What it holds
// stays playable there.
func (i *Issuer) RemoveDevice(ctx context.Context, domain ident.Domain, device ident.Device) error {
	_, _, err := i.roll(ctx, domain, trem.RollOrder{Op: trem.RollRemove, Device: device}, nothingMore)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeUnknown {
		return fmt.Errorf("device %v: %w", device, ErrNotFound)
	}
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "device put out", slog.Any("domain", domain), slog.Any("device", device))
	}
	return err
}

// nothingMore makes an operation's transaction happen, for the operators' log.
func nothingMore(context.Context, Tx, trem.Rolled) error { return nil }

// RemoveDomain ends a domain: its devices get nothing more, and its grants are over.
func (i *Issuer) RemoveDomain(ctx context.Context, domain ident.Domain) error {
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if err := tx.DropDomain(ctx, domain); err != nil {
			return fmt.Errorf("domain %v: %w", domain, err)
		}
		return revokeGrants(ctx, tx, domain)
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "domain ended", slog.Any("domain", domain))
	}
	return err
}

// revokeGrants ends what a household was granted.
func revokeGrants(ctx context.Context, tx Tx, domain ident.Domain) error {
	for key := (GrantKey{Domain: domain}); ; {
		page, err := tx.Grants(ctx, key, pageSize)
		if err != nil {
			return err
		}
		for _, g := range page {
			if g.Domain != domain {
				return nil
			}
			key = GrantKey{g.Domain, g.ID}
			if err := tx.RevokeGrant(ctx, key); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// member is who asks, of a domain that this issuer manages.
type member struct {
	roll    []byte
	devices uint64 // the domain's limits
	new     uint64
}

var (
	errNotMember = &refusal{"NOT_MEMBER", "the device is not of this domain"}
	errSetBack   = &refusal{"UNAVAILABLE", "the issuer has to look after this house's list first"}
	errTooMany   = &refusal{"DOMAIN_FULL", "the domain may have more devices, or more new ones, than the license allows"}
)

// unserved are the domains that the log says of this hour that they are not served: their
// devices ask again and again. The zero value is ready.
type unserved struct {
	mu   sync.Mutex
	hour time.Time             // guarded by mu
	said map[ident.Domain]bool // guarded by mu; of this hour, at most maxUnserved
}

// maxUnserved bounds what is remembered: further domains of an hour are not said.
const maxUnserved = 1024

// first reports whether it is the first time in this hour.
func (u *unserved) first(domain ident.Domain, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if hour := now.Truncate(time.Hour); !hour.Equal(u.hour) {
		u.hour, u.said = hour, map[ident.Domain]bool{}
	}
	if u.said[domain] || len(u.said) >= maxUnserved {
		return false
	}
	u.said[domain] = true
	return true
}

// member renews the membership of who asks, and completes the event with the domain's
// generation: what is issued is for those that are in it now.
func (i *Issuer) member(ctx context.Context, ev *trem.Event) (*member, error) {
	if !ev.Member {
		return nil, nil //nolint:nilnil // a home server asks
	}
	r, got, err := i.roll(ctx, ev.Domain, trem.RollOrder{Op: trem.RollSeen, Device: ev.Peer}, nil)
	switch {
	case errors.Is(err, ErrNotFound) || isRejected(err):
		return nil, errNotMember
	case errors.Is(err, ErrSetBack): // nobody knows whether it is a member
		if !i.unserved.first(ev.Domain, i.cfg.Now()) {
			return nil, errSetBack
		}
		i.cfg.Log.LogAttrs(ctx, slog.LevelError, "domain not served", slog.Any("domain", ev.Domain), slog.Any("error", err))
		return nil, errSetBack
	}
	ev.Generation = got.Generation
	return &member{roll: got.Roll, devices: r.Devices, new: r.NewAYear}, err
}

// fits reports whether the limits of a grant's license are not narrower than those of
// the domain that it is for: here nobody counts devices but the domain.
func (m *member) fits(g *Grant) (bool, error) {
	if m == nil {
		return true, nil
	}
	p, _, err := decodePolicy(g.Policy)
	if err != nil || p.Domain == nil {
		return true, err
	}
	return m.devices <= p.Domain.Devices && (p.Domain.NewAYear == 0 || m.new != 0 && m.new <= p.Domain.NewAYear), nil
}

// sealed is the roll that stands behind an answer; nil for a home server.
func (m *member) sealed() []byte {
	if m == nil {
		return nil
	}
	return m.roll
}

// chainOf reads certificates that stand one after the other.
func chainOf(der []byte) (out [][]byte, err error) {
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("certificates of a device: %w", err)
	}
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	return out, nil
}

// deviceName keeps what can be shown of a name that a stranger chose.
func deviceName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
	if n := maxDeviceName; len(s) > n {
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if s == "" {
		return "A device without a name"
	}
	return s
}
