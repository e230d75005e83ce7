package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// busy fills a store with a row of each kind, as an issuer leaves them behind.
func busy(t *testing.T, s *store.Store) {
	t.Helper()
	d := ident.Domain{0xd}
	offer := issuer.Offer{ID: "o", Content: "c", Kind: issuer.Loan, Name: "o", Licenses: 1}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		err := errors.Join(tx.PutContent(ctx, issuer.Content{ID: "c"}), tx.PutOffer(ctx, offer))
		for n := range byte(3) {
			g := issuer.Grant{ID: issuer.GrantID{0x10 + n}, Domain: d, Content: "c", Kind: issuer.Loan, Remaining: 1, Version: 1}
			_, err2 := tx.PutGrant(ctx, g)
			id := ident.License{0x20 + n}
			x := issuer.Transfer{Domain: d, ID: ident.Transfer{Seq: uint64(n) + 1}, License: id, State: issuer.Escrow, Sealed: []byte{1}}
			_, _, err3 := tx.Claim(ctx, issuer.Claim{Domain: d, Request: ident.Request{n}, License: id, Transfer: x.ID})
			_, err4 := tx.PutLicense(ctx, issuer.License{Domain: d, ID: id, Grant: g.ID, State: issuer.Issued, Version: 1})
			err = errors.Join(err, err2, err3, err4, tx.PutTransfer(ctx, x))
		}
		_, err2 := tx.PutBatch(ctx, issuer.Batch{ID: issuer.BatchID{1}, Offer: offer, Codes: 2})
		for n := range byte(2) {
			_, err3 := tx.PutCode(ctx, issuer.CodeRow{Hash: issuer.CodeHash{n}, Batch: issuer.BatchID{1}, Index: uint64(n), State: issuer.CodeOpen})
			err = errors.Join(err, err3)
		}
		_, err4 := tx.RedeemCode(ctx, issuer.CodeRow{Hash: issuer.CodeHash{0}, Domain: d, Grant: issuer.GrantID{0x10}, RedeemedAt: 5})
		return errors.Join(err, err2, err4, tx.SetLicense(ctx, d, ident.License{0x20}, issuer.Delivered), tx.CloseTransfer(ctx, d, ident.Transfer{Seq: 1}),
			tx.PutStock(ctx, issuer.Stock{Content: "c", Copies: 1, Offer: "o", Period: 1, Window: 1}), tx.PutLoan(ctx, issuer.CopyLoan{Content: "c", Domain: d, Grant: issuer.GrantID{0x11}}),
			tx.PutHold(ctx, issuer.Hold{Content: "c", Domain: ident.Domain{2}, Turn: 1}), logged(ctx, tx), logged(ctx, tx), joined(ctx, tx))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// joined is a domain with a device, a letter and a code.
func joined(ctx context.Context, tx issuer.Tx) error {
	d, id := ident.Domain{0xe}, ident.Device{7}
	_, err := tx.PutRoll(ctx, issuer.DomainRoll{Domain: d, Version: 1, Generation: 1, Devices: 1})
	err2 := tx.PutDevice(ctx, issuer.DomainDevice{Domain: d, ID: id})
	_, err3 := tx.PutLetter(ctx, issuer.DomainLetter{Domain: d, To: id, Number: 1})
	_, err4 := tx.PutJoinCode(ctx, issuer.JoinCode{Domain: d})
	return errors.Join(err, err2, err3, err4)
}

// logged is an operator's act.
func logged(ctx context.Context, tx issuer.Tx) error {
	_, err := tx.AppendAudit(ctx, audit.Entry{At: 1, Actor: "owner", Action: "offer.put", Subject: "o"})
	return err
}

// breaks are changes to busy's database that no issuer makes, and the rule that each breaks.
var breaks = map[string]string{
	"DELETE FROM domain WHERE domain_id IN (SELECT domain_id FROM license_grant)":                        "a grant's household is known",
	"DELETE FROM domain WHERE domain_id IN (SELECT domain_id FROM domain_roll)":                          "a managed domain's household is known",
	"UPDATE device SET domain_id = device_id":                                                            "a device is of a managed domain",
	"UPDATE device_home SET domain_id = device_id":                                                       "a device is where it is looked for",
	"UPDATE letter SET device_id = domain_id":                                                            "a letter waits for a device",
	"UPDATE join_code SET domain_id = (SELECT device_id FROM device)":                                    "a code to join by has its domain",
	"UPDATE license SET grant_id = license_id WHERE state = 'delivered'":                                 "a license has its grant",
	"UPDATE license SET version = 2":                                                                     "a license is not newer than its grant",
	"UPDATE transfer SET license_id = peer":                                                              "a transfer has its license",
	"UPDATE transfer SET sealed = domain_id":                                                             "an open transfer has its sealed body, a closed one none",
	"UPDATE license SET state = 'issued'":                                                                "a license is confirmed when its transfer is closed, and not before",
	"UPDATE idem SET license_id = domain_id":                                                             "an answered request has its license",
	"DELETE FROM content":                                                                                "an offer's content is registered",
	"DELETE FROM claim_batch":                                                                            "a claim code has its batch",
	"UPDATE claim_code SET state = 'redeemed', domain_id = batch_id, grant_id = domain_id WHERE idx = 1": "a redeemed claim code has its grant",
	"UPDATE claim_code SET redeemed_at = 7 WHERE idx = 1":                                                "a claim code that is not redeemed is nobody's",
	"UPDATE copy_hold SET offered_until = 9":                                                             "loans and offers are not more than the copies",
	"UPDATE copy_loan SET grant_id = domain_id":                                                          "a loan has its grant",
	"UPDATE audit_entry SET seq = 9 WHERE seq = 2":                                                       "the operators' log has no gap",
	"DELETE FROM audit_entry WHERE seq = 2":                                                              "the operators' log is as long as it was",
	"INSERT INTO renewal (domain_id, license_id, tid, version, issued_at, digest) SELECT domain_id, license_id, tid, 2, 0, xfer_hash FROM transfer WHERE state = 'closed'": "a renewal on its way has its license and its transfer",
	"INSERT INTO license_end (domain_id, license_id, how, at) SELECT domain_id, grant_id, 'revoked', 1 FROM license_grant":                                                 "a license that ended was issued",
	"UPDATE copy_hold SET domain_id = (SELECT domain_id FROM copy_loan)":                                                                                                   "who has a copy does not wait for it",
}

func findings(c store.Checked) string {
	var out []string
	for _, f := range c.Findings {
		out = append(out, f.Rule)
	}
	return strings.Join(out, "; ")
}

func TestCheck_Spec7_EachRuleFindsWhatBreaksIt(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	s := open(t, whole)
	busy(t, s)
	got, err := store.CheckSQLite(t.Context(), whole) // while it is served from
	if err != nil || len(got.Findings) != 0 || got.Rules != len(breaks) {
		t.Fatalf("%+v, %v; %d rules are tried here", got, err, len(breaks))
	}
	n := 0
	for stmt, rule := range breaks {
		n++
		path := filepath.Join(t.TempDir(), fmt.Sprintf("broken%d.db", n))
		if err := store.BackupSQLite(t.Context(), whole, path); err != nil {
			t.Fatal(err)
		}
		store.Exec(t, path, stmt)
		got, err := store.CheckSQLite(t.Context(), path)
		if err != nil || !strings.Contains(findings(got), rule) {
			t.Errorf("%s: found %q, %v; want %q", stmt, findings(got), err, rule)
		}
	}
}

func TestCheck_Spec7_ADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	s := open(t, path)
	busy(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	store.Exec(t, path, "PRAGMA journal_mode = DELETE")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 20 * 4096; i < 24*4096 && i < len(data); i++ {
		data[i] ^= 0x55
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := store.CheckSQLite(t.Context(), path); err == nil && len(got.Findings) == 0 {
		t.Errorf("%+v, %v: four damaged pages were not found", got, err)
	}
	if _, err := store.CheckSQLite(t.Context(), path+".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCheck_Spec7_Postgres(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	s := c.open(t)
	busy(t, s)
	name := fmt.Sprintf("t%d", c.n)
	if got, err := store.CheckPostgres(t.Context(), c.DSN(name)); err != nil || len(got.Findings) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := s.Close(); err != nil { // a database in use is no template
		t.Fatal(err)
	}
	for stmt, rule := range breaks {
		c.run("createdb", "-h", c.Dir, "-U", "lares", "-T", name, "broken")
		c.run("psql", "-h", c.Dir, "-U", "lares", "-d", "broken", "-v", "ON_ERROR_STOP=1", "-q", "-c", stmt)
		if got, err := store.CheckPostgres(t.Context(), c.DSN("broken")); err != nil || !strings.Contains(findings(got), rule) {
			t.Errorf("%s: found %q, %v; want %q", stmt, findings(got), err, rule)
		}
		c.run("dropdb", "-h", c.Dir, "-U", "lares", "broken")
	}
}

// A backup made while an issuer writes is one state: whole by every rule, with
// all that was acknowledged before it began, and opens as a database.
func TestBackup_Spec7_WhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "issuer.db")
	s := open(t, path)
	grant := issuer.Grant{ID: issuer.GrantID{1}, Domain: ident.Domain{1}, Content: "c", Kind: issuer.Rental, Remaining: childGrants}
	if err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, grant)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			if err = s.Update(t.Context(), issueOne(grant)); err == nil {
				acked.Add(1)
			}
		}
		done <- err
	}()
	for n := range 3 {
		for before := acked.Load(); acked.Load() < before+20; { //nolint:revive // another goroutine writes
		}
		least := acked.Load()
		to := filepath.Join(dir, fmt.Sprintf("backup%d.db", n))
		if err := store.BackupSQLite(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		most := acked.Load()
		if got, err := store.CheckSQLite(t.Context(), to); err != nil || len(got.Findings) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		var rows []issuer.License
		b := open(t, to)
		if err := b.View(t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
			rows, err = r.Licenses(ctx, grant.Domain)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if n := int64(len(rows)); n < least || n > most+1 {
			t.Errorf("%d licenses in the backup; %d were acknowledged before it, %d after", n, least, most)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := store.BackupSQLite(t.Context(), path, filepath.Join(dir, "backup0.db")); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there was written over: %v", err)
	}
	if err := store.BackupSQLite(t.Context(), path+".none", filepath.Join(dir, "new.db")); err == nil {
		t.Error("a backup of nothing")
	}
	if _, err := os.Stat(filepath.Join(dir, "new.db")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a backup that failed left a file behind")
	}
}

// issueOne issues a license of a grant as an issuer does.
func issueOne(g issuer.Grant) func(context.Context, issuer.Tx) error {
	return func(ctx context.Context, tx issuer.Tx) error {
		id := ident.NewLicense()
		ok, err := tx.Debit(ctx, issuer.GrantKey{Domain: g.Domain, Grant: g.ID})
		seq, err2 := tx.NextSeq(ctx, g.Domain, ident.Device{}, ident.Incarnation{})
		if err := errors.Join(err, err2); err != nil || !ok {
			return errors.Join(err, errNoDebit)
		}
		_, err = tx.PutLicense(ctx, issuer.License{Domain: g.Domain, ID: id, Grant: g.ID, Version: 1, State: issuer.Issued})
		return errors.Join(err, tx.PutTransfer(ctx, issuer.Transfer{Domain: g.Domain, ID: ident.Transfer{Seq: seq}, License: id, State: issuer.Escrow, Sealed: []byte{1}}))
	}
}

var errNoDebit = errors.New("no debit")
