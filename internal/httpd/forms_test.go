package httpd_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

var (
	formTag   = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]+)"[^>]*>(.*?)</form>`)
	fieldName = regexp.MustCompile(`name="([^"]+)"`)
)

// TestForms_NoneWithoutItsToken: every form of every page carries the token, and what it
// asks is not done without it, with another browser's, or with none.
func TestForms_NoneWithoutItsToken(t *testing.T) {
	l := livedHouse(t)
	v, other := visit(t, l.URL), visit(t, l.URL)
	_, foreign := other.open("/devices")
	stolen := tokenField.FindStringSubmatch(foreign)[1]
	seen := map[string]bool{}
	for _, place := range places {
		_, body := v.open(place)
		for _, f := range formTag.FindAllStringSubmatch(body, -1) {
			action := f[1]
			if seen[action] = true; !tokenField.MatchString(f[2]) {
				t.Errorf("%s: the form of %s has no token", place, action)
			}
			for _, token := range []string{"", stolen, strings.Repeat("0", 32)} {
				fields := url.Values{"token": {token}}
				for _, m := range fieldName.FindAllStringSubmatch(f[2], -1) {
					if m[1] != "token" {
						fields.Set(m[1], "1")
					}
				}
				if status, _ := v.read(v.PostForm(l.URL+action, fields)); status != http.StatusForbidden { //nolint:noctx // a test
					t.Errorf("%s with the token %q: %d, want 403", action, token, status)
				}
			}
		}
	}
	for _, want := range []string{"/title/bought/lend", "/title/bought/move", "/title/bought/copy", "/title/library/return", "/devices/approve", "/devices/refuse", "/transfers/cancel", "/transfers/renew", "/transfers/lost", "/shop/claim", "/shop/ask", "/health/learn", "/settings/code", "/setup/films"} {
		if !seen[want] {
			t.Errorf("no page has the form %s", want)
		}
	}
	if len(l.h.Pending()) != 1 || len(l.orders) != 0 || len(l.h.Devices()) != 3 {
		t.Error("something was done")
	}
	if status, _ := v.read(v.PostForm(l.URL+"/shop/ask", url.Values{"x": {strings.Repeat("x", 9<<10)}})); status != http.StatusForbidden { //nolint:noctx // a test
		t.Errorf("a form that is too long: %d", status)
	}
}

// TestForms_DoWhatThePageSays: each form, without a script, and what the next page says.
func TestForms_DoWhatThePageSays(t *testing.T) {
	l := livedHouse(t)
	v := visit(t, l.URL)
	device := l.h.Devices()[1]
	pending := l.h.Pending()[0]
	for _, tc := range []struct {
		from, action string
		fields       url.Values
		status       int
		want         string
	}{
		{"/title/bought", "/title/bought/lend", url.Values{"to": {device.ID.String()}, "days": {"3"}}, 200, "It is lent."},
		{"/title/bought", "/title/bought/move", url.Values{"to": {"Phone"}}, 200, "It is moved."},
		{"/title/bought", "/title/bought/lend", url.Values{"to": {"Phone"}, "days": {"0"}}, 422, "Something is missing."},
		{"/title/bought", "/title/bought/move", url.Values{}, 422, "Something is missing."},
		{"/title/bought", "/title/bought/give", url.Values{"to": {"Phone"}}, 422, "Something is missing."},
		{"/title/bought", "/title/bought/throw", url.Values{"to": {"Phone"}}, 404, "There is nothing here"},
		{"/title/bought", "/title/nothing/lend", url.Values{"to": {"Phone"}}, 404, "There is nothing here"},
		{"/title/library", "/title/library/return", url.Values{}, 200, "The library has it again."},
		{"/devices", "/devices/approve", url.Values{"code": {"0000-0000"}}, 403, "No waiting device shows this code."},
		{"/devices", "/devices/approve", url.Values{"code": {pending.Code}}, 200, "The device belongs to your house now."},
		{"/devices", "/devices/" + device.ID.String() + "/rename", url.Values{"name": {"Ada's phone"}}, 200, "Ada&#39;s phone"},
		{"/devices", "/devices/" + device.ID.String() + "/remove", url.Values{}, 200, "The device was removed."},
		{"/devices", "/devices/" + strings.Repeat("0", 64) + "/remove", url.Values{}, 404, "There is nothing here"},
		{"/lending", "/transfers/renew", url.Values{"transfer": {l.module.Moving[0].ID.String()}, "days": {"9"}, "after": {"lending"}}, 200, "The loan has its new end."},
		{"/activity", "/transfers/cancel", url.Values{"transfer": {l.module.Moving[1].ID.String()}}, 200, "It was asked back."},
		{"/activity", "/transfers/cancel", url.Values{"transfer": {"x"}}, 404, "There is nothing here"},
		{"/shop", "/shop/claim", url.Values{"link": {"https://shop.example/c/7KQ2M4XD9T3V"}}, 200, "It is in your house now."},
		{"/shop", "/shop/ask", url.Values{}, 200, "asked again"},
		{"/health", "/health/learn", url.Values{}, 200, "It cannot be reached now."},
		{"/settings", "/settings/backup", url.Values{}, 428, "The house has no recovery key yet."},
		{"/settings", "/settings/backup", url.Values{"words": {"abandon ability"}}, 400, "These are not the 24 words."},
	} {
		if status, body := v.send(tc.from, tc.action, tc.fields); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s %v: %d, want %d and %q in %s", tc.action, tc.fields, status, tc.status, tc.want, pageText([]byte(body)))
		}
	}
	if o := <-l.orders; o.Op != trem.OpLend || o.ForMS != 3*86_400_000 {
		t.Errorf("lent as %+v", o)
	}
	if o := <-l.orders; o.Op != trem.OpMove || o.HoldMS == 0 {
		t.Errorf("moved as %+v", o)
	}
	_, body := v.send("/settings", "/settings/code", url.Values{})
	words := regexp.MustCompile(`name="words" value="([a-z ]+)"`).FindStringSubmatch(body)
	if words == nil || len(strings.Fields(words[1])) != 24 || strings.Count(body, "<li>"+strings.Fields(words[1])[0]+"</li>") == 0 {
		t.Fatalf("no 24 words: %s", pageText([]byte(body)))
	}
	if status, file := v.send("/settings", "/settings/backup", url.Values{"words": {words[1]}}); status != 200 || file != "the house" || !l.module.coded {
		t.Errorf("the backup: %d %q", status, file)
	}
}

