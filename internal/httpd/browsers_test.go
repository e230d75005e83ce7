package httpd_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// caller is a browser somewhere in the network.
type caller struct {
	t       *testing.T
	handler http.Handler
	cookies map[string]*http.Cookie
}

// ask sends a request from 192.0.2.1, over HTTPS unless plain.
func (c *caller) ask(method, path, host string, plain bool, fields url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(fields.Encode()))
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Mozilla/5.0 (Android 15; Mobile) Gecko Firefox/140.0")
	if !plain {
		r.TLS = &tls.ConnectionState{}
	}
	for _, k := range c.cookies {
		r.AddCookie(k)
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() { //nolint:bodyclose // a recorder's
		c.cookies[k.Name] = k
	}
	return w
}

const atHome = "192.168.7.9:7710"

// TestBrowsers_StrangersGetNothing: who was not let in sees one page, on which no title,
// device or name of the house stands, whatever address or method is tried.
func TestBrowsers_StrangersGetNothing(t *testing.T) {
	handler, _, h := trusted(t, "http://"+atHome)
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	c := &caller{t, handler, map[string]*http.Cookie{}}
	for _, path := range append([]string{"/api/v1/library", "/api/v1/events", "/static/app.js", "/play/x/manifest.mpd", "/settings/code", "/devices/qr.png"}, places...) {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if path == "/trust" {
				continue // for everyone
			}
			for _, host := range []string{atHome, "evil.example", "localhost"} {
				for _, plain := range []bool{false, true} {
					w := c.ask(method, path, host, plain, nil)
					if w.Code != http.StatusForbidden && (w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/enter" || host != atHome || plain || method != "GET") {
						t.Errorf("%s %s at %s (plain %v): %d to %s", method, path, host, plain, w.Code, w.Header().Get("Location"))
					}
					if strings.Contains(w.Body.String(), h.Titles()[0].Title) {
						t.Errorf("%s %s tells a title", method, path)
					}
				}
			}
		}
	}
	for _, cookie := range []string{"", "x", strings.Repeat("0", 64)} {
		c.cookies["__Host-lares_browser"] = &http.Cookie{Name: "__Host-lares_browser", Value: cookie}
		if w := c.ask("GET", "/", atHome, false, nil); w.Code != http.StatusSeeOther {
			t.Errorf("with the cookie %q: %d", cookie, w.Code)
		}
	}
	if w := c.ask("GET", "/enter", atHome, true, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "over HTTPS only") {
		t.Errorf("over HTTP: %d", w.Code)
	}
	if w := c.ask("POST", "/enter", atHome, false, url.Values{"token": {strings.Repeat("0", 32)}}); len(h.WaitingBrowsers()) != 0 {
		t.Errorf("asked without the page's token: %d", w.Code)
	}
}

// TestBrowsers_LetInByTheOwner: the browser shows a code, the owner sees the same and says
// yes; from then on it has the house's pages, until it is removed.
func TestBrowsers_LetInByTheOwner(t *testing.T) {
	handler, srv, h := trusted(t, "http://"+atHome)
	c := &caller{t, handler, map[string]*http.Cookie{}}
	w := c.ask("GET", "/enter", atHome, false, nil)
	m := tokenField.FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatalf("no form: %s", w.Body)
	}
	if w = c.ask("POST", "/enter", atHome, false, url.Values{"token": {m[1]}}); w.Code != http.StatusSeeOther {
		t.Fatalf("asked: %d", w.Code)
	}
	k := c.cookies["__Host-lares_browser"]
	if k == nil || !k.HttpOnly || !k.Secure || k.SameSite != http.SameSiteStrictMode {
		t.Fatalf("the cookie: %+v", k)
	}
	waiting := h.WaitingBrowsers()
	if len(waiting) != 1 || !strings.Contains(waiting[0].Name, "Firefox on Android, 192.0.2.1") {
		t.Fatalf("waiting: %+v", waiting)
	}
	if w = c.ask("GET", "/enter", atHome, false, nil); !strings.Contains(w.Body.String(), waiting[0].Code) || !strings.Contains(w.Body.String(), `http-equiv="refresh"`) {
		t.Errorf("it does not show its code: %s", w.Body)
	}
	owner := visit(t, srv.URL)
	if _, body := owner.open("/devices"); !strings.Contains(body, waiting[0].Code) || strings.Contains(body, k.Value) || internalWords.MatchString(pageText([]byte(body))) {
		t.Error("the owner does not see the code, or sees the secret")
	}
	if status, body := owner.send("/devices", "/browsers/"+waiting[0].ID+"/approve", url.Values{}); status != http.StatusOK || !strings.Contains(body, "The browser opens your house now") {
		t.Errorf("the yes: %d", status)
	}
	if w = c.ask("GET", "/enter", atHome, false, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("it does not go on by itself: %d", w.Code)
	}
	if w = c.ask("GET", "/", atHome, false, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Library") {
		t.Errorf("the library: %d", w.Code)
	}
	if status, body := owner.send("/devices", "/browsers/"+waiting[0].ID+"/rename", url.Values{"name": {"the tablet in the kitchen"}}); status != http.StatusOK || !strings.Contains(body, "the tablet in the kitchen") || h.BrowserName(k.Value) != "the tablet in the kitchen" {
		t.Errorf("named: %d, it is %q", status, h.BrowserName(k.Value))
	}
	if status, _ := owner.send("/devices", "/browsers/0123/rename", url.Values{"name": {"x"}}); status != http.StatusNotFound {
		t.Errorf("a browser that is not known is named: %d", status)
	}
	if w = c.ask("GET", "/", "evil.example", false, nil); w.Code != http.StatusForbidden {
		t.Errorf("under a foreign name: %d", w.Code)
	}
	if w = c.ask("GET", "/", atHome, true, nil); w.Code != http.StatusForbidden {
		t.Errorf("over HTTP: %d", w.Code)
	}
	ended := c.listens(atHome)
	if status, _ := owner.send("/devices", "/browsers/"+waiting[0].ID+"/remove", url.Values{}); status != http.StatusOK {
		t.Errorf("removed: %d", status)
	}
	if w = c.ask("GET", "/", atHome, false, nil); w.Code != http.StatusSeeOther {
		t.Errorf("after it was removed: %d", w.Code)
	}
	select {
	case heard := <-ended:
		if strings.Contains(heard, "event:") {
			t.Errorf("after it was removed it heard %q", heard)
		}
	case <-time.After(20 * time.Second):
		t.Error("a browser that was removed listens still")
	}
}

