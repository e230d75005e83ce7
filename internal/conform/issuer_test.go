package conform_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/conform"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/testissuer"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	film  = ident.Content("urn:lares:film:1")
	owner = "the owner's token"
	self  = "lares-test"
)

// module is all that an issuer's interfaces for operators and people need of a TREM.
type module struct{ issuer.TREM }

func (module) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: ident.Device{1}, Issuer: self, Incarnation: ident.Incarnation{1}, Epoch: 7}, nil
}

func (module) RegisterKeys(context.Context, []byte) (ident.Content, error) { return film, nil }

func (module) CheckReturn(context.Context, trem.Proof) (trem.Return, error) {
	return trem.Return{}, &trem.Error{Code: trem.CodeRejected, Text: "handed in: signature"}
}

// shop is an issuer with all its doors but the module's, in front of which a test
// breaks something.
type shop struct {
	doors http.Handler
	db    *store.Store
	url   string
	fault func(http.ResponseWriter, *http.Request, http.Handler) // nil: none
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "issuer.db"))
	ok(t, err)
	t.Cleanup(func() { db.Close() })
	s.db = db
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	claim, err := issuer.NewClaimKey(bytes.Repeat([]byte{1}, 32))
	ok(t, err)
	i, err := issuer.New(t.Context(), issuer.Config{TREM: module{}, Store: issuer.Audited(db), Now: time.Now, ClaimKey: claim})
	ok(t, err)
	_, err = i.RegisterContent(t.Context(), nil)
	ok(t, err)
	desk, err := operator.NewDesk(operator.Config{Store: db.Operators(), Now: time.Now, OwnerHash: sha256.Sum256([]byte(owner)), Key: key, Issuer: self})
	ok(t, err)
	pages, err := httpd.NewClaimPages(httpd.ClaimConfig{Issuer: i, Name: "Shop", URL: s.url, Now: time.Now})
	ok(t, err)
	api, err := issuerapi.New(issuerapi.Config{
		Issuer: i, Store: db, Desk: desk, TREM: module{}, Now: time.Now, FramesPath: "/lrp/v1/frames", Frames: http.NotFoundHandler(), URL: s.url, Pages: pages,
		About: issuerapi.About{Name: "Shop", Issuer: self, Device: ident.Device{1}},
	})
	ok(t, err)
	test, err := testissuer.New(testissuer.Config{Issuer: i, Store: db, Doors: api, Frames: "/lrp/v1/frames", Content: film, URL: s.url, Now: time.Now})
	ok(t, err)
	doors := http.NewServeMux()
	doors.Handle("/", api)
	doors.Handle(testissuer.Path, test)
	doors.Handle(testissuer.Path+"/", test)
	s.doors = doors
	s.issued(t, i)
	return s
}

// issuedLicense is on record, of a household that has it.
var issuedLicense = ident.License{9}

func (s *shop) issued(t *testing.T, i *issuer.Issuer) {
	t.Helper()
	_, err := i.PutOffer(t.Context(), issuer.Offer{ID: "rent", Content: film, Terms: "PLAY; PLAY_COUNT=2"})
	ok(t, err)
	g, err := i.Grant(t.Context(), issuer.Grant{Domain: ident.NewDomain(), Content: film, Terms: "PLAY; PLAY_COUNT=2"})
	ok(t, err)
	ok(t, s.db.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutLicense(ctx, issuer.License{Domain: g.Domain, ID: issuedLicense, Grant: g.ID, Version: 1, State: issuer.Delivered, IssuedAt: 1})
		return err
	}))
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP is as from a house elsewhere, through a proxy: this machine is not bounded
// as others are.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	if s.fault != nil {
		s.fault(w, r, s.doors)
		return
	}
	s.doors.ServeHTTP(w, r)
}

// judge comes to the clauses about what this shop has: all but those of its module's door.
func (s *shop) judge(ctx context.Context, cfg conform.Config) (map[string]conform.Result, error) {
	out := map[string]conform.Result{}
	cfg.URL, cfg.Now = s.url, time.Now
	err := conform.Run(ctx, cfg, func(r conform.Result) {
		if strings.HasPrefix(r.Statement, "SERV-") && r.Statement != "SERV-2" {
			out[r.Name] = r
		}
	})
	return out, err
}

