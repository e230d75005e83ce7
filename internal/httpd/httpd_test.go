package httpd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/clearkey"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

const filmPath = "urn:lares:film:demo"

// get asks the house; body is JSON, or nil.
func get(t *testing.T, method, address string, body any, edit ...func(*http.Request)) (*http.Response, []byte) {
	t.Helper()
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, e := range edit {
		e(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, data
}

func code(t *testing.T, data []byte) string {
	t.Helper()
	var p httpd.Problem
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatalf("not a problem document: %s", data)
	}
	return p.Code
}

func TestHTTP_OwnersSideIsForThisMachineOnly(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "192.168.1.5:7710", ""} {
		res, data := get(t, "GET", srv.URL+"/api/v1/library", nil, func(r *http.Request) { r.Host = host })
		if host != "" && (res.StatusCode != http.StatusForbidden || code(t, data) != "unknown_host") {
			t.Errorf("Host %q: %d %s, want 403 unknown_host", host, res.StatusCode, data)
		}
	}
	for _, host := range []string{"localhost:1", "house.localhost", "[::1]:7710", "127.1.2.3"} {
		if res, _ := get(t, "GET", srv.URL+"/api/v1/library", nil, func(r *http.Request) { r.Host = host }); res.StatusCode != http.StatusOK {
			t.Errorf("Host %q: %d, want 200", host, res.StatusCode)
		}
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/api/v1/library", "/devices", "/play/x/manifest.mpd", "/static/app.js"} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil) // from 192.0.2.1
		r.Host = "localhost"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_local") {
			t.Errorf("%s from another machine: %d, want 403 not_local", path, w.Code)
		}
	}
}

func TestHTTP_ForeignPagesCannotAct(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	for _, header := range []http.Header{{"Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": {"cross-site"}}} {
		res, data := get(t, "POST", srv.URL+"/api/v1/sessions", httpd.PlayBody{Content: filmPath}, func(r *http.Request) {
			maps.Copy(r.Header, header)
		})
		if res.StatusCode != http.StatusForbidden || code(t, data) != "cross_origin" {
			t.Errorf("%v: %d %s, want 403 cross_origin", header, res.StatusCode, data)
		}
	}
	if s := h.Sessions(); len(s) != 0 {
		t.Errorf("%d sessions began", len(s))
	}
	res, data := get(t, "POST", srv.URL+"/api/v1/sessions", nil, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	if res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form of another page: %d %s", res.StatusCode, data)
	}
}

func TestHTTP_EveryAnswerHasTheSecurityHeaders(t *testing.T) {
	srv, _, _ := house(t, cenc.SchemeCENC)
	for _, path := range []string{"/", "/devices", "/api/v1/library", "/nothing", "/static/app.js", "/healthz"} {
		res, body := get(t, "GET", srv.URL+path, nil)
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
		if regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|style="|javascript:`).Match(body) && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s has inline code or styles", path)
		}
	}
}

// pair asks to join from a device's side and returns without an answer.
func pair(t *testing.T, house, name string) (result chan error, shown string) {
	t.Helper()
	codes, done := joinAs(t, house, name)
	select {
	case shown = <-codes:
	case err := <-done:
		t.Fatal(err)
	}
	return done, shown
}

// joinAs is pair without waiting for the code.
func joinAs(t *testing.T, house, name string) (codes chan string, done chan error) {
	codes, done = make(chan string, 1), make(chan error, 1)
	leaf := hometest.Certificate(t, name)
	go func() {
		_, err := home.Join(t.Context(), home.Joining{
			URL: house, Chain: [][]byte{leaf}, Delivery: leaf, Name: name, Poll: 10 * time.Millisecond,
			Show: func(code string, _ time.Time) { codes <- code },
		})
		done <- err
	}()
	return codes, done
}

