package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// tx does what service/issuer asks with plain statements, on any engine.
type tx struct{ conn conn }

var _ issuer.Tx = (*tx)(nil)

// one runs a statement that must touch exactly one row.
func (t *tx) one(ctx context.Context, sql string, args ...any) error {
	n, err := t.conn.exec(ctx, sql, args...)
	if err == nil && n != 1 {
		err = issuer.ErrNotFound
	}
	return err
}

// fresh runs an INSERT … ON CONFLICT DO NOTHING and tells whether it inserted.
func (t *tx) fresh(ctx context.Context, sql string, args ...any) (bool, error) {
	n, err := t.conn.exec(ctx, sql, args...)
	return n == 1, err
}

const (
	sqlClaim = `INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	sqlClaimed = `SELECT req_sha256, license_id, tid, at FROM idem WHERE domain_id = $1 AND request_id = $2`
	sqlAnswer  = `UPDATE idem SET license_id = $3, tid = $4 WHERE domain_id = $1 AND request_id = $2`
)

// Claim records a request, or returns the claim that stands.
func (t *tx) Claim(ctx context.Context, c issuer.Claim) (prior issuer.Claim, fresh bool, err error) {
	fresh, err = t.fresh(ctx, sqlClaim, c.Domain[:], c.Request[:], c.Hash[:], c.License[:], tidBytes(c.Transfer), c.At)
	if err != nil || fresh {
		return c, fresh, err
	}
	prior = issuer.Claim{Domain: c.Domain, Request: c.Request}
	found := false
	err = t.conn.query(ctx, func(scan func(...any) error) error {
		var hash, lic, tid []byte
		if err := scan(&hash, &lic, &tid, &prior.At); err != nil {
			return err
		}
		found = true
		f := fixed{}
		f.copy(prior.Hash[:], hash)
		f.copy(prior.License[:], lic)
		prior.Transfer = f.tid(tid)
		return f.err
	}, sqlClaimed, c.Domain[:], c.Request[:])
	if err == nil && !found {
		err = issuer.ErrNotFound
	}
	return prior, false, err
}

// Answer sets what the request was answered with.
func (t *tx) Answer(ctx context.Context, c issuer.Claim) error {
	return t.one(ctx, sqlAnswer, c.Domain[:], c.Request[:], c.License[:], tidBytes(c.Transfer))
}

const (
	sqlPutLicense = `INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`
	licenseColumns = `domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest`
	sqlLicense     = `SELECT ` + licenseColumns + ` FROM license WHERE domain_id = $1 AND license_id = $2`
	sqlLicenses    = `SELECT ` + licenseColumns + ` FROM license WHERE domain_id = $1 ORDER BY issued_at, license_id`
	sqlUsed        = `SELECT version FROM license WHERE domain_id = $1 AND grant_id = $2 LIMIT 1`
	sqlRenewed     = `UPDATE license SET version = $3, issued_at = $4, digest = $5 WHERE domain_id = $1 AND license_id = $2 AND version < $3`
	sqlSetLicense  = `UPDATE license SET state = $3 WHERE domain_id = $1 AND license_id = $2`
)

// PutLicense records a license.
func (t *tx) PutLicense(ctx context.Context, l issuer.License) (bool, error) {
	version, err := number(l.Version)
	if err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutLicense, l.Domain[:], l.ID[:], l.Device[:], l.Grant[:], l.Request[:], string(l.State), version, l.IssuedAt, l.Digest[:])
}

// License returns one license.
func (t *tx) License(ctx context.Context, domain ident.Domain, id ident.License) (issuer.License, error) {
	return single(t.licenses(ctx, sqlLicense, domain[:], id[:]))
}

// Licenses returns a household's licenses, oldest first.
func (t *tx) Licenses(ctx context.Context, domain ident.Domain) ([]issuer.License, error) {
	return t.licenses(ctx, sqlLicenses, domain[:])
}

// Used reports whether a license was issued for a grant.
func (t *tx) Used(ctx context.Context, key issuer.GrantKey) (used bool, err error) {
	err = t.conn.query(ctx, func(scan func(...any) error) error {
		var version int64
		used = true
		return scan(&version)
	}, sqlUsed, key.Domain[:], key.Grant[:])
	return used, err
}

func (t *tx) licenses(ctx context.Context, sql string, args ...any) ([]issuer.License, error) {
	out := []issuer.License{}
	err := t.conn.query(ctx, licenseInto(&out), sql, args...)
	return out, err
}

// licenseInto reads rows of licenses.
func licenseInto(out *[]issuer.License) func(func(...any) error) error {
	return func(scan func(...any) error) error {
		var domain, id, device, grant, request, digest []byte
		var state string
		var version int64
		var l issuer.License
		if err := scan(&domain, &id, &device, &grant, &request, &state, &version, &l.IssuedAt, &digest); err != nil {
			return err
		}
		f := fixed{}
		f.copy(l.Domain[:], domain)
		f.copy(l.ID[:], id)
		f.copy(l.Device[:], device)
		f.copy(l.Grant[:], grant)
		f.copy(l.Request[:], request)
		f.copy(l.Digest[:], digest)
		l.State, l.Version = issuer.LicenseState(state), uint64(version) //nolint:gosec // number wrote it
		*out = append(*out, l)
		return f.err
	}
}

// RenewLicense replaces a license's version, time and digest.
func (t *tx) RenewLicense(ctx context.Context, l issuer.License) error {
	version, err := number(l.Version)
	if err != nil {
		return err
	}
	return t.one(ctx, sqlRenewed, l.Domain[:], l.ID[:], version, l.IssuedAt, l.Digest[:])
}

// SetLicense changes a license's state.
func (t *tx) SetLicense(ctx context.Context, domain ident.Domain, id ident.License, state issuer.LicenseState) error {
	return t.one(ctx, sqlSetLicense, domain[:], id[:], string(state))
}

const (
	sqlPutTransfer = `INSERT INTO transfer (domain_id, tid, license_id, peer, state, xfer_hash, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
	sqlTransfer  = `SELECT domain_id, tid, license_id, state, xfer_hash, sealed FROM transfer WHERE domain_id = $1 AND tid = $2`
	sqlDomains   = `SELECT domain_id FROM peer_seq WHERE peer = $1 AND incarnation = $2`
	sqlClose     = `UPDATE transfer SET state = 'closed', sealed = $3 WHERE domain_id = $1 AND tid = $2`
	sqlFirstOpen = `SELECT tid FROM transfer WHERE domain_id = $1 AND tid >= $2 AND tid <= $3 AND state = 'escrow' ORDER BY tid LIMIT 1`
	sqlLastSeq   = `SELECT seq FROM peer_seq WHERE domain_id = $1 AND peer = $2 AND incarnation = $3`
)

// PutTransfer records a hand-over.
func (t *tx) PutTransfer(ctx context.Context, x issuer.Transfer) error {
	return t.one(ctx, sqlPutTransfer, x.Domain[:], tidBytes(x.ID), x.License[:], x.ID.Dst[:], string(x.State), x.XferHash[:], notNil(x.Sealed))
}

// Transfer finds a hand-over; a zero domain is looked for in all in which its peer
// was given a number.
func (t *tx) Transfer(ctx context.Context, domain ident.Domain, id ident.Transfer) (issuer.Transfer, error) {
	domains := [][]byte{domain[:]}
	if domain == (ident.Domain{}) {
		domains = nil
		err := t.conn.query(ctx, func(scan func(...any) error) error {
			var d []byte
			err := scan(&d)
			domains = append(domains, d)
			return err
		}, sqlDomains, id.Dst[:], id.Incarnation[:])
		if err != nil {
			return issuer.Transfer{}, err
		}
	}
	var all []issuer.Transfer
	for _, d := range domains {
		some, err := t.transfers(ctx, sqlTransfer, d, tidBytes(id))
		if err != nil {
			return issuer.Transfer{}, err
		}
		all = append(all, some...)
	}
	return single(all, nil)
}

func (t *tx) transfers(ctx context.Context, sql string, args ...any) ([]issuer.Transfer, error) {
	var out []issuer.Transfer
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var dom, tid, lic, hash []byte
		var state string
		var x issuer.Transfer
		if err := scan(&dom, &tid, &lic, &state, &hash, &x.Sealed); err != nil {
			return err
		}
		f := fixed{}
		f.copy(x.Domain[:], dom)
		f.copy(x.License[:], lic)
		f.copy(x.XferHash[:], hash)
		x.ID, x.State = f.tid(tid), issuer.TransferState(state)
		out = append(out, x)
		return f.err
	}, sql, args...)
	return out, err
}

