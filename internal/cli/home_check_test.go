package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestCLI_HomeCheck: sound, then damaged, which has status 5 and says what helps.
func TestCLI_HomeCheck(t *testing.T) {
	dir := t.TempDir()
	h, err := home.New(home.Config{Dir: filepath.Join(dir, "state"), Module: hometest.New(t, nil), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	defer srv.Close()
	if err := writeURL(dir, srv.URL); err != nil {
		t.Fatal(err)
	}
	folder := hometest.OwnFilm(t, "Holidays.mp4")
	if out, stderr, code := run(t, "home", "add", folder, "--dir", dir); code != statusDone || !strings.Contains(out, "Watched: "+folder+"\n  0 of shops and libraries, 1 of your own") {
		t.Errorf("add: status %d: %s %s", code, out, stderr)
	}
	if out, _, code := run(t, "home", "folders", "--dir", dir); code != statusDone || !strings.HasPrefix(out, folder) {
		t.Errorf("folders: status %d: %s", code, out)
	}
	if out, stderr, code := run(t, "home", "check", "--dir", dir); code != statusDone || !strings.Contains(out, "0 of 1 were read whole") {
		t.Errorf("not read yet: status %d: %s %s", code, out, stderr)
	}
	if out, stderr, code := run(t, "home", "check", "--read", "--dir", dir); code != statusDone || !strings.Contains(out, "1 in the library, and each is as it should be") {
		t.Errorf("sound: status %d: %s %s", code, out, stderr)
	}
	film := h.Films()[0]
	data, err := os.ReadFile(film.Path)
	if err != nil {
		t.Fatal(err)
	}
	mended := slices.Clone(data)
	data[len(data)/2] ^= 1
	when := time.Unix(0, film.ModifiedNS)
	if err := errors.Join(os.WriteFile(film.Path, data, 0o600), os.Chtimes(film.Path, when, when)); err != nil {
		t.Fatal(err)
	}
	out, _, code := run(t, "home", "check", film.ID.String(), "--read", "--dir", dir)
	if code != statusCheck || !strings.HasPrefix(out, "“Holidays” is not as it should be.\n") || !strings.Contains(out, "Damaged: "+film.Path) || !strings.Contains(out, "from a backup") {
		t.Errorf("damaged: status %d: %s", code, out)
	}
	var got home.CheckReport
	out, _, code = run(t, "home", "check", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != statusCheck || len(got.Suspects) != 1 {
		t.Errorf("what is known: status %d: %s", code, out)
	}
	sound := aboutOneFilm(t, dir, h, film.ID)
	if err := os.Rename(sound, sound+" away"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(film.Path, mended, 0o600), os.Chtimes(film.Path, when, when)); err != nil {
		t.Fatal(err) // and nothing is wrong but that
	}
	h.Look(t.Context())
	if out, _, code := run(t, "home", "check", "--read", "--dir", dir); code != statusCheck || !strings.Contains(out, sound+"\n  not there now") || strings.Contains(out, "Damaged") {
		t.Errorf("a folder is away: status %d: %s", code, out)
	}
	if _, stderr, code := run(t, "home", "folders", "--remove", sound, "--dir", dir); code != statusDone {
		t.Errorf("the folder that is away taken out: status %d: %s", code, stderr)
	}
	for _, tc := range []struct {
		code int
		args []string
	}{{statusError, []string{"home", "check", "urn:nothing"}}, {statusUsage, []string{"home", "check", ""}}, {statusError, []string{"home", "folders", "--remove", dir}}} {
		if _, stderr, code := run(t, append(tc.args, "--dir", dir)...); code != tc.code || stderr == "" {
			t.Errorf("%q: status %d: %s", tc.args, code, stderr)
		}
	}
	if out, _, code := run(t, "home", "folders", "--remove", folder, "--dir", dir); code != statusDone || !strings.Contains(out, "No folder is watched") {
		t.Errorf("taken out: status %d: %s", code, out)
	}
}

// aboutOneFilm adds a sound film beside the one that is damaged: asked about by itself,
// each is judged by itself. It returns the folder of the sound one.
func aboutOneFilm(t *testing.T, dir string, h *home.Home, damaged ident.Content) string {
	t.Helper()
	folder := hometest.OwnFilm(t, "Birthday.mp4")
	path, old := filepath.Join(folder, "Birthday.mp4"), time.Now().Add(-time.Hour)
	data, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(path, append(data, "\x00\x00\x00\x08free"...), 0o600), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err) // another film than the damaged one
	}
	if out, stderr, code := run(t, "home", "add", folder, "--dir", dir); code != statusDone {
		t.Fatalf("add: status %d: %s %s", code, out, stderr)
	}
	if len(h.Films()) != 2 {
		t.Fatalf("%d films", len(h.Films()))
	}
	for _, tc := range []struct{ flag, want string }{ // of the film that was asked about, and by name that is the first
		{"--read=false", "No file of “Birthday” is missing or cut off. Not all of it was read"}, {"--read", "“Birthday” is as it should be. All of it was read "},
	} {
		if out, _, code := run(t, "home", "check", h.Films()[0].ID.String(), tc.flag, "--dir", dir); code != statusDone || !strings.HasPrefix(out, tc.want) {
			t.Errorf("%s: status %d: %s", tc.flag, code, out)
		}
	}
	for _, f := range h.Films() {
		want, status := 0, statusDone
		if f.ID == damaged {
			want, status = 1, statusCheck
		}
		var got home.CheckReport
		out, _, code := run(t, "home", "check", f.ID.String(), "--read", "--dir", dir, "--json")
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != status || got.Films != 1 || got.Read != 1 || len(got.Suspects) != want {
			t.Errorf("%s by itself: status %d, want %d: %s", f.Title, code, status, out)
		}
	}
	return folder
}
