package store

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	rollColumns = `domain_id, roll, version, generation, max_devices, new_a_year, codes, created_at`
	sqlPutRoll  = `INSERT INTO domain_roll (` + rollColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	sqlSetRoll  = `UPDATE domain_roll SET roll = $2, version = $3, generation = $4, max_devices = $5, new_a_year = $6, codes = $7
WHERE domain_id = $1 AND version = $3 - 1`
	sqlRoll        = `SELECT ` + rollColumns + ` FROM domain_roll WHERE domain_id = $1`
	sqlRolls       = `SELECT ` + rollColumns + ` FROM domain_roll WHERE domain_id > $1 ORDER BY domain_id LIMIT $2`
	sqlCloseDomain = `UPDATE domain SET status = 'closed' WHERE domain_id = $1`
)

// PutRoll records a domain that this issuer manages, and its household when it is new.
func (t *tx) PutRoll(ctx context.Context, r issuer.DomainRoll) (bool, error) {
	args, err := rollArgs(r)
	if err != nil {
		return false, err
	}
	if _, err := t.conn.exec(ctx, sqlPutDomain, r.Domain[:], r.Created); err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutRoll, append(args, r.Created)...)
}

// SetRoll replaces what stands in the version before.
func (t *tx) SetRoll(ctx context.Context, r issuer.DomainRoll) (bool, error) {
	args, err := rollArgs(r)
	if err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlSetRoll, args...)
}

func rollArgs(r issuer.DomainRoll) ([]any, error) {
	out := []any{r.Domain[:], notNil(r.Roll)}
	for _, n := range []uint64{r.Version, r.Generation, r.Devices, r.NewAYear, r.Codes} {
		v, err := number(n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Roll returns one domain.
func (t *tx) Roll(ctx context.Context, domain ident.Domain) (issuer.DomainRoll, error) {
	return single(t.rolls(ctx, sqlRoll, domain[:]))
}

// Rolls returns a page of all domains.
func (t *tx) Rolls(ctx context.Context, after ident.Domain, limit int) ([]issuer.DomainRoll, error) {
	return t.rolls(ctx, sqlRolls, after[:], int64(limit))
}

func (t *tx) rolls(ctx context.Context, sql string, args ...any) ([]issuer.DomainRoll, error) {
	out := []issuer.DomainRoll{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var domain []byte
		var n [5]int64
		var r issuer.DomainRoll
		if err := scan(&domain, &r.Roll, &n[0], &n[1], &n[2], &n[3], &n[4], &r.Created); err != nil {
			return err
		}
		f := fixed{}
		f.copy(r.Domain[:], domain)
		r.Version, r.Generation, r.Devices, r.NewAYear, r.Codes = uint64(n[0]), uint64(n[1]), uint64(n[2]), uint64(n[3]), uint64(n[4]) //nolint:gosec // checked by the table not to be negative
		out = append(out, r)
		return f.err
	}, sql, args...)
	return out, err
}

// DropDomain forgets a domain, and closes its household.
func (t *tx) DropDomain(ctx context.Context, domain ident.Domain) error {
	if err := t.one(ctx, `DELETE FROM domain_roll WHERE domain_id = $1`, domain[:]); err != nil {
		return err // first: who changes the domain now has ended, or finds none
	}
	list, err := t.Devices(ctx, domain)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := t.DropDevice(ctx, domain, d.ID); err != nil {
			return err
		}
	}
	if _, err := t.conn.exec(ctx, sqlDropCodes, domain[:]); err != nil {
		return err
	}
	_, err = t.conn.exec(ctx, sqlCloseDomain, domain[:])
	return err
}

// HoldBox keeps others from a device's letters until the transaction ends.
func (t *tx) HoldBox(ctx context.Context, domain ident.Domain, to ident.Device) error {
	return t.one(ctx, `UPDATE device SET name = name WHERE domain_id = $1 AND device_id = $2`, domain[:], to[:])
}

const (
	deviceColumns = `domain_id, device_id, name, chain, delivery, enrolled_at`
	sqlPutDevice  = `INSERT INTO device (` + deviceColumns + `) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (domain_id, device_id) DO UPDATE SET name = $3, chain = $4, delivery = $5, enrolled_at = $6`
	sqlDevices  = `SELECT ` + deviceColumns + ` FROM device WHERE domain_id = $1 ORDER BY name, device_id`
	sqlPutHome  = `INSERT INTO device_home (device_id, domain_id) VALUES ($1, $2) ON CONFLICT (device_id) DO UPDATE SET domain_id = $2`
	sqlHome     = `SELECT domain_id FROM device_home WHERE device_id = $1`
	sqlDropHome = `DELETE FROM device_home WHERE device_id = $1 AND domain_id = $2`
	sqlDropMail = `DELETE FROM letter WHERE domain_id = $1 AND device_id = $2`
	sqlDropDev  = `DELETE FROM device WHERE domain_id = $1 AND device_id = $2`
)

// PutDevice records a device, and where it is looked for.
func (t *tx) PutDevice(ctx context.Context, d issuer.DomainDevice) error {
	if err := t.one(ctx, sqlPutDevice, d.Domain[:], d.ID[:], d.Name, notNil(d.Chain), notNil(d.Delivery), d.Enrolled); err != nil {
		return err
	}
	return t.one(ctx, sqlPutHome, d.ID[:], d.Domain[:])
}

// DropDevice forgets a device and its letters.
func (t *tx) DropDevice(ctx context.Context, domain ident.Domain, device ident.Device) error {
	if _, err := t.conn.exec(ctx, sqlDropHome, device[:], domain[:]); err != nil {
		return err
	}
	if _, err := t.conn.exec(ctx, sqlDropMail, domain[:], device[:]); err != nil {
		return err
	}
	_, err := t.conn.exec(ctx, sqlDropDev, domain[:], device[:])
	return err
}

// Devices returns a domain's devices by name.
func (t *tx) Devices(ctx context.Context, domain ident.Domain) ([]issuer.DomainDevice, error) {
	out := []issuer.DomainDevice{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var of, id []byte
		var d issuer.DomainDevice
		if err := scan(&of, &id, &d.Name, &d.Chain, &d.Delivery, &d.Enrolled); err != nil {
			return err
		}
		f := fixed{}
		f.copy(d.Domain[:], of)
		f.copy(d.ID[:], id)
		out = append(out, d)
		return f.err
	}, sqlDevices, domain[:])
	return out, err
}

