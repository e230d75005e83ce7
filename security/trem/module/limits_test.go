package module_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// bounded is a house whose shop bounds the devices.
func bounded(t *testing.T, terms string, rule license.DomainRule) *house {
	t.Helper()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	sell := h.stateful(terms, filmID)
	h.buy(filmID, func(e trem.Event) trem.Terms {
		out := sell(e)
		out.Info.Policy.Domain = &rule
		return out
	})
	if len(h.held(h.home)) != 1 {
		t.Fatal("the house has no license")
	}
	return h
}

func (h *house) wantRefused(got []trem.Event, code string) {
	h.t.Helper()
	if len(got) != 1 || got[0].Kind != trem.EventRefused || got[0].Code != code {
		h.t.Fatalf("%+v, want %s", got, code)
	}
}

// One device of a house has it; a second one gets it when the first is out, as it is,
// as plays set aside, and by a hand-over; also after a restart.
func TestDomain_TheIssuerBoundsTheDevices(t *testing.T) {
	for _, terms := range []string{purchase, "PLAY; PLAY_COUNT=9"} {
		h := bounded(t, terms, license.DomainRule{Devices: 1})
		if got := h.get(h.tablet, filmID, 0); kinds(got)[0] != trem.EventInstalled {
			t.Fatalf("%s: the first device: %+v", terms, got)
		}
		h.wantRefused(h.get(h.phone, filmID, 0), "DOMAIN_FULL")
		h.home.restart()
		h.learn(h.home)
		h.wantRefused(h.get(h.phone, filmID, 0), "DOMAIN_FULL")
		if got := h.get(h.tablet, filmID, 0); kinds(got)[0] == trem.EventFailed {
			t.Errorf("%s: the first device again: %+v", terms, got)
		}
		h.must(h.home.Remove(t.Context(), h.tablet.id))
		if got := h.get(h.phone, filmID, 0); kinds(got)[0] != trem.EventInstalled {
			t.Errorf("%s: after the first is out: %+v", terms, got)
		}
	}
}

// New devices of a year are counted, also those that were put out meanwhile.
func TestDomain_TheIssuerBoundsNewDevicesOfAYear(t *testing.T) {
	h := bounded(t, purchase, license.DomainRule{Devices: 9, NewAYear: 1})
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
	h.wantRefused(h.get(h.phone, filmID, 0), "DOMAIN_RATE")
	h.must(h.home.Remove(t.Context(), h.tablet.id))
	h.wantRefused(h.get(h.phone, filmID, 0), "DOMAIN_RATE")
}

// A hand-over is counted too, and a device gives such a license to the house's server
// only.
func TestDomain_TheIssuerBoundsHandOvers(t *testing.T) {
	h := bounded(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN", license.DomainRule{Devices: 1})
	ctx := t.Context()
	got, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.tablet)})
	h.must(err)
	h.mail(got.Letters)
	want := func(what string, err error, constraint string) {
		t.Helper()
		if no, ok := errors.AsType[*trem.RefusalError](err); !ok || no.Decision.Reasons[0].Constraint != constraint || no.Decision.Reasons[0].Remedy == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	want("from device to device", err, "DOMAIN_DEVICES")
	back, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
	h.must(err)
	h.mail(back.Letters)
	_, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	want("to a second device", err, "DOMAIN_DEVICES")
	if got := h.ask(h.phone, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}); len(got) != 1 || got[0].Code != "DOMAIN_FULL" {
		t.Errorf("asked for: %+v", got)
	}
	h.pass(31 * 24 * time.Hour) // the tablet lapses, and counts no more
	for _, b := range []*box{h.home, h.phone} {
		h.learn(b)
	}
	h.mail(h.letters(h.phone))
	got, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.mail(got.Letters)
	if len(h.held(h.phone)) != 1 || got.Transfer == (ident.Transfer{}) {
		t.Error("it has not come")
	}
}
