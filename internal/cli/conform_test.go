package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/conform"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// breaking is a transport to a real server that breaks one clause: what a check
// asks is answered otherwise. The others go through.
type breaking struct {
	clause string
	with   func(*http.Request) *http.Response
}

func (b *breaking) RoundTrip(r *http.Request) (*http.Response, error) {
	if conform.CheckOf(r.Context()) != b.clause {
		return http.DefaultTransport.RoundTrip(r)
	}
	res := b.with(r)
	res.Request = r
	return res, nil
}

// says is a server that answers everything in one way.
func says(status int, typ, body string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {typ}}, Body: io.NopCloser(strings.NewReader(body)), ProtoMajor: 1, ProtoMinor: 1}
	}
}

// TestConform_PassesAndFails: all that applies passes against real processes, an
// issuer with its operator's means, a home server and an authority; and each clause
// fails against servers that break it, three ways.
func TestConform_PassesAndFails(t *testing.T) {
	s := newShopTest(t)
	home := s.path("house")
	s.do("home", "init", "--dir", home, "--ca", s.ca, "--voucher", s.voucher("--role", "home server"))
	house, err := s.serve("house", "home", "serve", "--dir", home, "--listen", "127.0.0.1:0", "--ca", s.ca, "--announce=false")
	s.ok(err)
	var out struct{ Clauses []conform.Result }
	s.ok(s.query(t.Context(), &out, "conform", s.url, "--ca", s.ca, "--voucher", s.voucher("--role", "home server"),
		"--key", s.path("shop", issuerToken), "--title", string(testFilm)))
	if n := slices.IndexFunc(out.Clauses, func(r conform.Result) bool { return strings.Contains(r.Name, "EXHAUSTED") }); n < 0 || out.Clauses[n].Verdict != conform.Passed {
		t.Errorf("the issuer with its operator's means: %+v", out.Clauses)
	}
	if got, err := s.run(t.Context(), "conform", s.url+"/nowhere"); err != nil || got.code != 4 {
		t.Errorf("nobody there: status %d, %v", got.code, err)
	}
	judged := map[string]bool{}
	members := s.membersOf(house)
	for _, cfg := range []conform.Config{
		{URL: s.url, House: s.judge(t), Key: s.secret(issuerToken), Title: testFilm}, {URL: house, Members: members}, {URL: s.ca}, s.asksForAccounts(),
	} {
		cfg.Now = time.Now
		for _, r := range s.clauses(cfg) {
			if r.Verdict == conform.Failed {
				t.Errorf("%s: %s: %s", cfg.URL, r.Name, r.Reason)
			}
			if r.Verdict != conform.Passed || judged[r.Name] {
				continue
			}
			judged[r.Name] = true
			s.fails(cfg, r.Name)
		}
	}
	trials := s.trials()
	if all := s.names(); len(judged) != len(all) {
		for _, name := range all {
			if !judged[name] && !trials[name] {
				t.Errorf("no server here passes, and none fails: %s", name)
			}
		}
	}
}

// membersOf are two devices of the house.
func (s *shopTest) membersOf(house string) (out []lrp.Introduction) {
	s.t.Helper()
	names := []string{"tablet", "phone"}
	judge := []string{"conform", house}
	for _, name := range names {
		s.do("device", "init", "--dir", s.path(name), "--ca", s.ca, "--voucher", s.voucher("--role", "device"))
		s.ok(s.join(s.t.Context(), name, "house", house))
		judge = append(judge, "--member", s.path(name))
	}
	if out := s.do(judge...); !strings.Contains(out, " 0 failed") {
		s.t.Error(out)
	}
	for _, name := range names {
		member, stop, err := memberOf(s.t.Context(), s.path(name))
		s.ok(err)
		s.t.Cleanup(func() { stop() })
		out = append(out, member)
	}
	return out
}

// asksForAccounts is an account at a library, which asks who its reader is.
func (s *shopTest) asksForAccounts() conform.Config {
	s.t.Helper()
	account := lrp.Account{Kind: "card", Credential: []byte("library card 4711")}
	s.ok(os.WriteFile(s.path("cards"), []byte("card:"+string(account.Credential)+"\n"), 0o600))
	dir := s.path("library")
	s.do("issuer", "init", "--dir", dir, "--ca", s.ca, "--voucher", s.voucher("--role", "license issuer", "--issuer", "library"), "--name", "Library")
	url, err := s.serve("library", "issuer", "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--accounts", s.path("cards"))
	s.ok(err)
	// Without an account nothing is said against a library that wants one.
	if out := s.do("conform", url); !strings.Contains(out, " 0 failed") || !strings.Contains(out, "give --account") {
		s.t.Error(out)
	}
	if out := s.do("conform", url, "--account", s.path("cards")); !strings.Contains(out, " 0 failed") || strings.Contains(out, "give --account") {
		s.t.Error(out)
	}
	return conform.Config{URL: url, Account: account}
}

