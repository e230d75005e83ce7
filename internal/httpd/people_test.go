package httpd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

const ownerSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// family is a house with a film from 16, in which Ada and Ben live, and a guest; its
// module judges key 15 of Ask as the evaluator does, by its words.
type family struct {
	*httptest.Server
	h               *home.Home
	now             time.Time
	ada, ben, guest home.Person
}

func newFamily(t *testing.T) *family {
	t.Helper()
	years := uint8(16)
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC, func(c *packager.Config) { c.Rated = &years })
	f := &family{now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)}
	module := hometest.New(t, keys)
	module.Decide = func(a trem.Ask) license.Decision { return judge(a.Person, f.now) }
	var err error
	if f.h, err = home.New(home.Config{Dir: t.TempDir(), Module: module, Now: func() time.Time { return f.now }}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.h.Add(folder); err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: f.h, Frames: http.NotFoundHandler(), Owner: ownerSecret})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = httptest.NewServer(handler)
	t.Cleanup(f.Close)
	return f
}

// judge is E19 of evaluation.md for a play, and refuses nothing else.
func judge(p *license.Person, now time.Time) license.Decision {
	d := license.Decision{Allow: true}
	if p == nil {
		return d
	}
	no := func(r license.Reason) {
		r.Code, r.Closed = license.PersonCode, true
		d.Allow, d.Reasons = false, append(d.Reasons, r)
	}
	if p.Rated > p.Age {
		no(license.Reason{Constraint: "RATING", Have: fmt.Sprintf("rated from %d", p.Rated), Need: fmt.Sprintf("rated from at most %d", p.Age), Remedy: license.AskAdult})
	}
	if now.UnixMilli() < p.From {
		no(license.Reason{Constraint: "HOURS", Earliest: p.From, Remedy: license.WaitUntil})
	}
	return d
}

// moveIn has the people of the house come, by forms.
func (f *family) moveIn(t *testing.T) {
	t.Helper()
	v := visit(t, f.URL)
	if _, body := v.send("/people", "/people/add", url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"9"}}); !strings.Contains(body, "An adult of the house has to stay, and comes first.") {
		t.Fatalf("a child comes first: %s", pageText([]byte(body)))
	}
	if _, body := v.send("/people", "/people/add", url.Values{"name": {"Ada"}, "kind": {"adult"}, "pin": {"1111"}}); !strings.Contains(body, "Who is watching?") {
		t.Fatalf("after the first the house asks: %s", pageText([]byte(body)))
	}
	f.ada = f.h.People()[0]
	f.sit(t, v, f.ada, "1111", "")
	for _, fields := range []url.Values{
		{"name": {"Ben"}, "kind": {"child"}, "age": {"9"}, "from": {"07:00"}, "until": {"19:30"}},
		{"name": {"Guest"}, "kind": {"guest"}},
	} {
		if status, body := v.send("/people", "/people/add", fields); status != http.StatusOK || !strings.Contains(body, "They belong to the house’s people now.") {
			t.Fatalf("%v: %d %s", fields, status, pageText([]byte(body)))
		}
	}
	f.ben, f.guest = f.h.People()[1], f.h.People()[2]
}

func (f *family) sit(t *testing.T, v *visitor, p home.Person, pin, by string) {
	t.Helper()
	if status, body := v.send("/who", "/who", url.Values{"person": {p.ID}, "pin": {pin}, "by": {by}}); status != http.StatusOK || !strings.Contains(body, p.Name+": somebody else?") {
		t.Fatalf("%s sits down: %d %s", p.Name, status, pageText([]byte(body)))
	}
}