// HomeOf returns the domain that a device has joined last.
func (t *tx) HomeOf(ctx context.Context, device ident.Device) (ident.Domain, error) {
	var out []ident.Domain
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var domain []byte
		if err := scan(&domain); err != nil {
			return err
		}
		f := fixed{}
		var d ident.Domain
		f.copy(d[:], domain)
		out = append(out, d)
		return f.err
	}, sqlHome, device[:])
	return single(out, err)
}

const (
	sqlPutJoinCode = `INSERT INTO join_code (code_hash, domain_id, expires_at, idle) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	sqlJoinCode    = `SELECT domain_id, expires_at, idle FROM join_code WHERE code_hash = $1`
	sqlDropCodes   = `DELETE FROM join_code WHERE domain_id = $1`
)

// PutJoinCode records the code of a domain, in the place of what it had.
func (t *tx) PutJoinCode(ctx context.Context, c issuer.JoinCode) (bool, error) {
	idle := int64(0)
	if c.Idle {
		idle = 1
	}
	if _, err := t.conn.exec(ctx, sqlDropCodes, c.Domain[:]); err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutJoinCode, c.Hash[:], c.Domain[:], c.Expires, idle)
}

// JoinCode finds a code by its hash.
func (t *tx) JoinCode(ctx context.Context, hash issuer.CodeHash) (issuer.JoinCode, error) {
	var out []issuer.JoinCode
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var domain []byte
		var idle int64
		c := issuer.JoinCode{Hash: hash}
		if err := scan(&domain, &c.Expires, &idle); err != nil {
			return err
		}
		f := fixed{}
		f.copy(c.Domain[:], domain)
		c.Idle = idle == 1
		out = append(out, c)
		return f.err
	}, sqlJoinCode, hash[:])
	return single(out, err)
}

const (
	letterColumns = `number, source, topic, at, expires_at, body`
	sqlPutLetter  = `INSERT INTO letter (domain_id, device_id, ` + letterColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	sqlLetters    = `SELECT ` + letterColumns + ` FROM letter WHERE domain_id = $1 AND device_id = $2 AND number > $3 ORDER BY number`
	sqlDropLetter = `DELETE FROM letter WHERE domain_id = $1 AND device_id = $2 AND number = $3`
)

// PutLetter records a letter that waits for a device.
func (t *tx) PutLetter(ctx context.Context, l issuer.DomainLetter) (bool, error) {
	n, err := number(l.Number)
	if err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutLetter, l.Domain[:], l.To[:], n, l.From[:], l.Topic[:], l.At, l.Expires, notNil(l.Bytes))
}

// DropLetter forgets a letter.
func (t *tx) DropLetter(ctx context.Context, domain ident.Domain, to ident.Device, at uint64) error {
	n, err := number(at)
	if err != nil {
		return err
	}
	_, err = t.conn.exec(ctx, sqlDropLetter, domain[:], to[:], n)
	return err
}

// Waiting returns a device's letters, oldest first.
func (t *tx) Waiting(ctx context.Context, domain ident.Domain, to ident.Device, after uint64) ([]issuer.DomainLetter, error) {
	from, err := number(after)
	if err != nil {
		return nil, err
	}
	out := []issuer.DomainLetter{}
	err = t.conn.query(ctx, func(scan func(...any) error) error {
		var n int64
		var source, topic []byte
		l := issuer.DomainLetter{Domain: domain, To: to}
		if err := scan(&n, &source, &topic, &l.At, &l.Expires, &l.Bytes); err != nil {
			return err
		}
		f := fixed{}
		f.copy(l.From[:], source)
		f.copy(l.Topic[:], topic)
		l.Number = uint64(n) //nolint:gosec // checked by the table to be positive
		out = append(out, l)
		return f.err
	}, sqlLetters, domain[:], to[:], from)
	return out, err
}
