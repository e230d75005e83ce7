package httpd_test

import (
	"image"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home"
)

// forBrowsers and forPlayers are terms of a title that plays with the browser's key
// system only, and of one that other players may have.
const (
	forBrowsers = "PLAY; EXPORT=clearkey"
	forPlayers  = "PLAY; EXPORT=clearkey,hls"
)

// houseWith is the address of a house whose film is held under these terms.
func houseWith(t *testing.T, scheme cenc.Scheme, terms string) *screens {
	t.Helper()
	srv, h, module := house(t, scheme)
	crowded(h, module, adapttest.License(t, terms))
	return &screens{t, srv.URL, h}
}

// pictured checks that the page shows a picture.
func pictured(t *testing.T, got *browsertest.Found) {
	t.Helper()
	if colors, black := got.Colors(); colors < 100 || black > 0.9 || got.Said != "" {
		t.Errorf("by %q: the picture has %d colors and is black to %.0f %%; it says %q", got.Way, colors, 100*black, got.Said)
	}
}

// TestWhere_WebKit: WebKitGTK has no key system, so it plays what other players may have,
// and says of the rest why not.
func TestWhere_WebKit(t *testing.T) {
	needs.Long(t)
	row := browsertest.Plays{Player: "WebKitGTK", Path: "page, localhost", Result: browsertest.Works}
	got := browsertest.Where{Browser: browsertest.WebKit, URL: houseWith(t, cenc.SchemeCENC, forBrowsers).url + "/", Picture: "where-webkit-keys.png"}.Run(t)
	if got.Way == "" {
		row.Result, row.Reason = browsertest.No, strings.TrimSuffix(got.Said, ".")
		if !got.Curtain || len(got.Help) < 2 {
			t.Errorf("it shows no reason or no help: %+v", got)
		}
		got = browsertest.Where{Browser: browsertest.WebKit, URL: houseWith(t, cenc.SchemeCENC, forPlayers).url + "/", Picture: "where-webkit-playlist.png"}.Run(t)
		if got.Way != "" {
			pictured(t, got)
			row.Result, row.Reason = browsertest.Limited, onlyForPlayers
		}
	}
	row.Check(t)
}

// onlyForPlayers is why a player without the browsers' key system plays some titles only.
const onlyForPlayers = "titles whose shop allows players without a key system (hls)"

// TestWhere_BestWayOfABrowser: the page finds the best way by what a browser has, and where
// it has none says why, what helps, and gives the session back: there is no black screen.
func TestWhere_BestWayOfABrowser(t *testing.T) {
	needs.Long(t)
	brief := []string{"no-keys", "no-keys-and-needed", "nothing"} // in make test too; make interop runs all
	for _, tc := range []struct {
		name    string
		terms   string
		without []string
		way     string
		said    string
		help    int
	}{
		{"no-keys", forPlayers, []string{"keys"}, "playlist", "", 0},
		{"no-pieces", forPlayers, []string{"keys", "pieces"}, "", "The player of the browser failed (code 4)", 2}, // Chromium's own player does not open such a playlist
		{"no-keys-and-needed", forBrowsers, []string{"keys"}, "", "This browser cannot open protected streams", 2},
		{"nothing", forPlayers, []string{"keys", "pieces", "native"}, "", "This browser cannot be given a film in pieces", 2},
		{"an-address-that-is-not-trusted", forPlayers, []string{"keys", "native", "secure"}, "", "Browsers play protected films only at addresses", 3},
	} {
		if os.Getenv("LARES_INTEROP") == "" && !slices.Contains(brief, tc.name) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			s := houseWith(t, cenc.SchemeCENC, tc.terms)
			got := browsertest.Where{Browser: "chromium", URL: s.url + "/", Without: tc.without, Picture: "where-" + tc.name + ".png"}.Run(t)
			if got.Way != tc.way || !strings.HasPrefix(got.Said, tc.said) || got.Encrypted {
				t.Fatalf("it plays by %q and says %q, want %q and %q", got.Way, got.Said, tc.way, tc.said)
			}
			if tc.way != "" {
				pictured(t, got)
				return
			}
			if !got.Curtain || len(got.Help) != tc.help || !strings.Contains(strings.Join(got.Help, "\n"), "lares device play") {
				t.Errorf("covered %v, help %q", got.Curtain, got.Help)
			}
			if n := len(s.h.Sessions()); n != 0 {
				t.Errorf("%d sessions are open that nobody watches", n)
			}
		})
	}
}

// TestWhere_Players: mpv and VLC are given the address of a session's playlist, on this
// machine and at the house's address in the network.
func TestWhere_Players(t *testing.T) {
	needs.Long(t)
	s := houseWith(t, cenc.SchemeCENC, forPlayers)
	at := private(t)
	for _, p := range []struct {
		name string
		show func(tb testing.TB, url string, from int) image.Image
	}{{"mpv", browsertest.MPV}, {"VLC", browsertest.VLC}} {
		t.Run(p.name, func(t *testing.T) {
			v := s.must(p.name, false)
			defer s.h.Stop(t.Context(), v.ID, home.StopOwner) //nolint:errcheck // it may have ended
			row := browsertest.Plays{Player: p.name, Path: "address of a session, localhost", Result: browsertest.No, Reason: "no picture"}
			if img := p.show(t, s.url+v.Playlist, 0); img != nil {
				whole := browsertest.Found{Picture: img}
				whole.Box.Width, whole.Box.Height = img.Bounds().Dx(), img.Bounds().Dy()
				pictured(t, &whole)
				row.Result, row.Reason = browsertest.Limited, onlyForPlayers
				if p.show(t, s.url+v.Playlist, 20) == nil {
					row.Reason += "; cannot be sought"
				}
			}
			row.Check(t)

			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(at, "0"))
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewUnstartedServer(fromElsewhere(s.handler(t)))
			srv.Listener.Close() //nolint:errcheck,gosec // another one takes its place
			srv.Listener = l
			srv.Start()
			defer srv.Close()
			row = browsertest.Plays{Player: p.name, Path: "address of a session, network", Result: browsertest.Works}
			if img := p.show(t, srv.URL+v.Playlist, 0); img == nil {
				res, data := get(t, "GET", srv.URL+v.Playlist, nil)
				if res.StatusCode != http.StatusForbidden || code(t, data) != "not_local" {
					t.Errorf("%d %s", res.StatusCode, data)
				}
				row.Result, row.Reason = browsertest.No, "a stream leaves the home server for browsers only that its owner let in"
			}
			row.Check(t)
		})
	}
}