func TestHTTP_PairingOverTheWire(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	done, shown := pair(t, srv.URL, "Tablet <b>")
	var list struct{ Pairings []httpd.PairingView }
	_, data := get(t, "GET", srv.URL+"/api/v1/pairings", nil)
	if err := json.Unmarshal(data, &list); err != nil || len(list.Pairings) != 1 || list.Pairings[0].Code != shown {
		t.Fatalf("pairings %s, want the code %s that the device shows", data, shown)
	}
	if _, body := get(t, "GET", srv.URL+"/devices", nil); !bytes.Contains(body, []byte("Tablet &lt;b&gt;")) || !bytes.Contains(body, []byte(shown)) {
		t.Error("the page does not show the device, escaped, with its code")
	}
	res, data := get(t, "POST", srv.URL+"/api/v1/pairings/"+list.Pairings[0].ID+"/approve", httpd.ApproveRequest{Code: "0000-0000"})
	if res.StatusCode != http.StatusForbidden || code(t, data) != "wrong_code" {
		t.Errorf("a wrong code: %d %s", res.StatusCode, data)
	}
	if res, data = get(t, "POST", srv.URL+"/api/v1/pairings/approve", httpd.ApproveRequest{Code: shown}); res.StatusCode != http.StatusOK {
		t.Fatalf("approve: %d %s", res.StatusCode, data)
	}
	if err := <-done; err != nil {
		t.Errorf("Join: %v", err)
	}
	if d := h.Devices(); len(d) != 1 {
		t.Fatalf("devices = %v", d)
	}
	res, _ = get(t, "DELETE", srv.URL+"/api/v1/devices/"+h.Devices()[0].ID.String(), nil)
	if res.StatusCode != http.StatusNoContent || len(h.Devices()) != 0 {
		t.Errorf("remove: %d, devices %v", res.StatusCode, h.Devices())
	}
	done, _ = pair(t, srv.URL, "Stranger")
	get(t, "DELETE", srv.URL+"/api/v1/pairings/"+h.Pending()[0].ID, nil)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Join after a no: %v", err)
	}
}

func TestHTTP_PlaybackOverTheWire(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCBCS)
	res, data := get(t, "POST", srv.URL+"/api/v1/sessions", httpd.PlayBody{Content: filmPath})
	var s httpd.SessionView
	if err := json.Unmarshal(data, &s); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("play: %d %s", res.StatusCode, data)
	}
	title, err := h.Title(filmPath)
	if err != nil {
		t.Fatal(err)
	}
	track := title.Tracks[0]
	base := srv.URL + "/play/" + s.ID
	if res, data = get(t, "GET", base+"/manifest.mpd", nil); res.Header.Get("Content-Type") != "application/dash+xml" || !bytes.Contains(data, []byte(track.KID.String())) {
		t.Errorf("manifest: %s", data)
	}
	for _, name := range []string{"init", "0", "1"} {
		if res, _ := get(t, "GET", base+"/"+track.Name+"/"+name, nil); res.StatusCode != http.StatusOK {
			t.Errorf("segment %s: %d", name, res.StatusCode)
		}
	}
	for _, name := range []string{"00", "-1", "+1", "x", "99999", "1e3"} {
		if res, _ := get(t, "GET", base+"/"+track.Name+"/"+name, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("segment %s: %d, want 404", name, res.StatusCode)
		}
	}
	ask := clearkey.Request{KIDs: []ident.Key{track.KID}}
	body, err := ask.Encode()
	if err != nil {
		t.Fatal(err)
	}
	res, data = get(t, "POST", base+"/license", json.RawMessage(body))
	if res.StatusCode != http.StatusOK || !bytes.Contains(data, []byte(base64.RawURLEncoding.EncodeToString(track.KID[:]))) {
		t.Errorf("keys: %d %s", res.StatusCode, data)
	}
	for _, key := range module.Keys {
		secret, err := key.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(base64.RawURLEncoding.EncodeToString(secret[:]))) {
			t.Error("the answer holds a content key")
		}
	}
	foreign, err := (&clearkey.Request{KIDs: []ident.Key{{1}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if res, data = get(t, "POST", base+"/license", json.RawMessage(foreign)); res.StatusCode != http.StatusNotFound || code(t, data) != "no_keys" {
		t.Errorf("a key of another film: %d %s, want 404 no_keys", res.StatusCode, data)
	}
	if res, _ = get(t, "POST", base+"/license", map[string]string{"a": strings.Repeat("x", 5000)}); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a large key request: %d, want 413", res.StatusCode)
	}
	if res, _ = get(t, "DELETE", srv.URL+"/api/v1/sessions/"+s.ID, nil); res.StatusCode != http.StatusNoContent {
		t.Errorf("stop: %d", res.StatusCode)
	}
	for _, path := range []string{"/manifest.mpd", "/" + track.Name + "/0"} {
		if res, data := get(t, "GET", base+path, nil); res.StatusCode != http.StatusGone || code(t, data) != "stopped" {
			t.Errorf("%s after the stop: %d %s, want 410", path, res.StatusCode, data)
		}
	}
	if res, data := get(t, "POST", base+"/license", json.RawMessage(body)); res.StatusCode != http.StatusGone {
		t.Errorf("keys after the stop: %d %s, want 410", res.StatusCode, data)
	}
}

func TestHTTP_RefusalHasEveryReasonInCodesAndWords(t *testing.T) {
	srv, _, module := house(t, cenc.SchemeCENC)
	module.Decide = func(trem.Ask) license.Decision {
		return license.Decision{Reasons: []license.Reason{
			{Code: license.CountExhausted, Closed: true, Remedy: license.Buy},
			{Code: license.IntervalOver, Closed: true, Remedy: license.Buy},
		}}
	}
	res, data := get(t, "POST", srv.URL+"/api/v1/sessions", httpd.PlayBody{Content: filmPath})
	var p httpd.Problem
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"All plays are used. Get it from a shop or library.",
		"The viewing time that began with the first play is over. Get it from a shop or library.",
	}
	if diff := cmp.Diff(p.Words, want); diff != "" || res.StatusCode != http.StatusForbidden || p.Code != "refused" || len(p.Decision.Reasons) != 2 {
		t.Errorf("%d %s\n%s", res.StatusCode, data, diff)
	}
	module.Decide = func(a trem.Ask) license.Decision {
		if a.Confirm {
			return license.Decision{Allow: true}
		}
		return license.Decision{Reasons: []license.Reason{{Code: license.NeedsConfirm, Closed: true}}}
	}
	if res, data = get(t, "POST", srv.URL+"/api/v1/sessions", httpd.PlayBody{Content: filmPath}); res.StatusCode != http.StatusConflict || code(t, data) != "needs_confirm" {
		t.Errorf("without a yes: %d %s, want 409 needs_confirm", res.StatusCode, data)
	}
	if res, data = get(t, "POST", srv.URL+"/api/v1/sessions", httpd.PlayBody{Content: filmPath, Confirm: true}); res.StatusCode != http.StatusCreated {
		t.Errorf("with a yes: %d %s", res.StatusCode, data)
	}
}

