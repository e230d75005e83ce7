package issuerapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) claimRoutes() {
	add(a, op{id: "list-claims", method: "GET", path: "/api/v1/claims", tag: "claim codes", text: "Batches of claim codes", scope: operator.Read}, a.batches)
	add(a, op{id: "make-claims", method: "POST", path: "/api/v1/claims", tag: "claim codes", text: "Make claim codes for an offer", scope: operator.Sell, act: "claim.new"}, a.newCodes)
	add(a, op{id: "read-claims", method: "GET", path: "/api/v1/claims/{batch}", tag: "claim codes", text: "What became of a batch's codes, without the codes", scope: operator.Read}, a.batch)
	add(a, op{id: "resend-claims", method: "POST", path: "/api/v1/claims/{batch}/resend", tag: "claim codes", text: "Codes again that can still be redeemed", scope: operator.Help, act: "claim.resend"}, a.resend)
	add(a, op{id: "void-claims", method: "POST", path: "/api/v1/claims/{batch}/void", tag: "claim codes", text: "Withdraw codes that wait", scope: operator.Sell, act: "claim.void"}, a.void)
	add(a, op{id: "redeem-claim", method: "POST", path: "/api/v1/claims/redeem", tag: "households", text: "Redeem a claim code: the grant that the household has then"}, a.redeem)
}

// ClaimView is a claim code as the API gives it out.
type ClaimView struct {
	issuer.CodeRow
	Code string `json:"code"` // grouped
	URL  string `json:"url"`
	QR   []byte `json:"qr,omitempty"` // PNG of the URL, base64
}

// ClaimsView is what asking for codes, or for the same codes again, gives.
type ClaimsView struct {
	issuer.Batch
	Claims []ClaimView `json:"claims"`
}

func (a *api) claims(b issuer.Batch, coded []issuer.Coded, picture bool) (ClaimsView, error) {
	out := ClaimsView{Batch: b, Claims: []ClaimView{}}
	if picture && a.cfg.QR == nil {
		return out, fmt.Errorf("%w: this issuer draws no QR codes", errRequest)
	}
	for _, c := range coded {
		v := ClaimView{CodeRow: c.CodeRow, Code: c.Code.Grouped(), URL: strings.TrimSuffix(a.cfg.URL, "/") + issuer.ClaimPath + c.Code.Text()}
		if picture {
			var err error
			if v.QR, err = a.cfg.QR(v.URL); err != nil {
				return out, err
			}
		}
		out.Claims = append(out.Claims, v)
	}
	return out, nil
}

// ClaimsRequest asks for claim codes.
type ClaimsRequest struct {
	Offer     string `json:"offer"`
	Codes     uint64 `json:"codes,omitempty"`      // 1 to 1,000
	ExpiresAt int64  `json:"expires_at,omitempty"` // Unix ms
	QR        bool   `json:"qr,omitempty"`
}

