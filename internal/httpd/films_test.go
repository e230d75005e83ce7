package httpd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// own is a house with a title, and with one of the household's own films.
func own(t *testing.T, name string) (at string, h *home.Home, f *home.Film) {
	t.Helper()
	srv, h, _ := house(t, cenc.SchemeCENC)
	if _, err := h.Watch(t.Context(), hometest.OwnFilm(t, name)); err != nil {
		t.Fatal(err)
	}
	if list := h.Films(); len(list) == 1 {
		f = list[0]
	} else {
		t.Fatalf("own films: %v", list)
	}
	return srv.URL, h, f
}

// TestHTTP_OwnFilmsStandBesideTitles: on one page, by name, found by the same words, and
// said to be the household's own.
func TestHTTP_OwnFilmsStandBesideTitles(t *testing.T) {
	at, _, f := own(t, "A <birthday>.mp4")
	_, page := get(t, "GET", at+"/", nil)
	first, second := bytes.Index(page, []byte("A &lt;birthday&gt;")), bytes.Index(page, []byte(film.Title))
	if first < 0 || second < first || !bytes.Contains(page, []byte(`<li class="kind">Your own film</li>`)) || !bytes.Contains(page, []byte(`href="/film/`+string(f.ID)+`"`)) {
		t.Errorf("the library: own film at %d, title at %d", first, second)
	}
	for words, want := range map[string]bool{"BIRTH": true, "lares": false} {
		if _, page := get(t, "GET", at+"/?q="+words, nil); bytes.Contains(page, []byte("birthday")) != want {
			t.Errorf("looked for %q: found %v", words, !want)
		}
	}
	res, page := get(t, "GET", at+"/film/"+string(f.ID), nil)
	if text := pageText(page); res.StatusCode != http.StatusOK || !strings.Contains(text, "as often as you like") || internalWords.MatchString(text) {
		t.Errorf("its page: %d %s", res.StatusCode, text)
	}
	for _, path := range []string{"/film/" + filmPath, "/film/nothing", home.PathFilms + "/" + filmPath, "/title/" + string(f.ID), "/content/" + string(f.ID) + "/content.json"} {
		if res, _ := get(t, "GET", at+path, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	var lib httpd.LibraryView
	_, data := get(t, "GET", at+"/api/v1/library", nil)
	if err := json.Unmarshal(data, &lib); err != nil || len(lib.Titles) != 1 || len(lib.Films) != 1 || lib.Films[0].File != home.PathFilms+"/"+string(f.ID) {
		t.Errorf("the API: %s, %v", data, err)
	}
}

// TestHTTP_OwnFilmsAreServedByRanges: as the file lies there, in pieces, and not when it
// is as the client has it.
func TestHTTP_OwnFilmsAreServedByRanges(t *testing.T) {
	at, _, f := own(t, "film.mp4")
	data, err := film.Files.ReadFile(film.SD)
	if err != nil {
		t.Fatal(err)
	}
	address := at + home.PathFilms + "/" + string(f.ID)
	for _, tc := range []struct {
		ask    string
		status int
		want   []byte
	}{{"", 200, data}, {"bytes=0-", 206, data}, {"bytes=100000-100009", 206, data[100_000:100_010]}, {"bytes=-5", 206, data[len(data)-5:]}, {"bytes=99999999-", 416, nil}} {
		res, got := get(t, "GET", address, nil, func(r *http.Request) { r.Header.Set("Range", tc.ask) })
		if res.StatusCode != tc.status || tc.want != nil && (!bytes.Equal(got, tc.want) || res.Header.Get("Content-Type") != "video/mp4") {
			t.Errorf("%q: %d, %d bytes, %s", tc.ask, res.StatusCode, len(got), res.Header.Get("Content-Type"))
		}
	}
	res, _ := get(t, "GET", address, nil)
	if res, _ := get(t, "GET", address, nil, func(r *http.Request) { r.Header.Set("If-None-Match", res.Header.Get("ETag")) }); res.StatusCode != http.StatusNotModified {
		t.Errorf("with the tag that it has: %d", res.StatusCode)
	}
	for _, mark := range []http.Header{{"Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": {"cross-site"}}} {
		for name, v := range mark {
			if res, _ := get(t, "POST", at+"/settings/folders/remove", nil, func(r *http.Request) { r.Header[name] = v }); res.StatusCode != http.StatusForbidden {
				t.Errorf("another site ends a watch: %d", res.StatusCode)
			}
		}
	}
}

// TestHTTP_FoldersAreWatched by the API and on the page of settings.
func TestHTTP_FoldersAreWatched(t *testing.T) {
	at, h, f := own(t, "film.mp4")
	root := filepath.Dir(f.Path)
	v := visit(t, at)
	if _, body := v.open("/settings"); !strings.Contains(body, root) || !strings.Contains(body, "1 film of your own") {
		t.Error("the settings do not name the folder")
	}
	empty := t.TempDir()
	var got struct{ Watched home.Found }
	res, data := get(t, "POST", at+"/api/v1/library", httpd.AddRequest{Folder: empty})
	if err := json.Unmarshal(data, &got); err != nil || res.StatusCode != http.StatusCreated || got.Watched.Folder != empty {
		t.Errorf("an empty folder: %d %s", res.StatusCode, data)
	}
	for _, bad := range []string{"", "films", filepath.Join(empty, "nothing"), f.Path} {
		if res, data := get(t, "POST", at+"/api/v1/library", httpd.AddRequest{Folder: bad}); res.StatusCode != http.StatusUnprocessableEntity || code(t, data) != "not_packed" {
			t.Errorf("%q: %d %s", bad, res.StatusCode, data)
		}
	}
	if status, body := v.send("/settings", "/settings/folders/remove", map[string][]string{"folder": {root}}); status != http.StatusOK || !strings.Contains(body, "does not look there any more") || len(h.Films()) != 0 {
		t.Errorf("taken out: %d, %d films", status, len(h.Films()))
	}
	if res, _ := get(t, "DELETE", at+"/api/v1/folders", httpd.AddRequest{Folder: empty}); res.StatusCode != http.StatusNoContent || len(h.Folders()) != 0 {
		t.Errorf("taken out by the API: %d, %v", res.StatusCode, h.Folders())
	}
	if res, data := get(t, "DELETE", at+"/api/v1/folders", httpd.AddRequest{Folder: empty}); res.StatusCode != http.StatusNotFound {
		t.Errorf("again: %d %s", res.StatusCode, data)
	}
	if _, err := os.Stat(f.Path); err != nil {
		t.Error("the film is gone")
	}
}

// TestHTTP_OwnFilmsPlayInTheBrowser: a real browser plays one from the middle, and goes
// on while the library changes.
func TestHTTP_OwnFilmsPlayInTheBrowser(t *testing.T) {
	needs.Long(t)
	at, h, f := own(t, "Holidays.mp4")
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(t.TempDir(), "plays")
	go func() { // another film comes meanwhile
		for ; t.Context().Err() == nil; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(done); err != nil {
				continue
			}
			other, old := filepath.Join(filepath.Dir(f.Path), "Other.mp4"), time.Now().Add(-time.Hour)
			if errors.Join(os.WriteFile(other, append(data, "\x00\x00\x00\x08free"...), 0o600), os.Chtimes(other, old, old)) == nil {
				h.Look(t.Context())
			}
			return
		}
	}()
	got := browsertest.Watch(t, at+"/", "Holidays", done)
	if got.Kind != "Your own film" || got.From < 29 || got.To < got.From+1 || got.Width != 640 || got.Again || len(got.Console) > 0 {
		t.Errorf("%+v", got)
	}
	if len(h.Films()) != 2 {
		t.Error("nothing happened meanwhile")
	}
}

// TestHTTP_DamagedFilmsAreNamed on the health page and by the API, with what helps.
func TestHTTP_DamagedFilmsAreNamed(t *testing.T) {
	at, h, f := own(t, "Holidays.mp4")
	v := visit(t, at)
	if status, body := v.send("/health", "/health/films", url.Values{}); status != http.StatusOK || !strings.Contains(body, "All films were looked at") || !strings.Contains(body, "0 of 2 were read whole") {
		t.Errorf("a sound library: %d", status)
	}
	if res, data := get(t, "POST", at+"/api/v1/check", home.CheckOrder{Read: true}); res.StatusCode != http.StatusOK || !bytes.Contains(data, []byte(`"read":2`)) {
		t.Errorf("read now: %d %s", res.StatusCode, data)
	}
	if _, body := v.open("/health"); !strings.Contains(body, "2 in the library, and each is as it should be") {
		t.Error("the page does not say that all is well")
	}
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	when := time.Unix(0, f.ModifiedNS)
	if err := errors.Join(os.WriteFile(f.Path, data, 0o600), os.Chtimes(f.Path, when, when)); err != nil {
		t.Fatal(err)
	}
	title, err := h.Title(filmPath)
	if err != nil {
		t.Fatal(err)
	}
	var gone []string
	for _, s := range title.Tracks[0].Segments[:4] {
		in, err := title.Open(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		gone = append(gone, s.Name)
		if err := errors.Join(in.Close(), os.Remove(in.Name())); err != nil {
			t.Fatal(err)
		}
	}
	var got home.CheckReport
	res, body := get(t, "POST", at+"/api/v1/check", home.CheckOrder{Read: true})
	if err := json.Unmarshal(body, &got); err != nil || res.StatusCode != http.StatusOK || len(got.Suspects) != 2 || len(got.Suspects[0].Faults)+len(got.Suspects[1].Faults) != 5 {
		t.Errorf("the API: %d %s", res.StatusCode, body)
	}
	_, page := v.open("/health")
	for _, want := range []string{
		"2 films are not as they should be.", "Missing or cut off: " + strings.Join(gone[:3], ", ") + " and 1 more.", "Copy the film’s folder again",
		"Damaged: " + f.Path + ".", "Put the file back from a backup.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the health page lacks %q", want)
		}
	}
	if w := internalWords.FindString(pageText([]byte(page))); w != "" {
		t.Errorf("it says %q", w)
	}
	if res, _ := get(t, "POST", at+"/api/v1/check", home.CheckOrder{Content: "urn:nothing"}); res.StatusCode != http.StatusNotFound {
		t.Errorf("a title that is not there: %d", res.StatusCode)
	}
}
