package issuer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Kind says what was agreed with the household. It orders grants and is shown;
// the terms alone decide what is allowed.
type Kind string

// The kinds of offers and grants. Each is a charge model of the permission code.
const (
	Purchase     Kind = "purchase"
	Rental       Kind = "rental"
	Subscription Kind = "subscription"
	Loan         Kind = "loan"    // of a library
	Gift         Kind = "gift"    // somebody else paid, or nobody
	Coupon       Kind = "coupon"  // paid with points or a coupon
	Preview      Kind = "preview" // costs nothing
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{Purchase, Rental, Subscription, Loan, Gift, Coupon, Preview} }

// charge is the kind's charge model, or 0 for what is no kind.
func (k Kind) charge() permission.Charge {
	return map[Kind]permission.Charge{
		Purchase: permission.ChargePurchase, Rental: permission.ChargeRental, Subscription: permission.ChargeSubscription,
		Loan: permission.ChargeLoan, Gift: permission.ChargeGift, Coupon: permission.ChargePoints, Preview: permission.ChargeFree,
	}[k]
}

// kindOf is the kind whose charge model a code says, or "".
func kindOf(u *permission.Units) Kind {
	if u.Classification == nil {
		return ""
	}
	for _, k := range Kinds() {
		if k.charge() == u.Classification.Charge {
			return k
		}
	}
	return ""
}

// rank orders grants of one content: what was bought or given before what is
// borrowed, so that no rental is used up where none is needed, and a preview last.
func (k Kind) rank() int {
	switch k {
	case Purchase, Gift:
		return 3
	case Subscription:
		return 2
	case Preview:
		return 0
	case Rental, Loan, Coupon: // below
	}
	return 1
}

// Limits of an offer, in bytes. Source: local, docs/spec/issuer-store.md section 4.
const (
	maxOfferID    = 64
	maxOfferName  = 100
	maxOfferWords = 1000
)

// Offer is what a shop or library has to give: a permission code for a content,
// under a name. Grants are made from it, and keep what it said at that time.
type Offer struct {
	ID       string        `json:"id"`
	Content  ident.Content `json:"content"`
	Kind     Kind          `json:"kind"`
	Name     string        `json:"name"`            // one line for people; default: the ID
	Words    string        `json:"words,omitempty"` // the shop's own description
	Terms    string        `json:"terms"`           // text form, with the kind's charge model
	Tiers    []uint64      `json:"tiers"`           // granted; empty = all
	Licenses uint64        `json:"licenses"`
}

// check looks at what people read, and fills in the name.
func (o *Offer) check() error {
	if o.Name == "" {
		o.Name = o.ID
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r)
	}
	switch {
	case o.ID == "" || len(o.ID) > maxOfferID || strings.ContainsFunc(o.ID, func(r rune) bool { return !plain(r) }):
		return fmt.Errorf("%w: an offer's ID is 1 to %d of a-z, 0-9, hyphen, dot and underscore", ErrTerms, maxOfferID)
	case len(o.Name) > maxOfferName || !line(o.Name):
		return fmt.Errorf("%w: an offer's name is one line of at most %d bytes", ErrTerms, maxOfferName)
	case len(o.Words) > maxOfferWords || o.Words != "" && !line(o.Words):
		return fmt.Errorf("%w: an offer's words are one paragraph of at most %d bytes", ErrTerms, maxOfferWords)
	}
	return nil
}

// line reports whether s is one line of text, with nothing at its ends.
func line(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

func noKind(k Kind) error {
	return fmt.Errorf("%w: there is no kind %q; there are %v", ErrTerms, k, Kinds())
}

// PutOffer records an offer for a registered content, or replaces the one of
// its ID. The kind's charge model becomes a part of the code.
func (i *Issuer) PutOffer(ctx context.Context, o Offer) (Offer, error) {
	if err := o.check(); err != nil {
		return o, err
	}
	t, err := parseTerms(o.Terms)
	if err != nil {
		return o, err
	}
	if o.Kind = cmp.Or(o.Kind, kindOf(t.units), Rental); o.Kind.charge() == 0 {
		return o, noKind(o.Kind)
	}
	if t.units.Classification == nil || t.units.Classification.Charge == 0 {
		o.Terms += "; CHARGE=" + o.Kind.word()
	}
	g := Grant{ID: GrantID{1}, Domain: ident.Domain{1}, Content: o.Content, Kind: o.Kind, Terms: o.Terms, Tiers: o.Tiers, Remaining: o.Licenses}
	if err := i.complete(&g); err != nil {
		return o, err
	}
	o.Terms, o.Kind, o.Tiers, o.Licenses = g.Terms, g.Kind, g.Tiers, g.Remaining
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if _, err := tx.Content(ctx, o.Content); err != nil {
			return fmt.Errorf("content %v: %w", o.Content, err)
		}
		return tx.PutOffer(ctx, o)
	})
	return o, err
}

// word is the kind's charge model in the text form of a permission code.
func (k Kind) word() string {
	return map[Kind]string{
		Purchase: "PURCHASE", Rental: "RENTAL", Subscription: "SUBSCRIPTION", Loan: "LOAN", Gift: "GIFT", Coupon: "POINTS", Preview: "FREE",
	}[k]
}

// Offered is the grant that an offer makes for a household.
func (i *Issuer) Offered(ctx context.Context, offer string, domain ident.Domain) (Grant, error) {
	var o Offer
	err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		o, err = r.Offer(ctx, offer)
		return err
	})
	return o.grant(domain), err
}

// grant is what the offer makes for a household.
func (o *Offer) grant(domain ident.Domain) Grant {
	return Grant{Domain: domain, Content: o.Content, Offer: o.ID, Kind: o.Kind, Terms: o.Terms, Tiers: slices.Clone(o.Tiers), Remaining: o.Licenses}
}

// ReadTerms splits terms in text form into what a license has two fields for:
// the units of the permission code, and the policy.
func ReadTerms(text string) (*permission.Units, license.Policy, error) {
	t, err := parseTerms(text)
	return t.units, t.policy, err
}
