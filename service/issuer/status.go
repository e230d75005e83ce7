package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// Status says what an issuer knows of a license. The words are those of the
// status documents of Readium LCP; what they mean here: docs/spec/status.md.
type Status string

// The states of a license at its issuer.
const (
	Ready     Status = "ready"     // made or renewed, and its household has not got it
	Active    Status = "active"    // its household has it
	Back      Status = "returned"  // a loan that its household gave back
	Expired   Status = "expired"   // its end has come
	Revoked   Status = "revoked"   // the grant was ended: it is not renewed and not given again
	Cancelled Status = "cancelled" // its household's module refused it; the count is back in the grant
)

// Link is what may be done now.
type Link struct {
	Rel    string `json:"rel"` // license: fetch it (again); renew
	Href   string `json:"href"`
	Method string `json:"method"`
}

// StatusDocument tells whoever has a license what its issuer knows of it. It
// names no device and no title, and says nothing of use: the issuer learns none.
type StatusDocument struct {
	ID      ident.License `json:"id"`
	Status  Status        `json:"status"`
	Message string        `json:"message"`
	Version uint64        `json:"version"`
	Updated struct {
		License time.Time `json:"license"` // issued at
		Status  time.Time `json:"status,omitzero"`
	} `json:"updated"`
	Links  []Link `json:"links"` // only what is allowed now
	Rights *struct {
		End time.Time `json:"end"` // what a renewal now would give
	} `json:"potential_rights,omitempty"`
}

// statusWords say a state in a sentence.
var statusWords = map[Status]string{
	Ready:     "It waits for your house to fetch it.",
	Active:    "Your house has it.",
	Back:      "Your house gave it back.",
	Expired:   "Its time is over.",
	Revoked:   "It is not given or renewed any more. What your house has plays by its own rules.",
	Cancelled: "Your house could not take it; it can be fetched once more.",
}

// known is what the store says of a license.
type known struct {
	license License
	grant   Grant
	copies  *copies // of its content, at now; nil: the title is no library's
	over    *End    // before the end of its terms; nil: it has not ended so
	end     int64   // Unix ms at which it ends by its terms; 0 = no end that the issuer knows
	now     int64
}

func (i *Issuer) known(ctx context.Context, r Reader, domain ident.Domain, id ident.License) (k known, err error) {
	k.now = i.cfg.Now().UnixMilli()
	if k.license, err = r.License(ctx, domain, id); err != nil {
		return k, err
	}
	if k.grant, err = r.Grant(ctx, GrantKey{domain, k.license.Grant}); err != nil {
		return k, err
	}
	if k.end, err = k.grant.end(); err != nil {
		return k, err
	}
	if e, err := r.End(ctx, domain, id); err == nil {
		k.over = &e
	} else if !errors.Is(err, ErrNotFound) {
		return k, err
	}
	s, err := r.Stock(ctx, k.grant.Content)
	if errors.Is(err, ErrNotFound) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	k.copies = &copies{Stock: s}
	if k.copies.loans, err = r.Loans(ctx, s.Content); err != nil {
		return k, err
	}
	if k.copies.holds, err = r.Holds(ctx, s.Content); err != nil {
		return k, err
	}
	k.copies.tick(k.now)
	return k, nil
}

// end is when the latest use ends by the grant's terms, or 0. An interval from
// the first use has no end here: only the household knows when that was.
func (g *Grant) end() (end int64, err error) {
	u, p, err := ReadTerms(g.Terms)
	if err != nil {
		return 0, fmt.Errorf("terms of grant %v: %w", g.ID, err)
	}
	for _, x := range u.Usage {
		if x.EndTime == 0 || x.Interval != 0 {
			return p.HardEnd, nil
		}
		end = max(end, x.EndTime)
	}
	if p.HardEnd != 0 {
		end = min(end, p.HardEnd)
	}
	return end, nil
}

