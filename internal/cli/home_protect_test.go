package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestCLI_HomeProtect: by its name or ID, once; taken back by the same name; and what
// cannot be, each with its exit status and what helps.
func TestCLI_HomeProtect(t *testing.T) {
	dir, module := t.TempDir(), hometest.New(t, nil)
	h, err := home.New(home.Config{Dir: filepath.Join(dir, "state"), Module: module, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	defer srv.Close()
	films := hometest.OwnFilm(t, "Holidays.mp4")
	odd, old := filepath.Join(films, "Odd.mp4"), time.Now().Add(-time.Hour)
	data, err := os.ReadFile(filepath.Join(films, "Holidays.mp4"))
	err = errors.Join(err, writeURL(dir, srv.URL), os.WriteFile(odd, []byte(strings.ReplaceAll(string(data), "avc1", "mp4v")), 0o600), os.Chtimes(odd, old, old))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := h.Watch(t.Context(), films); err != nil || found.Films != 2 {
		t.Fatal(found, err)
	}
	id := h.Films()[0].ID.String()
	out, stderr, code := run(t, "home", "protect", "holidays", "--dir", dir)
	if code != statusDone || !strings.Contains(out, "Holidays is protected: "+id) || !strings.Contains(out, "stays where it is, unprotected") || !strings.Contains(out, filepath.Join(films, "Holidays.mp4")) {
		t.Fatalf("status %d: %s %s", code, out, stderr)
	}
	peopleRead(t, "home protect", out)
	for _, tc := range []struct {
		code int
		args []string
		want string
	}{
		{statusError, []string{id}, "It is protected already."},
		{statusError, []string{"Odd"}, `codec "mp4v" of the video track. Convert it, and protect what comes of it: ffmpeg`},
		{statusError, []string{"Nothing"}, "no film of your own"},
		{statusError, []string{"Odd", "--undo"}, "has not protected this"},
		{statusUsage, []string{}, "accepts 1 arg"},
	} {
		_, stderr, code := run(t, append([]string{"home", "protect", "--dir", dir}, tc.args...)...)
		if code != tc.code || !strings.Contains(stderr, tc.want) {
			t.Errorf("%q: status %d: %s", tc.args, code, stderr)
		}
		peopleRead(t, "home protect", stderr)
	}
	module.Lock()
	module.Held[0].Phase = license.Lent.String()
	module.Unlock()
	if _, stderr, code := run(t, "home", "protect", "Holidays", "--undo", "--dir", dir); code != statusRefused || !strings.Contains(stderr, "It is lent.") {
		t.Errorf("taken back while it is lent: status %d: %s", code, stderr)
	}
	module.Lock()
	module.Held[0].Phase = license.Held.String()
	module.Unlock()
	var back map[string]string
	out, stderr, code = run(t, "home", "protect", "Holidays", "--undo", "--json", "--dir", dir)
	if err := json.Unmarshal([]byte(out), &back); err != nil || code != statusDone || back["content"] != id {
		t.Errorf("taken back: status %d: %s %s", code, out, stderr)
	}
}
