package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/security/pki/authority"
)

// TestSunset_EndToEnd: an issuer's promise, its notice, the authority that lets it
// stand, and the ordinary file in the house; with the processes as they run.
func TestSunset_EndToEnd(t *testing.T) {
	s := newShopTest(t)
	data, err := film.Files.ReadFile(film.SD)
	s.ok(err)
	s.ok(os.WriteFile(s.path("film.mp4"), data, 0o600))
	for _, id := range []string{"kept", "given"} {
		s.do("pack", s.path("film.mp4"), "--content", id, "--title", id, "--out", s.path(id), "--to", s.path("shop", issuerDelivery))
		s.do("issuer", "content", "add", "--dir", s.path("shop"), "--keys", s.path(id, "keys.lkd"))
	}
	home := s.path("house")
	s.do("home", "init", "--dir", home, "--ca", s.ca, "--voucher", s.voucher("--role", "home server"))
	_, err = s.serve("house", "home", "serve", "--dir", home, "--listen", "127.0.0.1:0", "--ca", s.ca, "--announce=false")
	s.ok(err)
	var v houseView
	s.ok(s.query(t.Context(), &v, "home", "show", "--dir", home, "--issuer", s.about.Issuer.String()))
	for id, terms := range map[string]string{"kept": "PLAY; SUNSET=release", "given": "PLAY; SUNSET=release; FREE_AFTER=2026-01-01T00:00:00Z"} {
		s.do("issuer", "grant", "--dir", s.path("shop"), "--domain", v.Domain.String(), "--content", id, "--kind", "purchase", "--terms", terms)
		s.do("home", "add", s.path(id), "--dir", home)
		s.do("home", "fetch", id, "--dir", home, "--issuer", s.url)
	}
	s.do("home", "learn", "--dir", home)
	got, err := s.run(t.Context(), "home", "release", "kept", "--dir", home, "--out", s.path("kept.mp4"))
	if err != nil || got.code != 3 {
		t.Errorf("before its end: status %d, %s%s, %v", got.code, got.stdout, got.stderr, err)
	}
	s.do("home", "release", "given", "--dir", home, "--out", s.path("given.mp4"))
	out, err := os.ReadFile(s.path("given.mp4"))
	if err != nil || !bytes.Contains(out, []byte("mdat")) || bytes.Contains(out, []byte("encv")) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if again, err := s.run(t.Context(), "home", "release", "given", "--dir", home, "--out", s.path("given.mp4")); err != nil || again.code == 0 {
		t.Errorf("over a file that is there: status %d, %v", again.code, err)
	}
	s.notice(t)
	s.sent(t)
}

// notice announces the end of the shop and takes it back.
func (s *shopTest) notice(t *testing.T) {
	t.Helper()
	soon := time.Now().AddDate(0, 0, 20).Format(time.DateOnly)
	if got, err := s.run(t.Context(), "issuer", "sunset", "notice", "--dir", s.path("shop"), "--effective", soon, "--out", s.path("n")); err != nil || got.code != 2 {
		t.Errorf("in 20 days: status %d, %v", got.code, err)
	}
	day := time.Now().AddDate(0, 0, 40).Format(time.DateOnly)
	s.do("issuer", "sunset", "notice", "--dir", s.path("shop"), "--effective", day, "--out", s.path("n"))
	s.do("ca", "sunset", "stand", s.path("n"), "--dir", s.path("ca"))
	s.do("issuer", "sunset", "withdraw", "--dir", s.path("shop"), "--out", s.path("w"))
	var list struct{ Issuers []authority.IssuerInfo }
	s.ok(s.query(t.Context(), &list, "ca", "sunset", "list", "--dir", s.path("ca")))
	if len(list.Issuers) != 1 || list.Issuers[0].Effective.Format(time.DateOnly) != day {
		t.Errorf("%+v", list)
	}
	s.do("ca", "sunset", "withdraw", s.path("w"), "--issuer", s.about.Issuer.String(), "--dir", s.path("ca"))
	got, err := s.run(t.Context(), "ca", "sunset", "withdraw", s.path("w"), "--issuer", s.about.Issuer.String(), "--dir", s.path("ca"))
	if err != nil || got.code != 3 || !strings.Contains(got.stderr, "no notice") {
		t.Errorf("withdrawn twice: status %d, %s, %v", got.code, got.stderr, err)
	}
}

