package issuer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const counted = "PLAY; PLAY_COUNT=3; END_TIME=2026-12-24T00:00:00Z; CHARGE=RENTAL"

// TestRenew_Copies3_CountedLicense: the next version takes the place of the one
// before, at the module that has it, without another count; in every state in
// which it can be asked for again.
func TestRenew_Copies3_CountedLicense(t *testing.T) {
	s := newShop(t)
	g := s.grant(counted, 1)
	key := issuer.GrantKey{Domain: house, Grant: g.ID}
	sealed := s.send(request(1))
	if got := s.send(receipt(1, sealed, true)); !strings.HasPrefix(got, "done 1") {
		t.Fatal(got)
	}
	before := s.licenses()[0]
	until := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	s.now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) // after its end, another process
	s.open()
	if got := s.send(request(2)); got != "refused EXHAUSTED" {
		t.Fatalf("before the renewal: %q", got)
	}
	if _, err := s.Renew(t.Context(), key, until); err != nil {
		t.Fatal(err)
	}
	stranger := request(3)
	stranger.Peer = ident.Device{0x99}
	if got := s.send(stranger); got != "refused EXHAUSTED" {
		t.Errorf("another module: %q", got)
	}
	renewed := s.send(request(4))
	if !strings.Contains(renewed, fmt.Sprintf("license %v seq 2 plays 3", before.ID)) || s.trem.last.Info.Version != 2 {
		t.Fatalf("%q, version %d", renewed, s.trem.last.Info.Version)
	}
	s.open()
	for _, n := range []byte{4, 5, 6} { // the same request, and others: one transfer
		if got := s.send(request(n)); got != renewed {
			t.Errorf("request %d: %q, want %q", n, got, renewed)
		}
	}
	if l := s.licenses(); len(l) != 1 || l[0].Version != 1 || l[0].Digest != before.Digest {
		t.Errorf("on its way: %+v", l)
	}
	if got := s.send(receipt(2, renewed, true)); !strings.HasPrefix(got, "done 2 low 2") {
		t.Fatal(got)
	}
	if l := s.licenses(); len(l) != 1 || l[0].Version != 2 || l[0].Digest == before.Digest || l[0].State != issuer.Delivered || s.remaining(g.ID) != 0 {
		t.Errorf("arrived: %+v, %d left", l, s.remaining(g.ID))
	}
	if got := s.send(request(7)); got != "refused EXHAUSTED" {
		t.Errorf("renewed once, asked twice: %q", got)
	}
	s.clean()
}