func TestHTTP_EventsTellAnEndAtOnceAndAfterwards(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	p, err := h.Play(t.Context(), home.PlayRequest{Content: filmPath})
	if err != nil {
		t.Fatal(err)
	}
	for _, late := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/api/v1/events?session="+p.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // read only
		if !late {
			if err := h.Stop(t.Context(), p.ID, home.StopOwner); err != nil {
				t.Fatal(err)
			}
		}
		var got strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(got.String(), "event: stopped") {
			n, err := res.Body.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				break
			}
		}
		if !strings.Contains(got.String(), `"session":"`+p.ID+`","reason":"owner","words":"Somebody in the house stopped this."`) {
			t.Errorf("late %v: events %q", late, got.String())
		}
	}
}

func TestHTTP_ContentFilesHaveRangesAndNothingElseIsServed(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	title, err := h.Title(filmPath)
	if err != nil {
		t.Fatal(err)
	}
	seg := title.Tracks[0].Segments[0]
	base := srv.URL + "/content/" + url.PathEscape(filmPath) + "/"
	res, data := get(t, "GET", base+seg.Name, nil, func(r *http.Request) { r.Header.Set("Range", "bytes=4-7") })
	if res.StatusCode != http.StatusPartialContent || len(data) != 4 {
		t.Errorf("range: %d, %d bytes, want 206 and 4", res.StatusCode, len(data))
	}
	_, data = get(t, "GET", base+seg.Name, nil)
	if sum := sha256.Sum256(data); sum != seg.SHA256 {
		t.Errorf("%s differs from what content.json says", seg.Name)
	}
	for _, name := range []string{"keys.lkd", "..%2f..%2fetc%2fpasswd", "nothing.m4s", ""} {
		if res, _ := get(t, "GET", base+name, nil); res.StatusCode == http.StatusOK {
			t.Errorf("%q is served", name)
		}
	}
}