// A house without people asks nobody; with people it asks who has not said, and a
// program only where it shows what the owner's programs show.
func TestPeople_4_TheHouseAsksWho(t *testing.T) {
	f := newFamily(t)
	v := visit(t, f.URL)
	if status, body := v.open("/"); status != http.StatusOK || strings.Contains(body, "Who is watching?") {
		t.Errorf("without people: %d", status)
	}
	f.moveIn(t)
	v = visit(t, f.URL)
	for _, place := range []string{"/", "/people", "/settings", "/title/" + filmPath, "/setup/films", "/nothing"} {
		if status, body := v.open(place); status != http.StatusOK || !strings.Contains(body, "Who is watching?") || strings.Contains(body, "Lares demo film") {
			t.Errorf("%s of nobody: %d %s", place, status, pageText([]byte(body)))
		}
	}
	for _, tc := range []struct {
		shown  string
		status int
	}{{"", 403}, {"0", 403}, {ownerSecret[:62] + "00", 403}, {ownerSecret, 200}} {
		res, body := get(t, "GET", f.URL+"/api/v1/library", nil, func(r *http.Request) { r.Header.Set(httpd.OwnerHeader, tc.shown) })
		if res.StatusCode != tc.status || tc.status == 403 && code(t, body) != "who" {
			t.Errorf("a program that shows %q: %d %s", tc.shown, res.StatusCode, body)
		}
	}
	open, err := httpd.New(httpd.Config{Home: f.h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/library", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost"
	r.Header.Set(httpd.OwnerHeader, "")
	w := httptest.NewRecorder()
	if open.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("nothing is shown where nothing is expected: %d", w.Code)
	}
}

// A child reads why not in plain words, what it was told to ask for works once, and what
// an adult watches is out of its reach.
func TestPeople_5_AChildWatches(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	child, adult := visit(t, f.URL), visit(t, f.URL)
	f.sit(t, child, f.ben, "", "")
	f.sit(t, adult, f.ada, "1111", "")
	title := "/title/" + filmPath
	_, body := child.open(title)
	for _, want := range []string{"It is for people from 16, and you are 9.", "An adult’s PIN lets it be once."} {
		if !strings.Contains(body, want) {
			t.Errorf("the title lacks %q: %s", want, pageText([]byte(body)))
		}
	}
	if strings.Contains(body, "/rate") || strings.Contains(body, "/settings") {
		t.Error("a child is shown what is for adults")
	}
	f.now = f.now.Add(8 * time.Hour)
	if _, body = child.open(title); !strings.Contains(body, "It is not your time for films until 29 Nov 2026, 07:00.") {
		t.Errorf("at bedtime: %s", pageText([]byte(body)))
	}
	f.now = f.now.Add(-8 * time.Hour)
	play := func(v *visitor) (int, string) {
		t.Helper()
		return v.read(v.Post(f.URL+"/api/v1/sessions", "application/json", strings.NewReader(`{"content":"`+filmPath+`"}`))) //nolint:noctx // a test
	}
	if status, body := play(child); status != http.StatusForbidden || !strings.Contains(body, "you are 9") {
		t.Errorf("a child plays: %d %s", status, body)
	}
	if _, body := child.send(title, title+"/lend", url.Values{"to": {"Tablet"}, "days": {"3"}}); !strings.Contains(body, "people from 16") {
		t.Errorf("a child lends: %s", pageText([]byte(body)))
	}
	if status, body := child.send(title, title+"/once", url.Values{"by": {f.ada.ID}, "pin": {"0000"}}); status != http.StatusForbidden || !strings.Contains(body, "That is not the PIN.") {
		t.Errorf("once by a wrong PIN: %d %s", status, pageText([]byte(body)))
	}
	if _, body := child.send(title, title+"/once", url.Values{"by": {f.ada.ID}, "pin": {"1111"}}); !strings.Contains(body, "Press play within ten minutes.") || !strings.Contains(body, "data-play=") {
		t.Errorf("once: %s", pageText([]byte(body)))
	}
	if status, body := play(child); status != http.StatusCreated {
		t.Errorf("once: %d %s", status, body)
	}
	if status, _ := play(child); status != http.StatusForbidden {
		t.Errorf("twice: %d", status)
	}
	var session httpd.SessionView
	_, answer := play(adult)
	if err := json.Unmarshal([]byte(answer), &session); err != nil || session.ID == "" {
		t.Fatalf("Ada plays: %s, %v", answer, err)
	}
	for _, path := range []string{session.Watch, session.Manifest, "/api/v1/sessions/" + session.ID, "/api/v1/events?session=" + session.ID} {
		if status, _ := child.open(path); status != http.StatusForbidden {
			t.Errorf("%s, which is Ada's: %d", path, status)
		}
		if strings.Contains(path, "events") {
			continue
		}
		if status, _ := adult.open(path); status != http.StatusOK {
			t.Errorf("%s, for Ada: %d", path, status)
		}
	}
	if _, body := adult.send(title, title+"/rate", url.Values{"years": {"6"}}); !strings.Contains(body, "It is for people from 6.") {
		t.Errorf("rated by Ada: %s", pageText([]byte(body)))
	}
	if status, body := play(child); status != http.StatusCreated {
		t.Errorf("a film from 6: %d %s", status, body)
	}
	if _, body := child.send("/who", "/who/leave", url.Values{}); !strings.Contains(body, "Who is watching?") || strings.Contains(body, "Now it is") {
		t.Errorf("the child leaves: %s", pageText([]byte(body)))
	}
}

// On a tablet that is Ben's an adult's PIN works too, once; made somebody else's by an
// adult who sits at it, it is the adult's no more.
func TestPeople_4_OnceOnABrowserThatIsAChilds(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	token, waits, err := f.h.AskBrowser("tablet")
	if err == nil {
		err = f.h.LetBrowserIn(waits.ID)
	}
	if err == nil {
		err = f.h.BindBrowser(waits.ID, f.ben.ID)
	}
	handler, tlsErr := httpd.New(httpd.Config{Home: f.h, Frames: http.NotFoundHandler(), TLS: &home.TLS{}})
	if err = errors.Join(err, tlsErr); err != nil {
		t.Fatal(err)
	}
	c := &caller{t, handler, map[string]*http.Cookie{"__Host-lares_browser": {Name: "__Host-lares_browser", Value: token}}}
	send := func(from, action string, fields url.Values) *httptest.ResponseRecorder {
		t.Helper()
		m := tokenField.FindStringSubmatch(c.ask("GET", from, atHome, false, nil).Body.String())
		if m == nil {
			t.Fatalf("%s has no form", from)
		}
		fields.Set("token", m[1])
		return c.ask("POST", action, atHome, false, fields)
	}
	play := func() int {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/sessions", strings.NewReader(`{"content":"`+filmPath+`"}`))
		r.Host, r.TLS = atHome, &tls.ConnectionState{}
		r.Header.Set("Content-Type", "application/json")
		for _, k := range c.cookies {
			r.AddCookie(k)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	title := "/title/" + filmPath
	if w := send(title, title+"/once", url.Values{"by": {f.ada.ID}, "pin": {"0000"}}); w.Code != http.StatusForbidden || play() != http.StatusForbidden {
		t.Errorf("by a wrong PIN: %d", w.Code)
	}
	if w := send(title, title+"/once", url.Values{"by": {f.ada.ID}, "pin": {"1111"}}); w.Code != http.StatusSeeOther {
		t.Errorf("once: %d %s", w.Code, pageText(w.Body.Bytes()))
	}
	if first, second := play(), play(); first != http.StatusCreated || second != http.StatusForbidden {
		t.Errorf("once and twice: %d, %d", first, second)
	}
	if w := send("/who", "/who", url.Values{"person": {f.ada.ID}, "pin": {"1111"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("Ada sits down: %d", w.Code)
	}
	if w := send("/people", "/browsers/"+waits.ID+"/person", url.Values{"person": {f.guest.ID}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?said=bound" {
		t.Errorf("made the guest's: %d to %s", w.Code, w.Header().Get("Location"))
	}
	if w := c.ask("GET", "/people", atHome, false, nil); w.Code != http.StatusForbidden {
		t.Errorf("it is Ada's yet: %d", w.Code)
	}
}

// Pages that show themselves anew keep no adult seated; a player does, for as long as a film.
func TestPeople_4_WhatCountsAsUse(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	v := visit(t, f.URL)
	f.sit(t, v, f.ada, "1111", "")
	_, answer := v.read(v.Post(f.URL+"/api/v1/sessions", "application/json", strings.NewReader(`{"content":"`+filmPath+`"}`))) //nolint:noctx // a test
	var session httpd.SessionView
	if err := json.Unmarshal([]byte(answer), &session); err != nil || session.ID == "" {
		t.Fatalf("Ada plays: %s, %v", answer, err)
	}
	for minutes := 30; minutes <= 150; minutes += 30 {
		f.now = f.now.Add(30 * time.Minute)
		if status, body := v.open(session.Manifest); status != http.StatusOK {
			t.Fatalf("after %d minutes of a film: %d %s", minutes, status, body)
		}
	}
	refresh := func() string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Lares-Refresh", "1")
		_, body := v.read(v.Do(r))
		return body
	}
	for range 2 {
		f.now = f.now.Add(30 * time.Minute)
		if body := refresh(); strings.Contains(body, "Who is watching?") {
			t.Fatal("within the hour it asks")
		}
	}
	f.now = f.now.Add(time.Minute)
	if body := refresh(); !strings.Contains(body, "Who is watching?") {
		t.Error("a page that was left open keeps an adult seated")
	}
}

// An event stream ends with the sitting it was opened in.
func TestPeople_4_TheStreamEndsWithTheSitting(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	v := visit(t, f.URL)
	f.sit(t, v, f.ada, "1111", "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.URL+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	v.send("/who", "/who/leave", url.Values{})
	six := uint8(6)
	if err := f.h.Rate(filmPath, &six); err != nil { // which is an event
		t.Fatal(err)
	}
	if got, err := io.ReadAll(res.Body); err != nil || strings.Contains(string(got), "event:") {
		t.Errorf("it goes on: %v, %q", err, got)
	}
}

// TestAttack_AChildGetsPastThePIN: from its own sitting, without any, and with a made-up
// one, a child reaches no adult's place but by the PIN, whose guesses have to wait.
func TestAttack_AChildGetsPastThePIN(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	v := visit(t, f.URL)
	f.sit(t, v, f.ben, "", "")
	for _, fields := range []url.Values{
		{"person": {f.ada.ID}},
		{"person": {f.ada.ID}, "pin": {""}},
		{"person": {f.ada.Name}, "pin": {"0000"}},
		{"person": {f.guest.ID}},
		{"person": {f.guest.ID}, "by": {f.ben.ID}},
		{"person": {f.guest.ID}, "pin": {"1112"}, "by": {f.ada.ID}},
	} {
		if status, body := v.send("/who", "/who", fields); status != http.StatusForbidden || !strings.Contains(body, "That is not the PIN.") {
			t.Errorf("%v: %d %s", fields, status, pageText([]byte(body)))
		}
	}
	for name, edit := range map[string]func(*http.Request){
		"no cookie":       func(*http.Request) {},
		"a made-up one":   func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "lares_person", Value: strings.Repeat("0", 64)}) },
		"the person's ID": func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "lares_person", Value: f.ada.ID}) },
	} {
		if res, body := get(t, "GET", f.URL+"/api/v1/devices", nil, edit); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, body := get(t, "POST", f.URL+"/api/v1/people", map[string]string{"name": "Me", "kind": "adult", "pin": "0000"}, func(r *http.Request) {
		for _, c := range v.Jar.Cookies(r.URL) {
			r.AddCookie(c)
		}
	}); res.StatusCode != http.StatusForbidden || code(t, body) != "adults" || len(f.h.People()) != 3 {
		t.Errorf("a child makes itself an adult: %d %s", res.StatusCode, body)
	}
	said := ""
	for range 3 {
		_, said = v.send("/who", "/who", url.Values{"person": {f.ada.ID}, "pin": {"9999"}})
	}
	if !strings.Contains(said, "There were too many wrong PINs. Try again in 60 seconds.") {
		t.Errorf("guesses: %s", pageText([]byte(said)))
	}
	if _, said = v.send("/who", "/who", url.Values{"person": {f.ada.ID}, "pin": {"1111"}}); !strings.Contains(said, "too many wrong PINs") {
		t.Errorf("the right PIN at once: %s", pageText([]byte(said)))
	}
	f.now = f.now.Add(time.Minute)
	f.sit(t, v, f.ada, "1111", "")
	if status, _ := v.open("/people"); status != http.StatusOK {
		t.Errorf("Ada among the people: %d", status)
	}
}

// The API of people, as the owner's programs use it, and what it says of mistakes.
func TestPeople_5_API(t *testing.T) {
	f := newFamily(t)
	ask := func(method, path string, body any) (int, string) {
		t.Helper()
		res, data := get(t, method, f.URL+"/api/v1/"+path, body, func(r *http.Request) { r.Header.Set(httpd.OwnerHeader, ownerSecret) })
		return res.StatusCode, string(data)
	}
	type m = map[string]any
	for _, tc := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"POST", "people", m{"name": "Ben", "kind": "child"}, 422, "no_adult"},
		{"POST", "people", m{"name": "Ada", "kind": "adult"}, 422, "person_pin"},
		{"POST", "people", m{"name": "Ada", "kind": "adult", "pin": "1111"}, 201, `"pin":true`},
		{"POST", "people", m{"name": "ada", "kind": "adult", "pin": "1111"}, 422, "person_name"},
		{"POST", "people", m{"name": "Ben", "kind": "child", "age": 9, "hours": "7-8"}, 400, "malformed"},
		{"POST", "people", m{"name": "Ben", "kind": "child", "age": 9, "hours": "07:00-19:30"}, 201, `"hours":"07:00-19:30","pin":false`},
		{"PATCH", "people/Ben", m{"age": 10}, 200, `"age":10,"hours":"07:00-19:30"`},
		{"PATCH", "people/Ben", m{"age": 40}, 422, "person_kind"},
		{"PATCH", "people/Cid", m{"age": 10}, 404, "not_found"},
		{"GET", "people", nil, 200, `"name":"Ben","kind":"child","age":10`},
		{"PUT", "library/" + filmPath + "/rated", m{"years": 6}, 204, ""},
		{"GET", "library/" + filmPath, nil, 200, `"rated":6`},
		{"PUT", "library/" + filmPath + "/rated", m{}, 204, ""},
		{"GET", "library/" + filmPath, nil, 200, `"rated":16`},
		{"PUT", "library/nothing/rated", m{"years": 6}, 404, "not_found"},
		{"PUT", "devices/" + strings.Repeat("0", 32) + "/person", m{"person": "Ben"}, 404, "not_found"},
		{"PUT", "devices/" + strings.Repeat("0", 32) + "/person", m{"person": "Ada"}, 422, "person_kind"},
		{"DELETE", "people/Ada", nil, 422, "no_adult"},
		{"DELETE", "people/Ben", nil, 204, ""},
		{"DELETE", "people/Ben", nil, 404, "not_found"},
	} {
		status, body := ask(tc.method, tc.path, tc.body)
		if status != tc.status || !strings.Contains(body, tc.want) || strings.Contains(body, "argon2") {
			t.Errorf("%s %s %v: %d %s, want %d with %s", tc.method, tc.path, tc.body, status, body, tc.status, tc.want)
		}
	}
}

