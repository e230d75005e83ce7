package storebench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

// table is one that is filled, on either engine: a row for each household, or for each license of it.
type table struct {
	name    string
	columns []string
	rows    int // of a household
	row     func(h *household, n int) []any
}

// household is what the filling knows of one: the same each time that it is made.
type household struct {
	domain, peer, grant, incarnation []byte

	random   *rand.ChaCha8 // for what no other table refers to
	licenses [perHome]struct{ id, request, tid []byte }
}

// householdOf makes the household of a place among so many. Their IDs are in the order
// of their places: a table that is filled in the order of its key is filled fast.
func householdOf(place, homes int) *household {
	h := &household{random: rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(place))))} //nolint:gosec // not negative
	h.domain = h.bytes(16)
	binary.BigEndian.PutUint64(h.domain, uint64(place)*(math.MaxUint64/uint64(homes))+uint64(h.domain[15])) //nolint:gosec // as above
	h.peer, h.grant, h.incarnation = h.bytes(16), h.bytes(16), h.bytes(8)
	for i := range h.licenses {
		l := &h.licenses[i]
		l.id, l.request = h.bytes(16), h.bytes(16)
		l.tid = append(append(make([]byte, 16, 48), h.peer...), h.incarnation...)
		l.tid = binary.BigEndian.AppendUint64(l.tid, uint64(i+1))
	}
	return h
}

func (h *household) bytes(n int) []byte {
	b := make([]byte, n)
	h.random.Read(b) //nolint:errcheck // it never returns one
	return b
}

// tables are filled in this order: one grant for each household, used up by perHome
// licenses, each confirmed.
func tables() []table {
	return []table{
		{"domain", []string{"domain_id", "status", "created_at"}, 1, func(h *household, _ int) []any { return []any{h.domain, "active", 1} }},
		{"license_grant", []string{"domain_id", "grant_id", "content_id", "offer_id", "kind", "terms", "code", "policy", "tiers", "min_epoch", "remaining", "expires_at", "created_at", "revoked", "version", "issued_at"}, 1, func(h *household, _ int) []any {
			return []any{h.domain, h.grant, h.bytes(16), "", "rental", fillTerms, h.bytes(48), h.bytes(32), "", 1, 0, 0, 1, 0, 1, 1}
		}},
		{"license", []string{"domain_id", "license_id", "device_id", "grant_id", "request_id", "state", "version", "issued_at", "digest"}, perHome, func(h *household, n int) []any {
			return []any{h.domain, h.licenses[n].id, h.peer, h.grant, h.licenses[n].request, "delivered", 1, 1, h.bytes(32)}
		}},
		{"idem", []string{"domain_id", "request_id", "req_sha256", "license_id", "tid", "at"}, perHome, func(h *household, n int) []any {
			return []any{h.domain, h.licenses[n].request, h.bytes(32), h.licenses[n].id, h.licenses[n].tid, 1}
		}},
		{"transfer", []string{"domain_id", "tid", "license_id", "peer", "state", "xfer_hash", "sealed"}, perHome, func(h *household, n int) []any {
			return []any{h.domain, h.licenses[n].tid, h.licenses[n].id, h.peer, "closed", h.bytes(32), []byte{}}
		}},
		{"peer_seq", []string{"domain_id", "peer", "incarnation", "seq"}, 1, func(h *household, _ int) []any { return []any{h.domain, h.peer, h.incarnation, perHome} }},
	}
}

// FillPostgres is FillSQLite for a database of a server, by COPY: a million licenses
// are a matter of half a minute.
func FillPostgres(ctx context.Context, dsn string, n int) (err error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	if _, err := c.Exec(ctx, "SET synchronous_commit = off"); err != nil { // of this session alone
		return err
	}
	for _, t := range tables() {
		var h *household
		at := 0
		_, err := c.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
			if at == homes(n)*t.rows {
				return nil, nil
			}
			if at%t.rows == 0 {
				h = householdOf(at/t.rows, homes(n))
			}
			at++
			return t.row(h, (at-1)%t.rows), nil
		}))
		if err != nil {
			return fmt.Errorf("fill the database: %w", err)
		}
	}
	for _, after := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := c.Exec(ctx, after); err != nil {
			return err
		}
	}
	return nil
}
