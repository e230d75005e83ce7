package testissuer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/testissuer"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

var now = time.UnixMilli(1_795_521_600_000).UTC()

// allows are what each parameter puts into the terms, and what it refuses.
var allows = map[string]struct{ value, want, wrong string }{
	"permission":  {"PLAY,LEND,COPY,MOVE,TRANSFER", "COPY=FREE; MOVE=ANY; TRANSFER=1; LEND", "FLY"},
	"begin":       {"2027-01-31T00:00:00Z", "START_TIME=2027-01-31T00:00:00Z", "soon"},
	"end":         {"2s", "END_TIME=" + now.Add(2*time.Second).Format(time.RFC3339), "-1h"},
	"interval":    {"48h", "INTERVAL=48h", "0h"},
	"count":       {"2", "PLAY_COUNT=2", "-1"},
	"accumulated": {"3h", "ACCUMULATED=3h", "x"},
	"maxres":      {"1280x720", "RESOLUTION<=720p", "720p"},
	"output":      {"HDCP_2_2", "OUTPUT_PROTECTION=HDCP_2_2", "VGA"},
	"region":      {"DE,FR", "TERRITORY=DE,FR", "Xx1"},
	"export":      {"clearkey", "EXPORT=clearkey", ""},
	"kind":        {"gift", "CHARGE=GIFT", "theft"},
	"tiers":       {"AUDIO,SD", "", "4K"},
	"level":       {"2", "MIN_LEVEL=2", "high"},
	"anchor":      {"1", "MIN_ANCHOR=1", "iron"},
	"storage":     {"30d", "STORAGE_DURATION=30d", "long"},
	"closed":      {"2028-01-01T00:00:00Z", "HARD_END=2028-01-01T00:00:00Z", "x"},
	"slice":       {"30s", "SLICE=30s", "x"},
	"mode":        {"stop", "EXPIRY_MODE=stop", "run"},
	"revoked":     {"true", "", "maybe"},
	"exhausted":   {"true", "", "maybe"},
	"code":        {"void", "", "lost"},
	"http":        {"503", "", "200"},
	"retry":       {"5s", "", "1h"},
	"delay":       {"1ms", "", "1h"},
	"cut":         {"true", "", "x"},
	"garbage":     {"true", "", "x"},
	"truncate":    {"true", "", "x"},
	"flip":        {"true", "", "x"},
	"lose":        {"1", "", "1000"},
}

func TestTest_EveryParameter(t *testing.T) {
	s := newTestShop(t)
	page, err := os.ReadFile("../../docs/guide/test-issuer.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(page), -1)
	inPage := map[string]string{}
	for _, r := range rows {
		inPage[r[1]] = r[2]
	}
	all := testissuer.Parameters()
	if len(inPage) != len(all) || len(allows) != len(all) {
		t.Errorf("the page has %d parameters, the test %d, the program %d", len(inPage), len(allows), len(all))
	}
	for _, p := range all {
		if inPage[p.Name] != p.Means {
			t.Errorf("%s: the page says %q, the program %q", p.Name, inPage[p.Name], p.Means)
		}
		tc := allows[p.Name]
		a, status := s.ask(p.Name + "=" + url.QueryEscape(tc.value))
		if status != 200 || !a.Test || !strings.Contains(a.Terms, tc.want) || !strings.HasPrefix(a.Claim, a.Issuer+"/c/") {
			t.Errorf("%s=%s: %d %+v, want terms with %q", p.Name, tc.value, status, a, tc.want)
		}
		if tc.wrong == "" {
			continue
		}
		if a, status := s.ask(p.Name + "=" + url.QueryEscape(tc.wrong)); status != 422 {
			t.Errorf("%s=%s: %d %+v", p.Name, tc.wrong, status, a)
		}
	}
	for _, q := range []string{"colour=red", "count=1&count=2", "count=1;x", "permission=PLAY%3B+X", "count=" + strings.Repeat("1", 3000)} {
		if _, status := s.ask(q); status != 422 {
			t.Errorf("%s: %d", q, status)
		}
	}
}

type module struct{ issuer.TREM }

func (module) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: ident.Device{1}, Issuer: "lares-test", Incarnation: ident.Incarnation{1}, Epoch: 7}, nil
}

func (module) RegisterKeys(context.Context, []byte) (ident.Content, error) { return film, nil }

const film = ident.Content("urn:lares:test:film")

// frame is what the door under test answers.
var frame = []byte("a frame of the module")

