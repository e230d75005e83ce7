package module_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// bought is a house that bought a title for ever and one with a count, and whose
// shop has lost its key since.
type bought struct {
	*house
	shop    pki.Member
	counted ident.Content
	at      uint64 // epoch at which it bought
}

func newBought(t *testing.T) *bought {
	t.Helper()
	h := &bought{house: newHouse(t), counted: "counted-film"}
	st, err := h.issuer.Status(context.Background())
	h.must(err)
	h.shop = pki.Member{Class: pki.Class(st.Class), Index: st.Index}
	h.stock(cenc.SchemeCENC, filmID)
	h.stock(cenc.SchemeCENC, h.counted)
	h.must(h.builder.SetIssuer(h.issuerID, h.now, false))
	h.pass(5 * time.Hour)
	h.learn(h.home)
	h.at = h.epoch
	h.wantKinds(h.buy(filmID, h.sell("PLAY; CHARGE=PURCHASE", filmID)), trem.EventInstalled)
	h.wantKinds(h.buy(h.counted, h.stateful("PLAY; PLAY_COUNT=8; MOVE=DOMAIN", h.counted)), trem.EventInstalled, trem.EventClosed)
	return h
}

// told has everybody know the newest state, in the house of whom all devices are.
func (h *bought) told() {
	h.t.Helper()
	h.pass(5 * time.Hour)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		h.learn(b)
	}
}

func (h *bought) stands(b *box, id ident.Content, want bool) {
	h.t.Helper()
	d := h.decision(b, id)
	bad := slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code == license.BadSignature })
	if d.Allow != want || bad == want {
		h.t.Errorf("%v: allowed %v, want %v: %+v", id, d.Allow, want, d.Reasons)
	}
}

// sent reports whether a title moves from one module to another.
func (h *bought) moves(from, to *box) bool {
	h.t.Helper()
	got, err := from.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: h.counted, To: h.card(to)})
	if err != nil {
		h.t.Log(err)
		return false
	}
	h.mail(got.Letters)
	return slices.ContainsFunc(h.held(to), func(l trem.Held) bool { return l.Content == h.counted })
}

// TestLicense_2_V24_StolenAfterItWasBought: what was accepted before others had
// the shop's key plays on, and goes on to devices that never met the shop; the
// epoch of the first acceptance goes with it, from hand to hand.
func TestLicense_2_V24_StolenAfterItWasBought(t *testing.T) {
	h := newBought(t)
	h.must(h.builder.Compromise(h.issuerID, h.shop, h.at+1))
	h.told()
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.stands(h.home, filmID, true)
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
	h.stands(h.tablet, filmID, true)
	if !h.moves(h.home, h.tablet) || !h.moves(h.tablet, h.phone) {
		t.Fatal("it does not go on")
	}
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		b.restart()
	}
	h.stands(h.tablet, filmID, true)
	h.stands(h.phone, h.counted, true)
	for _, e := range h.buy("counted-film", h.sell("PLAY; CHARGE=PURCHASE", "counted-film")) {
		if e.Kind == trem.EventInstalled {
			t.Error("a shop whose key was stolen sells")
		}
	}
	// It turns out that the key was stolen before.
	h.must(h.builder.Compromise(h.issuerID, h.shop, h.at))
	h.told()
	h.stands(h.home, filmID, false)
	h.stands(h.tablet, filmID, false)
	h.stands(h.phone, h.counted, false)
}

// TestLicense_2_V24_StolenBefore: what was accepted when others had the key
// already does not stand, and goes nowhere.
func TestLicense_2_V24_StolenBefore(t *testing.T) {
	h := newBought(t)
	h.must(h.builder.Compromise(h.issuerID, h.shop, h.at))
	h.must(h.pair(h.tablet))
	h.told()
	h.stands(h.home, filmID, false)
	if got := kinds(h.get(h.tablet, filmID, 0)); slices.Contains(got, trem.EventInstalled) {
		t.Errorf("it goes on: %v", got)
	}
	if h.moves(h.home, h.tablet) {
		t.Error("it moves")
	}
	h.home.restart()
	h.stands(h.home, filmID, false)
}

// TestLicense_2_RevokedWithoutAnEpoch: what is held plays on, and nobody else
// accepts it.
func TestLicense_2_RevokedWithoutAnEpoch(t *testing.T) {
	h := newBought(t)
	h.must(h.builder.RevokeDevice(h.shop.Class, h.shop.Index))
	h.must(h.pair(h.tablet))
	h.told()
	h.stands(h.home, filmID, true)
	if got := kinds(h.get(h.tablet, filmID, 0)); slices.Contains(got, trem.EventInstalled) {
		t.Errorf("a license of a revoked shop is accepted: %v", got)
	}
}