// Forms of the page of people, and whose a browser is.
func TestPeople_1_Forms(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	v := visit(t, f.URL)
	f.sit(t, v, f.ada, "1111", "")
	_, body := v.open("/people")
	if m := regexp.MustCompile(`<input name="from" value="([^"]*)"`).FindStringSubmatch(body); m == nil || m[1] != "07:00" || !strings.Contains(body, "child, 9 years old, from 07:00 to 19:30") {
		t.Errorf("Ben's hours: %v", m)
	}
	set := "/people/" + f.ben.ID + "/set"
	for _, tc := range []struct {
		action string
		fields url.Values
		status int
		want   string
	}{
		{set, url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"10"}, "from": {"07:00"}, "until": {"00:00"}}, 200, "child, 10 years old, from 07:00 to 00:00"},
		{set, url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"10"}, "from": {"07:00"}}, 422, "hours are written as"},
		{set, url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"x"}}, 422, "Something is missing."},
		{set, url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"10"}, "pin": {"5555"}}, 200, "It is noted."},
		{set, url.Values{"name": {"Ada"}, "kind": {"child"}, "age": {"10"}}, 422, "A name of their own"},
		{set, url.Values{"name": {"Ben"}, "kind": {"child"}, "age": {"10"}, "nopin": {"1"}}, 200, "It is noted."},
		{"/people/" + f.ada.ID + "/remove", url.Values{}, 422, "An adult of the house has to stay"},
		{"/people/" + f.guest.ID + "/remove", url.Values{}, 200, "They are not of the house’s people any more."},
		{"/browsers/nothing/person", url.Values{"person": {f.ben.ID}}, 404, "There is nothing here"},
	} {
		if status, body := v.send("/people", tc.action, tc.fields); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s %v: %d %s", tc.action, tc.fields, status, pageText([]byte(body)))
		}
	}
	if p := f.h.People()[1]; p.Age != 10 || p.PIN != "" || p.Hours != (home.Hours{}) {
		t.Errorf("Ben is %+v", p)
	}
}