// fails breaks one clause of a server and wants that the judge sees it.
func (s *shopTest) fails(cfg conform.Config, name string) {
	s.t.Helper()
	for what, with := range map[string]func(*http.Request) *http.Response{
		"500":     says(http.StatusInternalServerError, "text/plain", "broken"),
		"200":     says(http.StatusOK, "text/plain", "fine"),
		"nothing": says(http.StatusOK, "application/lares-lrp-frames+cbor-seq", "\x00"),
	} {
		broken := cfg
		broken.Only = name
		if cfg.House != nil {
			broken.House = brokenHouse{cfg.House}
		}
		broken.HTTP = &http.Client{Transport: &breaking{name, with}}
		for _, r := range s.clauses(broken) {
			if r.Name == name && r.Verdict != conform.Failed && !saidElsewhere[name] {
				s.t.Errorf("%s: a server that answers %s: %s %s", name, what, r.Verdict, r.Reason)
			}
		}
	}
}

// saidElsewhere are clauses about what was asked before the check: TestConform_About
// breaks them.
var saidElsewhere = map[string]bool{"the issuer says who it is and where status documents are": true}

// brokenHouse is a household to which nothing is answered.
type brokenHouse struct{ conform.Household }

func (s *shopTest) clauses(cfg conform.Config) (out []conform.Result) {
	s.t.Helper()
	s.ok(conform.Run(s.t.Context(), cfg, func(r conform.Result) { out = append(out, r) }))
	return out
}

func (s *shopTest) names() (out []string) {
	for _, r := range s.clauses(conform.Config{URL: s.url, Now: time.Now}) {
		out = append(out, r.Name)
	}
	return out
}

// trials are the clauses about test issuers, which internal/conform breaks.
func (s *shopTest) trials() map[string]bool {
	out := map[string]bool{}
	for _, r := range s.clauses(conform.Config{URL: s.url, Now: time.Now}) {
		out[r.Name] = r.Statement == "SERV-10"
	}
	return out
}

func (s *shopTest) judge(t *testing.T) *judge {
	t.Helper()
	j, done, err := judgesHouse(t.Context(), &Env{Now: time.Now, Stderr: io.Discard, Stdout: io.Discard}, s.url, s.ca, s.voucher("--role", "home server"))
	s.ok(err)
	t.Cleanup(func() { _ = done() })
	return j
}

func (s *shopTest) secret(name string) string {
	text, err := secretFile(filepath.Join(s.path("shop"), name))
	s.ok(err)
	return text
}

// TestConform_About: an issuer that does not say where status documents are.
func TestConform_About(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/about" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"name": "x", "issuer": "shop", "device": "01000000000000000000000000000000"}`)
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	seen := false
	err := conform.Run(ctx, conform.Config{URL: srv.URL, Now: time.Now}, func(r conform.Result) {
		if saidElsewhere[r.Name] {
			seen = r.Verdict == conform.Failed && strings.Contains(r.Reason, "status")
			cancel()
		}
	})
	if !seen || !errors.Is(err, context.Canceled) {
		t.Errorf("seen %v, %v", seen, err)
	}
}

// TestConform_Token: the key's older name goes on, and what is written is JSON alone.
func TestConform_Token(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/rsl/v1/head" { // all that an authority is known by
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("lares_key_1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := run(t, "conform", srv.URL, "--token", key, "--json")
	var out struct{ Clauses []conform.Result }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || len(out.Clauses) < 60 || code != statusCheck || strings.Contains(stderr, "deprecated") {
		t.Errorf("status %d, %d clauses, %v: %.120s %s", code, len(out.Clauses), err, stdout, stderr)
	}
	if _, _, code := run(t, "conform", srv.URL, "--token", key+"s"); code == statusCheck {
		t.Error("the key is not read")
	}
}

// Fetch is what an issuer gives that asks for no grant.
func (brokenHouse) Fetch(context.Context, ident.Device, ident.Issuer, ident.Content, ident.Request) ([]trem.Event, error) {
	return []trem.Event{{Kind: trem.EventInstalled}}, nil
}
