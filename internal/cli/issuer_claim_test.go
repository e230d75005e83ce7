package cli

import (
	"encoding/csv"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/service/issuer"
)

// A shop makes codes, a house redeems one with a real home server, again without
// harm, and another house is refused by name.
func TestClaim_EndToEnd(t *testing.T) {
	s := newShopTest(t)
	s.do("issuer", "offer", "add", "rental-48h", "--dir", s.path("shop"), "--content", string(testFilm), "--terms", "PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0", "--name", "48 hours")
	if out := s.do("issuer", "offer", "show", "rental-48h", "--dir", s.path("shop")); !strings.Contains(out, "You may watch it for 48 hours from the first start, 2 times.") {
		t.Errorf("offer show: %s", out)
	}
	if out := s.do("issuer", "offer", "list", "--dir", s.path("shop")); !strings.Contains(out, "48 hours") {
		t.Errorf("offer list: %s", out)
	}
	out := s.do("issuer", "claim", "new", "--dir", s.path("shop"), "--offer", "rental-48h", "--count", "3", "--csv", "--qr", s.path("qr"))
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 4 || strings.Join(rows[0], ",") != "code,url,batch,index,expires" || !strings.HasPrefix(rows[1][1], s.url+"/c/") {
		t.Fatalf("%v, %v", rows, err)
	}
	picture, err := os.Open(s.path("qr", rows[1][0]+".png"))
	s.ok(err)
	defer picture.Close()
	if _, err := png.Decode(picture); err != nil {
		t.Errorf("the picture: %v", err)
	}
	for _, name := range []string{"house", "neighbors"} {
		s.do("home", "init", "--dir", s.path(name), "--ca", s.ca, "--voucher", s.voucher("--role", "home server"))
		_, err := s.serve(name, "home", "serve", "--dir", s.path(name), "--listen", "127.0.0.1:0", "--ca", s.ca)
		s.ok(err)
	}
	var first, again claimed
	s.ok(s.query(t.Context(), &first, "home", "claim", rows[1][1], "--dir", s.path("house")))
	if first.Content != testFilm || first.Kind != issuer.Rental {
		t.Errorf("claimed %+v", first)
	}
	// Said again, the code gives the same: no second grant, no second license.
	s.ok(s.query(t.Context(), &again, "home", "claim", rows[1][0], "--issuer", s.url, "--dir", s.path("house")))
	if again != first {
		t.Errorf("again: %+v, first %+v", again, first)
	}
	a, err := s.run(t.Context(), "home", "claim", rows[1][1], "--dir", s.path("neighbors"))
	s.ok(err)
	if a.code != statusRefused || !strings.Contains(a.stderr, "another house") {
		t.Errorf("the neighbors: status %d, %s", a.code, a.stderr)
	}
	var grants issuerapi.GrantPage
	s.ok(s.query(t.Context(), &grants, "issuer", "grants", "--dir", s.path("shop")))
	if len(grants.Grants) != 1 || grants.Grants[0].ID != first.Grant || grants.Grants[0].Offer != "rental-48h" {
		t.Errorf("grants %+v", grants.Grants)
	}
	var batches issuerapi.BatchPage
	s.ok(s.query(t.Context(), &batches, "issuer", "claim", "list", "--dir", s.path("shop")))
	id := batches.Batches[0].ID.String()
	if out := s.do("issuer", "claim", "show", id, "--dir", s.path("shop")); strings.Count(out, "open") != 2 || strings.Count(out, "redeemed") != 1 {
		t.Errorf("claim show: %s", out)
	}
	if out := s.do("issuer", "claim", "resend", id, "--index", rows[2][3], "--dir", s.path("shop")); !strings.Contains(out, rows[2][0]) {
		t.Errorf("claim resend: %s", out)
	}
	if out := s.do("issuer", "claim", "void", id, "--dir", s.path("shop")); out != "2 codes withdrawn.\n" {
		t.Errorf("claim void: %q", out)
	}
	lendCopies(s)
	if out := s.do("issuer", "db", "backup", s.path("backup.db"), "--dir", s.path("shop")); !strings.HasPrefix(out, "Backed up to ") { // while it serves
		t.Errorf("db backup: %s", out)
	}
	if out := s.do("issuer", "db", "check", "--dir", s.path("shop")); !strings.HasPrefix(out, "The database is whole: ") {
		t.Errorf("db check: %s", out)
	}
	log, err := os.ReadFile(s.path("log"))
	s.ok(err)
	for _, r := range rows[1:] {
		if text := strings.ReplaceAll(r[0], "-", ""); strings.Contains(string(log), text) || strings.Contains(string(log), r[0]) {
			t.Error("a code stands in a log")
		}
	}
}

