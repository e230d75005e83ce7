package httpd

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// strangers are the routes that answer anybody in the network, and why that is right.
// A new route stands here, or it answers the owner only.
var strangers = map[string]string{
	"/lrp/v1/frames":                         "frames carry what nobody in between can read",
	"POST /pair/v1/requests":                 "a device that asks to belong to the house is a stranger until its owner says yes",
	"POST /pair/v1/requests/{id}/nonce":      "as above",
	"GET /pair/v1/requests/{id}":             "as above",
	"GET /pair/v1/ca":                        "a certificate is public",
	"GET /house/v1/recipients/{name}":        "who knows the name of a device may send it sealed letters",
	"GET /house/v1/letters/{device}":         "letters are handed to who has proven itself on the link",
	"GET /house/v1/people/{device}":          "a device that has proven itself learns whose it is",
	"POST /house/v1/people/{device}/once":    "as above, and an adult's PIN",
	"GET /house/v1/time":                     "the time is no secret",
	"POST /house/v1/places":                  "signed by a device of the house, and answered to it",
	"GET /house/v1/logs":                     "IDs of devices; the logs are sealed",
	"GET /house/v1/logs/{device}":            "lengths and hashes of sealed logs",
	"GET /house/v1/logs/{device}/{segment}":  "sealed",
	"POST /house/v1/logs/{device}":           "a device of the house that has proven itself",
	"POST /house/v1/logs/{device}/segments":  "as above",
	"GET /pair/v1/restores/{domain}":         "signed by the house's module, for devices of the house that was before",
	"POST /pair/v1/restores":                 "as above",
	"GET /content/{id}/{file...}":            "a device of the house that has proven itself",
	"GET /own/v1/films":                      "as above",
	"GET /own/v1/films/{id}":                 "as above",
	"GET /healthz":                           "that it runs, and nothing else",
	"GET " + TrustPath:                       "how a browser comes to know the house's HTTPS; nothing of what is in the house",
	"GET " + TrustPath + "/lares-house.crt":  "a certificate is public",
	"GET " + TrustPath + "/qr.png":           "the address of that page",
	"GET /static/style.css":                  "of this program, for that page",
	"GET /static/icon.svg":                   "as above",
	"GET " + enterPath:                       "where a browser asks its owner to be let in; nothing of what is in the house",
	"POST " + enterPath:                      "as above",
	"GET /readyz":                            "as above",
	"GET " + home.PathHead:                   "statements of the authority are public",
	"GET " + home.PathTrust:                  "as above",
	"GET " + home.PathSunsets:                "as above",
	"GET " + home.PathSnapshot:               "as above",
	"GET " + home.PathDelta + "/{from}/{to}": "as above",
	"GET " + home.PathTime:                   "as above",
	"/":                                      "hands over to the owner's side, which answers this machine, and browsers that were let in",
}

// routesOf lists the patterns of a mux. net/http has no way to ask for them, and a
// list that somebody keeps could forget one, so its fields are read.
func routesOf(t *testing.T, m *http.ServeMux) []string {
	t.Helper()
	index := reflect.ValueOf(m).Elem().FieldByName("index")
	var all []string
	add := func(list reflect.Value) {
		for i := range list.Len() {
			all = append(all, list.Index(i).Elem().FieldByName("str").String())
		}
	}
	for it := index.FieldByName("segments").MapRange(); it.Next(); {
		add(it.Value())
	}
	add(index.FieldByName("multis"))
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		t.Fatal("net/http keeps its patterns elsewhere now")
	}
	return all
}

// crawled is a house with a title that plays, and a handler as it is served.
type crawled struct {
	handler     http.Handler
	open, owner []string // patterns
	secrets     []string // what a stranger must not learn
	values      map[string]string
	home        *home.Home
	cookie      string // of who sits at the browser
}

