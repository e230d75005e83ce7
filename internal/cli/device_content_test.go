package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/needs"
)

// A device asks its house where a title's files are (CONTENT): it takes them from a
// mirror that has what the house has, passes over one that lies, and is served by the
// house itself when the mirrors are away.
func TestContent_DownloadsWhereTheHouseSays(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	var lies, served atomic.Int32
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lies.Add(1)
		data, err := os.ReadFile(filepath.Join(d.packed(bought), filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(strings.Replace(string(data), `"title"`, ` "title"`, 1)))
	}))
	defer liar.Close()
	files := http.StripPrefix("/films/", http.FileServer(http.Dir(d.path("packed"))))
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		files.ServeHTTP(w, r)
	}))
	defer mirror.Close()
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.serve("home", "home", "serve", "--dir", d.path("home"), "--listen", strings.TrimPrefix(d.homeURL, "http://"), "--ca", d.caURL,
		"--mirror", liar.URL, "--mirror", mirror.URL+"/films/"); err != nil {
		t.Fatal(err)
	}
	download := func(name string) {
		t.Helper()
		if _, err := d.must(ctx, "device", "download", string(bought), "--dir", d.path(name)); err != nil {
			t.Fatal(err)
		}
		if files, err := filepath.Glob(d.path(name, "content", "*", content.ManifestName)); err != nil || len(files) != 1 {
			t.Errorf("%s has %v, %v", name, files, err)
		}
	}
	download("tablet")
	if lies.Load() != 1 || served.Load() < 10 {
		t.Errorf("the liar was asked %d times, the mirror %d; want once, and for each file", lies.Load(), served.Load())
	}
	mirror.Close()
	liar.Close()
	download("phone")
	for _, bad := range []string{"ftp://x", "nas", "http://" + strings.Repeat("x", 600)} {
		if _, _, code := run(t, "home", "serve", "--dir", d.path("home"), "--mirror", bad); code != statusUsage {
			t.Errorf("--mirror %.20q: status %d", bad, code)
		}
	}
}
