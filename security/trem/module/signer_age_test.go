package module_test

import (
	"context"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// TestLicense_2_OutlivesItsIssuersCertificate: a shop's certificate has run out.
// What a house bought before goes to its devices all the same, and from one to
// the other: the module that hands it over has accepted it in time. The shop
// itself sells nothing with it any more.
func TestLicense_2_OutlivesItsIssuersCertificate(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell("PLAY; CHARGE=PURCHASE", filmID)), trem.EventInstalled)
	h.pass(100 * 24 * time.Hour) // the shop's certificate holds for 90
	for _, b := range []*box{h.home, h.tablet} {
		h.learn(b)
	}
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
	if _, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0); err != nil {
		t.Error(err)
	}
	h.tablet.restart()
	if _, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	o, err := h.home.Open(context.Background(), trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
	h.must(err)
	for _, e := range h.carry(h.home, h.issuer, o, h.sell("PLAY; CHARGE=PURCHASE", filmID)) {
		if e.Kind == trem.EventInstalled {
			t.Error("a shop whose certificate has run out sells")
		}
	}
}

// TestBackup_4_OutlivesItsIssuersCertificate: a backup is made when the shop's
// certificate has run out. What the code may bring back comes back all the same.
func TestBackup_4_OutlivesItsIssuersCertificate(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, household(h.sell("PLAY", filmID), 0x51)), trem.EventInstalled)
	h.pass(100 * 24 * time.Hour)
	h.learn(h.home)
	code := h.code()
	_, file := h.backup(code, "")
	h.lose()
	if out := h.restore(h.home, code, file, 0); needsOf(out.Titles)[filmID] != trem.NeedsNothing {
		t.Errorf("restored %+v", out.Titles)
	}
	if _, err := h.home.play(s, content.HD, playAsk(content.HD), 0); err != nil {
		t.Error(err)
	}
}