func newCrawled(t *testing.T) *crawled {
	t.Helper()
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: hometest.New(t, keys), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	own := hometest.OwnFilm(t, "Grandmother at eighty.mp4")
	if _, err := h.Watch(t.Context(), own); err != nil || len(h.Films()) != 1 {
		t.Fatal(err, h.Films())
	}
	ownID := string(h.Films()[0].ID)
	playing, err := h.Play(t.Context(), home.PlayRequest{Content: m.Content})
	if err != nil {
		t.Fatal(err)
	}
	play := t.TempDir()
	for _, name := range []string{playWasm, playExec} {
		if err := os.WriteFile(filepath.Join(play, name), []byte("program"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tls, err := home.OpenTLS(t.TempDir(), ident.Device{1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := home.NewRelay(t.TempDir(), "http://127.0.0.1:1", nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Home: h, Frames: http.NotFoundHandler(), Play: os.DirFS(play), TLS: tls, Relay: relay}
	x := &crawled{
		home:    h,
		secrets: []string{m.Title, string(m.Content), playing.ID, folder, m.Tracks[0].Name + "/", "Grandmother", ownID, own, "ftyp"},
		values:  map[string]string{"id": string(m.Content), "session": playing.ID, "file": "content.json", "track": m.Tracks[0].Name, "segment": "0", "name": "house", "film": ownID},
	}
	if x.handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	s := &server{Config: cfg}
	open, owner := http.NewServeMux(), http.NewServeMux()
	s.deviceRoutes(open)
	s.ownerRoutes(owner)
	if err := s.playRoutes(owner); err != nil {
		t.Fatal(err)
	}
	x.open, x.owner = routesOf(t, open), routesOf(t, owner)
	return x
}

var wildcard = regexp.MustCompile(`\{([a-z]+)(?:\.\.\.)?\}`)

// ask makes a request for a pattern from an address, as someone would who knows the
// house's IDs already.
func (x *crawled) ask(t *testing.T, pattern, from, host string, relayed bool) *httptest.ResponseRecorder {
	t.Helper()
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodGet, pattern
	}
	path = wildcard.ReplaceAllStringFunc(strings.ReplaceAll(path, "{$}", ""), func(w string) string {
		name := wildcard.FindStringSubmatch(w)[1]
		if strings.HasPrefix(path, home.PathFilms) || strings.HasPrefix(path, "/film/") {
			name = "film"
		}
		if v, ok := x.values[name]; ok {
			return v
		}
		return "00112233445566778899aabbccddeeff"
	})
	var body io.Reader
	if method != http.MethodGet {
		data, err := json.Marshal(map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	r.RemoteAddr, r.Host = from, host
	r.Header.Set("Content-Type", "application/json")
	if x.cookie != "" {
		r.AddCookie(&http.Cookie{Name: personCookie, Value: x.cookie})
	}
	if relayed {
		r.Header.Set(hopsHeader, "1")
	}
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, r)
	return w
}

// The stranger is in the house's network, and calls it as its devices do; the rebinder
// is a page of another site in a browser on the house's machine.
var foreigners = []struct {
	name, from, host string
	relayed          bool
}{
	{"stranger", "192.168.1.66:40000", "192.168.1.10:7710", false},
	{"stranger who says localhost", "192.168.1.66:40000", "localhost:7710", false},
	{"stranger over IPv6", "[fe80::66]:40000", "[fe80::10]:7710", false},
	{"rebinder", "127.0.0.1:40000", "films.example:7710", false},
	{"stranger behind a relay", "127.0.0.1:40000", "localhost:7710", true},
}

// TestCrawl_EveryPageOfTheOwnerIsForTheOwner asks for every route that is registered.
func TestCrawl_EveryPageOfTheOwnerIsForTheOwner(t *testing.T) {
	x := newCrawled(t)
	if len(x.owner) < 40 {
		t.Fatalf("%d routes of the owner: the crawl does not see them", len(x.owner))
	}
	for _, who := range foreigners {
		for _, pattern := range x.owner {
			w := x.ask(t, pattern, who.from, who.host, who.relayed)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: %s: status %d", who.name, pattern, w.Code)
			}
			x.noSecret(t, who.name, pattern, w)
		}
	}
	if w := x.ask(t, "GET /{$}", "127.0.0.1:40000", "localhost:7710", false); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), x.secrets[0]) {
		t.Errorf("the owner gets status %d: the crawl would find nothing anywhere", w.Code)
	}
	for _, own := range []string{"GET " + home.PathFilms, "GET " + home.PathFilms + "/{id}", "GET /film/{id}"} {
		if w := x.ask(t, own, "127.0.0.1:40000", "localhost:7710", false); w.Code != http.StatusOK || w.Body.Len() < 100 {
			t.Errorf("%s: the owner gets status %d", own, w.Code)
		}
	}
}

// TestCrawl_WhatIsOpenIsSaid: every route that a stranger reaches stands in a table
// with its reason, and gives away nothing of what is in the house.
func TestCrawl_WhatIsOpenIsSaid(t *testing.T) {
	x := newCrawled(t)
	for _, pattern := range x.open {
		if strangers[pattern] == "" {
			t.Errorf("%s answers strangers, and nobody says why", pattern)
		}
	}
	for _, who := range foreigners {
		for _, pattern := range x.open {
			w := x.ask(t, pattern, who.from, who.host, who.relayed)
			x.noSecret(t, who.name, pattern, w)
			if (strings.HasPrefix(pattern, "GET /content/") || strings.HasPrefix(pattern, "GET "+home.PathFilms)) && w.Code != http.StatusForbidden {
				t.Errorf("%s: %s: status %d", who.name, pattern, w.Code)
			}
		}
	}
}

func (x *crawled) noSecret(t *testing.T, who, pattern string, w *httptest.ResponseRecorder) {
	t.Helper()
	all := w.Body.String()
	for name, values := range w.Header() {
		all += name + ": " + strings.Join(values, " ") + "\n"
	}
	for _, s := range x.secrets {
		if strings.Contains(all, s) {
			t.Errorf("%s: %s gives away %q", who, pattern, s)
		}
	}
	if w.Code >= 300 && w.Code < 400 {
		t.Errorf("%s: %s leads to %s", who, pattern, w.Header().Get("Location"))
	}
}

// TestCrawl_NoRouteIsRegisteredElsewhere: New puts together what the crawl looks at,
// and nothing more.
func TestCrawl_NoRouteIsRegisteredElsewhere(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "server.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"deviceRoutes", "ownerRoutes", "playRoutes", "Handle", "Handler", "HandlerFunc"} // "/" to the guard, and the whole with its headers
	ast.Inspect(file, func(n ast.Node) bool {
		fn, ok := n.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "New" {
			return true
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if ok && (strings.HasSuffix(sel.Sel.Name, "Routes") || strings.HasPrefix(sel.Sel.Name, "Handle")) && !slices.Contains(known, sel.Sel.Name) {
				t.Errorf("New calls %s, whose routes the crawl does not see", sel.Sel.Name)
			}
			return true
		})
		return false
	})
}

// TestAttack_AChildAtEveryRoute asks for every route that is registered as a child, and
// as somebody who did not say who they are. What is for those who watch stands in a
// table; the rest is an adult's.
func TestAttack_AChildAtEveryRoute(t *testing.T) {
	x := newCrawled(t)
	adult, child, pin := home.Adult, home.Child, "1111"
	name, other := "Ada", "Ben"
	if _, err := x.home.AddPerson(home.PersonChange{Name: &name, Kind: &adult, PIN: &pin}); err != nil {
		t.Fatal(err)
	}
	ben, err := x.home.AddPerson(home.PersonChange{Name: &other, Kind: &child})
	if err != nil {
		t.Fatal(err)
	}
	token, err := x.home.SitDown(home.Seat{Person: ben.ID})
	if err != nil {
		t.Fatal(err)
	}
	delete(x.values, "session") // the owner's play is tried elsewhere
	for pattern := range watching {
		if !slices.Contains(x.owner, pattern) {
			t.Errorf("%s is for those who watch, and no route", pattern)
		}
	}
	for _, cookie := range []string{"", token} {
		x.cookie = cookie
		for _, pattern := range x.owner {
			if pattern == "/" || strings.Contains(pattern, "/events") { // what is nowhere; a stream without an end
				continue
			}
			w := x.ask(t, pattern, "127.0.0.1:40000", "localhost:7710", false)
			switch led := w.Header().Get("Location"); {
			case cookie == "" && (pattern == "GET /static/" || strings.HasSuffix(pattern, " "+whoPath)):
			case cookie == "" && w.Code != http.StatusForbidden && (w.Code != http.StatusSeeOther || led != whoPath):
				t.Errorf("nobody: %s: status %d, to %q", pattern, w.Code, led)
			case cookie != "" && !watching[pattern] && w.Code != http.StatusForbidden:
				t.Errorf("a child: %s: status %d, to %q", pattern, w.Code, led)
			}
		}
	}
}
