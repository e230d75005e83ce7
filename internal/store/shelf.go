package store

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	sqlPutContent = `INSERT INTO content (content_id, digest, registered_at) VALUES ($1, $2, $3)
ON CONFLICT (content_id) DO UPDATE SET digest = excluded.digest, registered_at = excluded.registered_at`
	sqlContent   = `SELECT content_id, digest, registered_at FROM content WHERE content_id = $1`
	sqlContents  = `SELECT content_id, digest, registered_at FROM content ORDER BY content_id`
	offerColumns = `offer_id, content_id, kind, name, words, terms, tiers, licenses`
	sqlPutOffer  = `INSERT INTO offer (` + offerColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (offer_id) DO UPDATE SET content_id = excluded.content_id, kind = excluded.kind, name = excluded.name, words = excluded.words,
terms = excluded.terms, tiers = excluded.tiers, licenses = excluded.licenses`
	sqlOffer  = `SELECT ` + offerColumns + ` FROM offer WHERE offer_id = $1`
	sqlOffers = `SELECT ` + offerColumns + ` FROM offer ORDER BY offer_id`
)

// PutContent records a content or replaces the record of its ID.
func (t *tx) PutContent(ctx context.Context, c issuer.Content) error {
	return t.one(ctx, sqlPutContent, []byte(c.ID), c.Digest[:], c.At)
}

// Content returns one content.
func (t *tx) Content(ctx context.Context, id ident.Content) (issuer.Content, error) {
	return single(t.contents(ctx, sqlContent, []byte(id)))
}

// Contents returns all contents.
func (t *tx) Contents(ctx context.Context) ([]issuer.Content, error) {
	return t.contents(ctx, sqlContents)
}

func (t *tx) contents(ctx context.Context, sql string, args ...any) ([]issuer.Content, error) {
	out := []issuer.Content{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var id, digest []byte
		var c issuer.Content
		if err := scan(&id, &digest, &c.At); err != nil {
			return err
		}
		f := fixed{}
		f.copy(c.Digest[:], digest)
		c.ID = ident.Content(id)
		out = append(out, c)
		return f.err
	}, sql, args...)
	return out, err
}

// PutOffer records an offer or replaces the one of its name.
func (t *tx) PutOffer(ctx context.Context, o issuer.Offer) error {
	licenses, err := number(o.Licenses)
	if err != nil {
		return err
	}
	return t.one(ctx, sqlPutOffer, o.ID, []byte(o.Content), string(o.Kind), o.Name, o.Words, o.Terms, tiersText(o.Tiers), licenses)
}

// Offer returns one offer.
func (t *tx) Offer(ctx context.Context, id string) (issuer.Offer, error) {
	return single(t.offers(ctx, sqlOffer, id))
}

// Offers returns all offers.
func (t *tx) Offers(ctx context.Context) ([]issuer.Offer, error) { return t.offers(ctx, sqlOffers) }

func (t *tx) offers(ctx context.Context, sql string, args ...any) ([]issuer.Offer, error) {
	out := []issuer.Offer{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var content []byte
		var kind, tiers string
		var licenses int64
		var o issuer.Offer
		if err := scan(&o.ID, &content, &kind, &o.Name, &o.Words, &o.Terms, &tiers, &licenses); err != nil {
			return err
		}
		var err error
		o.Content, o.Kind, o.Licenses = ident.Content(content), issuer.Kind(kind), uint64(licenses) //nolint:gosec // checked by the table to be positive
		o.Tiers, err = tiersOf(tiers)
		out = append(out, o)
		return err
	}, sql, args...)
	return out, err
}
