package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/upnp"
	"github.com/lares-drm/lares/interconnect/upnp/upnptest"
	"github.com/lares-drm/lares/license"
)

// renders shows a title on a television of the network, which fetches it whole; it is
// refused where the license has no RENDER, nobody else gets it, and a television that
// vanishes ends the play.
func (d *demo) renders(t *testing.T, house, hd string) {
	ctx := t.Context()
	got := d.path("rendered.mp4")
	told := make(chan string, 1)
	tv := upnptest.New(t, func(ctx context.Context, film string) {
		strangers(t, film)
		fetchFilm(ctx, t, film, "", got)
		told <- film
	})
	command := func(id string, more ...string) answer {
		t.Helper()
		a, err := d.run(ctx, append([]string{"device", "render", id, "--dir", d.path("phone"), "--json", "--to", tv.URL()}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := command(string(boughtCBCS)); a.code != statusRefused || !strings.Contains(a.stdout, string(license.NoGrant)) {
		t.Errorf("without RENDER: status %d, %s %s", a.code, a.stdout, a.stderr)
	}
	if film, _ := tv.Told(); film != "" {
		t.Errorf("the television was told %s", film)
	}
	if _, err := d.must(ctx, d.grant(house, bought, "PLAY; RENDER; CHARGE=PURCHASE; EXPORT=clearkey; MIN_ANCHOR=0")...); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, "home", "fetch", string(bought), "--dir", d.path("home"), "--issuer", d.shopURL); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, "device", "get", string(bought), "--dir", d.path("phone")); err != nil {
		t.Fatal(err)
	}
	a := command(string(bought))
	var r rendered
	if err := json.Unmarshal([]byte(a.stdout), &r); err != nil || a.code != statusDone || r.Tier != content.HD || r.Segments != 30 || r.Renderer.ID != tv.ID {
		t.Fatalf("status %d, %+v, %v: %s", a.code, r, err, a.stderr)
	}
	if got, want := streamHashes(t, "-i", got, "-map", "0:v", "-map", "0:a"), streamHashes(t, "-i", hd, "-map", "0:v", "-map", "0:a"); got != want {
		t.Errorf("the television got %s, want %s", got, want)
	}
	if res, err := http.Get(<-told); err == nil { //nolint:gosec,noctx // a test
		_ = res.Body.Close()
		t.Errorf("after the play the film is served: %d", res.StatusCode)
	}
	tv.Refuse = 714
	if a := command(string(bought)); a.code != statusError || !strings.Contains(a.stderr, "714 Not here") {
		t.Errorf("a television that will not: status %d, %s", a.code, a.stderr)
	}
	var leaving *upnptest.Renderer
	leaving = upnptest.New(t, func(ctx context.Context, film string) {
		fetchFilm(ctx, t, film, "bytes=0-99999", "")
		leaving.Vanish()
	})
	if a := command(string(bought), "--to", leaving.URL()); a.code != statusLater || !strings.Contains(a.stderr, "Television is gone, and the play has ended") {
		t.Errorf("a television that vanishes: status %d, %s %s", a.code, a.stdout, a.stderr)
	}
}

// fetchFilm fetches a film, or a range of it, into a file.
func fetchFilm(ctx context.Context, t *testing.T, film, part, file string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, film, http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	if part != "" {
		req.Header.Set("Range", part)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(res.Body)
	if err == nil && file != "" {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil || res.StatusCode/100 != 2 || res.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("%d %s, %d bytes, %v", res.StatusCode, res.Header.Get("Content-Type"), len(data), err)
	}
}

// strangers ask for a film that is shown elsewhere: from another address, and from the
// renderer's own by another path or name.
func strangers(t *testing.T, film string) {
	for _, tc := range []struct {
		name, from, host, path string
		want                   int // 0: hung up on
	}{
		{"another machine that knows the address", "127.0.0.2", "", "", 0},
		{"another path", "127.0.0.1", "", "/film.mp4", http.StatusNotFound},
		{"a page by a name of its own", "127.0.0.1", "evil.example", "", http.StatusNotFound},
	} {
		req, err := http.NewRequest(http.MethodGet, film, http.NoBody) //nolint:noctx // a test
		if err != nil {
			t.Error(err)
			return
		}
		if req.Host = tc.host; tc.path != "" {
			req.URL.Path = tc.path
		}
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tc.from)}}
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
		res, err := client.Do(req)
		switch {
		case err == nil:
			data, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != tc.want || len(data) > 100 {
				t.Errorf("%s: status %d, %d bytes", tc.name, res.StatusCode, len(data))
			}
		case tc.want != 0 || !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset"):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestRender_StrangersGetNothing is the guard alone: who is not the renderer is hung up on,
// and what is served ends with the play.
func TestRender_StrangersGetNothing(t *testing.T) {
	film := &filmView{head: []byte("the film"), ends: []int64{8}}
	p := &renderServer{film: film, renderer: netip.MustParseAddr("127.0.0.1"), since: time.Now()}
	at, err := p.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end := p.run()
	strangers(t, at)
	if p.asked.Load() {
		t.Error("a stranger counts as the renderer")
	}
	head, err := http.Head(at) //nolint:gosec,noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	if _ = head.Body.Close(); head.StatusCode != http.StatusOK || p.asked.Load() {
		t.Errorf("a probe: %d, counts as a fetch: %v", head.StatusCode, p.asked.Load())
	}
	fetchFilm(t.Context(), t, at, "bytes=4-7", "")
	if !p.asked.Load() {
		t.Error("the renderer is not seen")
	}
	end()
	if _, err := net.Dial("tcp", p.host); err == nil { //nolint:noctx // a test
		t.Error("it is served after the end")
	}
}

// TestRender_ByNameOrID: a name stands for one renderer or for none.
func TestRender_ByNameOrID(t *testing.T) {
	found := []*upnp.Renderer{{Name: "TV", ID: "uuid:1"}, {Name: "Kitchen", ID: "uuid:2"}, {Name: "kitchen", ID: "uuid:3"}, {Name: "Hall", ID: "uuid:4"}, {Name: "Evil", ID: "uuid:4"}}
	for to, want := range map[string]string{"tv": "uuid:1", "uuid:3": "uuid:3", "Kitchen": "status 2", "Attic": "status 4", "uuid:4": "status 2", "hall": "uuid:4"} {
		got := ""
		if r, err := rendererNamed(found, to); err == nil {
			got = r.ID
		} else if e, ok := errors.AsType[*exitError](err); ok {
			got = fmt.Sprint("status ", e.code)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
}

// TestRender_WhenAPlayIsOver: one that says that it gets ready and fetches nothing is given
// up on, as is one that says that it stands still; one that fetches is not.
func TestRender_WhenAPlayIsOver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		state upnp.State
		err   error
		asked bool
		moves bool
		want  int // looks; 0: it goes on
		code  int // exit status
	}{
		{"gets ready for ever", upnp.Busy, nil, false, false, renderStarts + 1, statusLater},
		{"stands still from the first", upnp.Stopped, nil, false, false, renderStarts + 1, statusLater},
		{"shows", upnp.Busy, nil, true, false, 0, 0},
		{"came to the end", upnp.Stopped, nil, true, false, renderStops, 0},
		{"is away", upnp.Stopped, upnp.ErrAway, true, false, renderMissed, -1},
		{"fetches, and says nothing", upnp.Stopped, upnp.ErrAway, true, true, 0, 0},
		{"refuses", upnp.Stopped, upnp.ErrRefused, true, false, 1, -1},
	} {
		w, got, code := looks{name: "TV"}, 0, 0
		for n := 1; n <= 3*renderStarts && got == 0; n++ {
			bytes := int64(0)
			if tc.moves {
				bytes = int64(n)
			}
			over, err := w.look(tc.state, tc.err, bytes, tc.asked)
			if !over {
				continue
			}
			got = n
			if e, ok := errors.AsType[*exitError](err); ok {
				code = e.code
			} else if errors.Is(err, tc.err) && err != nil {
				code = -1
			}
		}
		if got != tc.want || code != tc.code {
			t.Errorf("%s: over after %d looks with status %d, want %d and %d", tc.name, got, code, tc.want, tc.code)
		}
	}
}
