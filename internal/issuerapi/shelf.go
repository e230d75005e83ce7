package issuerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) shelfRoutes() {
	add(a, op{id: "list-contents", method: "GET", path: "/api/v1/contents", tag: "titles", text: "Titles whose keys the issuer's module holds", scope: operator.Read}, a.contents)
	add(a, op{id: "register-content", method: "POST", path: "/api/v1/contents", tag: "titles", text: "Give the sealed keys of a packed title to the module; a repetition changes nothing", scope: operator.Shelf, act: "content.add"}, a.addContent)
	add(a, op{id: "read-content", method: "GET", path: "/api/v1/contents/{content}", tag: "titles", text: "One title", scope: operator.Read}, a.content)
	add(a, op{id: "list-offers", method: "GET", path: "/api/v1/offers", tag: "offers", text: "All offers", scope: operator.Read}, a.offers)
	add(a, op{id: "put-offer", method: "POST", path: "/api/v1/offers", tag: "offers", text: "Put an offer, or replace the one of its ID; with If-Match only if that is still the one", scope: operator.Shelf, act: "offer.put"}, a.putOffer)
	add(a, op{id: "read-offer", method: "GET", path: "/api/v1/offers/{offer}", tag: "offers", text: "One offer", scope: operator.Read}, a.offer)
}

// AfterText is the cursor of lists that are ordered by a name.
type AfterText struct {
	After string `query:"after" maxLength:"128" doc:"the answer's next: what comes behind it"`
}

// ContentPage is a page of titles; Next is the cursor of the next one, or empty.
type ContentPage struct {
	Contents []issuer.Content `json:"contents"`
	Next     string           `json:"next,omitempty"`
}

func (a *api) contents(ctx context.Context, in *AfterText) (out ContentPage, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		all, err := rd.Contents(ctx)
		var next ident.Content
		out.Contents, next = page(all, func(c *issuer.Content) ident.Content { return c.ID }, ident.Content(in.After))
		out.Next = string(next)
		return err
	})
	return out, err
}

type keysBody struct {
	Body struct {
		Keys []byte `json:"keys" doc:"a key delivery, as lares pack writes it (docs/spec/key-delivery.md), base64"`
	}
}

func (a *api) addContent(ctx context.Context, in *keysBody) (issuer.Content, error) {
	return a.cfg.Issuer.RegisterContent(ctx, in.Body.Keys)
}

type contentPath struct {
	Content ident.Content `path:"content"`
}

func (a *api) content(ctx context.Context, in *contentPath) (c issuer.Content, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		all, err := rd.Contents(ctx)
		if err != nil {
			return err
		}
		for _, have := range all {
			if have.ID == in.Content {
				c = have
				return nil
			}
		}
		return fmt.Errorf("content: %w", issuer.ErrNotFound)
	})
	return c, err
}

// OfferPage is a page of offers; Next is the cursor of the next one, or empty.
type OfferPage struct {
	Offers []issuer.Offer `json:"offers"`
	Next   string         `json:"next,omitempty"`
}

func (a *api) offers(ctx context.Context, in *AfterText) (out OfferPage, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		all, err := rd.Offers(ctx)
		out.Offers, out.Next = page(all, func(o *issuer.Offer) string { return o.ID }, in.After)
		return err
	})
	return out, err
}

type offerPath struct {
	Offer string `path:"offer" maxLength:"64"`
}

func (a *api) offer(ctx context.Context, in *offerPath) (o issuer.Offer, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) (err error) {
		o, err = rd.Offer(ctx, in.Offer)
		return err
	})
	if err != nil {
		err = fmt.Errorf("offer %s: %w", strconv.Quote(in.Offer), err)
	}
	return o, err
}

// NewOffer is an offer as it is asked for.
type NewOffer struct {
	ID       string        `json:"id"`
	Content  ident.Content `json:"content"`
	Kind     issuer.Kind   `json:"kind,omitempty"`
	Name     string        `json:"name,omitempty"`
	Words    string        `json:"words,omitempty"`
	Terms    string        `json:"terms"`
	Tiers    []uint64      `json:"tiers,omitempty"`
	Licenses uint64        `json:"licenses,omitempty"`
}

type offerBody struct {
	IfMatch string `header:"If-Match" doc:"ETag of the offer as you read it"`
	Body    NewOffer
}

func (b *offerBody) subject() string { return line(b.Body.ID) }

// line is a name as the log may hold it: one that is none stands as nothing.
func line(s string) string {
	if len(s) > 64 || strconv.Quote(s) != `"`+s+`"` {
		return ""
	}
	return s
}

func (a *api) putOffer(ctx context.Context, in *offerBody) (issuer.Offer, error) {
	if in.IfMatch != "" {
		have, err := a.offer(ctx, &offerPath{in.Body.ID})
		if err != nil {
			return have, err
		}
		data, err := json.Marshal(have)
		if err != nil {
			return have, err
		}
		if !matches(in.IfMatch, entityTag(append(data, '\n'))) {
			return have, errChanged
		}
	}
	o := issuer.Offer(in.Body)
	return a.cfg.Issuer.PutOffer(ctx, o)
}
