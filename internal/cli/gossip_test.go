package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/security/trem"
)

// gossipHouse is a house with two devices whose authority has published a newer
// state than they have, and which has heard of it.
func gossipHouse(t *testing.T, args ...string) *demo {
	t.Helper()
	d := emptyHouse(t)
	empty := func(ctx context.Context) error { // without a film
		v, err := d.voucher(ctx, "--role", "home-server")
		if err != nil {
			return err
		}
		if _, err := d.must(ctx, "home", "init", "--dir", d.path("home"), "--ca", d.caURL, "--voucher", v); err != nil {
			return err
		}
		d.homeURL, err = d.serve("home", "home", "serve", "--dir", d.path("home"), "--listen", d.listen, "--ca", d.caURL)
		return err
	}
	for _, step := range []func(context.Context) error{d.makeCA, empty, d.makeDevices} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.must(t.Context(), "ca", "publish", "--dir", d.path("ca")); err != nil {
		t.Fatal(err)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"home", "serve", "--dir", d.path("home"), "--listen", strings.TrimPrefix(d.homeURL, "http://"), "--ca", d.caURL}, args...)
	if _, err := d.serve("home", args...); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *demo) epochOf(t *testing.T, name string) uint64 {
	t.Helper()
	var st trem.Status
	if err := d.query(t.Context(), &st, "trem", "status", "--dir", d.path(name, "trem")); err != nil {
		t.Fatal(err)
	}
	return st.Epoch
}

func (d *demo) published(t *testing.T) uint64 {
	t.Helper()
	var shown caAnswer
	if err := d.query(t.Context(), &shown, "ca", "show", "--dir", d.path("ca")); err != nil {
		t.Fatal(err)
	}
	return shown.Epoch
}

// lrpOnly is the way to a house that lets license relay frames through and no
// request for the state. lie adds to the epoch that the house's HELLO claims.
type lrpOnly struct {
	*httptest.Server
	gossip, lie atomic.Uint64
}

func newLRPOnly(t *testing.T, to string) *lrpOnly {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	way := new(lrpOnly)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			if way.lie.Load() == 0 || res.Request.URL.Path != lrphttp.Path {
				return nil
			}
			data, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			data = way.changed(data)
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
			res.Header.Del("Content-Length")
			return nil
		},
	}
	way.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/rsl/") {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path == lrphttp.Path {
			body, err := io.ReadAll(io.LimitReader(r.Body, lrp.MaxFrame))
			if f, bad := lrp.Parse(body); err == nil && bad == nil && f.Type == lrp.TypeGossip {
				way.gossip.Add(1)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(way.Close)
	return way
}

func (w *lrpOnly) changed(data []byte) []byte {
	frames, err := lrp.ParseSequence(data, lrp.MaxFrames)
	if err != nil {
		return data
	}
	var out []byte
	for _, f := range frames {
		if h, err := lrp.ParseHello(f.Body); f.Type == lrp.TypeHello && err == nil {
			h.Epoch += w.lie.Load()
			if f.Body, err = h.Encode(); err != nil {
				return data
			}
		}
		b, err := f.Encode()
		if err != nil {
			return data
		}
		out = append(out, b...)
	}
	return out
}

