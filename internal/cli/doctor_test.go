package cli

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/care"
)

// marked asks the program about a folder and gives the rows by check.
func (d *demo) marked(t *testing.T, dir string, code int) map[string]care.Row {
	t.Helper()
	var views []examined
	a, err := d.run(t.Context(), "doctor", "--dir", dir, "--json")
	if err == nil {
		err = unmarshal(a.stdout, &views)
	}
	if err != nil || len(views) != 1 || a.code != code {
		t.Fatalf("doctor %s: %v, status %d, want %d: %s%s", filepath.Base(dir), err, a.code, code, a.stdout, a.stderr)
	}
	rows := map[string]care.Row{}
	for _, r := range views[0].Rows {
		rows[r.Check] = r
	}
	return rows
}

// TestDoctor_TheDemosHouse: everything in the demo's house is in order while it
// runs and when it does not, and what is broken in it is found.
func TestDoctor_TheDemosHouse(t *testing.T) {
	d := killHouse(t)
	for name, n := range map[string]int{"home": 11, "shop": 10, "ca": 8, "tablet": 10} {
		rows := d.marked(t, d.path(name), statusDone)
		if len(rows) != n {
			t.Errorf("%s has %d rows, want %d: %v", name, len(rows), n, rows)
		}
		for _, r := range rows {
			if r.Mark == care.Fail || r.Mark == care.Warn && r.Check != care.CheckWalls && r.Check != care.CheckFlush { // a kernel's and a disk's own matter
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	d.bundled(t)
	for _, name := range []string{"shop", "home", "ca"} {
		if err := d.stop(name); err != nil {
			t.Fatal(err)
		}
		d.marked(t, d.path(name), statusDone)
	}
	if r := d.marked(t, d.path("tablet"), statusDone)[care.CheckReach]; r.Mark != care.Warn || !strings.Contains(r.Found, "house") {
		t.Errorf("a house that is away: %+v", r)
	}
	if r := d.marked(t, d.path("shop"), statusDone)[care.CheckReach]; r.Mark != care.Warn || !strings.Contains(r.Found, "authority") {
		t.Errorf("an authority that is away: %+v", r)
	}
	d.harmed(t)
}

// harmed breaks one thing after the other, for real.
func (d *demo) harmed(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Rights.
	must(os.Chmod(d.path("tablet"), 0o711)) //nolint:gosec // it is what the test is about
	must(os.Chmod(d.path("tablet", "device.json"), 0o644))
	if r := d.marked(t, d.path("tablet"), statusCheck)[care.CheckRights]; r.Mark != care.Fail || !strings.Contains(r.Found, "device.json") {
		t.Errorf("%+v", r)
	}
	must(os.Chmod(d.path("tablet"), 0o700)) //nolint:gosec // a folder
	// Port: another program has the one where the shop was.
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", strings.TrimPrefix(d.shopURL, "http://"))
	must(err)
	must(writeURL(d.path("shop"), d.shopURL))
	if r := d.marked(t, d.path("shop"), statusCheck)[care.CheckPort]; r.Mark != care.Fail {
		t.Errorf("%+v", r)
	}
	must(ln.Close())
	// Database.
	must(os.WriteFile(d.path("shop", issuerDatabase), []byte(strings.Repeat("no database ", 1000)), 0o600))
	if r := d.marked(t, d.path("shop"), statusCheck)[care.CheckWhole]; r.Mark != care.Fail || !strings.Contains(r.Found, "the database is damaged") {
		t.Errorf("%+v", r)
	}
	must(os.WriteFile(d.path("home", "devices.json"), []byte("{"), 0o600))
	if r := d.marked(t, d.path("home"), statusCheck)[care.CheckWhole]; r.Mark != care.Fail || !strings.Contains(r.Found, "house's files") {
		t.Errorf("%+v", r)
	}
	// The module's own folder.
	must(os.RemoveAll(d.path("phone", "trem", "vault")))
	if r := d.marked(t, d.path("phone"), statusCheck); r[care.CheckCertificate].Mark != care.Fail || r[care.CheckState].Mark != care.Fail {
		t.Errorf("%+v", r)
	}
	must(os.WriteFile(d.path("phone", "trem", "keystore.lks"), []byte("x"), 0o600))
	if r := d.marked(t, d.path("phone"), statusCheck)[care.CheckWalls]; r.Mark != care.Fail || !strings.Contains(r.Found, "does not start") {
		t.Errorf("%+v", r)
	}
}

// TestDoctor_Discovery asks a network that the test answers for.
func TestDoctor_Discovery(t *testing.T) {
	const self = "0123456789abcdef"
	for _, tc := range []struct {
		found []dnssd.Found
		err   error
		seen  bool
	}{
		{found: []dnssd.Found{{Prefix: "ffff"}, {Prefix: self[:8]}}, seen: true},
		{found: []dnssd.Found{{Prefix: "ffff"}}},
		{err: errors.New("no network")},
	} {
		doc := &doctor{find: func(context.Context, time.Duration) ([]dnssd.Found, error) { return tc.found, tc.err }}
		var out care.Discovery
		if doc.look(t.Context(), &out, self); out.Seen != tc.seen || !errors.Is(out.Err, tc.err) {
			t.Errorf("%+v, want %+v", out, tc)
		}
	}
}

// TestDoctor_WithoutAFolder says what to name.
func TestDoctor_WithoutAFolder(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	if _, errs, code := run(t, "doctor"); code != statusError || !strings.Contains(errs, "--dir") {
		t.Errorf("status %d, %q", code, errs)
	}
	if _, errs, code := run(t, "doctor", "--dir", t.TempDir()); code != statusError || !strings.Contains(errs, "is no folder of") {
		t.Errorf("status %d, %q", code, errs)
	}
}

// bundled writes a bundle of a house that runs, with its log, and finds no title,
// address or secret of it there.
func (d *demo) bundled(t *testing.T) {
	t.Helper()
	out := d.path("bundle.tar.gz")
	if _, err := d.must(t.Context(), "support-bundle", "--dir", d.path("home"), "--dir", d.path("shop"), "--dir", d.path("tablet"), "--log", d.path("log"), "--out", out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text := unpacked(t, out)
	token, err := os.ReadFile(d.path("shop", issuerToken))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		string(bought), "Lares demo film", "127.0.0.1", d.dir, "tablet", "Demo shop", "demo-shop", strings.TrimSpace(string(token)), d.shop.Device.String(),
	} {
		if strings.Contains(text, s) {
			t.Errorf("the bundle holds %q", s)
		}
	}
	if strings.Count(text, `"kind"`) != 3 || !strings.Contains(text, "party certified") {
		t.Errorf("the bundle holds:\n%s", text)
	}
}

func unmarshal(text string, v any) error { return json.Unmarshal([]byte(text), v) }

// unpacked is all that a gzip-compressed archive holds.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
