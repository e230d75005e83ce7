package cli

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
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
	d.neverStripped(t, address)
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

// neverStripped puts somebody between a house and its devices who lets no TLS pass. One
// that has seen the house by TLS does not do without, and keeps what it knows; one that
// comes for the first time does, and says so, unless it was told https.
func (d *demo) neverStripped(t *testing.T, address string) {
	t.Helper()
	ctx, before := t.Context(), d.paired(t, "tablet")
	between := newTLSGate(t, address)
	between.open.Store(true)
	between.shut.Store(true)
	err := d.pairAt(ctx, "tablet", "https://"+between.addr)
	if err == nil || !strings.Contains(err.Error(), errStripped.Error()) || between.plain.Load() == 0 {
		t.Errorf("a tablet that has seen the house by TLS: %v", err)
	}
	if now := d.paired(t, "tablet"); now.Home != before.Home || !bytes.Equal(now.CA, before.CA) {
		t.Errorf("it speaks to %s now", now.Home)
	}
	was := d.paired(t, "phone")
	if err := d.pairAt(ctx, "phone", "https://"+between.addr); err == nil || !strings.Contains(err.Error(), errNoTLS.Error()) {
		t.Errorf("a phone that is told https: %v", err)
	}
	if now := d.paired(t, "phone"); now.Home != was.Home || now.CA != nil {
		t.Errorf("and then it speaks to %s", now.Home)
	}
	network := strings.Replace(between.addr, "127.0.0.1", "0.0.0.0", 1) // this machine, by an address that is not a loopback one
	if err := d.pairAt(ctx, "phone", "http://"+network); err != nil {
		t.Fatal(err)
	}
	if now := d.paired(t, "phone"); now.Home != "http://"+network || now.CA != nil {
		t.Errorf("a first contact without TLS: %s", now.Home)
	}
	between.shut.Store(false)
	if err := d.pairAt(ctx, "phone", "https://"+between.addr); err != nil {
		t.Fatal(err)
	}
	if now := d.paired(t, "phone"); now.Home != "https://"+between.addr || now.CA == nil {
		t.Errorf("and when TLS passes: %s", now.Home)
	}
}

// A house is restored on another machine, at its address. The tablet, which pinned the
// house's CA, goes on over TLS and over nothing else: what stands between passes
// nothing that is not TLS. Only when the lost machine was stolen does it need HTTP, to
// be told of another CA.
func TestHomeTLS_ARestoredHouseHasItsCA(t *testing.T) {
	d, words, file := backedUp(t)
	ctx := t.Context()
	address := strings.TrimPrefix(d.homeURL, "http://")
	gate := newTLSGate(t, address)
	if err := d.pairAt(ctx, "tablet", "https://"+address); err != nil {
		t.Fatal(err)
	}
	rehouse(t, d.path("tablet", "device.json"), "https://"+address, "https://"+gate.addr)
	pinned := d.paired(t, "tablet")
	if _, err := d.must(ctx, "home", "backup", "--dir", d.path("home"), "--out", file); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.stop("home"), os.WriteFile(d.path("words"), []byte(words), 0o600)); err != nil {
		t.Fatal(err)
	}
	restore := func(name string, more ...string) {
		t.Helper()
		d.newHomeServer(t, name)
		if _, err := d.must(ctx, append([]string{"home", "restore", file, "--dir", d.path(name), "--code-file", d.path("words")}, more...)...); err != nil {
			t.Fatal(err)
		}
		if _, err := d.serve(name, "home", "serve", "--dir", d.path(name), "--listen", address, "--ca", d.caURL); err != nil {
			t.Fatal(err)
		}
	}
	get := []string{"device", "get", string(boughtCBCS), "--dir", d.path("tablet")}
	restore("new")
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatal(err)
	}
	now := d.paired(t, "tablet")
	if now.Server == pinned.Server || !bytes.Equal(now.CA, pinned.CA) || now.Home != pinned.Home {
		t.Errorf("it has not followed by TLS: the server is another one: %v, the CA the same: %v", now.Server != pinned.Server, bytes.Equal(now.CA, pinned.CA))
	}
	if n := gate.plain.Load(); n != 0 {
		t.Errorf("it came %d times without TLS", n)
	}
	if err := d.stop("new"); err != nil {
		t.Fatal(err)
	}
	restore("other", "--stolen", "--above", "2")
	gate.open.Store(true)
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatal(err)
	}
	if last := d.paired(t, "tablet"); bytes.Equal(last.CA, pinned.CA) || gate.plain.Load() == 0 {
		t.Errorf("the CA of a stolen machine is still believed; %d questions without TLS", gate.plain.Load())
	}
}

// What a device asks its house at the beginning of a command ends, whatever answers.
func TestHomeTLS_QuestionsEnd(t *testing.T) {
	var within []time.Duration
	d := &device{cfg: deviceConfig{Home: "https://10.0.0.1:7710"}, client: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		end, _ := req.Context().Deadline()
		within = append(within, time.Until(end))
		return nil, net.ErrClosed
	})}}
	if _, _, err := d.restores(t.Context(), [16]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a house that is away: %v", err)
	}
	d.tell(t.Context(), d.cfg.Home, trem.Succession{})
	if len(within) != 3 || slices.Min(within) <= 0 || slices.Max(within) > tlsTry {
		t.Errorf("they end within %v, want three within %v", within, tlsTry)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// tlsGate passes connections on when they begin as TLS does, and counts the others.
type tlsGate struct {
	addr  string
	open  atomic.Bool // the others pass, too
	shut  atomic.Bool // those that begin as TLS does do not
	plain atomic.Int64
}

func newTLSGate(t *testing.T, to string) *tlsGate {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &tlsGate{addr: l.Addr().String()}
	var wg sync.WaitGroup
	pass := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		first, err := in.Peek(1)
		if err != nil {
			return
		}
		if first[0] != tlsFirst {
			g.plain.Add(1)
			if !g.open.Load() {
				return
			}
		} else if g.shut.Load() {
			return
		}
		out, err := new(net.Dialer).DialContext(t.Context(), "tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }() // ends with either side
		_, _ = io.Copy(conn, out)
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go pass(conn) // ends with the command that came
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return g
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
