package issuer

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

func (a *api) offers(r *http.Request) (any, error) {
	out := struct {
		Offers []Offer `json:"offers"`
	}{}
	err := a.view(r, func(ctx context.Context, rd Reader) (err error) {
		out.Offers, err = rd.Offers(ctx)
		return err
	})
	return out, err
}

func (a *api) offer(r *http.Request) (any, error) {
	var o Offer
	err := a.view(r, func(ctx context.Context, rd Reader) (err error) {
		o, err = rd.Offer(ctx, r.PathValue("offer"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("offer %s: %w", strconv.Quote(r.PathValue("offer")), err)
	}
	return o, nil
}

func (a *api) addOffer(r *http.Request) (any, error) {
	var o Offer
	if err := decode(r, &o); err != nil {
		return nil, err
	}
	return a.Issuer.PutOffer(r.Context(), o)
}
