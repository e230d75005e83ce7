package httpd_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// visitor is a browser without scripts.
type visitor struct {
	*http.Client
	t    *testing.T
	base string
}

func visit(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{&http.Client{Jar: jar}, t, base}
}

// open returns a page's status and text.
func (v *visitor) open(path string) (int, string) {
	v.t.Helper()
	return v.read(v.Get(v.base + path)) //nolint:noctx // a test
}

func (v *visitor) read(res *http.Response, err error) (int, string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

var tokenField = regexp.MustCompile(`name="token" value="([0-9a-f]{32})"`)

// send fills in a form of the page at from and sends it to action.
func (v *visitor) send(from, action string, fields url.Values) (int, string) {
	v.t.Helper()
	_, body := v.open(from)
	m := tokenField.FindStringSubmatch(body)
	if m == nil {
		v.t.Fatalf("%s has no form", from)
	}
	fields.Set("token", m[1])
	return v.read(v.PostForm(v.base+action, fields)) //nolint:noctx // a test
}

// TestSetup_GuardedByItsCode: without the code that the terminal shows nobody founds the
// house; who guesses waits.
func TestSetup_GuardedByItsCode(t *testing.T) {
	now := time.Now()
	var asked []string
	answer := error(nil)
	handler, err := httpd.NewSetup(httpd.SetupConfig{
		Code: "7KQ2-M4XD", Now: func() time.Time { return now },
		Found: func(_ context.Context, authority, voucher string) error {
			asked = append(asked, authority+" "+voucher)
			return answer
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	defer srv.Close()
	v := visit(t, srv.URL)
	v.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	fill := func(code, invitation string) (int, string) {
		return v.send("/setup", "/setup", url.Values{"code": {code}, "invitation": {invitation}})
	}
	const invitation = "http://ca.example:7700 3F9K-22QX"
	for _, tc := range []struct {
		code, invitation string
		status           int
		want             string
	}{
		{"", invitation, http.StatusForbidden, "not the setup code"},
		{"7KQ2-M4XE", invitation, http.StatusForbidden, "not the setup code"},
		{"7KQ2-M4XD", "3F9K-22QX", http.StatusUnprocessableEntity, "not complete"},
		{"7kq2 m4xd", "ftp://ca.example 3F9K-22QX", http.StatusUnprocessableEntity, "not complete"},
		{"7KQ2-M4XD", "http://ca.example <script>", http.StatusUnprocessableEntity, "not complete"},
	} {
		if status, body := fill(tc.code, tc.invitation); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%q, %q: %d, want %d and %q", tc.code, tc.invitation, status, tc.status, tc.want)
		}
	}
	if res, err := v.PostForm(srv.URL+"/setup", url.Values{"code": {"7KQ2-M4XD"}, "invitation": {invitation}}); err != nil || res.StatusCode != http.StatusForbidden || res.Body.Close() != nil { //nolint:noctx // a test
		t.Errorf("a form without its token: %v, %v", res.StatusCode, err)
	}
	if len(asked) > 0 {
		t.Fatalf("the house was founded: %q", asked)
	}
	for range 3 { // with two above: five
		fill("0000-0000", invitation)
	}
	if status, body := fill("7KQ2-M4XD", invitation); status != http.StatusTooManyRequests || !strings.Contains(body, "Wait a minute") {
		t.Errorf("after five wrong codes: %d", status)
	}
	now = now.Add(time.Minute)
	answer = errors.New("away")
	if status, body := fill("7KQ2-M4XD", invitation); status != http.StatusUnprocessableEntity || !strings.Contains(body, "Nobody answers") {
		t.Errorf("an authority that is away: %d %s", status, body)
	}
	answer = &trem.Error{Code: trem.CodeRejected}
	if status, body := fill("7KQ2-M4XD", invitation); status != http.StatusUnprocessableEntity || !strings.Contains(body, "not good here") {
		t.Errorf("an invitation that is not taken: %d %s", status, body)
	}
	answer = nil
	if status, _ := fill("7kq2m4xd", "http://ca.example:7700/#3F9K-22QX"); status != http.StatusSeeOther || asked[len(asked)-1] != invitation {
		t.Errorf("with code and invitation: %d, asked %q", status, asked)
	}
	n := len(asked) // the button is pressed twice: the invitation is good once
	if status, _ := fill("7kq2m4xd", invitation); status != http.StatusSeeOther || len(asked) != n {
		t.Errorf("again: %d, asked %d times", status, len(asked)-n+1)
	}
	if status, body := v.open("/api/v1/library"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not_founded") {
		t.Errorf("the API of a house that is not founded: %d %s", status, body)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/setup", nil) // from 192.0.2.1
	r.Host = "localhost"
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("from another machine: %d", w.Code)
	}
}

// trusted is a house with HTTPS, reached from its network at an address.
func trusted(t *testing.T, address string) (handler http.Handler, srv *httptest.Server, h *home.Home) {
	t.Helper()
	dir := t.TempDir()
	h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := home.OpenTLS(dir, ident.Device{1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	handler, err = httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler(), TLS: secret, Address: func() string { return address }})
	if err != nil {
		t.Fatal(err)
	}
	srv = httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return handler, srv, h
}

// TestTrust_ForEveryoneInTheNetwork: the page and the certificate are for all, say how it
// is done on each platform, and nothing of what is in the house.
func TestTrust_ForEveryoneInTheNetwork(t *testing.T) {
	handler, srv, h := trusted(t, "http://192.168.7.9:7710")
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	ask := func(path, agent string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil) // from 192.0.2.1
		r.Header.Set("User-Agent", agent)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for agent, open := range map[string]string{
		"Mozilla/5.0 (Linux; Android 15) Chrome/140": "Android", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)": "iPhone and iPad",
		"Mozilla/5.0 (Windows NT 10.0) Chrome/140": "Windows", "Mozilla/5.0 (Macintosh; Intel Mac OS X)": "Mac", "Mozilla/5.0 (X11; Linux) Gecko Firefox/128": "Firefox, on every system",
	} {
		page := ask("/trust", agent).Body.String()
		if !strings.Contains(page, `<details class="platform" open><summary>`+open+`</summary>`) || strings.Count(page, `class="platform"`) != 6 {
			t.Errorf("%s: the steps of %s are not open", agent, open)
		}
		if strings.Contains(page, h.Titles()[0].Title) || !strings.Contains(page, "http://192.168.7.9:7710/trust") || internalWords.MatchString(pageText([]byte(page))) {
			t.Errorf("%s: the page says %s", agent, pageText([]byte(page)))
		}
	}
	if w := ask("/trust/lares-house.crt", ""); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-x509-ca-cert" || w.Body.Len() < 200 {
		t.Errorf("the certificate: %d, %d bytes", w.Code, w.Body.Len())
	}
	want, err := httpd.QR("http://192.168.7.9:7710/trust")
	if w := ask("/trust/qr.png", ""); err != nil || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("the picture for cameras is not that of the page: %v", err)
	}
	for _, path := range []string{"/devices/qr.png", "/devices", "/setup/films", "/"} {
		if w := ask(path, ""); w.Code != http.StatusForbidden {
			t.Errorf("%s from another machine: %d", path, w.Code)
		}
	}
	want, err = httpd.QR("http://192.168.7.9:7710")
	if _, got := get(t, "GET", srv.URL+"/devices/qr.png", nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the picture for new devices is not that of the house: %v", err)
	}
	if _, body := get(t, "GET", srv.URL+"/setup/device", nil); !strings.Contains(string(body), "http://192.168.7.9:7710") {
		t.Error("the first run does not say where the house is")
	}
}

