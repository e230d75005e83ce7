package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/service/issuer"
)

// player is a device in a process of its own, with its folder's name.
func (s *shopTest) player(name string) {
	s.t.Helper()
	s.do("device", "init", "--dir", s.path(name), "--ca", s.ca, "--voucher", s.voucher("--role", "device"))
}

// says runs a command of a device and returns what it said and its status.
func (s *shopTest) says(name string, args ...string) answer {
	s.t.Helper()
	a, err := s.run(s.t.Context(), append(append([]string{"device"}, args...), "--dir", s.path(name))...)
	s.ok(err)
	return a
}

func (s *shopTest) wants(a answer, code int, text string) {
	s.t.Helper()
	if a.code != code || !strings.Contains(a.stdout+a.stderr, text) {
		s.t.Fatalf("status %d, want %d with %q:\n%s%s", a.code, code, text, a.stdout, a.stderr)
	}
}

// putBack has the shop serve from an older database, which it does once that is accepted.
func (s *shopTest) putBack(file string) {
	s.t.Helper()
	s.ok(s.stop("shop"))
	old, err := os.ReadFile(file)
	s.ok(err)
	for _, ending := range []string{"-wal", "-shm"} {
		_ = os.Remove(s.path("shop", issuerDatabase+ending))
	}
	s.ok(os.WriteFile(s.path("shop", issuerDatabase), old, 0o600))
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"serve", "--listen", "127.0.0.1:0"}, statusCheck, "lares issuer db accept-setback says what is lost"},
		{[]string{"db", "check"}, statusCheck, "not the one that the issuer's module served last"},
		{[]string{"db", "accept-setback"}, statusRefused, "nothing was changed; say --lose"},
		{[]string{"db", "accept-setback", "--lose"}, statusDone, "Accepted"},
		{[]string{"db", "check"}, statusDone, "It is the one that the issuer's module served last."},
	} {
		a, err := s.run(s.t.Context(), append(append([]string{"issuer"}, c.args...), "--dir", s.path("shop"))...)
		s.ok(err)
		s.wants(a, c.code, c.text)
	}
	s.ok(s.again("shop"))
	a, err := s.run(s.t.Context(), "issuer", "db", "accept-setback", "--dir", s.path("shop"))
	s.ok(err)
	s.wants(a, statusLater, "stop it first")
	s.do("issuer", "audit", "export", file+".jsonl", "--dir", s.path("shop"))
	if logged, err := os.ReadFile(file + ".jsonl"); err != nil || strings.Count(string(logged), `"db.accept-setback"`) != 1 {
		s.t.Errorf("the operators' log: %v\n%s", err, logged)
	}
}

// A household without a home server: its shop makes it, two devices join, one gets a
// rental and gives it to the other, one leaves and gets nothing of what comes after;
// and the shop that is put back to an older database lets nobody in again.
func TestDomain_WithoutAHomeServer(t *testing.T) {
	s := newShopTest(t)
	shop := []string{"--dir", s.path("shop")}
	var made issuerapi.DomainView
	s.ok(s.query(t.Context(), &made, append([]string{"issuer", "domain", "create", "--devices", "2"}, shop...)...))
	s.domain = made.Domain.Domain
	for _, name := range []string{"tablet", "phone"} {
		s.player(name)
		s.wants(s.says(name, "join", made.Code, "--issuer", s.url, "--name", name), statusDone, "belongs to a house")
	}
	s.player("third")
	s.wants(s.says("third", "join", made.Code, "--issuer", s.url), statusRefused, "as many devices as it may")
	s.wants(s.says("third", "join", "000-0000-0000", "--issuer", s.url), statusUsage, "no code")
	out := s.do(append([]string{"issuer", "domain", "show", s.domain.String()}, shop...)...)
	if !strings.Contains(out, "2 of at most 2 devices") || !strings.Contains(out, "tablet") {
		t.Errorf("domain show: %s", out)
	}

	title := string(testFilm)
	s.grant("PLAY; PLAY_COUNT=2; MOVE=DOMAIN; MIN_ANCHOR=0")
	s.wants(s.says("tablet", "get", title), statusDone, "is on this device")
	s.wants(s.says("phone", "get", title), statusRefused, "EXHAUSTED")
	s.wants(s.says("tablet", "move", title, "--to", "phone"), statusDone, "on its way")
	s.wants(s.says("tablet", "why", title), statusRefused, "")
	s.wants(s.says("phone", "transfers"), statusDone, "") // takes what waits for it
	s.wants(s.says("phone", "why", title), statusDone, "")
	s.wants(s.says("tablet", "transfers"), statusDone, "")

	s.wants(s.says("phone", "pair", "--home", s.url), statusRefused, "lares device leave")
	s.do("issuer", "db", "backup", s.path("before.db"), "--dir", s.path("shop"))
	s.grant("PLAY; MIN_ANCHOR=0", "--kind", "purchase")
	s.wants(s.says("phone", "leave"), statusDone, "belongs to no house any more")
	s.wants(s.says("phone", "why", title), statusRefused, "")
	var now issuer.Domain
	s.ok(s.query(t.Context(), &now, append([]string{"issuer", "domain", "show", s.domain.String()}, shop...)...))
	if len(now.Members) != 1 || now.Generation != 2 {
		t.Fatalf("after it left: %+v", now)
	}
	s.wants(s.says("phone", "get", title), 1, "belongs to no house")
	s.wants(s.says("tablet", "get", title), statusDone, "is on this device")

	s.putBack(s.path("before.db")) // to what it was before the phone left
	s.ok(s.query(t.Context(), &now, append([]string{"issuer", "domain", "show", s.domain.String()}, shop...)...))
	if len(now.Members) != 1 || now.Generation != 2 {
		t.Errorf("by an older database: %+v", now)
	}

	s.do(append([]string{"issuer", "domain", "remove-device", s.domain.String(), now.Members[0].Device.String()}, shop...)...)
	s.wants(s.says("tablet", "get", title), statusRefused, "NOT_MEMBER")
	s.do(append([]string{"issuer", "domain", "remove", s.domain.String()}, shop...)...)
	if out := s.do(append([]string{"issuer", "domain", "list"}, shop...)...); out != "" {
		t.Errorf("domain list: %s", out)
	}
}