func (s *shop) judged(t *testing.T, cfg conform.Config) map[string]conform.Result {
	t.Helper()
	out, err := s.judge(t.Context(), cfg)
	ok(t, err)
	return out
}

// broken are the names of what fails.
func broken(all map[string]conform.Result) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].Verdict == conform.Failed {
			names = append(names, name)
		}
	}
	return names
}

// TestConform_WithoutAKey: what an operator's key takes is listed as not run, with the
// reason, and nothing fails for it.
func TestConform_WithoutAKey(t *testing.T) {
	s := newShop(t)
	with, without := s.judged(t, conform.Config{Key: owner, Title: film}), s.judged(t, conform.Config{})
	if names := append(broken(with), broken(without)...); len(names) > 0 {
		t.Errorf("fails: %q: %+v", names, with[names[0]])
	}
	notRun := 0
	for name, r := range without {
		if r.Verdict == conform.NotRun {
			if notRun++; !strings.Contains(r.Reason, "--key") {
				t.Errorf("%s: not run, for the reason %q", name, r.Reason)
			}
		} else if r.Verdict != with[name].Verdict {
			t.Errorf("%s: %s without a key, %s with one: %s", name, r.Verdict, with[name].Verdict, with[name].Reason)
		}
	}
	for name, r := range with {
		if r.Verdict == conform.NotRun && !strings.Contains(r.Reason, "--ca") {
			t.Errorf("%s: not run with a key: %s", name, r.Reason)
		}
	}
	if notRun < 18 {
		t.Errorf("%d clauses take a key", notRun)
	}
}

// TestConform_AKeyThatMayLittle: a reader's key is enough for what readers see.
func TestConform_AKeyThatMayLittle(t *testing.T) {
	s := newShop(t)
	all := s.judged(t, conform.Config{Key: owner, Title: film, Only: "an API key that was revoked is over at once"})
	if len(all) != 1 || len(broken(all)) != 0 {
		t.Errorf("%+v", all)
	}
	key := s.readersKey(t)
	all = s.judged(t, conform.Config{Key: key, Title: film})
	if names := broken(all); len(names) > 0 {
		t.Errorf("fails with a reader's key: %q: %+v", names, all[names[0]])
	}
	for name, want := range map[string]conform.Verdict{
		"lists and documents have the layout that the description gives them":                                      conform.Passed,
		"loans and offers together are never more than the copies, whoever asks at once":                           conform.NotRun,
		"an operator may do what the role says, and nobody both sells and revokes but the owner":                   conform.Passed,
		"a reader may look, and is forbidden all else":                                                             conform.NotRun,
		"the documents of what was issued have a state, and only the links that are allowed in it":                 conform.Passed,
		"a code is redeemed once: by one household, whoever shows it at once, for one grant":                       conform.NotRun,
		"the operators' log is a chain from its first entry to its closing head, and the issuer finds none broken": conform.NotRun,
	} {
		if got := all[name]; got.Verdict != want {
			t.Errorf("%s: %s %s, want %s", name, got.Verdict, got.Reason, want)
		}
	}
}

func (s *shop) readersKey(t *testing.T) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/keys", strings.NewReader(`{"name":"reader","role":"viewer","expires_at":`+jsonTime(time.Now().Add(time.Hour))+`}`))
	r.Header.Set("Authorization", "Bearer "+owner)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.doors.ServeHTTP(w, r)
	_, rest, _ := strings.Cut(w.Body.String(), `"token":"`)
	token, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return token
}

// TestStatements_AreOfTheStandard: each clause names a row of docs/standard.md.
func TestStatements_AreOfTheStandard(t *testing.T) {
	page, err := os.ReadFile("../../docs/standard.md")
	ok(t, err)
	s := newShop(t)
	seen := 0
	ok(t, conform.Run(t.Context(), conform.Config{URL: s.url, Now: time.Now}, func(r conform.Result) {
		seen++
		if !bytes.Contains(page, []byte("\n| "+r.Statement+" | ")) {
			t.Errorf("%s: docs/standard.md has no row %q", r.Name, r.Statement)
		}
	}))
	if seen < 60 {
		t.Errorf("%d clauses", seen)
	}
}
