package issuerapi

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) householdRoutes() {
	add(a, op{id: "list-households", method: "GET", path: "/api/v1/households", tag: "households", text: "Households that were granted something", scope: operator.Read}, a.households)
	add(a, op{id: "read-household", method: "GET", path: "/api/v1/households/{domain}", tag: "households", text: "What a household was granted and issued", scope: operator.Read}, a.household)
	addRevocation(a, "revoke-household", "/api/v1/households/{domain}/revoke", "households", "End all grants of a household", actRevokeHousehold, func(_ context.Context, in *revokeHousehold) (string, error) {
		return in.Domain.String(), nil
	})
}

// Household is a household in a list. It is a pairwise ID and nothing more.
type Household struct {
	Domain ident.Domain `json:"domain"`
	Since  int64        `json:"since"` // Unix ms: of its oldest grant in the list of its grants
	Grants int          `json:"grants"`
}

// HouseholdPage is a page of households; Next is the cursor of the next one, or empty.
type HouseholdPage struct {
	Households []Household `json:"households"`
	Next       string      `json:"next,omitempty"`
}

// grantsOf reads all grants of a household.
func grantsOf(ctx context.Context, rd issuer.Reader, d ident.Domain) (all []issuer.Grant, err error) {
	for key := (issuer.GrantKey{Domain: d}); ; {
		got, err := rd.Grants(ctx, key, pageSize)
		if err != nil {
			return nil, err
		}
		for _, g := range got {
			if g.Domain != d {
				return all, nil
			}
			all = append(all, g)
			key.Grant = g.ID
		}
		if len(got) < pageSize {
			return all, nil
		}
	}
}

func (a *api) households(ctx context.Context, in *AfterText) (out HouseholdPage, err error) {
	key, err := cursor(in.After)
	if err != nil {
		return out, err
	}
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		out, key := &out, key // it may run more than once
		out.Households, out.Next = []Household{}, ""
		for len(out.Households) < pageSize {
			next, err := rd.Grants(ctx, key, 1)
			if err != nil || len(next) == 0 {
				return err
			}
			h := Household{Domain: next[0].Domain}
			all, err := grantsOf(ctx, rd, h.Domain)
			if err != nil {
				return err
			}
			h.Grants, h.Since = len(all), all[0].Created
			for _, g := range all {
				h.Since = min(h.Since, g.Created)
			}
			out.Households = append(out.Households, h)
			key = issuer.GrantKey{Domain: h.Domain, Grant: all[len(all)-1].ID}
		}
		out.Next = place(key)
		return nil
	})
	return out, err
}

// HouseholdView is what a household was granted and issued.
type HouseholdView struct {
	Domain   ident.Domain   `json:"domain"`
	Grants   []issuer.Grant `json:"grants"`
	Licenses []LicenseRow   `json:"licenses"`
}

type DomainPath struct {
	Domain ident.Domain `path:"domain"`
}

func (a *api) household(ctx context.Context, in *DomainPath) (out HouseholdView, err error) {
	out.Domain = in.Domain
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) (err error) {
		if out.Grants, err = grantsOf(ctx, rd, in.Domain); err != nil {
			return err
		}
		if len(out.Grants) == 0 {
			return fmt.Errorf("household: %w", issuer.ErrNotFound)
		}
		out.Licenses, err = rows(ctx, rd, in.Domain)
		return err
	})
	return out, err
}