// CloseTransfer erases the sealed body.
func (t *tx) CloseTransfer(ctx context.Context, domain ident.Domain, id ident.Transfer) error {
	return t.one(ctx, sqlClose, domain[:], tidBytes(id), []byte{})
}

// Low is the number below the first open hand-over of a pair, or the last one.
func (t *tx) Low(ctx context.Context, domain ident.Domain, id ident.Transfer) (uint64, error) {
	from, to := id, id
	from.Seq, to.Seq = 0, math.MaxUint64
	var low uint64
	open := false
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var tid []byte
		if err := scan(&tid); err != nil {
			return err
		}
		f := fixed{}
		low, open = f.tid(tid).Seq-1, true
		return f.err
	}, sqlFirstOpen, domain[:], tidBytes(from), tidBytes(to))
	if err != nil || open {
		return low, err
	}
	err = t.conn.query(ctx, number64(&low), sqlLastSeq, domain[:], id.Dst[:], id.Incarnation[:])
	return low, err
}

// number64 reads a number that the table checks not to be negative.
func number64(n *uint64) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var x int64
		err := scan(&x)
		*n = uint64(x) //nolint:gosec // see above
		return err
	}
}

// single is the one row of a look-up by primary key.
func single[T any](rows []T, err error) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(rows) == 0:
		return none, issuer.ErrNotFound
	case len(rows) > 1:
		return none, issuer.ErrConflict
	}
	return rows[0], nil
}

