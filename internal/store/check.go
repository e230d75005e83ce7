package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// rules hold in every state that an issuer leaves behind; each statement counts
// the rows that break one. Source: docs/spec/issuer-store.md section 7.
var rules = []struct{ name, sql string }{
	{"a grant's household is known", `SELECT COUNT(*) FROM license_grant g WHERE NOT EXISTS (SELECT 1 FROM domain d WHERE d.domain_id = g.domain_id)`},
	{"a license has its grant", `SELECT COUNT(*) FROM license l WHERE NOT EXISTS (SELECT 1 FROM license_grant g WHERE g.domain_id = l.domain_id AND g.grant_id = l.grant_id)`},
	{"a license is not newer than its grant", `SELECT COUNT(*) FROM license l WHERE EXISTS (SELECT 1 FROM license_grant g WHERE g.domain_id = l.domain_id AND g.grant_id = l.grant_id AND g.version < l.version)`},
	{"a transfer has its license", `SELECT COUNT(*) FROM transfer t WHERE NOT EXISTS (SELECT 1 FROM license l WHERE l.domain_id = t.domain_id AND l.license_id = t.license_id)`},
	{"an open transfer has its sealed body, a closed one none", `SELECT COUNT(*) FROM transfer t WHERE (t.state = 'escrow') <> (octet_length(t.sealed) > 0)`},
	{"a license is confirmed when its transfer is closed, and not before", `SELECT COUNT(*) FROM transfer t WHERE EXISTS
(SELECT 1 FROM license l WHERE l.domain_id = t.domain_id AND l.license_id = t.license_id AND (l.state = 'issued') <> (t.state = 'escrow'))
AND NOT EXISTS (SELECT 1 FROM renewal r WHERE r.domain_id = t.domain_id AND r.tid = t.tid)`},
	{"a renewal on its way has its license and its transfer", `SELECT COUNT(*) FROM renewal r WHERE NOT EXISTS
(SELECT 1 FROM license l WHERE l.domain_id = r.domain_id AND l.license_id = r.license_id AND l.state = 'delivered' AND l.version < r.version)
OR NOT EXISTS (SELECT 1 FROM transfer t WHERE t.domain_id = r.domain_id AND t.tid = r.tid AND t.state = 'escrow')`},
	{"a license that ended was issued", `SELECT COUNT(*) FROM license_end e WHERE NOT EXISTS (SELECT 1 FROM license l WHERE l.domain_id = e.domain_id AND l.license_id = e.license_id)`},
	{"an answered request has its license", `SELECT COUNT(*) FROM idem i WHERE NOT EXISTS (SELECT 1 FROM license l WHERE l.domain_id = i.domain_id AND l.license_id = i.license_id)`},
	{"an offer's content is registered", `SELECT COUNT(*) FROM offer o WHERE NOT EXISTS (SELECT 1 FROM content c WHERE c.content_id = o.content_id)`},
	{"a claim code has its batch", `SELECT COUNT(*) FROM claim_code c WHERE NOT EXISTS (SELECT 1 FROM claim_batch b WHERE b.batch_id = c.batch_id)`},
	{"a redeemed claim code has its grant", `SELECT COUNT(*) FROM claim_code c WHERE c.state = 'redeemed'
AND NOT EXISTS (SELECT 1 FROM license_grant g WHERE g.domain_id = c.domain_id AND g.grant_id = c.grant_id)`},
	{"a claim code that is not redeemed is nobody's", `SELECT COUNT(*) FROM claim_code c WHERE c.state <> 'redeemed' AND c.redeemed_at <> 0`},
	{"loans and offers are not more than the copies", `SELECT COUNT(*) FROM stock s WHERE s.copies < (SELECT COUNT(*) FROM copy_loan l WHERE l.content_id = s.content_id)
+ (SELECT COUNT(*) FROM copy_hold h WHERE h.content_id = s.content_id AND h.offered_until > 0)`},
	{"a loan has its grant", `SELECT COUNT(*) FROM copy_loan l WHERE NOT EXISTS (SELECT 1 FROM license_grant g WHERE g.domain_id = l.domain_id AND g.grant_id = l.grant_id)`},
	{"the operators' log has no gap", `SELECT COUNT(*) FROM audit_entry a WHERE a.seq > 1 AND NOT EXISTS (SELECT 1 FROM audit_entry b WHERE b.seq = a.seq - 1)`},
	{"the operators' log is as long as it was", `SELECT COUNT(*) FROM audit_last l WHERE l.seq <> (SELECT COUNT(*) FROM audit_entry)`},
	{"a managed domain's household is known", `SELECT COUNT(*) FROM domain_roll r WHERE NOT EXISTS (SELECT 1 FROM domain d WHERE d.domain_id = r.domain_id)`},
	{"a device is of a managed domain", `SELECT COUNT(*) FROM device d WHERE NOT EXISTS (SELECT 1 FROM domain_roll r WHERE r.domain_id = d.domain_id)`},
	{"a device is where it is looked for", `SELECT COUNT(*) FROM device_home h WHERE NOT EXISTS (SELECT 1 FROM device d WHERE d.domain_id = h.domain_id AND d.device_id = h.device_id)`},
	{"a letter waits for a device", `SELECT COUNT(*) FROM letter l WHERE NOT EXISTS (SELECT 1 FROM device d WHERE d.domain_id = l.domain_id AND d.device_id = l.device_id)`},
	{"a code to join by has its domain", `SELECT COUNT(*) FROM join_code c WHERE NOT EXISTS (SELECT 1 FROM domain_roll r WHERE r.domain_id = c.domain_id)`},
	{"who has a copy does not wait for it", `SELECT COUNT(*) FROM copy_loan l WHERE EXISTS (SELECT 1 FROM copy_hold h WHERE h.content_id = l.content_id AND h.domain_id = l.domain_id)`},
}