// streamed is a recorder that a stream can be written to.
type streamed struct {
	*httptest.ResponseRecorder
	began chan struct{}
	once  sync.Once
}

func (s *streamed) SetReadDeadline(time.Time) error  { return nil }
func (s *streamed) SetWriteDeadline(time.Time) error { return nil }
func (s *streamed) Flush()                           { s.once.Do(func() { close(s.began) }) }

// listens opens the stream of events, and gives what came when that has ended.
func (c *caller) listens(host string) (ended chan string) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), "GET", "/api/v1/events", nil)
	r.Host, r.TLS = host, &tls.ConnectionState{}
	for _, k := range c.cookies {
		r.AddCookie(k)
	}
	w := &streamed{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{})}
	ended = make(chan string, 1)
	go func() {
		c.handler.ServeHTTP(w, r)
		ended <- w.Body.String()
	}()
	select {
	case <-w.began:
	case said := <-ended:
		c.t.Fatalf("it does not listen: %d %s", w.Code, said)
	}
	return ended
}

// TestBrowsers_PlayOverTheNetwork: a real browser at the house's address in the network is
// let in and plays, over HTTPS and the house's own certificates.
func TestBrowsers_PlayOverTheNetwork(t *testing.T) {
	needs.Long(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(private(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	dir := t.TempDir()
	h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, keys), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	secret, err := home.OpenTLS(dir, ident.Device{1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler(), TLS: secret})
	if err != nil {
		t.Fatal(err)
	}
	srv := httpd.NewServer(t.Context(), fromElsewhere(handler))
	srv.TLSConfig = secret.Config()
	go func() { _ = srv.ServeTLS(l, "", "") }() // ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	entered := 0 // not those that are not installed
	for _, b := range browsertest.Browsers {
		t.Run(b.Name, func(t *testing.T) {
			owner := filepath.Join(t.TempDir(), "owner")
			go func() { // compares, and says yes
				for ; t.Context().Err() == nil; time.Sleep(20 * time.Millisecond) {
					code, err := os.ReadFile(owner)
					if w := h.WaitingBrowsers(); err == nil && len(w) == 1 && w[0].Code == string(code) {
						_ = h.LetBrowserIn(w[0].ID)
						return
					}
				}
			}()
			got := browsertest.Enter(t, b.Name, "https://"+l.Addr().String()+"/", owner)
			entered++
			if got.First != "/enter" || !got.Secure || got.Played < 1 || len(got.Console) > 0 {
				t.Errorf("%+v", got)
			}
			browsertest.Plays{Player: b.Title, Path: "page, network", Result: browsertest.Works}.Check(t)
		})
	}
	if got := h.Browsers(); len(got) != entered || entered > 0 && !strings.HasPrefix(got[0].Name, "Chrome on Linux") && !strings.HasPrefix(got[0].Name, "Firefox on Linux") {
		t.Errorf("known: %+v", got)
	}
}

// private is an address of this machine in a private network.
func private(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsPrivate() {
			return n.IP.String()
		}
	}
	needs.NotRun(t, "this machine has no address in a private network")
	return ""
}

// fromElsewhere has a browser of this machine seen as one of another.
func fromElsewhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.168.7.77:4711"
		next.ServeHTTP(w, r)
	})
}
