package httpd_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// A device takes a browser's place: the answer is the module's, the page of the browser
// says where it goes on; and a device that is too many learns the names of the screens.
func TestPlaces_ADeviceTakesABrowsersPlace(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	crowded(h, module, adapttest.License(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1} }))
	s := &screens{t, srv.URL, h}
	first := s.must("Chrome/150", false)
	id, device := h.Sessions()[0].Decision.License, ident.Device{0xd1}
	var got trem.PlaceAsk
	outcome, ended := trem.PlaceFull, []uint64(nil)
	module.OnKeepPlace = func(a trem.PlaceAsk) (trem.PlaceKept, error) {
		got = a
		return trem.PlaceKept{Object: []byte("answer"), Device: device, License: id, Outcome: outcome, Ended: ended}, nil
	}
	module.Lock()
	module.Slots = []trem.Slot{
		{License: id, Device: module.State.Device, Since: 1000, Session: 1}, {License: ident.License{9}, Device: ident.Device{7}, Since: 1},
	}
	module.Unlock()
	ask := map[string]any{"object": []byte("ask"), "chain": [][]byte{[]byte("leaf")}}
	send := func() (out home.PlaceAnswer) {
		t.Helper()
		res, data := get(t, "POST", srv.URL+home.PathPlaces, ask)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, data)
		}
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	full := send()
	if string(got.Object) != "ask" || len(got.Chain) != 1 || string(full.Object) != "answer" {
		t.Errorf("carried %+v, answered %+v", got, full)
	}
	if len(full.Screens) != 1 || full.Screens[0].Screen != "Chrome on Linux, on the home server" || full.Screens[0].Device != module.State.Device {
		t.Errorf("who plays: %+v", full.Screens)
	}
	outcome, ended = trem.PlaceGranted, []uint64{1}
	if got := send(); len(got.Screens) != 0 || len(h.Sessions()) != 0 {
		t.Errorf("%+v, and %d sessions", got, len(h.Sessions()))
	}
	res, data := get(t, "GET", srv.URL+"/api/v1/sessions/"+first.ID, nil)
	if res.StatusCode != http.StatusGone || !strings.Contains(string(data), "It goes on on this screen: "+device.String()) {
		t.Errorf("the browser is told %d %s", res.StatusCode, data)
	}
	module.OnKeepPlace = func(trem.PlaceAsk) (trem.PlaceKept, error) {
		return trem.PlaceKept{}, &trem.Error{Code: trem.CodeRejected, Text: "place: the message does not hold"}
	}
	if res, _ := get(t, "POST", srv.URL+home.PathPlaces, ask); res.StatusCode < 400 || res.StatusCode >= 500 {
		t.Errorf("what the module rejects: %d", res.StatusCode)
	}
}

// A browser that is too many is told of a device that plays, and who may, takes it over.
func TestPlaces_ABrowserIsToldOfADevice(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	crowded(h, module, adapttest.License(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1} }))
	s := &screens{t, srv.URL, h}
	device := ident.Device{0xd1}
	first := s.must("Chrome/150", false)
	id := h.Sessions()[0].Decision.License
	if err := h.Stop(t.Context(), first.ID, home.StopOwner); err != nil {
		t.Fatal(err)
	}
	module.Lock()
	module.Slots = []trem.Slot{{License: id, Device: device, Since: h.Now().Add(-time.Minute).UnixMilli()}}
	decide := module.Decide
	module.Unlock()
	module.Decide = func(a trem.Ask) license.Decision {
		d := decide(a)
		if d.Allow && !a.Takeover {
			d.Allow, d.Reasons = false, []license.Reason{{Code: license.SlotFull, Constraint: "CONCURRENCY", Closed: true, Remedy: license.Takeover}}
		}
		return d
	}
	res, _, p := s.play("Firefox/150", false)
	if res.StatusCode != http.StatusConflict || len(p.Screens) != 1 || p.Screens[0].Session != "" || p.Screens[0].Screen != device.String() {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	if _, body := get(t, "GET", srv.URL+"/title/"+url.PathEscape(filmPath), nil); !strings.Contains(pageText(body), "It is playing on this screen: "+device.String()) {
		t.Errorf("the title's page: %s", pageText(body))
	}
	s.must("Firefox/150", true)
	child := home.As(t.Context(), &home.Watcher{Person: home.Person{ID: "b", Kind: home.Child, Age: 9}})
	for _, own := range h.Sessions() {
		if err := h.Stop(t.Context(), own.ID, home.StopOwner); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Play(child, home.PlayRequest{Content: filmPath, Takeover: true}); err == nil {
		t.Error("a child takes a device's place")
	}
}
