package cli

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home"
)

// answered gives the status and the body of a GET.
func answered(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(asking(t, url))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A device behind two relays in a row, the first of which hands frames to the second
// by a Unix socket: it pairs, gets a license, plays, and says what it has to say, and
// knows no other way to its house. A relay that is killed and comes back costs nothing.
func TestRelay_ADeviceBehindTwoHops(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	socket := filepath.Join(t.TempDir(), "s")
	near, err := d.serve("near", "relay", "serve", "--listen", "127.0.0.1:0", "--upstream", d.homeURL, "--unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	far, err := d.serve("far", "relay", "serve", "--listen", "127.0.0.1:0", "--upstream", near, "--upstream-unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	run := func(args ...string) {
		t.Helper()
		if _, err := d.must(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.pairAt(ctx, "tablet", far); err != nil {
		t.Fatal(err)
	}
	if cfg := d.paired(t, "tablet"); cfg.Home != far {
		t.Errorf("its house is at %s, want the relay %s", cfg.Home, far)
	}
	run(d.grant(d.houseName(t), bought, "PLAY; PLAY_COUNT=4; MOVE=DOMAIN; EXPORT=clearkey; MIN_ANCHOR=0")...)
	d.fetched(t, bought)
	get := []string{"device", "get", string(bought), "--plays", "2", "--dir", d.path("tablet")}
	run(get...)
	run("device", "play", string(bought), "--dir", d.path("tablet"), "--tier", "SD", "--out", d.path("far.mp4"))
	if info, err := os.Stat(d.path("far.mp4")); err != nil || info.Size() < 100_000 {
		t.Errorf("what was played: %v, %v", info, err)
	}
	for _, name := range []string{"near", "far"} { // what a relay had in memory is gone
		if err := d.kill(name); err != nil {
			t.Fatal(err)
		}
		if err := d.again(name); err != nil {
			t.Fatal(err)
		}
	}
	run("device", "transfers", "--dir", d.path("tablet")) // its letters need a proof on a link
	run(get...)
	if got := sum(d.heldBy(t, "tablet")); got != 3 {
		t.Errorf("%d plays are at the tablet, want the 3 that came and were not played", got)
	}
	for name, url := range map[string]string{"near": near, "far": far} {
		for _, path := range []string{"/", "/api/v1/library", "/content/../api/v1/status", "/play/x/manifest.mpd"} {
			if status, body := answered(t, url+path); status != http.StatusNotFound {
				t.Errorf("%s passes %s on: %d %.60s", name, path, status, body)
			}
		}
		status, metrics := answered(t, url+"/metrics")
		if status != http.StatusOK || strings.Contains(metrics, "frames_total 0\n") || strings.Contains(metrics, d.paired(t, "tablet").Server.String()) || strings.Contains(metrics, string(bought)) {
			t.Errorf("%s counts: %d\n%s", name, status, metrics)
		}
	}
	if err := d.stop("near"); err != nil {
		t.Fatal(err)
	}
	if a, err := d.run(ctx, "device", "get", string(bought), "--dir", d.path("tablet")); err != nil || a.code != statusLater {
		t.Errorf("with a relay that is away: status %d (%v): %s", a.code, err, a.stderr)
	}
}

// Relays that stand in a ring: a frame, and a request, end at the hop limit.
func TestRelay_ARingEnds(t *testing.T) {
	needs.Long(t)
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	t.Cleanup(func() { _ = h.close() })
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := l.Addr().String()
	_ = l.Close()
	second, err := h.serve("second", "relay", "serve", "--listen", "127.0.0.1:0", "--upstream", "http://"+first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.serve("first", "relay", "serve", "--listen", first, "--upstream", second); err != nil {
		t.Fatal(err)
	}
	tx := lrp.NewTransaction(lrp.Addr{1}, lrp.Addr{2}, time.Now(), lrp.Life)
	out, err := (&lrphttp.Client{URL: second}).Exchange(t.Context(), tx.Next(lrp.TypeGossip, []byte{}))
	if err != nil || len(out) != 1 {
		t.Fatalf("%d answers, %v", len(out), err)
	}
	if e, err := lrp.ParseError(out[0].Body); err != nil || e.Code != lrp.CodeHops {
		t.Errorf("a frame in a ring: %v, %v", e, err)
	}
	if status, _ := answered(t, second+home.PathTrust); status != http.StatusLoopDetected {
		t.Errorf("a request in a ring: status %d", status)
	}
}

// Flags that make no sense, and a file that is in the way.
func TestRelay_BadInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"relay", "serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"}
	for _, args := range [][]string{
		{"relay", "serve"},
		{"relay", "serve", "--upstream", "ftp://x"},
		{"relay", "serve", "--upstream", "http://x/path"},
		append(slices.Clone(good), "--route", "x=http://y"),
		append(slices.Clone(good), "--route", strings.Repeat("0", 32)+"=y"),
		append(slices.Clone(good), "--unix", file),
	} {
		if _, notes, code := run(t, args...); code != statusUsage || notes == "" {
			t.Errorf("%v: status %d: %s", args, code, notes)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Errorf("the file in the way: %q, %v", data, err)
	}
}