// TestPeople_WhoInABrowser: axe-core finds nothing where the house asks who is watching.
// The page of people is among those of TestPages_InBothBrowsers.
func TestPeople_WhoInABrowser(t *testing.T) {
	needs.Long(t)
	f := newFamily(t)
	f.moveIn(t)
	got := browsertest.Pages{Browser: "chromium", URL: f.URL, Places: []string{"/who"}, Axe: true}.Run(t)
	if len(got.Violations) > 0 || len(got.Wide) > 0 || len(got.Console) > 0 || got.Checked != 2 {
		t.Errorf("axe-core, %d times: %s\nwide: %q\nconsole: %q", got.Checked, strings.Join(got.Violations, "\n"), got.Wide, got.Console)
	}
}

// A device learns whose it is, without a name, and has an adult's PIN read; nobody else
// asks about it.
func TestPeople_6_ADeviceLearnsWhoseItIs(t *testing.T) {
	module := hometest.New(t, nil)
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: module, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	say := func(name string, kind home.PersonKind, age uint8, pin string) {
		t.Helper()
		if _, err := h.AddPerson(home.PersonChange{Name: &name, Kind: &kind, Age: &age, PIN: &pin}); err != nil {
			t.Fatal(err)
		}
	}
	say("Ada", home.Adult, 0, "1111")
	say("Ben", home.Child, 9, "")
	say("Eve", home.Guest, 0, "")
	from := "192.168.1.20"
	srv := network(t, h, func() string { return from })
	leaf, key := hometest.Keyed(t, "Tablet")
	tablet := admitted(t, h, "Tablet", []byte("delivery"), leaf)
	client := &lrphttp.Client{URL: srv.URL, Who: hometest.Who(leaf, key, tablet, module.State.Device), Now: h.Now}
	link, err := client.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := srv.URL + home.PathPeople + "/" + tablet.String()
	for _, tc := range []struct{ person, want string }{{"", `{"person":null}`}, {"Ben", `{"person":{"age":9}}`}, {"Eve", `{"person":{"age":120}}`}, {"", `{"person":null}`}} {
		if err := h.BindDevice(tablet, tc.person); err != nil {
			t.Fatal(err)
		}
		if res, body := get(t, "GET", at, nil, on(link)); res.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != tc.want {
			t.Errorf("%q's: %d %s, want %s", tc.person, res.StatusCode, body, tc.want)
		}
	}
	if err := h.BindDevice(tablet, "Ben"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		from, by, pin string
		edit          func(*http.Request)
		status        int
		code          string
	}{
		{"192.168.1.20", "Ada", "1111", on(link), 403, "not_local"}, // all the network could read it
		{"192.168.1.20", "Ada", "0000", on(link), 403, "not_local"}, // nor is it said whether it is one
		{"127.0.0.1", "Ada", "1111", func(r *http.Request) { on(link)(r); r.Header.Set("Lares-Hops", "1") }, 403, "not_local"},
		{"127.0.0.1", "Ada", "0000", on(link), 403, "wrong_pin"},
		{"127.0.0.1", "Ben", "1111", on(link), 403, "wrong_pin"},
		{"127.0.0.1", "Ada", "1111", on(link), 204, ""},
	} {
		from = tc.from
		if res, body := get(t, "POST", at+"/once", httpd.OnceRequest{By: tc.by, PIN: tc.pin}, tc.edit); res.StatusCode != tc.status || tc.code != "" && code(t, body) != tc.code {
			t.Errorf("%s from %s lets it: %d %s, want %d %s", tc.by, from, res.StatusCode, body, tc.status, tc.code)
		}
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: &lrphttp.Server{Frames: h.FrameBy, Wait: h.Wait}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "https://lares.home.arpa"+home.PathPeople+"/"+tablet.String()+"/once", strings.NewReader(`{"by":"Ada","pin":"1111"}`)) // with TLS
	r.RemoteAddr = "192.168.1.20:40000"
	r.Header.Set("Content-Type", "application/json")
	on(link)(r)
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		t.Errorf("from another machine by TLS: %d %s", w.Code, w.Body)
	}
	from = "127.0.0.1"
	for n := range 6 { // a device is no known place: the words say where Ada does not wait
		want := map[bool]string{true: "pin_later", false: "wrong_pin"}[n == 5]
		res, body := get(t, "POST", at+"/once", httpd.OnceRequest{By: "Ada", PIN: "0000"}, on(link))
		if code(t, body) != want || strings.Contains(string(body), "the house’s own machine, do not wait") != (n == 5) {
			t.Errorf("guess %d: %d %s, want %s", n, res.StatusCode, body, want)
		}
	}
	if err := h.BindDevice(tablet, ""); err != nil {
		t.Fatal(err)
	}
	for _, pin := range []string{"0000", "1111"} {
		if res, body := get(t, "POST", at+"/once", httpd.OnceRequest{By: "Ada", PIN: pin}, on(link)); res.StatusCode != http.StatusNotFound {
			t.Errorf("everybody's: %d %s", res.StatusCode, body)
		}
	}
	other := srv.URL + home.PathPeople + "/" + ident.Device{9}.String()
	for _, ask := range []func() (*http.Response, []byte){
		func() (*http.Response, []byte) { return get(t, "GET", at, nil) },
		func() (*http.Response, []byte) { return get(t, "GET", other, nil, on(link)) },
		func() (*http.Response, []byte) {
			return get(t, "POST", other+"/once", httpd.OnceRequest{By: "Ada", PIN: "1111"}, on(link))
		},
	} {
		if res, body := ask(); res.StatusCode != http.StatusForbidden || code(t, body) != "unproven" {
			t.Errorf("somebody else: %d %s", res.StatusCode, body)
		}
	}
	if err := h.BindDevice(tablet, "Ben"); err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveDevice(t.Context(), tablet); err != nil {
		t.Fatal(err)
	}
	if res, body := get(t, "GET", at, nil, on(link)); res.StatusCode != http.StatusForbidden {
		t.Errorf("put out, it is told that it is everybody's: %d %s", res.StatusCode, body)
	}
	if res, body := get(t, "POST", at+"/once", httpd.OnceRequest{By: "Ada", PIN: "1111"}, on(link)); res.StatusCode != http.StatusForbidden || code(t, body) != "unproven" {
		t.Errorf("put out, it guesses: %d %s", res.StatusCode, body)
	}
}