// tidBytes is the column form of a transfer ID: source, destination,
// incarnation and the number, big-endian, 48 bytes. The zero ID is 48 zeros.
func tidBytes(id ident.Transfer) []byte {
	b := append(append(append([]byte{}, id.Src[:]...), id.Dst[:]...), id.Incarnation[:]...)
	return binary.BigEndian.AppendUint64(b, id.Seq)
}

// fixed fills IDs from columns and remembers the first one of a wrong length.
type fixed struct{ err error }

func (f *fixed) copy(dst, src []byte) {
	if len(src) != len(dst) && f.err == nil {
		f.err = &engineError{fmt.Errorf("a column has %d bytes, %d belong there", len(src), len(dst))}
	}
	copy(dst, src)
}

func (f *fixed) tid(b []byte) (id ident.Transfer) {
	var flat [48]byte
	f.copy(flat[:], b)
	copy(id.Src[:], flat[:16])
	copy(id.Dst[:], flat[16:32])
	copy(id.Incarnation[:], flat[32:40])
	id.Seq = binary.BigEndian.Uint64(flat[40:])
	return id
}

// number is a count as the engines keep it: 63 bits.
func number(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("store: %d is too large", n)
	}
	return int64(n), nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// tiersText and tiersOf turn tiers into a column and back: "1,2,3".
func tiersText(tiers []uint64) string {
	parts := make([]string, len(tiers))
	for i, t := range tiers {
		parts[i] = strconv.FormatUint(t, 10)
	}
	return strings.Join(parts, ",")
}

func tiersOf(s string) ([]uint64, error) {
	out := []uint64{}
	if s == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, &engineError{fmt.Errorf("tiers column: %w", err)}
		}
		out = append(out, n)
	}
	return out, nil
}