// TestSetup_FilmsOfAFolder has a folder watched, and its films are in the library.
func TestSetup_FilmsOfAFolder(t *testing.T) {
	_, srv, h := trusted(t, "")
	v := visit(t, srv.URL)
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	for path, want := range map[string]string{t.TempDir(): "no films in this folder", "/nothing": "no films in this folder", "films": "no films in this folder"} {
		if status, body := v.send("/setup/films", "/setup/films", url.Values{"folder": {path}}); status != http.StatusUnprocessableEntity || !strings.Contains(body, want) || len(h.Folders()) != 0 {
			t.Errorf("%s: %d, %v", path, status, h.Folders())
		}
	}
	root := strings.TrimSuffix(folder, "/packed")
	if status, body := v.send("/setup/films", "/setup/films", url.Values{"folder": {root}}); status != http.StatusOK || !strings.Contains(body, "Your first device") || len(h.Titles()) != 1 || len(h.Folders()) != 1 {
		t.Errorf("a folder of films: %d, %d titles", status, len(h.Titles()))
	}
}

// TestSetup_AMistakeUnwatchesNothingElse: what the household watched before stays.
func TestSetup_AMistakeUnwatchesNothingElse(t *testing.T) {
	_, srv, h := trusted(t, "")
	v := visit(t, srv.URL)
	outer := t.TempDir()
	inner := filepath.Join(outer, "empty")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ watched, asked, stays string }{
		{outer, outer, outer}, // it has no films yet
		{outer, inner, outer}, // the outer one is watched for it
		{inner, outer, outer}, // it takes the place of the inner one
	} {
		if _, err := h.Watch(t.Context(), tc.watched); err != nil {
			t.Fatal(err)
		}
		if status, _ := v.send("/setup/films", "/setup/films", url.Values{"folder": {tc.asked}}); status != http.StatusUnprocessableEntity {
			t.Errorf("%+v: %d", tc, status)
		}
		if got := h.Folders(); len(got) != 1 || got[0].Folder != tc.stays {
			t.Errorf("%+v: watched %+v", tc, got)
		}
		for _, f := range h.Folders() {
			if err := h.Unwatch(t.Context(), f.Folder); err != nil {
				t.Fatal(err)
			}
		}
	}
}
