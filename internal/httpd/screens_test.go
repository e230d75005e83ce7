package httpd_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// crowded makes the stand-in judge as the module does: by its evaluator, with the house's
// open sessions as slots.
func crowded(h *home.Home, module *hometest.Module, lic *license.License) {
	module.Held = []trem.Held{{License: lic.Info().ID, Content: filmPath, Bytes: lic.Bytes()}}
	module.Decide = func(a trem.Ask) license.Decision {
		in := license.Input{Clock: license.Clock{Q: license.Secure, Lo: lic.Info().IssuedAt, Est: lic.Info().IssuedAt}}
		in.Env = license.Env{Accepted: true, Level: 3, Anchor: 2, Domains: []license.Membership{{Domain: lic.Info().Subject.Domain(), Generation: 1}}}
		for _, k := range lic.Info().Keys {
			in.Env.Keys = append(in.Env.Keys, k.KID)
		}
		for i := range h.Sessions() {
			s := license.Slot{Since: in.Clock.Est, Seen: in.Clock.Est}
			s.Device[0] = byte(i + 1) //nolint:gosec // few
			in.Env.Slots = append(in.Env.Slots, s)
		}
		in.Request = license.Request{Action: permission.Play, Takeover: a.Takeover, From: a.FromMS, Output: license.Output{Class: license.OutputLink}}
		return lic.Evaluate(in)
	}
}

type screens struct {
	t   *testing.T
	url string
	h   *home.Home
}

// play asks as a browser of some kind.
func (s *screens) play(agent string, takeover bool) (*http.Response, httpd.SessionView, httpd.Problem) {
	s.t.Helper()
	res, data := get(s.t, "POST", s.url+"/api/v1/sessions", httpd.PlayBody{Content: filmPath, Takeover: takeover}, func(r *http.Request) {
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) "+agent)
	})
	var v httpd.SessionView
	var p httpd.Problem
	var err error
	if res.StatusCode == http.StatusCreated {
		err = json.Unmarshal(data, &v)
	} else {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", data, err)
	}
	return res, v, p
}