type testShop struct {
	*httptest.Server
	t      *testing.T
	db     *store.Store
	served int // frames that the issuer answered
}

func newTestShop(t *testing.T) *testShop {
	t.Helper()
	s := &testShop{t: t}
	var err error
	if s.db, err = store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "issuer.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	key, err := issuer.NewClaimKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	i, err := issuer.New(t.Context(), issuer.Config{TREM: module{}, Store: s.db, Now: clock, ClaimKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.RegisterContent(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	desk, err := operator.NewDesk(operator.Config{Store: s.db.Operators(), Now: clock, OwnerHash: sha256.Sum256([]byte("x"))})
	if err != nil {
		t.Fatal(err)
	}
	doors, err := issuerapi.New(issuerapi.Config{
		Issuer: i, Store: s.db, Desk: desk, TREM: module{}, Now: clock, FramesPath: "/lrp/v1/frames", URL: "http://x",
		Frames: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.served++; w.Write(frame) }), //nolint:errcheck // a test
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.Server = httptest.NewUnstartedServer(mux)
	s.Start()
	t.Cleanup(s.Close)
	h, err := testissuer.New(testissuer.Config{
		Issuer: i, Store: s.db, Doors: doors, Frames: "/lrp/v1/frames", Content: film, URL: s.URL, Now: clock,
		Voucher: func(role string) (string, error) {
			if role == "god" {
				return "", errors.New("no such role")
			}
			return "3F9K-22QX", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", h)
	return s
}

func (s *testShop) get(method, address string, body any) (int, []byte, error) {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, address, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.Client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(res.Body)
	return res.StatusCode, b.Bytes(), err
}

func (s *testShop) ask(query string) (a testissuer.Answer, status int) {
	s.t.Helper()
	status, data, err := s.get("GET", s.URL+"/test?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if status == 200 {
		if err := json.Unmarshal(data, &a); err != nil {
			s.t.Fatal(err)
		}
	}
	return a, status
}

var house = ident.Domain{0x30}

// redeem shows the scenario's code as a house does.
func (s *testShop) redeem(a testissuer.Answer) (int, string) {
	s.t.Helper()
	status, data, err := s.get("POST", a.Issuer+"/api/v1/claims/redeem", map[string]any{"code": a.Claim, "domain": house})
	if err != nil {
		s.t.Fatal(err)
	}
	var out struct{ Code string }
	if err := json.Unmarshal(data, &out); err != nil {
		s.t.Fatal(err)
	}
	return status, out.Code
}

func (s *testShop) grants() (out []issuer.Grant) {
	s.t.Helper()
	err := s.db.View(s.t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
		out, err = r.Grants(ctx, issuer.GrantKey{}, 100)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// What goes wrong with grants and codes.
func TestTest_FailuresOfGrantsAndCodes(t *testing.T) {
	for query, tc := range map[string]struct {
		status int
		code   string
		is     func(issuer.Grant) bool
	}{
		"count=2&tiers=SD": {200, "", func(g issuer.Grant) bool { return !g.Revoked && g.Remaining == 1 && len(g.Tiers) == 1 }},
		"revoked=true":     {200, "", func(g issuer.Grant) bool { return g.Revoked }},
		"exhausted=true":   {200, "", func(g issuer.Grant) bool { return g.Remaining == 0 && !g.Revoked }},
		"code=void":        {410, "code_void", nil},
		"code=expired":     {200, "", nil}, // the clock of this test stands still; below it goes on
	} {
		t.Run(query, func(t *testing.T) {
			s := newTestShop(t)
			a, status := s.ask(query)
			if status != 200 {
				t.Fatalf("%d", status)
			}
			if query == "code=expired" {
				now = now.Add(time.Second)
				defer func() { now = now.Add(-time.Second) }()
				tc.status, tc.code = 410, "code_expired"
			}
			if status, code := s.redeem(a); status != tc.status || code != tc.code {
				t.Errorf("%d %s, want %d %s", status, code, tc.status, tc.code)
			}
			if tc.is != nil && (len(s.grants()) != 1 || !tc.is(s.grants()[0])) {
				t.Errorf("%+v", s.grants())
			}
		})
	}
}

// What a house redeems ends what it had of another scenario, which the issuer
// would use in the place of one that fails.
func TestTest_OneScenarioAtATime(t *testing.T) {
	s := newTestShop(t)
	for _, query := range []string{"count=1", "count=2"} {
		a, _ := s.ask(query)
		if status, code := s.redeem(a); status != 200 {
			t.Fatalf("%d %s", status, code)
		}
	}
	for _, g := range s.grants() {
		if g.Revoked == strings.Contains(g.Terms, "PLAY_COUNT=2") {
			t.Errorf("%s: revoked %v", g.Terms, g.Revoked)
		}
	}
}

// What goes wrong on the way to the module and back.
func TestTest_FailuresOfTheWay(t *testing.T) {
	s := newTestShop(t)
	for query, tc := range map[string]struct {
		status int
		want   func(body []byte, err error, took time.Duration) bool
		served int
	}{
		"count=1": {200, func(b []byte, err error, _ time.Duration) bool { return err == nil && bytes.Equal(b, frame) }, 1},
		"http=503&retry=5s": {503, func(b []byte, _ error, _ time.Duration) bool {
			return strings.Contains(string(b), "problem") || strings.Contains(string(b), `"code":"test"`)
		}, 0},
		"delay=60ms": {200, func(b []byte, _ error, took time.Duration) bool {
			return bytes.Equal(b, frame) && took >= 60*time.Millisecond
		}, 1},
		"cut=true":      {0, func(_ []byte, err error, _ time.Duration) bool { return err != nil }, 0},
		"garbage=true":  {200, func(b []byte, _ error, _ time.Duration) bool { return len(b) == len(frame) && !bytes.Equal(b, frame) }, 1},
		"truncate=true": {200, func(b []byte, _ error, _ time.Duration) bool { return bytes.Equal(b, frame[:len(frame)/2]) }, 1},
		"flip=true": {200, func(b []byte, _ error, _ time.Duration) bool {
			return len(b) == len(frame) && b[len(b)-1] == frame[len(b)-1]^1
		}, 1},
	} {
		t.Run(query, func(t *testing.T) {
			a, _ := s.ask(query)
			s.served = 0
			begin := time.Now()
			status, body, err := s.get("POST", a.Issuer+"/lrp/v1/frames", nil)
			if status != tc.status || !tc.want(body, err, time.Since(begin)) || s.served != tc.served {
				t.Errorf("%d %q, %v; served %d times, want %d", status, body, err, s.served, tc.served)
			}
		})
	}
	t.Run("lose", func(t *testing.T) {
		a, _ := s.ask("lose=2")
		s.served = 0
		for n := range 3 {
			if status, _, err := s.get("POST", a.Issuer+"/lrp/v1/frames", nil); (err != nil) != (n < 2) || n == 2 && status != 200 {
				t.Errorf("answer %d: %d, %v", n, status, err)
			}
		}
		if s.served != 3 { // the work was done each time
			t.Errorf("served %d times", s.served)
		}
	})
}

// A scenario has the doors of households and no other one.
func TestTest_OnlyTheDoorsOfHouseholds(t *testing.T) {
	s := newTestShop(t)
	a, _ := s.ask("count=1")
	for path, want := range map[string]int{
		"/api/v1/about": 200, "/status/v1/" + house.String() + "/" + house.String(): 404, "/api/v1/grants": 404, "/api/v1/keys": 404, "/test": 404, "/console/": 404, "/../api/v1/grants": 404,
	} {
		if status, body, err := s.get("GET", a.Issuer+path, nil); status != want || err != nil {
			t.Errorf("%s: %d %s %v", path, status, body, err)
		}
	}
	for path, want := range map[string]int{"/test/s/AAAA/api/v1/about": 404, "/test/s/!/x": 404, "/test/voucher?role=device": 200, "/test/voucher?role=god": 422, "/test": 200} {
		if status, _, err := s.get("GET", s.URL+path, nil); status != want || err != nil {
			t.Errorf("%s: %d %v", path, status, err)
		}
	}
}

func FuzzScenario(f *testing.F) {
	f.Add("permission=PLAY,COPY&begin=2h&end=2027-01-01T00:00:00Z&count=2&maxres=1920x1080&output=HDCP_2_2&region=DE&revoked=1")
	f.Add("http=503&retry=5s&delay=1s&lose=3&flip=true")
	f.Fuzz(func(t *testing.T, query string) {
		s, err := testissuer.Parse(query, now)
		if err != nil {
			return
		}
		again, err := testissuer.Parse(s.Query(), now)
		if err != nil || again.Terms != s.Terms || again.Query() != s.Query() || again.Fail != s.Fail {
			t.Errorf("%q is read as %+v, and that as %+v, %v", query, s, again, err)
		}
	})
}
