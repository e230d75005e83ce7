package issuerapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) grantRoutes() {
	add(a, op{id: "list-grants", method: "GET", path: "/api/v1/grants", tag: "grants", text: "All grants, by household", scope: operator.Read}, a.grants)
	add(a, op{id: "make-grant", method: "POST", path: "/api/v1/grants", tag: "grants", text: "Let a household have licenses: of an offer, or of terms for a title", scope: operator.Sell, act: "grant.add"}, a.addGrant)
	add(a, op{id: "renew-grant", method: "POST", path: "/api/v1/grants/{domain}/{grant}/renew", tag: "grants", text: "Let a grant that has an end go on until a later one", scope: operator.Help, act: "grant.renew"}, a.renewGrant)
	addRevocation(a, "revoke-grant", "/api/v1/grants/{domain}/{grant}/revoke", "grants", "End a grant: nothing more is issued for it", actRevokeGrant, func(_ context.Context, in *revokeGrant) (string, error) {
		return in.Domain.String() + "/" + in.Grant.String(), nil
	})
}

// GrantPage is a page of grants; Next is the cursor of the next one, or empty.
type GrantPage struct {
	Grants []issuer.Grant `json:"grants"`
	Next   string         `json:"next,omitempty"`
}

// cursor reads the place of a grant, and place writes it.
func cursor(c string) (after issuer.GrantKey, err error) {
	if c == "" {
		return after, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(c)
	if err != nil || len(b) != len(after.Domain)+len(after.Grant) {
		return after, fmt.Errorf("%w: cursor", errRequest)
	}
	copy(after.Domain[:], b)
	copy(after.Grant[:], b[len(after.Domain):])
	return after, nil
}

func place(k issuer.GrantKey) string {
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{}, k.Domain[:]...), k.Grant[:]...))
}

func (a *api) grants(ctx context.Context, in *AfterText) (out GrantPage, err error) {
	after, err := cursor(in.After)
	if err != nil {
		return out, err
	}
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) (err error) {
		out.Grants, err = rd.Grants(ctx, after, pageSize)
		return err
	})
	if n := len(out.Grants); n == pageSize {
		out.Next = place(issuer.GrantKey{Domain: out.Grants[n-1].Domain, Grant: out.Grants[n-1].ID})
	}
	return out, err
}

// GrantRequest asks for a grant: of an offer, or of terms for a content.
type GrantRequest struct {
	Domain    ident.Domain  `json:"domain"`
	Offer     string        `json:"offer,omitempty"`
	Content   ident.Content `json:"content,omitempty"`
	Kind      issuer.Kind   `json:"kind,omitempty"`
	Terms     string        `json:"terms,omitempty"`
	Tiers     []uint64      `json:"tiers,omitempty"`
	Licenses  uint64        `json:"licenses,omitempty"`
	ExpiresAt int64         `json:"expires_at,omitempty"` // Unix ms
}

type grantBody struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"the same order again is the same grant"`
	Body GrantRequest
}

func (a *api) addGrant(ctx context.Context, in *grantBody) (issuer.Grant, error) {
	b := &in.Body
	g := issuer.Grant{Domain: b.Domain, Content: b.Content, Kind: b.Kind, Terms: b.Terms, Tiers: b.Tiers, Remaining: b.Licenses}
	if b.Offer != "" {
		if b.Content != "" || b.Terms != "" || b.Kind != "" || b.Tiers != nil || b.Licenses != 0 {
			return g, fmt.Errorf("%w: an offer says all but who and until when", errRequest)
		}
		var err error
		if g, err = a.cfg.Issuer.Offered(ctx, b.Offer, b.Domain); err != nil {
			return g, fmt.Errorf("offer %s: %w", strconv.Quote(b.Offer), err)
		}
	}
	g.Expires = b.ExpiresAt
	if g.ID = issuer.NewGrantID(); in.Key != "" {
		g.ID = issuer.GrantKeyed(in.Key)
	}
	issuer.About(ctx, g.Domain.String()+"/"+g.ID.String())
	return a.cfg.Issuer.Grant(ctx, g)
}

// GrantPath is which grant is meant.
type GrantPath struct {
	Domain ident.Domain   `path:"domain"`
	Grant  issuer.GrantID `path:"grant"`
}

func (p *GrantPath) subject() string { return p.Domain.String() + "/" + p.Grant.String() }

// RenewRequest says until when a grant goes on.
type RenewRequest struct {
	Until int64 `json:"until"` // Unix ms
}

type renewGrant struct {
	GrantPath
	Body RenewRequest
}

func (a *api) renewGrant(ctx context.Context, in *renewGrant) (issuer.Grant, error) {
	return a.cfg.Issuer.Renew(ctx, issuer.GrantKey{Domain: in.Domain, Grant: in.Grant}, in.Body.Until)
}
