package module_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// plugs are the outputs of a scripted machine.
type plugs struct {
	mu   sync.Mutex
	list []module.Connector
	err  error
}

func (p *plugs) read() ([]module.Connector, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list), p.err
}

func (p *plugs) are(list ...module.Connector) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list, p.err = list, nil
}

func panel() module.Connector {
	return module.Connector{Name: "card0-eDP-1", Class: license.OutputInternal, Lit: true}
}

func hdmi(p permission.Protection) module.Connector {
	return module.Connector{Name: "card0-HDMI-A-1", Class: license.OutputDigital, Protection: p, Lit: true}
}

func (p *plugs) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// protected is a house whose tablet sees its own outputs and holds a title that
// asks for HDCP.
func protected(t *testing.T) (*house, *stuff) {
	t.Helper()
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, ownFilm)
	h.tablet.plugs = &plugs{}
	h.tablet.restart()
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(ownFilm, h.sell("PLAY; OUTPUT_PROTECTION=HDCP_1; CHARGE=PURCHASE", ownFilm)), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	return h, s
}

// What the host says of its outputs does not matter where the kernel tells of them.
func TestEvaluator_E7_TheKernelsWord(t *testing.T) {
	h, _ := protected(t)
	for _, tc := range []struct {
		name  string
		plugs []module.Connector
		allow bool
		note  bool
	}{
		{"nothing is lit: a file", nil, true, false},
		{"its own panel", []module.Connector{panel()}, true, false},
		{"a screen without protection, said to be its own panel", []module.Connector{hdmi(0)}, false, false},
		{"a protected screen", []module.Connector{hdmi(permission.ProtectHDCP1)}, true, false},
		{"its panel and a screen without protection", []module.Connector{panel(), hdmi(0)}, false, true},
		{"its panel and a protected screen", []module.Connector{panel(), hdmi(permission.ProtectHDCP22)}, true, true},
		{"its panel and a dark screen", []module.Connector{panel(), {Name: "x", Class: license.OutputDigital}}, true, false},
		{"an analog screen", []module.Connector{{Name: "x", Class: license.OutputAnalog, Lit: true}}, false, false},
		{"something that nobody knows", []module.Connector{panel(), {Name: "x", Class: "WRITEBACK", Lit: true}}, true, true}, // a small picture, by the rule for what is unknown
		{"two screens, the worse one counts", []module.Connector{hdmi(permission.ProtectHDCP22), {Name: "x", Class: license.OutputDigital, Lit: true}}, false, true},
	} {
		h.tablet.plugs.are(tc.plugs...)
		h.pass(time.Minute) // behind the moment that an output takes to come up
		h.decision(h.tablet, ownFilm)
		h.pass(time.Minute)
		d := h.decision(h.tablet, ownFilm)
		if d.Allow != tc.allow || slices.Contains(d.Notes, "MIN_OVER_OUTPUTS") != tc.note {
			t.Errorf("%s: %+v", tc.name, d)
		}
		if !tc.allow && !slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code == license.OutputCode && r.Remedy != "" }) {
			t.Errorf("%s: refused without an output and what would help: %+v", tc.name, d.Reasons)
		}
	}
	h.tablet.plugs.fail(errors.New("no permission"))
	if d := h.decision(h.tablet, ownFilm); d.Tier != license.TierSD || len(d.Reasons) == 0 {
		t.Errorf("outputs that cannot be read get more than what is unknown may: %+v", d)
	}
	st, err := h.tablet.Status(context.Background())
	if err != nil || len(st.Outputs) != 1 || st.Outputs[0].Class != "UNREAD" {
		t.Errorf("status: %+v %v", st.Outputs, err)
	}
	h.tablet.plugs.are(panel(), hdmi(permission.ProtectHDCP1))
	if st, err = h.tablet.Status(context.Background()); err != nil || len(st.Outputs) != 2 || st.Outputs[1].Protection != "HDCP_1" || !st.Outputs[1].Lit {
		t.Errorf("status: %+v %v", st.Outputs, err)
	}
}

