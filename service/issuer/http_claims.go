package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

// claimProblems are the refusals about claim codes: status and stable code.
var claimProblems = []struct {
	err    error
	status int
	code   string
}{
	{ErrMistyped, http.StatusUnprocessableEntity, "code_mistyped"},
	{ErrCodeUnknown, http.StatusNotFound, "code_unknown"},
	{ErrCodeTaken, http.StatusConflict, "code_taken"},
	{ErrCodeExpired, http.StatusGone, "code_expired"},
	{ErrCodeVoid, http.StatusGone, "code_void"},
	{ErrGuessing, http.StatusTooManyRequests, "code_guessing"},
	{errNoCodes, http.StatusNotFound, "no_codes"},
}

// claimProblem answers a refusal about a claim code, if err is one.
func claimProblem(w http.ResponseWriter, err error) bool {
	for _, p := range claimProblems {
		if errors.Is(err, p.err) {
			if p.status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", fmt.Sprint(int(guessEvery.Seconds())))
			}
			problem(w, p.status, p.code, strings.TrimPrefix(p.err.Error(), "issuer: "))
			return true
		}
	}
	return false
}

func (a *api) claimRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/claims", a.admin(a.batches))
	mux.HandleFunc("POST /api/v1/claims", a.admin(a.newCodes))
	mux.HandleFunc("GET /api/v1/claims/{batch}", a.admin(a.batch))
	mux.HandleFunc("POST /api/v1/claims/{batch}/resend", a.admin(a.resend))
	mux.HandleFunc("POST /api/v1/claims/{batch}/void", a.admin(a.void))
	mux.HandleFunc("POST /api/v1/claims/redeem", a.open(a.redeem))
}

// ClaimView is a claim code as the API gives it out.
type ClaimView struct {
	CodeRow
	Code string `json:"code"` // grouped
	URL  string `json:"url"`
	QR   []byte `json:"qr,omitempty"` // PNG of the URL, base64
}

// ClaimsView is what asking for codes, or for the same codes again, gives.
type ClaimsView struct {
	Batch
	Claims []ClaimView `json:"claims"`
}

func (a *api) claims(b Batch, coded []Coded, picture bool) (ClaimsView, error) {
	out := ClaimsView{Batch: b, Claims: []ClaimView{}}
	if picture && a.QR == nil {
		return out, fmt.Errorf("%w: this issuer draws no QR codes", errRequest)
	}
	for _, c := range coded {
		v := ClaimView{CodeRow: c.CodeRow, Code: c.Code.Grouped(), URL: strings.TrimSuffix(a.URL, "/") + ClaimPath + c.Code.Text()}
		if picture {
			var err error
			if v.QR, err = a.QR(v.URL); err != nil {
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

func (a *api) newCodes(r *http.Request) (any, error) {
	var in ClaimsRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	n := NewCodes{Offer: in.Offer, Codes: in.Codes, Expires: in.ExpiresAt}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		n.Batch = batchOf(key)
	}
	b, coded, err := a.Issuer.NewCodes(r.Context(), n)
	if err != nil {
		return nil, err
	}
	return a.claims(b, coded, in.QR)
}

// pick says which of a batch's codes are meant: all, or the one of a place.
type pick struct {
	Index *uint64 `json:"index,omitempty"`
	QR    bool    `json:"qr,omitempty"`
}

func batchArg(r *http.Request) (id BatchID, err error) {
	if err := id.UnmarshalText([]byte(r.PathValue("batch"))); err != nil {
		return id, fmt.Errorf("%w: %w", errRequest, err)
	}
	return id, nil
}

// resend gives the codes again that can still be redeemed.
func (a *api) resend(r *http.Request) (any, error) {
	id, err := batchArg(r)
	if err != nil {
		return nil, err
	}
	var in pick
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	b, coded, err := a.Issuer.Codes(r.Context(), id)
	if err != nil {
		return nil, err
	}
	now := a.Issuer.cfg.Now().UnixMilli()
	var again []Coded
	var why error
	for _, c := range coded {
		if in.Index != nil && c.Index != *in.Index {
			continue
		}
		if why = c.refusal(ident.Domain{}, now); why == nil {
			again = append(again, c)
		}
	}
	switch {
	case in.Index != nil && why != nil:
		return nil, why
	case in.Index != nil && len(again) == 0:
		return nil, fmt.Errorf("code %d of batch %v: %w", *in.Index, id, ErrNotFound)
	}
	return a.claims(b, again, in.QR)
}

func (a *api) void(r *http.Request) (any, error) {
	id, err := batchArg(r)
	if err != nil {
		return nil, err
	}
	var in pick
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	n, err := a.Issuer.Void(r.Context(), id, in.Index)
	return VoidView{n}, err
}

// VoidView says how many codes were withdrawn.
type VoidView struct {
	Void uint64 `json:"void"`
}

// BatchPage is a page of batches; Next is the cursor of the next one, or empty.
type BatchPage struct {
	Batches []Batch `json:"batches"`
	Next    string  `json:"next,omitempty"`
}

func (a *api) batches(r *http.Request) (any, error) {
	var after BatchID
	if c := r.URL.Query().Get("after"); c != "" {
		b, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil || len(b) != len(after) {
			return nil, fmt.Errorf("%w: cursor", errRequest)
		}
		after = BatchID(b)
	}
	out := BatchPage{}
	err := a.view(r, func(ctx context.Context, rd Reader) (err error) {
		out.Batches, err = rd.Batches(ctx, after, pageSize)
		return err
	})
	if n := len(out.Batches); n == pageSize {
		out.Next = base64.RawURLEncoding.EncodeToString(out.Batches[n-1].ID[:])
	}
	return out, err
}

// BatchView is a batch and what became of its codes, without the codes.
type BatchView struct {
	Batch
	Claims []CodeRow `json:"claims"`
}

func (a *api) batch(r *http.Request) (any, error) {
	id, err := batchArg(r)
	if err != nil {
		return nil, err
	}
	out := BatchView{}
	err = a.view(r, func(ctx context.Context, rd Reader) (err error) {
		if out.Batch, err = rd.Batch(ctx, id); err != nil {
			return fmt.Errorf("batch %v: %w", id, err)
		}
		out.Claims, err = rd.Codes(ctx, id)
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
	Grant   GrantID       `json:"grant"`
	Content ident.Content `json:"content"`
	Offer   string        `json:"offer"`
	Kind    Kind          `json:"kind"`
	Terms   string        `json:"terms"`
}

func (a *api) redeem(r *http.Request) (any, error) {
	var in RedeemRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	code, err := ParseClaimCode(in.Code)
	if err != nil {
		return nil, err
	}
	g, err := a.Issuer.Redeem(r.Context(), Caller(r), code, in.Domain)
	if err != nil {
		return nil, err
	}
	return Redeemed{Grant: g.ID, Content: g.Content, Offer: g.Offer, Kind: g.Kind, Terms: g.Terms}, nil
}