// lendCopies lends the one copy of a library's film to the house, and keeps it
// from the neighbors until it is back.
func lendCopies(s *shopTest) {
	s.t.Helper()
	shop := []string{"--dir", s.path("shop"), "--content", string(testFilm), "--domain"}
	do := func(args ...string) answer {
		s.t.Helper()
		a, err := s.run(s.t.Context(), append([]string{"issuer"}, args...)...)
		s.ok(err)
		return a
	}
	s.do("issuer", "offer", "add", "loan", "--dir", s.path("shop"), "--kind", "loan", "--content", string(testFilm), "--terms", "PLAY")
	s.do("issuer", "copies", "set", string(testFilm), "--dir", s.path("shop"), "--copies", "1", "--offer", "loan")
	var names [2]string
	for i, name := range []string{"house", "neighbors"} {
		var v houseView
		s.ok(s.query(s.t.Context(), &v, "home", "show", "--dir", s.path(name), "--issuer", string(s.about.Issuer)))
		names[i] = v.Domain.String()
	}
	lend := func(who string, args ...string) answer { return do(append(append(args, shop...), who)...) }
	if a := lend(names[0], "copies", "lend"); a.code != statusDone || !strings.Contains(a.stdout, "The house has a copy until") {
		s.t.Errorf("lend: %d %s%s", a.code, a.stdout, a.stderr)
	}
	s.do("home", "fetch", string(testFilm), "--issuer", s.url, "--dir", s.path("house"))
	if a := lend(names[1], "copies", "lend"); a.code != statusRefused || !strings.Contains(a.stderr, "all copies are out") {
		s.t.Errorf("lend to another: %d %s", a.code, a.stderr)
	}
	if a := lend(names[1], "holds", "add"); a.code != statusDone || a.stdout != "The house waits for its turn.\n" {
		s.t.Errorf("hold: %d %s%s", a.code, a.stdout, a.stderr)
	}
	for _, verb := range []string{"renew", "return"} {
		if a := lend(names[0], "copies", verb); a.code != statusRefused {
			s.t.Errorf("%s: %d %s%s", verb, a.code, a.stdout, a.stderr)
		}
	}
	if a := do("copies", "list", "--dir", s.path("shop")); !strings.Contains(a.stdout, "1 copies, 0 free, 1 out, 1 waiting") {
		s.t.Errorf("copies list: %s", a.stdout)
	}
	if a := do("holds", "list", "--dir", s.path("shop")); !strings.Contains(a.stdout, "house "+names[1]) {
		s.t.Errorf("holds list: %s", a.stdout)
	}
	// Nobody waits any more: the loan is renewed, and the house gets the same
	// license in its next version, from a module that was given no key again.
	if a := lend(names[1], "holds", "cancel"); a.code != statusDone {
		s.t.Errorf("cancel: %d %s", a.code, a.stderr)
	}
	s.do("issuer", "copies", "set", string(testFilm), "--dir", s.path("shop"), "--copies", "1", "--offer", "loan", "--period", "1000h")
	if a := lend(names[0], "copies", "renew"); a.code != statusDone {
		s.t.Errorf("renew: %d %s", a.code, a.stderr)
	}
	s.do("home", "fetch", string(testFilm), "--issuer", s.url, "--dir", s.path("house"))
	var issued struct {
		Licenses []issuerapi.LicenseRow `json:"licenses"`
	}
	s.ok(s.query(s.t.Context(), &issued, "issuer", "licenses", "--dir", s.path("shop"), "--domain", names[0]))
	if n := len(issued.Licenses); n != 2 || issued.Licenses[1].Version != 2 {
		s.t.Errorf("%d licenses, the loan's is %+v; want the rental's, and version 2 of the loan's", n, issued.Licenses)
	}
}