// A named renderer is an output in the clear, whatever the host says of it: RENDER is
// refused where the license asks for protection, where it is not granted and where
// nothing is named.
func TestEvaluator_E7_ARendererOfTheNetwork(t *testing.T) {
	h, _ := protected(t)
	begin := func(b *box, ask trem.Ask) (refusal *trem.RefusalError) {
		t.Helper()
		s, err := b.Begin(context.Background(), ask)
		if err == nil {
			h.must(b.End(context.Background(), s.Handle))
		} else if !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		return refusal
	}
	ask := trem.Ask{Content: ownFilm, Action: permission.Render, Output: trem.OutputInternal, Renderer: "uuid:tv"}
	if no := begin(h.tablet, ask); no == nil || !no.Decision.Has(license.NoGrant) {
		t.Errorf("a license without RENDER: %v", no)
	}
	ask.Action = permission.Play
	if no := begin(h.tablet, ask); no == nil || !no.Decision.Has(license.OutputCode) {
		t.Errorf("PLAY on a renderer, of a license that asks for protection: %v", no)
	}
	h = newHouse(t)
	h.stock(cenc.SchemeCENC, ownFilm)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(ownFilm, h.sell("PLAY; OUTPUT_PROTECTION=HDCP_1; RENDER; CHARGE=PURCHASE", ownFilm)), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	ask.Action = permission.Render
	if no := begin(h.tablet, ask); no != nil {
		t.Errorf("RENDER, granted without protection: %v", no)
	}
	ask.Renderer = ""
	if no := begin(h.tablet, ask); no == nil || !no.Decision.Has(license.DestNotAllowed) {
		t.Errorf("RENDER on nothing: %v", no)
	}
}

// Each use of a counted RENDER is its own, and PLAY keeps its plays.
func TestEvaluator_E4_ARendererIsCharged(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, ownFilm)
	h.buy(ownFilm, h.sell("PLAY; PLAY_COUNT=3; RENDER; PLAY_COUNT=1; CHARGE=PURCHASE", ownFilm))
	ask := trem.Ask{Content: ownFilm, Action: permission.Render, Output: trem.OutputNetwork, Renderer: "uuid:tv"}
	if _, err := h.home.play(s, content.SD, ask, 0); err != nil {
		t.Fatal(err)
	}
	var no *trem.RefusalError
	if _, err := h.home.play(s, content.SD, ask, 0); !errors.As(err, &no) || !no.Decision.Has(license.CountExhausted) {
		t.Errorf("a second time: %v", err)
	}
	if d := h.decision(h.home, ownFilm); d.Counters.PlaysLeft == nil || *d.Counters.PlaysLeft != 3 {
		t.Errorf("plays left: %+v", d.Counters)
	}
}

// A screen that is plugged in while a film runs stops it within a slice once it
// had time to come up; when it is gone or protected the film goes on.
func TestEvaluator_E7_AScreenIsPluggedIn(t *testing.T) {
	h, s := protected(t)
	ctx := context.Background()
	h.tablet.plugs.are(panel())
	ses, err := h.tablet.Begin(ctx, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal})
	h.must(err)
	track := &s.m.Tracks[slices.IndexFunc(s.m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.SD })]
	n, _, err := h.tablet.Track(ctx, ses.Handle, s.read(t, track.Init))
	h.must(err)
	next := func() error {
		h.pass(20 * time.Second) // behind the slice
		_, err := h.tablet.Decrypt(ctx, ses.Handle, n, s.read(t, track.Segments[0].File))
		return err
	}
	h.must(next())
	h.tablet.plugs.are(panel(), hdmi(0))
	_ = next() // it may take a moment to come up
	var refusal *trem.RefusalError
	if err := next(); !errors.As(err, &refusal) || !slices.ContainsFunc(refusal.Decision.Reasons, func(r license.Reason) bool { return r.Code == license.OutputCode }) {
		t.Fatalf("a screen without protection: %v", err)
	}
	h.tablet.plugs.are(panel(), hdmi(permission.ProtectHDCP1))
	if err := next(); err != nil && !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	if _, err := h.tablet.play(s, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
		t.Errorf("with protection: %v", err)
	}
}
