package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/testissuer"
)

// scenario asks the test issuer at base for one.
func (s *shopTest) scenario(base, query string) (a testissuer.Answer) {
	s.t.Helper()
	data, err := fetch(s.t.Context(), http.DefaultClient, base+"/test?"+query)
	s.ok(err)
	s.ok(json.Unmarshal(data, &a))
	return a
}

// A test issuer makes its own authority and keys, serves scenarios to a house
// that is enrolled there, and is refused by a house of another authority.
func TestTrial_EndToEnd(t *testing.T) {
	s := newShopTest(t) // an authority and an issuer that people trust
	base, err := s.serve("test", "issuer", "serve", "--dir", s.path("test"), "--test", "--listen", "127.0.0.1:0")
	s.ok(err)
	if a, err := s.run(t.Context(), "issuer", "serve", "--dir", s.path("shop"), "--test", "--listen", "127.0.0.1:0"); err != nil || a.code != statusRefused || !strings.Contains(a.stderr, "folder of its own") {
		t.Fatalf("production keys serve a test: status %d, %v, %s", a.code, err, a.stderr)
	}
	data, err := fetch(t.Context(), http.DefaultClient, base+"/test/voucher?role=home-server")
	s.ok(err)
	var v struct{ Voucher, CA string }
	s.ok(json.Unmarshal(data, &v))
	s.do("home", "init", "--dir", s.path("tester"), "--ca", v.CA, "--voucher", v.Voucher)
	_, err = s.serve("tester", "home", "serve", "--dir", s.path("tester"), "--listen", "127.0.0.1:0", "--ca", v.CA)
	s.ok(err)
	for _, tc := range []struct {
		query string
		code  int
		want  string
	}{
		{"permission=PLAY&count=2&maxres=1280x720", statusDone, "It is in your house now"},
		{"lose=1", statusDone, "It is in your house now"},
		{"revoked=true", statusRefused, ""},
		{"exhausted=true", statusRefused, ""},
		{"code=void", statusRefused, "withdrawn"},
		{"http=503&retry=1s", statusLater, ""},
	} {
		a := s.scenario(base, tc.query)
		got, err := s.run(t.Context(), "home", "claim", a.Claim, "--dir", s.path("tester"))
		if err == nil && got.code != tc.code && tc.query == "lose=1" { // its answer was lost: said again, it has it
			got, err = s.run(t.Context(), "home", "claim", a.Claim, "--dir", s.path("tester"))
		}
		if err != nil || got.code != tc.code || !strings.Contains(got.stdout+got.stderr, tc.want) {
			t.Errorf("%s: status %d, %v, %s%s; want %d", tc.query, got.code, err, got.stdout, got.stderr, tc.code)
		}
	}
	film := s.scenario(base, "count=1").Film
	if _, err := fetch(t.Context(), http.DefaultClient, film+"manifest.mpd"); err != nil {
		t.Errorf("the film: %v", err)
	}
	if res, err := http.Get(film + "keys.lkd"); err != nil || res.StatusCode != http.StatusNotFound { //nolint:noctx,bodyclose // a test, and there is none
		t.Errorf("sealed keys are served: %v, %v", res.StatusCode, err)
	}
	// A house with production roots takes nothing from it.
	s.do("home", "init", "--dir", s.path("house"), "--ca", s.ca, "--voucher", s.voucher("--role", "home server"))
	_, err = s.serve("house", "home", "serve", "--dir", s.path("house"), "--listen", "127.0.0.1:0", "--ca", s.ca)
	s.ok(err)
	got, err := s.run(t.Context(), "home", "claim", s.scenario(base, "count=1").Claim, "--dir", s.path("house"))
	if err != nil || got.code == statusDone {
		t.Errorf("a house with production roots: status %d, %v, %s", got.code, err, got.stdout)
	}
	if out := s.do("home", "show", "--dir", s.path("house"), "--json"); strings.Contains(out, "urn:lares:test:film") {
		t.Errorf("it holds a license of the test: %s", out)
	}
	log, err := os.ReadFile(s.path("log"))
	s.ok(err)
	if !strings.Contains(string(log), "no trusted root issued it") {
		t.Error("it refused for another reason than its roots")
	}
	s.ok(s.stop("test")) // again, with the same keys and the authority at the same place
	base, err = s.serve("test", "issuer", "serve", "--dir", s.path("test"), "--test", "--listen", "127.0.0.1:0")
	s.ok(err)
	if a := s.scenario(base, "count=1"); a.CA != v.CA {
		t.Errorf("the authority was at %s and is at %s", v.CA, a.CA)
	}
}

func TestTrial_OnlyInAFolderOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, fresh, err := trialFolder(dir); err != nil || !fresh {
		t.Errorf("an empty folder: %v, %v", fresh, err)
	}
	put(issuerFile, `{"issuer":"lares-test"}`)
	if _, fresh, err := trialFolder(dir); err != nil || fresh {
		t.Errorf("its own folder: %v, %v", fresh, err)
	}
	put(issuerFile, `{"issuer":"shop.example"}`)
	if _, _, err := trialFolder(dir); err == nil {
		t.Error("a folder that was marked by hand is taken")
	}
	put(issuerFile, `{"issuer":"lares-test"}`)
	if err := os.Remove(filepath.Join(dir, testMarker)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := trialFolder(dir); err == nil {
		t.Error("a folder without its mark is taken")
	}
	env := &Env{}
	for _, f := range []issuerFlags{{dir: t.TempDir(), postgres: "dsn"}, {dir: t.TempDir(), speke: spekeFlags{credentials: "x"}}} {
		if _, err := beginTrial(t.Context(), env, &f); err == nil {
			t.Error("a database or credentials of others are used")
		}
	}
}
