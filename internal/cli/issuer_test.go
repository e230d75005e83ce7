package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// shopTest is a real authority, a real issuer and the module of a home server,
// each in a process of its own.
type shopTest struct {
	*house
	t      *testing.T
	about  issuerapi.About
	url    string
	ca     string
	module *trem.Client // of the home server
	self   ident.Device
	domain ident.Domain
}

const testFilm = ident.Content("test-film")

func newShopTest(t *testing.T) *shopTest {
	t.Helper()
	self := program(t)
	t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(self), "lares-trem"))
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = self
	s := &shopTest{house: h, t: t}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
		if log, err := os.ReadFile(h.path("log")); err == nil && t.Failed() {
			t.Logf("the programs said:\n%s", log)
		}
	})
	s.do("ca", "ceremony", "--dir", h.path("ca"))
	ca, err := h.serve("ca", "ca", "serve", "--dir", h.path("ca"), "--listen", "127.0.0.1:0")
	s.ok(err)
	s.ca = ca
	s.do("issuer", "init", "--dir", h.path("shop"), "--ca", ca, "--voucher", s.voucher("--role", "license issuer", "--issuer", "test-shop"), "--name", "Test shop")
	s.url, err = h.serve("shop", "issuer", "serve", "--dir", h.path("shop"), "--listen", "127.0.0.1:0")
	s.ok(err)
	s.ok(h.query(t.Context(), &s.about, "issuer", "show", "--dir", h.path("shop")))
	module, stop, err := startTREM(h.path("home"))
	s.ok(err)
	t.Cleanup(func() { stop() })
	s.module = module
	s.ok(enroll(t.Context(), module, ca, pki.HomeServer, s.voucher("--role", "home server")))
	_, err = module.Found(t.Context())
	s.ok(err)
	st, err := module.Status(t.Context())
	s.ok(err)
	s.self = st.Device
	s.domain, err = module.Pairwise(t.Context(), s.about.Issuer)
	s.ok(err)
	s.stock()
	return s
}

func (s *shopTest) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shopTest) do(args ...string) string {
	s.t.Helper()
	out, err := s.must(s.t.Context(), args...)
	s.ok(err)
	return out
}

func (s *shopTest) voucher(args ...string) string {
	s.t.Helper()
	var v struct {
		Voucher string `json:"voucher"`
	}
	s.ok(s.query(s.t.Context(), &v, append([]string{"ca", "voucher", "--dir", s.path("ca")}, args...)...))
	return v.Voucher
}

// stock gives the issuer's module the keys of a film.
func (s *shopTest) stock() {
	s.t.Helper()
	cert, err := os.ReadFile(s.path("shop", "delivery.der"))
	s.ok(err)
	var keys []content.TierKey
	for _, tier := range []content.Tier{1, 2} {
		key, err := cenc.NewContentKey([]byte(fmt.Sprintf("key of tier %d ...", tier)[:16]))
		s.ok(err)
		keys = append(keys, content.TierKey{KID: ident.NewKey(), Tier: tier, Key: key, BPS: 100_000})
	}
	sealed, err := content.SealKeys(cert, &content.Delivery{Content: testFilm, DurationMS: 60_000, Keys: keys})
	s.ok(err)
	s.ok(os.WriteFile(s.path("keys.lkd"), sealed, 0o600))
	s.do("issuer", "content", "add", "--dir", s.path("shop"), "--keys", s.path("keys.lkd"))
}

func (s *shopTest) grant(terms string, args ...string) issuer.Grant {
	s.t.Helper()
	var g issuer.Grant
	s.ok(s.query(s.t.Context(), &g, append([]string{"issuer", "grant", "--dir", s.path("shop"), "--domain", s.domain.String(), "--content", string(testFilm), "--terms", terms}, args...)...))
	return g
}

func (s *shopTest) remaining(id issuer.GrantID) uint64 {
	s.t.Helper()
	var page issuerapi.GrantPage
	s.ok(s.query(s.t.Context(), &page, "issuer", "grants", "--dir", s.path("shop")))
	for _, g := range page.Grants {
		if g.ID == id {
			return g.Remaining
		}
	}
	s.t.Fatalf("grant %v is not listed", id)
	return 0
}

