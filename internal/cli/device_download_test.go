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
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestDownload_GoesOnAndSkips: a download that is cut off goes on where it
// stopped, what is here is known by its hash, and damage is fetched again.
func TestDownload_GoesOnAndSkips(t *testing.T) {
	packed, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	segment := m.Tracks[0].Segments[0]
	cut, ranges := true, []string{}
	files := http.StripPrefix("/content/"+m.Content.String()+"/", http.FileServer(http.Dir(packed)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, segment.Name) {
			files.ServeHTTP(w, r)
			return
		}
		if ranges = append(ranges, r.Header.Get("Range")); !cut {
			files.ServeHTTP(w, r)
			return
		}
		cut = false
		data, err := os.ReadFile(filepath.Join(packed, filepath.FromSlash(segment.Name)))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(data[:len(data)/2])
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	env := &Env{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Now: time.Now}
	d := &device{dir: t.TempDir(), now: time.Now, cfg: deviceConfig{Home: srv.URL}}
	if _, err := d.download(t.Context(), env, m.Content, ""); err == nil {
		t.Fatal("a download that was cut off ended well")
	}
	if src, err := d.playFiles(m.Content, ""); err != nil || src.dir != "" {
		t.Errorf("half a download is played from: %+v, %v", src, err)
	}
	half := segment.Bytes / 2
	got, err := d.download(t.Context(), env, m.Content, "")
	if err != nil || got.Here < half || got.Here+got.Fetched != got.Bytes || got.Files != len(listed(m)) {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(ranges) != 2 || ranges[1] == "" {
		t.Errorf("asked for %q", ranges)
	}
	if src, err := d.playFiles(m.Content, ""); err != nil || src.dir == "" {
		t.Errorf("the download is not played from: %+v, %v", src, err)
	}
	if got, err = d.download(t.Context(), env, m.Content, ""); err != nil || got.Fetched != 0 || got.Here != got.Bytes {
		t.Errorf("again: %+v, %v", got, err)
	}
	bad := filepath.Join(d.contentDir(m.Content), filepath.FromSlash(segment.Name))
	for _, name := range []string{bad, bad + ".part"} { // damaged, and an odd rest of another file
		if err := os.WriteFile(name, bytes.Repeat([]byte{1}, int(segment.Bytes)-1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = d.download(t.Context(), env, m.Content, ""); err != nil || got.Fetched != segment.Bytes {
		t.Errorf("after damage: %+v, %v", got, err)
	}
}
