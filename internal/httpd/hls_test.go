package httpd_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/interconnect/adapt/hls"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// A session is served to a player without EME where its license names hls, with
// a key of this session, and not behind its end.
func TestHLS_TheHouseServesASession(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		srv, h, module := house(t, scheme)
		lic := adapttest.License(t, "PLAY; EXPORT=clearkey,hls")
		other := adapttest.License(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.ID = ident.License{9} })
		module.Held = []trem.Held{{License: lic.Info().ID, Bytes: lic.Bytes()}, {License: other.Info().ID, Bytes: other.Bytes()}}
		play := func(of ident.License) string {
			module.Decide = func(trem.Ask) license.Decision { return license.Decision{Allow: true, License: of} }
			p, err := h.Play(t.Context(), home.PlayRequest{Content: filmPath})
			if err != nil {
				t.Fatal(err)
			}
			return p.ID
		}
		session := play(lic.Info().ID)
		root := srv.URL + "/play/" + session + "/hls/aes-128/"
		res, main := get(t, http.MethodGet, root+"main.m3u8", nil)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != hls.MediaType {
			t.Fatalf("%v: %d %s", scheme, res.StatusCode, main)
		}
		tracks, err := h.Tracks(session)
		if err != nil || len(tracks) == 0 {
			t.Fatal(err)
		}
		_, raw := get(t, http.MethodGet, root+tracks[0].Name+"/key", nil)
		key, err := cenc.NewContentKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, data := get(t, http.MethodGet, root+tracks[0].Name+"/1.m4s", nil)
		if plain, err := hls.Decrypt(key, 1, data); err != nil || !bytes.Contains(plain[:64], []byte("moof")) && !bytes.Contains(plain[:64], []byte("styp")) {
			t.Errorf("%v: segment: %v", scheme, err)
		}
		second := play(lic.Info().ID)
		if _, again := get(t, http.MethodGet, srv.URL+"/play/"+second+"/hls/aes-128/"+tracks[0].Name+"/key", nil); bytes.Equal(again, raw) {
			t.Error("two sessions have one key")
		}
		for _, file := range []string{"main.m3u8", tracks[0].Name + "/key"} {
			if res, body := get(t, http.MethodGet, fmt.Sprintf("%s/play/%s/hls/aes-128/%s", srv.URL, play(other.Info().ID), file), nil); res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "not_exportable") {
				t.Errorf("%s of a license that does not name hls: %d %s", file, res.StatusCode, body)
			}
		}
		if err := h.Stop(t.Context(), session, home.StopOwner); err != nil {
			t.Fatal(err)
		}
		if res, _ := get(t, http.MethodGet, root+tracks[0].Name+"/key", nil); res.StatusCode != http.StatusGone {
			t.Errorf("behind the end: %d", res.StatusCode)
		}
	}
}
