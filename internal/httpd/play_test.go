package httpd_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// house serves a home with one packed film and a stand-in for the module.
func house(t *testing.T, scheme cenc.Scheme) (*httptest.Server, *home.Home, *hometest.Module) {
	t.Helper()
	folder, _, keys := hometest.Pack(t, scheme)
	module := hometest.New(t, keys)
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: module, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	return serve(t, h), h, module
}

func serve(t *testing.T, h *home.Home) *httptest.Server { return serveWith(t, h, nil) }

func serveWith(t *testing.T, h *home.Home, play fs.FS) *httptest.Server {
	t.Helper()
	handler, err := httpd.New(httpd.Config{Home: h, Frames: &lrphttp.Server{Frames: h.FrameBy, Wait: h.Wait}, Play: play})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = httpd.NewServer(t.Context(), handler)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// TestPlayback_BrowserPlaysAndStops: real Chromium plays the link-encrypted
// stream, shows a picture, and loses it when the home server stops it.
func TestPlayback_BrowserPlaysAndStops(t *testing.T) {
	needs.Long(t)
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		t.Run(scheme.String(), func(t *testing.T) {
			srv, _, module := house(t, scheme)
			consent, hdcp := "", ""
			var told atomic.Uint32 // the most that an ask said of HDCP
			module.Decide = func(a trem.Ask) license.Decision {
				told.Store(max(told.Load(), uint32(a.Protection)))
				return license.Decision{Allow: true}
			}
			if scheme == cenc.SchemeCBCS {
				consent = "Starting it begins your viewing time."
				hdcp = "2.2"
				module.Decide = func(a trem.Ask) license.Decision {
					told.Store(max(told.Load(), uint32(a.Protection)))
					return license.Decision{Allow: true, Confirm: []license.Confirm{{Kind: license.StartsInterval}}}
				}
			}
			pages := os.Getenv("LARES_PICTURES") // a folder, to look at them
			if pages == "" && scheme == cenc.SchemeCENC {
				pages = t.TempDir()
			}
			res := browsertest.Play(t, srv.URL+"/", browsertest.Options{Pages: pages, HDCP: hdcp})
			if res.Confirmed != consent {
				t.Errorf("the page asked %q before it played, want %q", res.Confirmed, consent)
			}
			if want := map[string]permission.Protection{"": 0, "2.2": permission.ProtectHDCP22}[hdcp]; told.Load() != uint32(want) {
				t.Errorf("the module was told %d of HDCP %q", told.Load(), hdcp)
			}
			if res.Overflow {
				t.Error("a page is wider than a phone's screen")
			}
			if res.Ended != "" || res.To-res.From < 3 {
				t.Errorf("the film went from %.1f s to %.1f s (%s), want 3 s", res.From, res.To, res.Ended)
			}
			if !res.Encrypted || res.Width < 640 {
				t.Errorf("video of %d pixels with media keys = %v", res.Width, res.Encrypted)
			}
			if colors, black := res.Colors(); colors < 100 || black > 0.9 {
				t.Errorf("the picture has %d colors and is black to %.0f %%", colors, 100*black)
			}
			if want := "Somebody in the house stopped this."; res.After.Reason != want || !res.After.Paused || !res.After.Hidden {
				t.Errorf("after the stop: %+v, want reason %q and no picture", res.After, want)
			}
			if res.StopMS > 500+res.LagMS {
				t.Errorf("the picture stayed for %.0f ms, on a machine that was %.0f ms late", res.StopMS, res.LagMS)
			}
			if len(res.Console) > 0 {
				t.Errorf("the browser complains: %q", res.Console)
			}
			module.Lock()
			defer module.Unlock()
			if len(module.Ended) != 1 {
				t.Errorf("%d sessions ended in the module, want 1", len(module.Ended))
			}
		})
	}
}

// TestPlayback_TheEndInTheMiddleOfASegment: what the module refuses in the middle is
// no segment to the player, and who asks again is told why.
func TestPlayback_TheEndInTheMiddleOfASegment(t *testing.T) {
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	i := slices.IndexFunc(m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.HD })
	hometest.Join(t, folder, m, &m.Tracks[i])
	module := hometest.New(t, keys)
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: module, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	p, err := h.Play(t.Context(), home.PlayRequest{Content: m.Content})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	module.Decide = func(trem.Ask) license.Decision { return license.Decision{Allow: asked.Add(1) <= 3} }
	address := serve(t, h).URL + "/play/" + p.ID + "/" + m.Tracks[i].Name + "/0"
	res, err := http.Get(address) //nolint:gosec,noctx // the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(res.Body)
	if err == nil || len(data) == 0 || int64(len(data)) >= m.Tracks[i].Segments[0].Bytes || res.ContentLength != m.Tracks[i].Segments[0].Bytes {
		t.Errorf("%d bytes of %d, %v", len(data), res.ContentLength, err)
	}
	if res, data := get(t, http.MethodGet, address, nil); res.StatusCode != http.StatusGone || len(data) == 0 {
		t.Errorf("asked again: %d %s", res.StatusCode, data)
	}
}