// sent does the same by the network: what the operator sees, what he refuses and lets
// stand, and a notice that is announced while the authority is away, by an issuer that
// is killed then.
func (s *shopTest) sent(t *testing.T) {
	t.Helper()
	day := func(n int) string { return time.Now().AddDate(0, 0, n).Format(time.DateOnly) }
	announce := func(n int) announced {
		t.Helper()
		var v announced
		s.ok(s.query(t.Context(), &v, "issuer", "sunset", "notice", "--dir", s.path("shop"), "--effective", day(n), "--send"))
		return v
	}
	issuer := s.about.Issuer.String()
	if v := announce(45); v.Sent == nil || v.Sent.State != "waits" {
		t.Fatalf("%+v", v.Sent)
	}
	var list struct{ Issuers []authority.IssuerInfo }
	s.ok(s.query(t.Context(), &list, "ca", "sunset", "list", "--dir", s.path("ca")))
	if w := list.Issuers[0].Waits; w == nil || w.Effective.Format(time.DateOnly) != day(45) || w.From != s.about.Device || !list.Issuers[0].Effective.IsZero() {
		t.Errorf("%+v", list)
	}
	got, err := s.run(t.Context(), "ca", "sunset", "stand", "--issuer", issuer, "--notice", strings.Repeat("0", 16), "--dir", s.path("ca"))
	if err != nil || got.code != 3 || !strings.Contains(got.stderr, "another one than you named") {
		t.Errorf("not what he read: status %d, %s%s, %v", got.code, got.stdout, got.stderr, err)
	}
	if out := s.do("ca", "sunset", "list", "--dir", s.path("ca")); !strings.Contains(out, "--notice "+list.Issuers[0].Waits.Notice[:16]) {
		t.Errorf("the list names no notice: %s", out)
	}
	s.do("ca", "sunset", "refuse", "--issuer", issuer, "--notice", list.Issuers[0].Waits.Notice, "--dir", s.path("ca"))
	got, err = s.run(t.Context(), "issuer", "sunset", "notice", "--dir", s.path("shop"), "--effective", day(45), "--send")
	if err != nil || got.code != 3 || !strings.Contains(got.stderr, "announce another day") {
		t.Errorf("refused by the operator: status %d, %s%s, %v", got.code, got.stdout, got.stderr, err)
	}
	s.ok(s.kill("ca"))
	if v := announce(50); v.Sent == nil || v.Sent.State != stateSending || v.Sent.Why == "" {
		t.Errorf("the authority is away: %+v", v.Sent)
	}
	s.ok(s.kill("shop"))
	s.ok(s.again("ca"))
	s.ok(s.again("shop"))
	var v announced
	for try := 0; v.Sent == nil || v.Sent.State == stateSending; try++ {
		if try == 50 {
			t.Fatalf("not sent: %+v", v.Sent)
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // another process works
		s.ok(s.query(t.Context(), &v, "issuer", "sunset", "show", "--dir", s.path("shop")))
	}
	said := s.do("issuer", "sunset", "show", "--dir", s.path("shop"))
	if v.Sent.State != "waits" || !strings.Contains(said, "waits for the authority's operator") {
		t.Errorf("%+v, %s", v.Sent, said)
	}
	s.ok(s.query(t.Context(), &list, "ca", "sunset", "list", "--dir", s.path("ca")))
	if v.Notice != list.Issuers[0].Waits.Notice {
		t.Errorf("the issuer reads out %s, the operator has %s", v.Notice, list.Issuers[0].Waits.Notice)
	}
	if out := s.do("ca", "sunset", "stand", "--issuer", issuer, "--notice", v.Notice[:16], "--dir", s.path("ca")); strings.Contains(out, "waits") {
		t.Errorf("it stands: %s", out)
	}
	if out := s.do("issuer", "sunset", "withdraw", "--send", "--dir", s.path("shop")); !strings.Contains(out, "the service goes on") {
		t.Errorf("withdrawn: %s", out)
	}
	list.Issuers = nil
	s.ok(s.query(t.Context(), &list, "ca", "sunset", "list", "--dir", s.path("ca")))
	if !list.Issuers[0].Effective.IsZero() || list.Issuers[0].Waits != nil {
		t.Errorf("%+v", list)
	}
}
