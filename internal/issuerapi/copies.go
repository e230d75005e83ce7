package issuerapi

import (
	"context"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) copyRoutes() {
	tag := "copies"
	add(a, op{id: "list-copies", method: "GET", path: "/api/v1/copies", tag: tag, text: "A library's copies: who has one, who waits", scope: operator.Read}, a.stocks)
	add(a, op{id: "put-copies", method: "POST", path: "/api/v1/copies", tag: tag, text: "Say how many copies there are of a title, and how they are lent", scope: operator.Shelf, act: "copies.set"}, a.putStock)
	lend := op{method: "POST", tag: tag, scope: operator.Help}
	addAbout(a, lend.as("lend-copy", "/api/v1/copies/lend", "Lend a copy to a household", "copies.lend"), a.cfg.Issuer.Lend)
	addAbout(a, lend.as("renew-copy", "/api/v1/copies/renew", "Renew a loan, unless somebody waits", "copies.renew"), a.cfg.Issuer.RenewLoan)
	addAbout(a, lend.as("return-copy", "/api/v1/copies/return", "Take back a copy that was not fetched", "copies.return"), nothing(a.cfg.Issuer.ReturnLoan))
	addAbout(a, lend.as("place-hold", "/api/v1/holds", "Put a household into a title's queue", "hold.add"), a.cfg.Issuer.PlaceHold)
	addAbout(a, lend.as("cancel-hold", "/api/v1/holds/cancel", "Take a household out of a title's queue", "hold.cancel"), nothing(a.cfg.Issuer.CancelHold))
}

// as is the operation under another name.
func (o op) as(id, path, text, act string) op {
	o.id, o.path, o.text, o.act = id, path, text, act
	return o
}

// CopyRequest is about a household and a title.
type CopyRequest struct {
	Content ident.Content `json:"content"`
	Domain  ident.Domain  `json:"domain"`
}

type copyBody struct{ Body CopyRequest }

func (b *copyBody) subject() string { return b.Body.Domain.String() + "/" + b.Body.Content.String() }

// addAbout serves what is done for a household with a title.
func addAbout[T any](a *api, o op, fn func(context.Context, ident.Content, ident.Domain) (T, error)) {
	add(a, o, func(ctx context.Context, in *copyBody) (T, error) { return fn(ctx, in.Body.Content, in.Body.Domain) })
}

func nothing(fn func(context.Context, ident.Content, ident.Domain) error) func(context.Context, ident.Content, ident.Domain) (struct{}, error) {
	return func(ctx context.Context, c ident.Content, d ident.Domain) (struct{}, error) {
		return struct{}{}, fn(ctx, c, d)
	}
}

type stockBody struct{ Body issuer.Stock }

func (b *stockBody) subject() string { return b.Body.Content.String() }

func (a *api) putStock(ctx context.Context, in *stockBody) (issuer.Stock, error) {
	return a.cfg.Issuer.PutStock(ctx, in.Body)
}

// StockPage is a page of titles; Next is the cursor of the next one, or empty.
type StockPage struct {
	Copies []issuer.StockView `json:"copies"`
	Next   ident.Content      `json:"next,omitempty"`
}

type stockQuery struct {
	AfterText
	Content string `query:"content" maxLength:"128" doc:"only this title"`
}

// stocks shows one title's copies, or a page of all.
func (a *api) stocks(ctx context.Context, in *stockQuery) (out StockPage, err error) {
	out.Copies = []issuer.StockView{}
	titles := []ident.Content{ident.Content(in.Content)}
	if in.Content == "" {
		err := a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
			titles = nil // it may run more than once
			all, err := rd.Stocks(ctx, ident.Content(in.After), pageSize)
			for _, s := range all {
				titles = append(titles, s.Content)
			}
			return err
		})
		if err != nil {
			return out, err
		}
		if len(titles) == pageSize {
			out.Next = titles[pageSize-1]
		}
	}
	for _, t := range titles {
		v, err := a.cfg.Issuer.Copies(ctx, t)
		if err != nil {
			return out, err
		}
		out.Copies = append(out.Copies, v)
	}
	return out, nil
}