// A device is for adults again when the child whose it was has grown up, or is gone.
func TestPeople_6_WhoseDeviceWasAChilds(t *testing.T) {
	module := hometest.New(t, nil)
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: module, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	person := func(name string, kind home.PersonKind, pin string) {
		t.Helper()
		if _, err := h.AddPerson(home.PersonChange{Name: &name, Kind: &kind, PIN: &pin}); err != nil {
			t.Fatal(err)
		}
	}
	person("Ada", home.Adult, "1111")
	person("Ben", home.Child, "2222")
	srv := network(t, h, func() string { return "192.168.1.20" })
	if _, err := h.Watch(t.Context(), hometest.OwnFilm(t, "Holidays.mp4")); err != nil || len(h.Films()) != 1 {
		t.Fatal(err, h.Films())
	}
	leaf, key := hometest.Keyed(t, "Tablet")
	tablet := admitted(t, h, "Tablet", []byte("delivery"), leaf)
	client := &lrphttp.Client{URL: srv.URL, Who: hometest.Who(leaf, key, tablet, module.State.Device), Now: h.Now}
	link, err := client.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	grown, child := home.Adult, home.Child
	for _, tc := range []struct {
		name string
		do   func() error
		want int
	}{
		{"Ben's", func() error { return h.BindDevice(tablet, "Ben") }, 403},
		{"Ben has grown up", func() error { _, err := h.SetPerson("Ben", home.PersonChange{Kind: &grown}); return err }, 200},
		{"he has not", func() error { _, err := h.SetPerson("Ben", home.PersonChange{Kind: &child}); return err }, 403},
		{"Ben is gone", func() error { return h.RemovePerson("Ben") }, 200},
	} {
		if err := tc.do(); err != nil {
			t.Fatal(tc.name, err)
		}
		res, body := get(t, "GET", srv.URL+home.PathFilms+"/"+h.Films()[0].ID.String(), nil, on(link))
		if _, list := get(t, "GET", srv.URL+home.PathFilms, nil, on(link)); res.StatusCode != tc.want || bytes.Contains(list, []byte("Holidays")) != (tc.want == 200) {
			t.Errorf("%s: an own film is %d %.80s, among %s; want %d", tc.name, res.StatusCode, body, list, tc.want)
		}
	}
}