// TestGossip_DeviceCatchesUpOverTheRelay: a device that reaches its house by the
// license relay alone hears of a newer state, asks and learns; one that claims what
// it cannot show is refused, and nothing is taken.
func TestGossip_DeviceCatchesUpOverTheRelay(t *testing.T) {
	d := gossipHouse(t)
	way := newLRPOnly(t, d.homeURL)
	for _, name := range []string{"tablet", "phone"} {
		data, err := os.ReadFile(d.path(name, "device.json"))
		if err == nil {
			err = os.WriteFile(d.path(name, "device.json"), bytes.ReplaceAll(data, []byte(d.homeURL), []byte(way.URL)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	old, now := d.epochOf(t, "tablet"), d.published(t)
	if old >= now {
		t.Fatalf("the tablet has epoch %d of %d already", old, now)
	}
	run := func(args ...string) answer {
		t.Helper()
		a, err := d.run(t.Context(), append([]string{"device"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	transfers := func(name string) answer { t.Helper(); return run("transfers", "--dir", d.path(name)) }
	way.lie.Store(100)
	if a := run("get", "lares-film", "--dir", d.path("tablet")); a.code != statusRefused || !strings.Contains(a.stderr, "what it shows is not one") {
		t.Errorf("a house that claims too much: status %d: %s", a.code, a.stderr)
	}
	if got := d.epochOf(t, "tablet"); got != old {
		t.Errorf("epoch %d after a lie, had %d", got, old)
	}
	way.lie.Store(0)
	for _, name := range []string{"tablet", "phone"} {
		before := way.gossip.Load()
		if a := transfers(name); a.code != statusDone {
			t.Errorf("%s: status %d: %s", name, a.code, a.stderr)
		}
		if got := d.epochOf(t, name); got != now || way.gossip.Load() != before+2 { // the head, and the step
			t.Errorf("%s: epoch %d after %d questions, want %d after 2", name, got, way.gossip.Load()-before, now)
		}
		if a := transfers(name); a.code != statusDone || way.gossip.Load() != before+2 {
			t.Errorf("%s asks again: %d questions", name, way.gossip.Load()-before)
		}
	}
	// The state signer is changed: house and device take the next generation, each in its way.
	if _, err := d.must(t.Context(), "ca", "signer", "change", "--dir", d.path("ca")); err != nil {
		t.Fatal(err)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if err := d.again("home"); err != nil {
		t.Fatal(err)
	}
	if a := transfers("tablet"); a.code != statusDone {
		t.Errorf("after the change: status %d: %s", a.code, a.stderr)
	}
	var st trem.Status
	if err := d.query(t.Context(), &st, "trem", "status", "--dir", d.path("tablet", "trem")); err != nil || st.Signer != 1 || st.Epoch != d.published(t) {
		t.Errorf("epoch %d of signer %d, %v", st.Epoch, st.Signer, err)
	}
}

// TestGossip_DeviceCatchesUpByStick: a device without a network asks by a folder.
func TestGossip_DeviceCatchesUpByStick(t *testing.T) {
	stick := filepath.Join(t.TempDir(), "stick")
	if err := os.Mkdir(stick, 0o700); err != nil {
		t.Fatal(err)
	}
	d := gossipHouse(t, "--folder", stick)
	rehouse(t, d.path("tablet", "device.json"), d.homeURL, nowhere)
	old, now := d.epochOf(t, "tablet"), d.published(t)
	if old >= now {
		t.Fatalf("the tablet has epoch %d of %d already", old, now)
	}
	carry := func() (out carried) {
		t.Helper()
		if err := d.query(t.Context(), &out, "device", "carry", "--folder", stick, "--dir", d.path("tablet")); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := carry(); got.Epoch != 0 {
		t.Errorf("before the journey: %+v", got)
	}
	waitFor(t, filepath.Join(stick, "*", "*.ans"))
	for range 50 { // the house answers one after the other
		if files, _ := filepath.Glob(filepath.Join(stick, "*", "*.ask")); len(files) == 0 {
			break
		}
		<-tick()
	}
	if got := carry(); got.Epoch != now {
		t.Errorf("after it: %+v, want epoch %d", got, now)
	}
	if got := d.epochOf(t, "tablet"); got != now {
		t.Errorf("the tablet has epoch %d, want %d", got, now)
	}
	if files, _ := filepath.Glob(filepath.Join(stick, "*", "*.a*")); len(files) != 0 {
		t.Errorf("left on the stick: %q", files)
	}
	if got := carry(); got.Epoch != 0 {
		t.Errorf("up to date: %+v", got)
	}
}