// handler is the house's own, for another address.
func (s *screens) handler(t *testing.T) http.Handler {
	t.Helper()
	h, err := httpd.New(httpd.Config{Home: s.h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// must plays, or the test ends.
func (s *screens) must(agent string, takeover bool) httpd.SessionView {
	s.t.Helper()
	res, v, p := s.play(agent, takeover)
	if res.StatusCode != http.StatusCreated {
		s.t.Fatalf("%d %+v", res.StatusCode, p)
	}
	return v
}

func crowdedHouse(t *testing.T, terms string, edit ...func(*license.Info)) *screens {
	t.Helper()
	srv, h, module := house(t, cenc.SchemeCENC)
	crowded(h, module, adapttest.License(t, terms, edit...))
	return &screens{t, srv.URL, h}
}

// What counts plays on one screen at a time: who comes second is told where and since
// when, and may continue there; the first one is told where it went on.
func TestScreens_ContinueHere(t *testing.T) {
	s := crowdedHouse(t, "PLAY; PLAY_COUNT=2; EXPORT=clearkey")
	first := s.must("Chrome/150", false)
	res, _, p := s.play("Firefox/150", false)
	want := []string{"It is playing on this screen: Chrome on Linux, on the home server, since today ", "Continue here, and it stops there."}
	if res.StatusCode != http.StatusConflict || p.Code != "in_use" || len(p.Words) != 2 || !strings.HasPrefix(p.Words[0], want[0]) || p.Words[1] != want[1] {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	if len(p.Screens) != 1 || p.Screens[0].Session != first.ID || !p.Screens[0].Since.Equal(first.Started) || len(s.h.Sessions()) != 1 {
		t.Errorf("%+v, want the first session and nothing ended", p.Screens)
	}
	for _, body := range []string{`{"ms":-1}`, `{"ms":604800001}`, `{"ms":"1"}`, `{"at":1}`} {
		if res, _ := get(t, "PUT", s.url+"/api/v1/sessions/"+first.ID+"/position", json.RawMessage(body)); res.StatusCode != http.StatusBadRequest {
			t.Errorf("position %s: %d", body, res.StatusCode)
		}
	}
	if res, data := get(t, "PUT", s.url+"/api/v1/sessions/"+first.ID+"/position", httpd.PositionBody{MS: 23_500}); res.StatusCode != http.StatusNoContent {
		t.Fatalf("position: %d %s", res.StatusCode, data)
	}
	events, cancel, err := s.h.Subscribe(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	second := s.must("Firefox/150", true)
	if second.FromMS != 23_500 {
		t.Errorf("it goes on at %d ms, want where the first one was", second.FromMS)
	}
	if e := <-events; e.Session != first.ID || e.Reason != home.StopTaken {
		t.Errorf("event %+v", e)
	}
	res, data := get(t, "GET", s.url+"/api/v1/sessions/"+first.ID, nil)
	if res.StatusCode != http.StatusGone || !strings.Contains(string(data), "It goes on on this screen: Firefox on Linux, on the home server.") {
		t.Errorf("the first one is told %d %s", res.StatusCode, data)
	}
	if res, _ := get(t, "PUT", s.url+"/api/v1/sessions/"+first.ID+"/position", httpd.PositionBody{MS: 1}); res.StatusCode != http.StatusGone {
		t.Errorf("a position of what has ended: %d", res.StatusCode)
	}
	if _, body := get(t, "GET", s.url+second.Watch, nil); !strings.Contains(string(body), `data-from="23500"`) {
		t.Error("the player's page does not begin there")
	}
}

// Several screens at once as the license says; the library and the title's page offer to
// continue where the oldest one would give way.
func TestScreens_AsManyAsTheLicenseSays(t *testing.T) {
	s := crowdedHouse(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 2} })
	first := s.must("Chrome/150", false)
	s.must("Firefox/150", false)
	res, _, p := s.play("Safari/600", false)
	if res.StatusCode != http.StatusConflict || len(p.Screens) != 2 || p.Words[2] != "Continue here, and it stops on this screen: Chrome on Linux, on the home server." {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	for _, page := range []string{"/", "/title/" + url.PathEscape(filmPath)} {
		_, body := get(t, "GET", s.url+page, nil)
		if text := string(body); !strings.Contains(text, "data-takeover") || !strings.Contains(text, "It is playing on this screen: Chrome on Linux") || strings.Contains(text, "Not in the browser now") {
			t.Errorf("%s does not offer to continue: %s", page, pageText(body))
		}
	}
	if _, body := get(t, "GET", s.url+"/activity", nil); !strings.Contains(pageText(body), "on this screen: Firefox on Linux, on the home server, since") {
		t.Errorf("what plays where: %s", pageText(body))
	}
	third := s.must("Safari/600", true)
	open := s.h.Sessions()
	if len(open) != 2 || slices.ContainsFunc(open, func(p *home.Playback) bool { return p.ID == first.ID }) {
		t.Errorf("%d sessions, want the second and the third", len(open))
	}
	if err := s.h.Stop(t.Context(), third.ID, home.StopOwner); err != nil {
		t.Fatal(err)
	}
	s.must("Safari/600", false)
}

// Where the license says so nobody gives way, and the page says for whom to wait.
func TestScreens_NobodyGivesWay(t *testing.T) {
	s := crowdedHouse(t, "PLAY; EXPORT=clearkey", func(i *license.Info) {
		i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1, OnFull: license.BlockNew}
	})
	s.must("Chrome/150", false)
	for _, takeover := range []bool{false, true} {
		res, _, p := s.play("Firefox/150", takeover)
		if res.StatusCode != http.StatusForbidden || p.Code != "refused" || p.Decision == nil || p.Words[1] != "It can begin here when it has ended there." {
			t.Errorf("takeover %v: %d %+v", takeover, res.StatusCode, p)
		}
	}
	if _, body := get(t, "GET", s.url+"/title/"+url.PathEscape(filmPath), nil); strings.Contains(string(body), "data-play=") || !strings.Contains(pageText(body), "It can begin here when it has ended there.") {
		t.Errorf("the title's page: %s", pageText(body))
	}
}

// The module may end a session for one that this house began at the same moment.
func TestScreens_TheModuleEndedIt(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	p, err := h.Play(t.Context(), home.PlayRequest{Content: filmPath})
	if err != nil {
		t.Fatal(err)
	}
	if err := module.End(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	tracks, err := h.Tracks(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	res, data := get(t, "GET", srv.URL+"/play/"+p.ID+"/"+tracks[0].Name+"/0", nil)
	if res.StatusCode != http.StatusGone || !strings.Contains(string(data), "It goes on on another screen.") {
		t.Errorf("%d %s", res.StatusCode, data)
	}
}

// Two windows of a real browser: the second continues where the first one was, which says
// where it went on.
func TestScreens_TwoWindows(t *testing.T) {
	needs.Long(t)
	s := crowdedHouse(t, "PLAY; PLAY_COUNT=2; EXPORT=clearkey")
	got := browsertest.TakeOver(t, s.url+"/")
	if len(got.Asked) != 2 || !strings.Contains(got.Asked[0], "on the home server") {
		t.Errorf("the second window asks %q", got.Asked)
	}
	if !strings.HasPrefix(got.First, "It goes on on this screen: Chrome on Linux") {
		t.Errorf("the first window says %q", got.First)
	}
	if got.From < 20 || got.At < got.From {
		t.Errorf("the second window began at %.1f s and is at %.1f s; the first was at 21 s or more", got.From, got.At)
	}
}

// A child takes no screen from somebody else, whatever the license offers; its own it
// continues elsewhere.
func TestScreens_AChildEndsOnlyItsOwn(t *testing.T) {
	s := crowdedHouse(t, "PLAY; PLAY_COUNT=2; EXPORT=clearkey")
	child := home.As(t.Context(), &home.Watcher{Person: home.Person{ID: "b", Kind: home.Child, Age: 9}})
	grown := home.As(t.Context(), &home.Watcher{Person: home.Person{ID: "a", Kind: home.Adult}})
	film := home.PlayRequest{Content: filmPath, Takeover: true}
	first, err := s.h.Play(grown, film)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.h.Play(child, film)
	if full, ok := errors.AsType[*home.InUseError](err); !ok || full.Ask || len(full.Open) != 1 || len(s.h.Sessions()) != 1 {
		t.Fatalf("a child takes an adult's screen: %v", err)
	}
	if err := s.h.Stop(t.Context(), first.ID, home.StopPlayer); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.h.Play(child, film); err != nil || len(s.h.Sessions()) != 1 {
			t.Fatalf("its own: %v", err)
		}
	}
	one := crowdedHouse(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1} })
	if _, err := one.h.Play(grown, film); err != nil {
		t.Fatal(err)
	}
	film.Takeover = false
	_, err = one.h.Play(child, film)
	if full, ok := errors.AsType[*home.InUseError](err); !ok || full.Ask || one.h.InUse(child, filmPath, &full.Decision).Ask || !one.h.InUse(grown, filmPath, &full.Decision).Ask {
		t.Errorf("a child is offered an adult's screen: %v", err)
	}
}

// A child that asks while an adult's play begins waits, and finds it open: it does not end
// what it could not see.
func TestScreens_AChildEndsNoPlayThatBegins(t *testing.T) {
	_, h, module := house(t, cenc.SchemeCENC)
	crowded(h, module, adapttest.License(t, "PLAY; PLAY_COUNT=2; EXPORT=clearkey"))
	child := home.As(t.Context(), &home.Watcher{Person: home.Person{ID: "b", Kind: home.Child, Age: 9}})
	grown := home.As(t.Context(), &home.Watcher{Person: home.Person{ID: "a", Kind: home.Adult}})
	film := home.PlayRequest{Content: filmPath, Takeover: true}
	asked := make(chan error, 1)
	judged, decide := sync.OnceFunc(func() {
		go func() {
			_, err := h.Play(child, film)
			asked <- err
		}()
		time.Sleep(50 * time.Millisecond) // enough for it to ask the module, if it may
	}), module.Decide
	module.Decide = func(a trem.Ask) license.Decision {
		judged()
		return decide(a)
	}
	if _, err := h.Play(grown, film); err != nil {
		t.Fatal(err)
	}
	err := <-asked
	if _, full := errors.AsType[*home.InUseError](err); !full || len(h.Sessions()) != 1 || h.Sessions()[0].Person != "a" {
		t.Errorf("%v, and %d sessions", err, len(h.Sessions()))
	}
}