func (s *shopTest) licenses() []issuerapi.LicenseRow {
	s.t.Helper()
	var out struct {
		Licenses []issuerapi.LicenseRow `json:"licenses"`
	}
	s.ok(s.query(s.t.Context(), &out, "issuer", "licenses", "--dir", s.path("shop"), "--domain", s.domain.String()))
	return out.Licenses
}

// fetch runs one exchange for a request over link.
func (s *shopTest) fetch(req ident.Request, link lrp.Exchanger) ([]trem.Event, error) {
	s.t.Helper()
	opened, err := s.module.Open(s.t.Context(), trem.LicenseRequest{Peer: s.about.Device, Request: req, Content: testFilm, Issuer: s.about.Issuer})
	s.ok(err)
	c := lrphttp.Courier{Module: s.module, Link: link, Src: s.self, Dst: s.about.Device, Now: time.Now}
	return c.Fetch(s.t.Context(), opened)
}

func kinds(events []trem.Event) string {
	names := map[trem.EventKind]string{trem.EventInstalled: "installed", trem.EventRefused: "refused", trem.EventClosed: "closed", trem.EventFailed: "failed"}
	var out []string
	for _, e := range events {
		out = append(out, strings.TrimSpace(names[e.Kind]+" "+e.Code+e.Text))
	}
	return strings.Join(out, ", ")
}

func TestIssuer_EndToEnd(t *testing.T) {
	s := newShopTest(t)
	link := &lrphttp.Client{URL: s.url}
	req := ident.NewRequest()
	if got, err := s.fetch(req, link); kinds(got) != "refused NO_GRANT" {
		t.Fatalf("without a grant: %s, %v", kinds(got), err)
	}
	rental := s.grant("PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0", "--tiers", "AUDIO,SD")
	if got, err := s.fetch(req, link); kinds(got) != "installed, closed" {
		t.Fatalf("rental: %s, %v", kinds(got), err)
	}
	if got := s.licenses(); len(got) != 1 || got[0].State != issuer.Delivered || s.remaining(rental.ID) != 0 {
		t.Errorf("licenses %+v, %d remain", got, s.remaining(rental.ID))
	}
	if got, err := s.fetch(req, link); kinds(got) != "closed" {
		t.Errorf("the same request again: %s, %v", kinds(got), err)
	}
	if got, err := s.fetch(ident.NewRequest(), link); kinds(got) != "refused EXHAUSTED" {
		t.Errorf("another request: %s, %v", kinds(got), err)
	}
	bought := s.grant("PLAY; EXPORT=clearkey", "--kind", "purchase", "--key", "order 1")
	if again := s.grant("PLAY; EXPORT=clearkey", "--kind", "purchase", "--key", "order 1"); again.ID != bought.ID {
		t.Errorf("one order became two grants")
	}
	for range 2 {
		if got, err := s.fetch(ident.NewRequest(), link); kinds(got) != "installed" {
			t.Errorf("purchase: %s, %v", kinds(got), err)
		}
	}
	if got := s.licenses(); len(got) != 2 {
		t.Errorf("%d licenses, want the rental's and the purchase's", len(got))
	}
	held, err := s.module.Licenses(t.Context())
	s.ok(err)
	if len(held) != 2 {
		t.Errorf("the house holds %d licenses, want 2", len(held))
	}
}

// killer is a link over which the issuer is killed with kill -9 when the n-th
// frame's answer is on its way; the answer is lost.
type killer struct {
	*shopTest
	link lrp.Exchanger
	at   int
	n    int
	dead bool
}

func (k *killer) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	k.n++
	out, err := k.link.Exchange(ctx, f)
	if k.n != k.at || k.dead {
		return out, err
	}
	k.dead = true
	if err := errors.Join(k.kill("shop"), k.again("shop")); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: killed", lrp.ErrLost)
}