// TestRenew_Copies3_RefusedRenewal: what is held stays, and the renewal can be
// asked for again.
func TestRenew_Copies3_RefusedRenewal(t *testing.T) {
	s := newShop(t)
	g := s.grant(counted, 1)
	s.send(receipt(1, s.send(request(1)), true))
	if _, err := s.Renew(t.Context(), issuer.GrantKey{Domain: house, Grant: g.ID}, time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	renewed := s.send(request(2))
	if got := s.send(receipt(2, renewed, false)); !strings.HasPrefix(got, "done 2") {
		t.Fatal(got)
	}
	if l := s.licenses()[0]; l.Version != 1 || l.State != issuer.Delivered || s.remaining(g.ID) != 0 {
		t.Errorf("%+v, %d left", l, s.remaining(g.ID))
	}
	if got := s.send(request(3)); !strings.Contains(got, "seq 3") {
		t.Errorf("asked again: %q", got)
	}
	s.clean()
}

// clean fails when the database breaks a rule.
func (s *shop) clean() {
	s.t.Helper()
	got, err := store.CheckSQLite(s.t.Context(), s.path)
	if err != nil || len(got.Findings) != 0 {
		s.t.Errorf("%+v, %v", got.Findings, err)
	}
}

func TestCopies_Spec2_FetchedLoanComesBackEarly(t *testing.T) {
	s := library(t, 1)
	if _, err := s.Lend(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	first := s.send(request(1))
	other := ident.Domain{0x31}
	if _, err := s.PlaceHold(t.Context(), film, other); err != nil {
		t.Fatal(err)
	}
	lic := s.licensesOf(house)[0]
	for name, p := range map[string]trem.Proof{
		"another license": {Object: make([]byte, ident.Size), Chain: [][]byte{home[:]}},
		"another module":  {Object: lic.ID[:], Chain: [][]byte{self[:]}},
		"no signature":    {},
	} {
		if err := s.ReturnLicense(t.Context(), house, lic.ID, p); !errors.Is(err, issuer.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if err := s.giveBack(lic); err != nil {
			t.Fatal(err)
		}
	}
	v, err := s.Copies(t.Context(), film)
	if err != nil || len(v.Loans) != 0 || len(v.Holds) != 1 || v.Holds[0].OfferedUntil == 0 {
		t.Errorf("%+v, %v: the copy is the next one's", v, err)
	}
	for _, n := range []byte{1, 2} {
		if got := s.send(request(n)); got == first || !strings.HasPrefix(got, "refused") {
			t.Errorf("request %d after it went back: %q", n, got)
		}
	}
	if d, err := s.Document(t.Context(), "", "", house, lic.ID); err != nil || d.Status != issuer.Back || len(d.Links) != 0 || d.Updated.Status.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	if err := s.EndIssue(t.Context(), house, lic.ID); !errors.Is(err, issuer.ErrEnded) {
		t.Errorf("revoked as well: %v", err)
	}
	s.clean()
}

func TestIssuer_Spec4_LicenseEndedAndReplaced(t *testing.T) {
	s := newShop(t)
	g := s.grant("PLAY; PLAY_COUNT=3", 1)
	sealed := s.send(request(1))
	lic := s.licenses()[0]
	if err := s.Replace(t.Context(), house, lic.ID); !errors.Is(err, issuer.ErrNotDelivered) {
		t.Errorf("on its way: %v", err)
	}
	s.send(receipt(1, sealed, true))
	for range 2 {
		if err := s.Replace(t.Context(), house, lic.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.remaining(g.ID); n != 1 {
		t.Fatalf("%d left to issue, want 1", n)
	}
	if got := s.send(request(1)); got != "refused NO_GRANT" {
		t.Errorf("the old module's request: %q", got)
	}
	if got := s.send(request(2)); !strings.HasPrefix(got, "license ") || s.remaining(g.ID) != 0 {
		t.Errorf("the new module: %q", got)
	}
	if d, err := s.Document(t.Context(), "", "", house, lic.ID); err != nil || d.Status != issuer.Revoked {
		t.Errorf("%+v, %v", d, err)
	}
	s2 := newShop(t)
	s2.grant("PLAY", 1)
	s2.send(request(1))
	one := s2.licenses()[0]
	if err := s2.Replace(t.Context(), house, one.ID); !errors.Is(err, issuer.ErrTerms) {
		t.Errorf("without state: %v", err)
	}
	if err := s2.EndIssue(t.Context(), house, one.ID); err != nil {
		t.Fatal(err)
	}
	for _, n := range []byte{1, 2} {
		if got := s2.send(request(n)); got != "refused NO_GRANT" {
			t.Errorf("request %d of a revoked license: %q", n, got)
		}
	}
	s2.clean()
}

// TestIssuer_Spec7_OlderDatabaseNumbersAnew: after a backup was put back under the
// same module no transfer has the number of one that was given since.
func TestIssuer_Spec7_OlderDatabaseNumbersAnew(t *testing.T) {
	s := newShop(t)
	book := func() {
		t.Helper()
		if err := s.Book(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	book()
	s.grant("PLAY; PLAY_COUNT=3", 9)
	s.send(receipt(1, s.send(request(1)), true))
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := store.BackupSQLite(t.Context(), s.path, backup); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copied.db") // by hand, while it does not run
	s.open()
	book()
	given := map[string]bool{}
	after := func(n byte) {
		t.Helper()
		answer := s.send(request(n))
		id := fmt.Sprintf("%v %s", s.trem.incarnation(), answer[strings.Index(answer, "seq"):])
		if given[id] {
			t.Errorf("number %s was given twice", id)
		}
		given[id] = true
	}
	after(2)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.path)
	if err == nil {
		err = os.WriteFile(copied, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.store = nil
	s.open()
	book()
	if s.trem.in > 1 {
		t.Error("a restart is no older copy")
	}
	after(3)
	n := byte(4)
	for _, from := range []string{backup, copied, backup} {
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
		}
		s.store = nil
		s.replace(from)
		s.open()
		was := s.trem.in
		for range 2 {
			if err := s.Book(t.Context()); !errors.Is(err, issuer.ErrSetBack) {
				t.Errorf("%s was taken for the database that was served last: %v", filepath.Base(from), err)
			}
		}
		if got, err := s.AcceptSetBack(t.Context()); err != nil || !got.Older || s.trem.in == was {
			t.Errorf("%s is accepted: %+v, %v", filepath.Base(from), got, err)
		}
		book()
		after(n)
		n++
	}
}

// replace puts a database in the place of the one that is served from.
func (s *shop) replace(from string) {
	s.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(s.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
