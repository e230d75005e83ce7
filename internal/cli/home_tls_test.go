package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home"
)

// paired reads where a device has its house.
func (d *demo) paired(t *testing.T, name string) (cfg deviceConfig) {
	t.Helper()
	data, err := os.ReadFile(d.path(name, "device.json"))
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A device that is told https pins the CA that the house's module signs for, and
// does all that it does by TLS; HTTP on this machine stays open. When the CA is lost,
// the device believes the house's module about the new one, and nobody else.
func TestHomeTLS_DevicesPinTheHouse(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	if cfg := d.paired(t, "tablet"); cfg.CA != nil || cfg.Home != d.homeURL {
		t.Errorf("on this machine, by http, it pinned something: %s", cfg.Home)
	}
	address := strings.TrimPrefix(d.homeURL, "http://")
	if err := d.pairAt(ctx, "tablet", "https://"+address); err != nil {
		t.Fatal(err)
	}
	first := d.paired(t, "tablet")
	if first.Home != "https://"+address || first.CA == nil {
		t.Fatalf("after pairing: %s, a CA of %d bytes", first.Home, len(first.CA))
	}
	tr, err := trusting(first.CA)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{d.homeURL, "https://" + address} {
		client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		res, err := client.Do(asking(t, url+home.PathTLS))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.Equal(body, first.CA) || strings.HasPrefix(url, "https") != (res.ProtoMajor == 2) {
			t.Errorf("%s: %s, %d bytes, %v", url, res.Proto, len(body), err)
		}
	}
	house := d.houseName(t)
	if _, err := d.must(ctx, d.grant(house, bought, "PLAY; PLAY_COUNT=3; EXPORT=clearkey; MIN_ANCHOR=0")...); err != nil {
		t.Fatal(err)
	}
	d.fetched(t, bought)
	get := []string{"device", "get", string(bought), "--dir", d.path("tablet")}
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatal(err)
	}

	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.path("home", "tls.json")); err != nil {
		t.Fatal(err)
	}
	if err := d.again("home"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatal(err)
	}
	if now := d.paired(t, "tablet"); bytes.Equal(now.CA, first.CA) || now.Home != first.Home {
		t.Error("it did not take the house's new CA")
	}
	if got := sum(d.heldBy(t, "tablet")); got != 2 {
		t.Errorf("%d plays came by TLS, want 2", got)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	stranger(t, address)
	if a, err := d.run(ctx, get...); err != nil || a.code == statusDone {
		t.Errorf("a stranger at the house's address is taken for it: status %d, %v", a.code, err)
	}
}

// stranger serves HTTPS at an address, under a CA of its own.
func stranger(t *testing.T, address string) {
	t.Helper()
	other, err := home.OpenTLS(t.TempDir(), [16]byte{9}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other.CA()) })}
	done := make(chan error, 1)
	go func() { done <- serveBoth(srv, l, other.Config()) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
}

// houseName is what the shop knows the house by.
func (d *demo) houseName(t *testing.T) string {
	t.Helper()
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	return house.ID
}

// One listener is for both: what is neither, or says nothing, keeps nobody waiting.
func TestHomeTLS_OneListenerForBoth(t *testing.T) {
	secret, err := home.OpenTLS(t.TempDir(), [16]byte{1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			_, _ = io.WriteString(w, "secret")
			return
		}
		_, _ = io.WriteString(w, "plain")
	})}
	done := make(chan error, 1)
	go func() { done <- serveBoth(srv, l, secret.Config()) }()
	dial := &net.Dialer{Timeout: 5 * time.Second}
	silent, err := dial.DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	garbage, err := (&tls.Dialer{NetDialer: dial, Config: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}}).DialContext(t.Context(), "tcp", at)
	if err == nil {
		t.Error("a client that trusts nobody is satisfied")
		_ = garbage.Close()
	}
	tr, err := trusting(secret.CA())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 5 * time.Second}
	for scheme, want := range map[string]string{"http": "plain", "https": "secret"} {
		res, err := client.Do(asking(t, scheme+"://"+at))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(body) != want {
			t.Errorf("%s: %q", scheme, body)
		}
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("closed: %v", err)
	}
	if conn, err := dial.DialContext(t.Context(), "tcp", at); err == nil {
		_ = conn.Close()
		t.Error("the listener is still open")
	}
}

func asking(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