// Finding is something wrong with a database.
type Finding struct {
	Rule string `json:"rule"`
	Rows int64  `json:"rows,omitempty"` // that break it
	Text string `json:"text,omitempty"` // the engine's own words
}

// Checked is what a check looked at and found.
type Checked struct {
	Schema   int64     `json:"schema"`
	Rules    int       `json:"rules"`
	Findings []Finding `json:"findings"`
}

// check looks at every rule in one consistent state.
func check(ctx context.Context, c conn) (Checked, error) {
	out := Checked{Rules: len(rules), Findings: []Finding{}}
	err := c.query(ctx, func(scan func(...any) error) error { return scan(&out.Schema) }, `SELECT COALESCE(MAX(version), 0) FROM schema_version`)
	if err != nil {
		return out, err
	}
	newest, err := newestSchema()
	if err != nil {
		return out, err
	}
	if out.Schema != newest {
		return out, fmt.Errorf("store: the database has schema %d, this program checks %d: serve it once with this program, or use the newer one", out.Schema, newest)
	}
	for _, r := range rules {
		f := Finding{Rule: r.name}
		if err := c.query(ctx, func(scan func(...any) error) error { return scan(&f.Rows) }, r.sql); err != nil {
			return out, err
		}
		if f.Rows > 0 {
			out.Findings = append(out.Findings, f)
		}
	}
	return out, nil
}

// CheckSQLite looks at a database file, also while an issuer serves from it: at
// every page, index and constraint, and at the rules between the tables.
func CheckSQLite(ctx context.Context, path string) (out Checked, err error) {
	name, err := otherName(path)
	if err != nil {
		return out, err
	}
	c, err := connect(name)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := c.exec(ctx, "BEGIN"); err != nil { // its end is the connection's
		return out, err
	}
	var broken []Finding
	err = c.query(ctx, func(scan func(...any) error) error {
		f := Finding{Rule: "the file is whole"}
		if err := scan(&f.Text); err != nil {
			return err
		}
		if f.Text != "ok" {
			broken = append(broken, f)
		}
		return nil
	}, "PRAGMA integrity_check")
	if err != nil || len(broken) > 0 { // then the rules mean nothing
		return Checked{Findings: broken}, err
	}
	return check(ctx, c)
}

// CheckPostgres looks at the rules between the tables of a database. Its pages
// are the server's to check (pg_amcheck).
func CheckPostgres(ctx context.Context, dsn string) (out Checked, err error) {
	cfg, err := pgConfig(dsn)
	if err != nil {
		return out, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return out, pgClassify(ctx, err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	err = inTx(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(ctx context.Context, c conn) error {
		out, err = check(ctx, c)
		return err
	})
	return out, err
}

// BackupSQLite writes a consistent copy of a database to a file that is not
// there yet, also while an issuer serves from it: what was acknowledged before
// the call is in it. The copy is on disk when it returns, and for its owner alone.
func BackupSQLite(ctx context.Context, path, to string) (err error) {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	db, err := openOther(path)
	if err == nil {
		_, err = db.ExecContext(ctx, "VACUUM INTO $1", to) // into a file that is empty
		err = errors.Join(err, db.Close())
	}
	if err == nil {
		err = unmark(ctx, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store: copy the database: %w", err), os.Remove(to))
	}
	return onDisk(to)
}

// unmark takes the modules' marks out of a copy: whoever serves from it is told that
// it is older than what was served before (docs/spec/issuer-store.md section 7).
func unmark(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		return err
	}
	var n int
	err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'store_mark'").Scan(&n)
	if err == nil && n > 0 { // a copy of an older schema has none
		_, err = db.ExecContext(ctx, "DELETE FROM store_mark")
	}
	return errors.Join(err, db.Close())
}

// onDisk flushes a file and its name.
func onDisk(path string) error {
	for _, name := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// openOther opens a database that another process may be writing.
func openOther(path string) (*sql.DB, error) {
	name, err := otherName(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// otherName is the data source name of a database that is there.
func otherName(path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode(), nil
}