// TestPages_SayWhatIsGoingOn: time and plays left in words, who has what until when, every
// reason with its remedy, the time line, and what waits while nobody is reached.
func TestPages_SayWhatIsGoingOn(t *testing.T) {
	l := livedHouse(t)
	v := visit(t, l.URL)
	for place, want := range map[string][]string{
		"/":              {"1 play left · until tomorrow 21:00", "2 plays left · until ", "2 things wait.", "1 request waits", "plays, moves and is lent as before"},
		"/title/lent":    {"Why can’t I play this?", "It is lent already.", "It works again from", "Phone gives it back", `aria-current="time"`},
		"/title/over":    {"The viewing time that began with the first play is over.", "Get it from a shop or library.", "The shop has not been heard from for a while."},
		"/title/fresh":   {"Starting it begins your viewing time.", "It can be watched from here", "Its time ends"},
		"/title/library": {"Loan", "Give back to the library"},
		"/title/bought":  {"It may not be given away."},
		"/lending":       {"Phone", " 21:00", "Lend it longer"},
		"/activity":      {"On its way", "Tablet is lost", `aria-current="step"`},
		"/devices":       {"Kitchen", "2 plays of Metropolis set aside for it", "not seen since", "comes back when you say here that the device is lost", "last met yesterday 20:00"},
		"/shop":          {"Faust", "shop.example"},
		"/health":        {"812 MB of 32 GB are free.", "Make room.", "in order"},
		"/settings":      {"Nobody is told what you watch.", "http://192.168.7.9:7710/trust", "Make a recovery key"},
	} {
		_, body := v.open(place)
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s lacks %q: %s", place, w, pageText([]byte(body)))
			}
		}
		if w := internalWords.FindString(pageText([]byte(body))); w != "" {
			t.Errorf("%s says %q", place, w)
		}
	}
}

// TestLibrary_IsReadInPages: a large library is judged a page at a time, and searched.
func TestLibrary_IsReadInPages(t *testing.T) {
	l := livedHouse(t)
	v := visit(t, l.URL)
	if _, body := v.open("/?q=safety"); !strings.Contains(body, "Safety Last!") || strings.Contains(body, "Metropolis") {
		t.Error("a search does not find what it should, and no more")
	}
	for _, q := range []string{"?page=-1", "?page=x", "?page=99", "?q=" + strings.Repeat("x", 4000), "?q=%3Cscript%3E"} {
		if status, body := v.open("/" + q); status != http.StatusOK || strings.Contains(body, "<script>") {
			t.Errorf("%s: %d", q, status)
		}
	}
}

// listen opens an event stream.
func listen(t *testing.T, base string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestEvents_BoundedAndClosedByTheEnd: so many may listen and no more; a change of what
// waits is told; when the server's time is over the streams end.
func TestEvents_BoundedAndClosedByTheEnd(t *testing.T) {
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: hometest.New(t, nil), Authority: away{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = httpd.NewServer(ctx, handler)
	srv.Start()
	defer srv.Close()
	first := listen(t, srv.URL)
	for range 255 {
		_, cancel, err := h.Subscribe("")
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
	}
	res := listen(t, srv.URL)
	var p httpd.Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusConflict || p.Code != "busy" {
		t.Errorf("one too many: %d %+v (%v)", res.StatusCode, p, err)
	}
	if err := h.Learn(t.Context()); err == nil {
		t.Fatal("an authority that is away was heard")
	}
	end()
	told, err := io.ReadAll(first.Body) // ends with the stream
	if err != nil || !strings.Contains(string(told), "event: waits") {
		t.Errorf("told %q (%v)", told, err)
	}
}
