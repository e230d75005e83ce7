package cli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
// All three serve TLS under the household's CA, and the device pins that.
func TestRelay_ADeviceBehindTwoHops(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	socket := filepath.Join(t.TempDir(), "s")
	if _, err := d.must(ctx, "home", "certify", "--dir", d.path("home"), "--out", d.path("relay")); err != nil {
		t.Fatal(err)
	}
	secret := []string{"--upstream-ca", d.path("relay", houseCAFile), "--tls-cert", d.path("relay", relayCertFile), "--tls-key", d.path("relay", relayKeyFile)}
	near, err := d.serve("near", append([]string{"relay", "serve", "--listen", "127.0.0.1:0", "--upstream", overTLS(d.homeURL), "--unix", socket}, secret...)...)
	if err != nil {
		t.Fatal(err)
	}
	far, err := d.serve("far", append([]string{"relay", "serve", "--listen", "127.0.0.1:0", "--upstream", overTLS(near), "--upstream-unix", socket}, secret...)...)
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
	if err := d.pairAt(ctx, "tablet", overTLS(far)); err != nil {
		t.Fatal(err)
	}
	if cfg := d.paired(t, "tablet"); cfg.Home != overTLS(far) || cfg.CA == nil {
		t.Errorf("its house is at %s, with a CA of %d bytes; want the relay %s", cfg.Home, len(cfg.CA), overTLS(far))
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

func overTLS(url string) string { return "https://" + strings.TrimPrefix(url, "http://") }

// Certificate and key are exchanged under load: a relay drops no request, and what
// cannot be read changes nothing. Connections are of HTTP/2, under the household's CA.
func TestRelay_HangupDropsNoRequest(t *testing.T) {
	needs.Long(t)
	dir := t.TempDir()
	if _, _, err := home.CertifyRelay(dir, time.Now); !errors.Is(err, home.ErrNoCA) {
		t.Errorf("a house that was never served: %v", err)
	}
	if _, err := home.OpenTLS(dir, [16]byte{1}, time.Now); err != nil {
		t.Fatal(err)
	}
	certify := func() {
		t.Helper()
		if _, err := certifyRelay(dir, dir, time.Now); err != nil {
			t.Fatal(err)
		}
	}
	certify()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer upstream.Close()
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	t.Cleanup(func() { _ = h.close() })
	cert, key := filepath.Join(dir, relayCertFile), filepath.Join(dir, relayKeyFile)
	url, err := h.serve("relay", "relay", "serve", "--listen", "127.0.0.1:0", "--upstream", upstream.URL, "--tls-cert", cert, "--tls-key", key)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	var served atomic.Value // the serial number that was shown last
	served.Store("")
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				serial, err := shownBy(t, filepath.Join(dir, houseCAFile), overTLS(url)+"/healthz")
				if err != nil {
					t.Error(err)
					return
				}
				served.Store(serial)
			}
		})
	}
	hangUp := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := h.procs["relay"].cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		certify()
		want := serialIn(t, cert)
		hangUp()
		for end := time.Now().Add(startGrace); served.Load() != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the relay does not take its new certificate")
			}
		}
	}
	want := serialIn(t, cert)
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp()
	time.Sleep(300 * time.Millisecond)
	close(stop)
	all.Wait()
	if got := served.Load(); got != want {
		t.Errorf("with a damaged file it serves %v, want %v as before", got, want)
	}
}

// shownBy is the serial number that a new connection is shown.
func shownBy(t *testing.T, ca, url string) (string, error) {
	t.Helper()
	tr, err := houseTransport(ca)
	if err != nil {
		return "", err
	}
	res, err := tr.RoundTrip(asking(t, url))
	if err != nil {
		return "", err
	}
	defer tr.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert,errcheck // it is one
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusNoContent {
		return "", fmt.Errorf("%s, %s", res.Proto, res.Status)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.String(), nil
}

func serialIn(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber.String()
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
		append(slices.Clone(good), "--tls-cert", file),
		append(slices.Clone(good), "--tls-key", file),
		append(slices.Clone(good), "--upstream-ca", file),
	} {
		if _, notes, code := run(t, args...); code != statusUsage || notes == "" {
			t.Errorf("%v: status %d: %s", args, code, notes)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Errorf("the file in the way: %q, %v", data, err)
	}
}
