package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// servedHouse serves a house with a stand-in for its module and returns the
// folder in which the commands find it.
func servedHouse(t *testing.T) (dir, film string, h *home.Home) {
	t.Helper()
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	dir = t.TempDir()
	h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, keys), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	if err := writeURL(dir, srv.URL); err != nil {
		t.Fatal(err)
	}
	return dir, folder, h
}

func runHome(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now}
	code = Main(t.Context(), append([]string{"home", "--dir", dir}, args...), env)
	return code, out.String(), errs.String()
}

func TestHomeCommands_SpeakWithTheRunningServer(t *testing.T) {
	dir, film, h := servedHouse(t)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"add", film}, statusDone, "In the library: Lares demo film (urn:lares:film:demo)"},
		{[]string{"add", t.TempDir()}, statusDone, "nothing in it yet: what you put there appears by itself"},
		{[]string{"add", t.TempDir() + "/none"}, statusError, "This is no folder of films"},
		{[]string{"show"}, statusDone, "Titles         1"},
		{[]string{"show", "--issuer", "shop.example", "--json"}, statusDone, `"pairwise": "73686f702e6578616d706c6500000000"`},
		{[]string{"sessions"}, statusDone, "Nothing is playing."},
		{[]string{"stop", "nothing"}, statusError, "no such thing"},
		{[]string{"pair"}, statusDone, "No device is asking."},
		{[]string{"pair", "0000-0000"}, statusRefused, "No waiting device shows this code."},
		{[]string{"learn"}, statusLater, "The authority cannot be reached now."},
		{[]string{"fetch"}, statusUsage, "accepts 1 arg"},
	} {
		code, out, errs := runHome(t, dir, tc.args...)
		if code != tc.code || !strings.Contains(out+errs, tc.want) {
			t.Errorf("home %v: status %d, %q %q, want %d and %q", tc.args, code, out, errs, tc.code, tc.want)
		}
	}
	p, err := h.Play(t.Context(), home.PlayRequest{Content: ident.Content("urn:lares:film:demo")})
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := runHome(t, dir, "sessions", "--json"); code != statusDone || !strings.Contains(out, p.ID) {
		t.Errorf("sessions --json: %d %s", code, out)
	}
	if code, out, _ := runHome(t, dir, "stop", p.ID); code != statusDone || out != "Stopped.\n" || len(h.Sessions()) != 0 {
		t.Errorf("stop: %d %q, %d sessions left", code, out, len(h.Sessions()))
	}
}

func TestHomeCommands_SayThatTheServerDoesNotRun(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := runHome(t, dir, "sessions"); code != statusError || !strings.Contains(errs, "lares home serve --dir "+dir) {
		t.Errorf("without a server: %d %q", code, errs)
	}
	if err := os.WriteFile(filepath.Join(dir, urlFile), []byte("http://127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runHome(t, dir, "sessions"); code != statusLater || !strings.Contains(errs, "does not answer") {
		t.Errorf("with a server that is gone: %d %q", code, errs)
	}
}