// The issuer is killed after each message of an exchange, its answer lost with
// it. The house asks again with the same request ID and has the license once;
// what was taken from the grant is exactly one.
func TestIssuer_KillNineAtEachMessage(t *testing.T) {
	s := newShopTest(t)
	for at := 1; at <= 3; at++ {
		g := s.grant("PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0")
		before, err := s.module.Licenses(t.Context())
		s.ok(err)
		req := ident.NewRequest()
		link := &killer{shopTest: s, link: &lrphttp.Client{URL: s.url}, at: at}
		var all []string
		for try := 0; try < 5 && !strings.Contains(strings.Join(all, " "), "closed"); try++ {
			got, err := s.fetch(req, link)
			all = append(all, kinds(got), fmt.Sprint(err))
		}
		if !link.dead {
			t.Fatalf("message %d: the exchange has %d messages", at, link.n)
		}
		after, err := s.module.Licenses(t.Context())
		s.ok(err)
		if len(after) != len(before)+1 || s.remaining(g.ID) != 0 {
			t.Errorf("killed at message %d: the house has %d licenses more, %d remain in the grant; %v", at, len(after)-len(before), s.remaining(g.ID), all)
		}
	}
	rows := s.licenses()
	for _, l := range rows {
		if l.State != issuer.Delivered {
			t.Errorf("license %v is %s", l.ID, l.State)
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d licenses for three requests", len(rows))
	}
}

func TestIssuer_CommandErrors(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (int, string) {
		var out, errs strings.Builder
		code := Main(t.Context(), args, &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now})
		return code, errs.String()
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		text string
	}{
		{"serve nothing", []string{"issuer", "serve", "--dir", dir}, statusError, "lares issuer init"},
		{"not serving", []string{"issuer", "grants", "--dir", dir}, statusLater, "lares issuer serve"},
		{"bad household", []string{"issuer", "grant", "--dir", dir, "--domain", "xyz", "--offer", "a"}, statusUsage, "32 hexadecimal"},
		{"offer and terms", []string{"issuer", "grant", "--dir", dir, "--domain", strings.Repeat("0a", 16), "--offer", "a", "--content", "c", "--terms", "PLAY"}, statusUsage, "either"},
		{"bad tier", []string{"issuer", "grant", "--dir", dir, "--domain", strings.Repeat("0a", 16), "--content", "c", "--terms", "PLAY", "--tiers", "8K"}, statusUsage, "tier"},
		{"check nothing", []string{"issuer", "db", "check", "--dir", dir}, statusError, "no database yet"},
		{"back up nothing", []string{"issuer", "db", "backup", filepath.Join(dir, "x"), "--dir", dir}, statusError, "no database yet"},
		{"authority away", []string{"issuer", "init", "--dir", dir, "--ca", "http://127.0.0.1:1", "--voucher", "x", "--name", "x"}, statusLater, "does not answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.args[1] == "init" {
				t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(program(t)), "lares-trem"))
			}
			if code, text := run(tc.args...); code != tc.code || !strings.Contains(text, tc.text) {
				t.Errorf("status %d, %q; want %d and %q", code, text, tc.code, tc.text)
			}
		})
	}
}

// A database with a row that no issuer leaves behind is status 5, and says which.
func TestIssuer_DamagedDatabaseIsACheckThatFails(t *testing.T) {
	dir := t.TempDir()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, issuerDatabase))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutLicense(ctx, issuer.License{Domain: ident.Domain{1}, ID: ident.License{1}, State: issuer.Issued})
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code := Main(t.Context(), []string{"issuer", "db", "check", "--dir", dir}, &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now})
	if code != statusCheck || !strings.Contains(out.String(), "Not so: a license has its grant (1 rows)") || !strings.Contains(errs.String(), "before a backup takes its place") {
		t.Errorf("status %d, %q, %q", code, out.String(), errs.String())
	}
}

func TestIssuer_TokenMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	if err := makeToken(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, issuerToken)
	first, err := secretFile(name)
	if err != nil || len(first) != 64 {
		t.Fatalf("%d characters, %v", len(first), err)
	}
	if err := makeToken(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := secretFile(name); again != first || err != nil {
		t.Errorf("a second init changed the token, %v", err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := secretFile(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v, want an error that says what to do", err)
	}
	// What systemd gives a service has such a mode, in a folder of the service's own.
	t.Setenv("CREDENTIALS_DIRECTORY", dir+"/")
	if got, err := secretFile(name); got != first || err != nil {
		t.Errorf("a credential of the service: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(dir))
	if _, err := secretFile(name); err == nil {
		t.Error("a file below the folder of credentials, and not in it, is taken")
	}
}