// An own film that nobody rated is for adults and the owner's programs, and nobody else
// has its name. Rated by an adult it is a child's, too, in their hours.
func TestPeople_1_OwnFilmsAreForAdultsUnlessRated(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	noon := time.Now()
	noon = time.Date(noon.Year(), noon.Month(), noon.Day(), 12, 0, 0, 0, time.Local)
	f.now = noon.AddDate(0, 0, 1)
	if _, err := f.h.Watch(t.Context(), hometest.OwnFilm(t, "Holidays.mp4")); err != nil || len(f.h.Films()) != 1 {
		t.Fatal(err, f.h.Films())
	}
	child, adult, nobody := visit(t, f.URL), visit(t, f.URL), visit(t, f.URL)
	id := f.h.Films()[0].ID.String()
	film, file := "/film/"+id, home.PathFilms+"/"+id
	lists := []string{"/", "/api/v1/library", home.PathFilms}
	see := func(when, who string, v *visitor, listed, shown bool, words string) {
		t.Helper()
		for _, place := range lists {
			if status, body := v.open(place); strings.Contains(body, "Holidays") != listed {
				t.Errorf("%s, %s: %s: %d, want listed %v", when, who, place, status, listed)
			}
		}
		for _, place := range []string{film, file} {
			status, body := v.open(place)
			if got := strings.Contains(body, "Holidays") || strings.Contains(body, "ftyp"); got != shown || !shown && !strings.Contains(body, words) {
				t.Errorf("%s, %s: %s: %d %s, want shown %v", when, who, place, status, pageText([]byte(body)), shown)
			}
		}
	}
	sit := func() {
		t.Helper()
		f.sit(t, child, f.ben, "", "")
		f.sit(t, adult, f.ada, "1111", "")
	}
	sit()
	see("unrated", "Ada", adult, true, true, "")
	see("unrated", "Ben", child, false, false, "adults of the house")
	see("unrated", "nobody", nobody, false, false, "is watching")
	if _, body := adult.open(film); !strings.Contains(body, "so it is for the adults of the house") {
		t.Errorf("its page says nothing of its rating: %s", pageText([]byte(body)))
	}
	if _, body := child.send("/who", film+"/rate", url.Values{"years": {"6"}}); !strings.Contains(body, "adults of the house") || len(f.h.Ratings()) != 0 {
		t.Errorf("a child rates it: %s", pageText([]byte(body)))
	}
	for _, tc := range []struct {
		years  string
		listed bool
	}{{"12", false}, {"9", true}, {"", false}, {"0", true}} {
		if _, body := adult.send(film, film+"/rate", url.Values{"years": {tc.years}}); !strings.Contains(body, "It is noted from which age it is.") {
			t.Errorf("an adult rates it: %s", pageText([]byte(body)))
		}
		words := "adults of the house"
		if tc.years == "12" {
			words = "It is for people from 12, and you are 9."
		}
		see("rated "+tc.years, "Ben", child, tc.listed, tc.listed, words)
	}
	if _, body := child.open(film); strings.Contains(body, f.h.Films()[0].Path) || strings.Contains(body, film+"/rate") {
		t.Error("a child's page has the file's path, or a form to rate it")
	}
	f.now = f.now.Add(9 * time.Hour) // 21:00
	sit()
	see("at night", "Ben", child, true, false, "It is not your time for films until")
	see("at night", "Ada", adult, true, true, "")
	if res, _ := get(t, "GET", f.URL+file, nil, func(r *http.Request) { r.Header.Set(httpd.OwnerHeader, ownerSecret) }); res.StatusCode != http.StatusOK {
		t.Errorf("a program of the owner: %d", res.StatusCode)
	}
	for _, tc := range []struct {
		of   string
		in   string
		want int
	}{{id, `{"years": 7}`, 204}, {id, `{}`, 204}, {home.OwnPrefix + strings.Repeat("0", 32), `{"years": 7}`, 404}, {id, `{"years": 121}`, 422}} {
		res, body := get(t, "PUT", f.URL+"/api/v1/library/"+tc.of+"/rated", json.RawMessage(tc.in), func(r *http.Request) { r.Header.Set(httpd.OwnerHeader, ownerSecret) })
		if res.StatusCode != tc.want {
			t.Errorf("%s rated %s: %d %s", tc.of, tc.in, res.StatusCode, body)
		}
	}
}
