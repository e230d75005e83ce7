package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

// lendProblems are a library's refusals: status and stable code.
var lendProblems = []struct {
	err    error
	status int
	code   string
}{
	{ErrNoCopy, http.StatusConflict, "no_copy"},
	{ErrAwaited, http.StatusConflict, "awaited"},
	{ErrStillOut, http.StatusConflict, "still_out"},
	{ErrNotRenewed, http.StatusConflict, "not_renewed"},
}

// lendProblem answers a library's refusal, if err is one.
func lendProblem(w http.ResponseWriter, err error) bool {
	for _, p := range lendProblems {
		if errors.Is(err, p.err) {
			problem(w, p.status, p.code, strings.TrimPrefix(p.err.Error(), "issuer: "))
			return true
		}
	}
	return false
}

func (a *api) copyRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/copies", a.admin(a.stocks))
	mux.HandleFunc("POST /api/v1/copies", a.admin(a.putStock))
	mux.HandleFunc("POST /api/v1/copies/lend", a.admin(about(a.Issuer.Lend)))
	mux.HandleFunc("POST /api/v1/copies/renew", a.admin(about(a.Issuer.RenewLoan)))
	mux.HandleFunc("POST /api/v1/copies/return", a.admin(about(nothing(a.Issuer.ReturnLoan))))
	mux.HandleFunc("POST /api/v1/holds", a.admin(about(a.Issuer.PlaceHold)))
	mux.HandleFunc("POST /api/v1/holds/cancel", a.admin(about(nothing(a.Issuer.CancelHold))))
}

// CopyRequest is about a household and a title.
type CopyRequest struct {
	Content ident.Content `json:"content"`
	Domain  ident.Domain  `json:"domain"`
}

// about serves what is done for a household with a title.
func about[T any](fn func(context.Context, ident.Content, ident.Domain) (T, error)) endpoint {
	return func(r *http.Request) (any, error) {
		var in CopyRequest
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		return fn(r.Context(), in.Content, in.Domain)
	}
}

func nothing(fn func(context.Context, ident.Content, ident.Domain) error) func(context.Context, ident.Content, ident.Domain) (struct{}, error) {
	return func(ctx context.Context, c ident.Content, d ident.Domain) (struct{}, error) {
		return struct{}{}, fn(ctx, c, d)
	}
}

func (a *api) putStock(r *http.Request) (any, error) {
	var in Stock
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return a.Issuer.PutStock(r.Context(), in)
}

// StockPage is a page of titles; Next is the cursor of the next one, or empty.
type StockPage struct {
	Copies []StockView   `json:"copies"`
	Next   ident.Content `json:"next,omitempty"`
}

// stocks shows one title's copies (?content=), or a page of all.
func (a *api) stocks(r *http.Request) (any, error) {
	q := r.URL.Query()
	out := StockPage{Copies: []StockView{}}
	var titles []ident.Content
	var id ident.Content
	for _, key := range []string{"content", "after"} {
		if q.Get(key) == "" {
			continue
		}
		if err := id.UnmarshalText([]byte(q.Get(key))); err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		if key == "content" {
			titles = []ident.Content{id}
		}
	}
	if titles == nil {
		err := a.view(r, func(ctx context.Context, rd Reader) error {
			page, err := rd.Stocks(ctx, id, pageSize)
			for _, s := range page {
				titles = append(titles, s.Content)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(titles) == pageSize {
			out.Next = titles[pageSize-1]
		}
	}
	for _, t := range titles {
		v, err := a.Issuer.Copies(r.Context(), t)
		if err != nil {
			return nil, err
		}
		out.Copies = append(out.Copies, v)
	}
	return out, nil
}
