package httpd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/operator/operatortest"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// inputModule is all that an issuer's console needs of a module.
type inputModule struct{ issuer.TREM }

func (inputModule) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: ident.Device{1}, Issuer: "shop", Incarnation: ident.Incarnation{1}, Epoch: 7}, nil
}

func (inputModule) RegisterKeys(_ context.Context, sealed []byte) (ident.Content, error) {
	return ident.Content(sealed), nil
}

// counter is an issuer with a console, a household that has a rental, and
// operators.
type counter struct {
	*httptest.Server
	t      *testing.T
	desk   *operator.Desk
	issuer *issuer.Issuer
	ahead  atomic.Int64 // of the test's clock: ns
	batch  string       // of 20 codes
}

const ownerToken = "the owner's token of the test"

var customer = ident.Domain{0x3f, 0x11}

func newCounter(t *testing.T) *counter {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "issuer.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	claim, err := issuer.NewClaimKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
	i, err := issuer.New(t.Context(), issuer.Config{TREM: inputModule{}, Store: issuer.Audited(db), Now: now, ClaimKey: claim})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.issuer = i
	if c.desk, err = operator.NewDesk(operator.Config{Store: db.Operators(), Now: time.Now, OwnerHash: sha256.Sum256([]byte(ownerToken)), Key: key, Issuer: "shop"}); err != nil {
		t.Fatal(err)
	}
	api, err := issuerapi.New(issuerapi.Config{Issuer: i, Store: db, Desk: c.desk, TREM: inputModule{}, Now: now, URL: "https://shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	figures := func() ([]httpd.Figure, error) {
		return []httpd.Figure{{"lares_events_total", "license issued", 1204}, {"lares_events_total", "license granted", 1310}, {"lares_http_requests_total", "GET /c/{code} 200", 88}}, nil
	}
	pages, err := httpd.NewConsole(httpd.ConsoleConfig{API: api, Desk: c.desk, Name: "The little cinema", Figures: figures, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c.Server = httptest.NewServer(pages)
	t.Cleanup(c.Close)
	ctx := t.Context()
	for _, id := range []string{"metropolis", "nosferatu", "the-general"} {
		if _, err := i.RegisterContent(ctx, []byte(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []issuer.Offer{
		{ID: "rental-48h", Content: "metropolis", Terms: "PLAY; PLAY_COUNT=2; INTERVAL=48h", Name: "Metropolis, 48 hours"},
		{ID: "buy", Content: "nosferatu", Kind: issuer.Purchase, Terms: "PLAY; COPY=FREE; LEND", Name: "Nosferatu, for good"},
	} {
		if _, err := i.PutOffer(ctx, o); err != nil {
			t.Fatal(err)
		}
		g, err := i.Offered(ctx, o.ID, customer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Grant(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	b, coded, err := i.NewCodes(ctx, issuer.NewCodes{Offer: "buy", Codes: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Redeem(ctx, netip.Addr{}, coded[3].Code, customer); err != nil {
		t.Fatal(err)
	}
	c.batch = b.ID.String()
	c.library()
	return c
}

// The readers of a library that has one copy: the first has it, the others wait.
var readers = []ident.Domain{{0x51, 1}, {0x51, 2}, {0x51, 3}}

func (c *counter) library() {
	c.t.Helper()
	_, err := c.issuer.PutOffer(c.t.Context(), issuer.Offer{ID: "lend", Content: "the-general", Kind: issuer.Loan, Terms: "PLAY", Name: "Three weeks at home"})
	if err == nil {
		_, err = c.issuer.PutStock(c.t.Context(), issuer.Stock{Content: "the-general", Copies: 1, Offer: "lend", Period: 21 * 24 * 3600_000, Window: 72 * 3600_000})
	}
	if err == nil {
		_, err = c.issuer.Lend(c.t.Context(), "the-general", readers[0])
	}
	for _, d := range readers[1:] {
		if err == nil {
			_, err = c.issuer.PlaceHold(c.t.Context(), "the-general", d)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *counter) key(name string, role operator.Role) string {
	c.t.Helper()
	owner, err := c.desk.Authenticate(c.t.Context(), ownerToken)
	if err != nil {
		c.t.Fatal(err)
	}
	_, token, err := c.desk.MakeKey(c.t.Context(), owner, operator.NewKey{Name: name, Role: role, Expires: time.Now().Add(time.Hour).UnixMilli()})
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// browser is somebody who signed in, without a browser.
func (c *counter) browser(token string) *http.Client {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	b := &http.Client{Jar: jar}
	if status, text := c.post(b, "signin", url.Values{"token": {token}}); status != 200 || !strings.Contains(text, "Today") {
		c.t.Fatalf("sign in: %d %s", status, text)
	}
	return b
}

func (c *counter) post(b *http.Client, path string, form url.Values, header ...string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.URL+"/console/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.do(b, req)
}

func (c *counter) get(b *http.Client, path string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.URL+"/console/"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do(b, req)
}

func (c *counter) do(b *http.Client, req *http.Request) (int, string) {
	c.t.Helper()
	res, err := b.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if csp := res.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") {
		c.t.Errorf("%s: policy %q", req.URL, csp)
	}
	return res.StatusCode, string(data)
}

func TestConsole_WhoDoesNotSignInSeesNothing(t *testing.T) {
	c := newCounter(t)
	b := &http.Client{}
	for _, path := range []string{"", "titles", "households", "households/" + customer.String(), "log", "log/export", "figures", "nothing"} {
		if status, text := c.get(b, path); status != 200 || !strings.Contains(text, "<h1>Sign in</h1>") || strings.Contains(text, "metropolis") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := c.post(b, "do/grant", url.Values{"domain": {customer.String()}, "offer": {"buy"}}); status != 200 || !strings.Contains(text, "Sign in") {
		t.Errorf("a form: %d %s", status, text)
	}
	if status, text := c.post(b, "signin", url.Values{"token": {"wrong"}}); status != 401 || !strings.Contains(text, "This token is wrong") {
		t.Errorf("a wrong token: %d %s", status, text)
	}
	signed := c.browser(ownerToken)
	if status, _ := c.post(signed, "do/grant", url.Values{"domain": {customer.String()}, "offer": {"buy"}}, "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("a form of another site: %d", status)
	}
	if status, text := c.post(signed, "signout", nil); status != 200 || !strings.Contains(text, "Sign in") {
		t.Errorf("sign out: %d", status)
	}
	if _, text := c.get(signed, "titles"); !strings.Contains(text, "<h1>Sign in</h1>") {
		t.Error("a session outlives the sign-out")
	}
}

// Every form does what it says, and only for who may.
func TestConsole_Forms(t *testing.T) {
	c := newCounter(t)
	house := customer.String()
	owner := c.browser(ownerToken)
	viewer := c.browser(c.key("Vera", operator.Viewer))
	for _, tc := range []struct {
		name, action string
		form         url.Values
		want         string
	}{
		{"offer", "offer", url.Values{"id": {"loan"}, "content": {"the-general"}, "kind": {"loan"}, "terms": {"PLAY"}, "name": {"Library"}}, "Library"},
		{"grant", "grant", url.Values{"domain": {house}, "offer": {"buy"}}, "Done."},
		{"codes", "codes", url.Values{"offer": {"buy"}, "codes": {"3"}}, "https://shop.example/c/"},
		{"terms that are none", "offer", url.Values{"id": {"x"}, "content": {"the-general"}, "terms": {"DANCE"}}, "That did not work"},
		{"no number", "codes", url.Values{"offer": {"buy"}, "codes": {"many"}}, "A number from 1"},
		{"no day", "renew", url.Values{"domain": {house}, "grant": {house}, "until": {"soon"}}, "A day such as"},
		{"a path in a field", "approve", url.Values{"proposal": {"../../keys"}}, "That did not work"},
		{"no such deed", "destroy", nil, "nothing at this address"},
		{"everything", "revoke-household", url.Values{"domain": {house}, "reason": {"stolen"}}, "Done."},
	} {
		if _, text := c.post(owner, "do/"+tc.action, tc.form); !strings.Contains(text, tc.want) {
			t.Errorf("%s: no %q in %s", tc.name, tc.want, text)
		}
		if status, text := c.post(viewer, "do/"+tc.action, tc.form); status < 400 || strings.Contains(text, "https://shop.example/c/") {
			t.Errorf("%s by who may only look: %d", tc.name, status)
		}
	}
	if _, text := c.get(viewer, "households/"+house); strings.Contains(text, "<button class=\"danger\">") || strings.Contains(text, "Grant it something") {
		t.Error("who may only look is offered more")
	}
	if status, text := c.get(viewer, "log/export"); status != 403 {
		t.Errorf("the log is taken out by who may only look: %d %s", status, text)
	}
	if _, text := c.get(owner, "log/export"); !strings.HasPrefix(text, `{"format":"lares/1/audit-export"`) {
		t.Errorf("export: %.100s", text)
	}
	if _, text := c.get(owner, "log?verify"); !strings.Contains(text, "The log is whole") {
		t.Errorf("verify: %s", text)
	}
}

// Somebody signs in at a provider, and is sent away when the answer is another's.
func TestConsole_SignInAtAProvider(t *testing.T) {
	c := newCounter(t)
	p := operatortest.NewProvider(t)
	o := operator.NewOIDC(operator.OIDCConfig{
		Provider: p.URL, ClientID: "lares", ClientSecret: "s", Redirect: c.URL + "/console/oidc", Claim: "groups", Roles: map[string]operator.Role{"drm-security": operator.Security},
	}, time.Now, p.Client())
	pages, err := httpd.NewConsole(httpd.ConsoleConfig{API: http.NotFoundHandler(), Desk: c.desk, OIDC: o, Name: "Shop", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	c.Server.Config.Handler = pages
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == "/auth" || req.URL.Path == "/console/" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	if _, text := c.get(b, "signin"); !strings.Contains(text, "Sign in at your provider") {
		t.Fatalf("%s", text)
	}
	begin := func() string {
		res, err := b.Get(c.URL + "/console/oidc/begin") //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		to, err := res.Location()
		if err != nil || !strings.HasPrefix(to.String(), p.URL+"/auth?") {
			t.Fatalf("%v, %v", to, err)
		}
		p.Asked = to.Query()
		return to.Query().Get("state")
	}
	begin()
	if status, text := c.get(b, "oidc?code=the+code&state=another"); status != 401 || !strings.Contains(text, "did not sign you in") {
		t.Errorf("another's answer: %d %s", status, text)
	}
	state := begin()
	if status, _ := c.get(&http.Client{}, "oidc?code=the+code&state="+state); status != 401 {
		t.Errorf("in another browser: %d", status)
	}
	if status, _ := c.get(b, "oidc?code=the+code&state="+state); status != 303 {
		t.Errorf("the answer: %d", status)
	}
	u, err := url.Parse(c.URL + "/console/")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range jar.Cookies(u) {
		if k.Name != "lares_console" {
			continue
		}
		if who, err := c.desk.Session(t.Context(), k.Value); err != nil || who.Role() != operator.Security || who.Name() != "Ada" {
			t.Errorf("signed in as %v, %v", who, err)
		}
		return
	}
	t.Error("nobody is signed in")
}

// Who is new here reads words: who did what by their names, what terms allow, what two
// operators are for, and where to begin.
func TestConsole_SaysItInWords(t *testing.T) {
	c := newCounter(t)
	ada := c.browser(c.key("Ada", operator.Security))
	_, house := c.get(ada, "households/"+customer.String())
	_, rest, _ := strings.Cut(house, `name="grant" value="`)
	grant, _, _ := strings.Cut(rest, `"`)
	c.post(ada, "do/revoke-grant", url.Values{"domain": {customer.String()}, "grant": {grant}, "reason": {"stolen"}})
	for path, want := range map[string][]string{
		"":            {"Ada", "Signed in", "Proposed a revocation"},
		"log":         {"Ada", "Made an API key", "key.new", "Download the log"},
		"revocations": {"<strong>End a grant</strong>", "Ada", "somebody else has to approve it"},
		"offers":      {"48 hours from the first start, 2 times", "PLAY; INTERVAL=48h"},
		"codes":       {"the first house that shows it"},
		"keys":        {"does not sell"},
	} {
		_, text := c.get(ada, path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not say %q", path, w)
			}
		}
	}
	if _, text := c.get(ada, ""); strings.Contains(text, "To begin") {
		t.Error("a shop that has offers is told how to begin")
	}
}

// Each act that the API and the desk log has words.
func TestConsole_EachActHasWords(t *testing.T) {
	named := regexp.MustCompile(`"((?:key|session|proposal|content|offer|claim|grant|household|license|device|domain|copies|hold)\.[a-z]+)"`)
	words, err := os.ReadFile("messages/en-console.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, pattern := range []string{"../issuerapi/*.go", "../operator/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil || strings.HasSuffix(f, "_test.go") {
				continue
			}
			for _, m := range named.FindAllSubmatch(text, -1) {
				if seen++; !bytes.Contains(words, fmt.Appendf(nil, "\nconsole.did.%s = ", m[1])) {
					t.Errorf("%s: %s has no words", f, m[0])
				}
			}
		}
	}
	if seen < 25 {
		t.Errorf("%d acts were found", seen)
	}
}

// Two operators revoke in a real browser, with the keyboard alone; axe-core finds
// nothing on any page, and nothing is wider than a
// phone. LARES_PICTURES is a folder for pictures of every page.
func TestConsole_InTheBrowser(t *testing.T) {
	needs.Long(t)
	t.Parallel() // see TestLose_InABrowser
	c := newCounter(t)
	pages := os.Getenv("LARES_PICTURES") // a folder, to look at them
	got := browsertest.Console(t, c.URL, c.key("Ada", operator.Security), c.key("Bert", operator.Security), c.key("Cleo", operator.Issuing), customer.String(), c.batch, pages)
	if len(got.Violations) > 0 || got.Checked < 30 {
		t.Errorf("axe-core looked %d times and found %q", got.Checked, got.Violations)
	}
	if got.Sheet != "20 of 20 cards, nothing else" && got.Sheet != "19 of 19 cards, nothing else" || got.SheetPages != 2 {
		t.Errorf("printed: %q on %d pages", got.Sheet, got.SheetPages)
	}
	if len(got.Overflow) > 0 || len(got.Console) > 0 {
		t.Errorf("wider than a phone: %q; errors: %q", got.Overflow, got.Console)
	}
	if !strings.Contains(got.Refused, "This token is wrong") || !strings.Contains(got.Said, "Another operator has to approve it") {
		t.Errorf("refused %q, said %q", got.Refused, got.Said)
	}
	if !strings.Contains(got.Approved, "done") || !strings.Contains(got.Approved, "The card was stolen") {
		t.Errorf("approved: %q", got.Approved)
	}
	for _, want := range []string{"Skip to content", "Titles", "Codes", "Copies", "Households", "Log", "Figures", "Sign out"} {
		if !slices.Contains(got.Focus, want) {
			t.Errorf("the Tab key does not reach %q: %q", want, got.Focus)
		}
	}
}