func TestHTTP_LibraryIsAddedToByFolder(t *testing.T) {
	srv, _, _ := house(t, cenc.SchemeCENC)
	res, data := get(t, "POST", srv.URL+"/api/v1/library", httpd.AddRequest{Folder: filepath.Join(t.TempDir(), "nothing")})
	if res.StatusCode != http.StatusUnprocessableEntity || code(t, data) != "not_packed" {
		t.Errorf("a folder that is not there: %d %s", res.StatusCode, data)
	}
	res, data = get(t, "POST", srv.URL+"/api/v1/library", map[string]string{"folder": "/", "x": "y"})
	if res.StatusCode != http.StatusBadRequest || code(t, data) != "malformed" {
		t.Errorf("an unknown member: %d %s", res.StatusCode, data)
	}
	var lib httpd.LibraryView
	if _, data = get(t, "GET", srv.URL+"/api/v1/library", nil); json.Unmarshal(data, &lib) != nil || len(lib.Titles) != 1 {
		t.Errorf("library: %s", data)
	}
	if v := lib.Titles[0]; v.Content != filmPath || v.Poster == "" || v.Words.Length != "60 s" || fmt.Sprint(v.Tiers) != "[HD SD]" {
		t.Errorf("title: %+v", lib.Titles[0])
	}
	if res, _ := get(t, "GET", srv.URL+lib.Titles[0].Poster, nil); res.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("poster: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
}

// What is set aside for a device, and since when it was not seen, stands in the list
// and on the page; the owner's word for the place of an idle one reaches the module.
func TestHTTP_DevicesSayWhatIsSetAside(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	idle := make(chan bool, 1)
	module.OnAdmit = func(c trem.Candidate) (trem.Admission, error) {
		idle <- c.Idle
		return trem.Admission{Membership: []byte("membership"), Manager: [][]byte{module.State.Leaf}}, nil
	}
	done, shown := pair(t, srv.URL, "Tablet")
	if res, data := get(t, "POST", srv.URL+"/api/v1/pairings/approve", httpd.ApproveRequest{Code: shown, Idle: true}); res.StatusCode != http.StatusOK {
		t.Fatalf("approve: %d %s", res.StatusCode, data)
	}
	if err := <-done; err != nil || !<-idle {
		t.Errorf("join: %v; the module has not heard of the owner's word", err)
	}
	module.Roll = []trem.Member{{Device: h.Devices()[0].ID, Seen: 1_790_000_000_000, Lapsed: true, Aside: []trem.Aside{{Content: filmPath, Plays: 3}}}}
	var got struct{ Devices []home.Listed }
	_, data := get(t, "GET", srv.URL+"/api/v1/devices", nil)
	if err := json.Unmarshal(data, &got); err != nil || len(got.Devices) != 1 || !got.Devices[0].Lapsed || len(got.Devices[0].Aside) != 1 || got.Devices[0].Aside[0].Plays != 3 {
		t.Errorf("%s (%v)", data, err)
	}
	_, body := get(t, "GET", srv.URL+"/devices", nil)
	for _, want := range []string{"not seen since", "3 plays of " + h.Titles()[0].Manifest.Title + " set aside for it", "counts as used"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A browser that has a file asks whether it is still the same, and then keeps what it
// made of it.
func TestHTTP_FilesOfThePageAreSentOnce(t *testing.T) {
	srv, _, _ := house(t, cenc.SchemeCENC)
	const path = "/static/vendor/shaka/shaka-player.compiled-es2021.js"
	first, _ := get(t, "GET", srv.URL+path, nil)
	tag := first.Header.Get("ETag")
	again, body := get(t, "GET", srv.URL+path, nil, func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	if tag == "" || first.StatusCode != http.StatusOK || again.StatusCode != http.StatusNotModified || len(body) != 0 || !strings.HasPrefix(first.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("first %d %q %s, then %d with %d bytes", first.StatusCode, tag, first.Header.Get("Content-Type"), again.StatusCode, len(body))
	}
	for _, none := range []string{"/static/", "/static/vendor", "/static/nothing.js"} {
		if res, _ := get(t, "GET", srv.URL+none, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", none, res.StatusCode)
		}
	}
}
