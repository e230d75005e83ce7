package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// TestHome_AnOwnFilmIsLentToAnotherHouse: two houses of processes with their modules. One
// protects a film of its own, which plays in its browsers; while the other has it, it
// plays there and not at home, where the reason is said; then it is back, and the
// protection is taken back.
func TestHome_AnOwnFilmIsLentToAnotherHouse(t *testing.T) {
	needs.Long(t)
	d := emptyHouse(t)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(d.makeCA(ctx))
	address := map[string]string{}
	for _, name := range []string{"home", "aunt"} {
		v, err := d.voucher(ctx, "--role", "home-server")
		ok(err)
		_, err = d.must(ctx, "home", "init", "--dir", d.path(name), "--ca", d.caURL, "--voucher", v)
		ok(err)
		address[name], err = d.serve(name, "home", "serve", "--dir", d.path(name), "--listen", d.listen, "--ca", d.caURL)
		ok(err)
	}
	source, err := film.Files.ReadFile(film.SD)
	ok(err)
	old := time.Now().Add(-time.Hour)
	file := d.path("films", "Grandmother.mp4")
	ok(os.Mkdir(d.path("films"), 0o700))
	ok(os.WriteFile(file, source, 0o600))
	ok(os.Chtimes(file, old, old))
	_, err = d.must(ctx, "home", "add", d.path("films"), "--dir", d.path("home"))
	ok(err)
	var got home.Protected
	ok(d.query(ctx, &got, "home", "protect", "Grandmother", "--dir", d.path("home")))
	id := got.Content.String()
	plays := func(name string) {
		t.Helper()
		var s httpd.SessionView
		ok(askHome(ctx, d.path(name), http.MethodPost, "/api/v1/sessions", httpd.PlayBody{Content: got.Content}, &s))
		if !isOfFilm(t, address[name]+"/play/"+s.ID, got.Folder, source) {
			t.Errorf("what %s shows is not the film", name)
		}
		ok(askHome(ctx, d.path(name), http.MethodDelete, "/api/v1/sessions/"+s.ID, nil, nil))
	}
	plays("home")
	a, err := d.run(ctx, "home", "lend", id, "--to", address["aunt"], "--for", "1h", "--dir", d.path("home"))
	if ok(err); a.code != statusDone || !strings.Contains(a.stdout, "has "+id) {
		t.Fatalf("lend: status %d: %s%s", a.code, a.stdout, a.stderr)
	}
	err = askHome(ctx, d.path("home"), http.MethodPost, "/api/v1/sessions", httpd.PlayBody{Content: got.Content}, nil)
	if err == nil || !strings.Contains(err.Error(), "It is lent. It works again from ") {
		t.Errorf("at home while it is lent: %v", err)
	}
	for _, args := range [][]string{{"protect", id, "--undo"}, {"lend", id, "--to", address["aunt"], "--for", "1h"}} {
		if a, err := d.run(ctx, append([]string{"home", "--dir", d.path("home")}, args...)...); err != nil || a.code != statusRefused || !strings.Contains(a.stderr, "It is lent") {
			t.Errorf("%v while it is lent: status %d: %s, %v", args, a.code, a.stderr, err)
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", got.Folder, d.path("stick")).CombinedOutput(); err != nil { //nolint:gosec // folders of the test
		t.Fatalf("%v: %s", err, out)
	}
	_, err = d.must(ctx, "home", "add", d.path("stick"), "--dir", d.path("aunt"))
	ok(err)
	plays("aunt")
	_, err = d.must(ctx, "home", "cancel", id, "--dir", d.path("home"))
	ok(err)
	for end := time.Now().Add(startGrace); ; time.Sleep(200 * time.Millisecond) {
		var v homeTransfers
		if ok(askHome(ctx, d.path("home"), http.MethodGet, "/api/v1/transfers", nil, &v)); len(v.Transfers) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not back: %+v", v.Transfers)
		}
	}
	plays("home")
	_, err = d.must(ctx, "home", "protect", "Grandmother", "--undo", "--dir", d.path("home"))
	ok(err)
	if _, err := os.Stat(got.Folder); err == nil {
		t.Error("the packed folder is left")
	}
	if left, err := os.ReadFile(file); err != nil || !bytes.Equal(left, source) {
		t.Errorf("the clear file was touched: %v", err)
	}
}

// isOfFilm plays the first picture segment of a session as a browser does, and reports
// whether it is of the clear film.
func isOfFilm(t *testing.T, session, folder string, clear []byte) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	track := m.Tracks[len(m.Tracks)-1]
	web := func(method, address, body string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // read only
		data, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", address, res.StatusCode, data, err)
		}
		return data
	}
	in, err := content.ParseInit(web(http.MethodGet, session+"/"+track.Name+"/init", ""))
	if err != nil {
		t.Fatal(err)
	}
	seg := web(http.MethodGet, session+"/"+track.Name+"/0", "")
	var keys struct{ Keys []struct{ K string } }
	ask := `{"kids":["` + base64.RawURLEncoding.EncodeToString(track.KID[:]) + `"],"type":"temporary"}`
	if err := json.Unmarshal(web(http.MethodPost, session+"/license", ask), &keys); err != nil || len(keys.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys.Keys), err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(keys.Keys[0].K)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cenc.NewContentKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	end := seg[len(seg)-2000:] // of the samples; it is decrypted in place
	if bytes.Contains(clear, end[1000:]) {
		t.Fatal("the segment is in the clear")
	}
	f, err := in.Fragment(seg)
	if err == nil {
		err = f.Decrypt(func(ident.Key) (cenc.ContentKey, error) { return key, nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	// A sample may begin in the middle of one half, and stand elsewhere in the file.
	return bytes.Contains(clear, end[:1000]) || bytes.Contains(clear, end[1000:])
}