type claimsBody struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"such as a payment's ID: asked again, the same codes come again"`
	Body ClaimsRequest
}

func (b *claimsBody) subject() string { return line(b.Body.Offer) }

func (a *api) newCodes(ctx context.Context, in *claimsBody) (out ClaimsView, err error) {
	n := issuer.NewCodes{Offer: in.Body.Offer, Codes: in.Body.Codes, Expires: in.Body.ExpiresAt}
	if in.Key != "" {
		n.Batch = issuer.BatchOf(in.Key)
	}
	b, coded, err := a.cfg.Issuer.NewCodes(ctx, n)
	if err != nil {
		return out, err
	}
	return a.claims(b, coded, in.Body.QR)
}

type BatchPath struct {
	Batch issuer.BatchID `path:"batch"`
}

func (b *BatchPath) subject() string { return b.Batch.String() }

// pick says which of a batch's codes are meant: all, or the one of a place.
type pick struct {
	BatchPath
	Body struct {
		Index *uint64 `json:"index,omitempty"`
		QR    bool    `json:"qr,omitempty"`
	}
}

func (a *api) resend(ctx context.Context, in *pick) (out ClaimsView, err error) {
	b, again, err := a.cfg.Issuer.Resend(ctx, in.Batch, in.Body.Index)
	if err != nil {
		return out, err
	}
	return a.claims(b, again, in.Body.QR)
}

// VoidView says how many codes were withdrawn.
type VoidView struct {
	Void uint64 `json:"void"`
}

func (a *api) void(ctx context.Context, in *pick) (VoidView, error) {
	n, err := a.cfg.Issuer.Void(ctx, in.Batch, in.Body.Index)
	return VoidView{n}, err
}

// BatchRow is a batch in the list, with what became of its codes.
type BatchRow struct {
	issuer.Batch
	issuer.CodeCounts
}

// BatchPage is a page of batches; Next is the cursor of the next one, or empty.
type BatchPage struct {
	Batches []BatchRow `json:"batches"`
	Next    string     `json:"next,omitempty"`
}

func (a *api) batches(ctx context.Context, in *AfterText) (out BatchPage, err error) {
	var after issuer.BatchID
	if in.After != "" {
		b, err := base64.RawURLEncoding.Strict().DecodeString(in.After)
		if err != nil || len(b) != len(after) {
			return out, fmt.Errorf("%w: cursor", errRequest)
		}
		after = issuer.BatchID(b)
	}
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		out.Batches = []BatchRow{} // it may run more than once
		all, err := rd.Batches(ctx, after, pageSize)
		if err != nil || len(all) == 0 {
			return err
		}
		counts, err := rd.Counts(ctx, all[0].ID, all[len(all)-1].ID)
		for _, b := range all {
			out.Batches = append(out.Batches, BatchRow{b, counts[b.ID]})
		}
		return err
	})
	if n := len(out.Batches); n == pageSize {
		out.Next = base64.RawURLEncoding.EncodeToString(out.Batches[n-1].ID[:])
	}
	return out, err
}

// BatchView is a batch and what became of its codes, without the codes.
type BatchView struct {
	issuer.Batch
	Claims []issuer.CodeRow `json:"claims"`
}

func (a *api) batch(ctx context.Context, in *BatchPath) (out BatchView, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) (err error) {
		if out.Batch, err = rd.Batch(ctx, in.Batch); err != nil {
			return fmt.Errorf("batch %v: %w", in.Batch, err)
		}
		out.Claims, err = rd.Codes(ctx, in.Batch)
		return err
	})
	return out, err
}

// RedeemRequest is a household that shows a claim code.
type RedeemRequest struct {
	Code   string       `json:"code"`
	Domain ident.Domain `json:"domain"` // its pairwise ID at this issuer
}

// Redeemed is what a household gets for a claim code: what to fetch.
type Redeemed struct {
	Grant   issuer.GrantID `json:"grant"`
	Content ident.Content  `json:"content"`
	Offer   string         `json:"offer"`
	Kind    issuer.Kind    `json:"kind"`
	Terms   string         `json:"terms"`
}

// redeemBody also finds out where the request comes from.
type redeemBody struct {
	Body RedeemRequest
	from netip.Addr
}

// Resolve runs before the operation; the library calls it by this name.
func (b *redeemBody) Resolve(hc huma.Context) []error {
	r, _ := humago.Unwrap(hc)
	b.from = caller.Of(&http.Request{RemoteAddr: r.RemoteAddr, Header: r.Header})
	return nil
}

func (a *api) redeem(ctx context.Context, in *redeemBody) (out Redeemed, err error) {
	code, err := issuer.ParseClaimCode(in.Body.Code)
	if err != nil {
		return out, err
	}
	g, err := a.cfg.Issuer.Redeem(ctx, in.from, code, in.Body.Domain)
	if err != nil {
		return out, err
	}
	return Redeemed{Grant: g.ID, Content: g.Content, Offer: g.Offer, Kind: g.Kind, Terms: g.Terms}, nil
}