// status judges in this order: what is over for good first.
func (k *known) status() Status {
	switch {
	case k.over != nil && k.over.How == EndReturned:
		return Back
	case k.over != nil:
		return Revoked
	case k.license.State == Returned && k.grant.Kind == Loan:
		return Back
	case k.license.State == Returned:
		return Cancelled
	case k.grant.Revoked:
		return Revoked
	case k.end != 0 && k.end <= k.now:
		return Expired
	case k.license.State == Delivered && k.license.Version >= k.grant.Version, k.stateless() && k.license.Version >= k.grant.Version:
		return Active
	}
	return Ready
}

// stateless licenses have no receipt: what was given counts as held.
func (k *known) stateless() bool {
	info, err := k.grant.info("", ident.License{1}, 1, k.grant.IssuedAt)
	return err == nil && info.Stateless()
}

// renewal is until when a renewal now would go, or 0 when there is none.
func (k *known) renewal() int64 {
	if k.copies == nil || k.grant.Revoked {
		return 0
	}
	l := k.copies.loanOf(k.license.Domain)
	if l == nil || l.Grant != k.grant.ID || k.copies.waiting() > 0 {
		return 0
	}
	if end := loanEnd(k.now, k.copies.Period); end > l.Until {
		return end
	}
	return 0
}

// fetchable reports whether the license is given (again) to who asks.
func (k *known) fetchable(s Status) bool {
	switch s {
	case Ready:
		return true
	case Active:
		return k.stateless() && (k.grant.Expires == 0 || k.grant.Expires > k.now)
	case Cancelled:
		return k.grant.Remaining > 0 && !k.grant.Revoked && (k.grant.Expires == 0 || k.grant.Expires > k.now)
	case Back, Expired, Revoked: // below
	}
	return false
}

// StatusPath is where status documents are: StatusPath + household + "/" + license.
const StatusPath = "/status/v1/"

// Document is the status document of a license. base is where the issuer is
// reached, and frames the path of its LRP binding there.
func (i *Issuer) Document(ctx context.Context, base, frames string, domain ident.Domain, id ident.License) (d StatusDocument, err error) {
	var k known
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		k, err = i.known(ctx, r, domain, id)
		return err
	})
	if err != nil {
		return d, fmt.Errorf("license %v: %w", id, err)
	}
	d.ID, d.Status, d.Version, d.Links = id, k.status(), k.license.Version, []Link{}
	d.Message = statusWords[d.Status]
	d.Updated.License = time.UnixMilli(k.license.IssuedAt).UTC()
	switch d.Status {
	case Expired:
		d.Updated.Status = time.UnixMilli(k.end).UTC()
	case Ready, Active:
		d.Updated.Status = d.Updated.License
	case Back, Revoked, Cancelled: // when is kept of an end by itself
		if k.over != nil {
			d.Updated.Status = time.UnixMilli(k.over.At).UTC()
		}
	}
	if k.fetchable(d.Status) {
		d.Links = append(d.Links, Link{"license", base + frames, "POST"})
	}
	if end := k.renewal(); end != 0 {
		d.Links = append(d.Links, Link{"renew", base + StatusPath + domain.String() + "/" + id.String() + "/renew", "POST"})
		d.Rights = &struct {
			End time.Time `json:"end"`
		}{time.UnixMilli(end).UTC()}
	}
	return d, nil
}

// RenewLicense renews the loan that a license is of.
func (i *Issuer) RenewLicense(ctx context.Context, domain ident.Domain, id ident.License) error {
	var k known
	err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		k, err = i.known(ctx, r, domain, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("license %v: %w", id, err)
	}
	if k.copies == nil || k.copies.loanOf(domain) == nil || k.copies.loanOf(domain).Grant != k.grant.ID {
		return ErrNotRenewed
	}
	_, err = i.RenewLoan(ctx, k.grant.Content, domain)
	return err
}

// ErrNotRenewed is returned for a license that is no loan of a library's copy,
// or whose copy is back.
var ErrNotRenewed = errors.New("issuer: this license is not renewed; ask the shop or library for a new one")
