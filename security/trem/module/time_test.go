package module_test

import (
	"context"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

func (h *house) clockOf(b *box) trem.ClockStatus {
	h.t.Helper()
	st, err := b.Status(context.Background())
	h.must(err)
	return st.Clock
}

// relay lets one module pass its time on to another.
func (h *house) relay(from, to *box) error {
	h.t.Helper()
	ctx := context.Background()
	n, err := to.Nonce(ctx)
	h.must(err)
	got, err := from.RelayTime(ctx, n)
	if err != nil {
		return err
	}
	return to.Learn(ctx, trem.Learned{Relayed: &got})
}

// reboots restarts a machine with its module: nothing proves the time any more.
func (h *house) reboots(b *box) {
	h.t.Helper()
	id := b.clock.id + 100
	b.reboot(id, h.now, time.Minute)
}

// lieAboutTime lets the time signer say something else than what is.
func (h *house) lieAboutTime(b *box, at time.Time) error {
	h.t.Helper()
	nonce, err := b.Nonce(context.Background())
	h.must(err)
	token, err := revocation.SignTime(h.times.Key, h.times.Leaf(), at, [16]byte(nonce))
	h.must(err)
	return b.Learn(context.Background(), trem.Learned{Time: token, TimeChain: h.times.Chain})
}

// V29: a token of up to a day, passed on by a household peer, gives SECURE for
// licenses of no higher level than the peer's.
func TestEvaluator_E17_V29_ARelayedToken(t *testing.T) {
	h, _ := witnessed(t)
	h.pass(20 * time.Hour)
	h.reboots(h.tablet)
	if q := h.clockOf(h.tablet).Quality; q == "SECURE" {
		t.Fatalf("after a reboot: %s", q)
	}
	h.must(h.relay(h.home, h.tablet))
	got := h.clockOf(h.tablet)
	if off := got.Est - h.now.UnixMilli(); got.Quality != "SECURE" || off < -1000 || off > 1000 {
		t.Errorf("%+v, %d ms off", got, off)
	}
	if got.Lo > h.now.Add(-20*time.Hour).UnixMilli()+1000 {
		t.Errorf("a peer's word has moved the floor: %+v", got)
	}
	if got.Unsynced == 0 {
		t.Error("a peer's word is no sync of its own")
	}
	h.pass(5 * time.Hour)
	wantRejected(t, h.relay(h.home, h.phone), trem.CodeState, "less than a day old")
	h.must(h.learnTime(h.home))
	h.must(h.relay(h.home, h.phone))
	h.reboots(h.home)
	wantRejected(t, h.relay(h.home, h.phone), trem.CodeState, "of this boot")
	h.must(h.learnTime(h.home))
	h.home.restart() // within one boot the token stays
	h.must(h.relay(h.home, h.phone))
	h.must(h.learnTime(h.tablet))
	h.must(h.relay(h.tablet, h.home)) // a member to the manager
	h.must(h.relay(h.tablet, h.phone))
}

func TestTime_RelayedByTheHouseholdOnly(t *testing.T) {
	h, _ := witnessed(t)
	ctx := context.Background()
	stranger := h.box(pki.HomeServer, pkitest.HomeServers)
	h.learn(stranger)
	_, err := stranger.Found(ctx)
	h.must(err)
	wantRejected(t, h.relay(stranger, h.tablet), trem.CodeRejected, "does not manage this house")
	n, err := h.tablet.Nonce(ctx)
	h.must(err)
	got, err := h.home.RelayTime(ctx, n)
	h.must(err)
	for name, bend := range map[string]func(*trem.RelayedTime){
		"another's chain":    func(r *trem.RelayedTime) { st, err := h.phone.Status(ctx); h.must(err); r.Member = st.Chain },
		"another signature":  func(r *trem.RelayedTime) { r.Relay = append([]byte{}, r.Relay...); r.Relay[len(r.Relay)-1] ^= 1 },
		"no time signer":     func(r *trem.RelayedTime) { r.TimeSigner = r.Member },
		"a membership of it": func(r *trem.RelayedTime) { r.Membership = []byte{0x80} },
	} {
		bent := got
		bend(&bent)
		if err := h.tablet.Learn(ctx, trem.Learned{Relayed: &bent}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	h.must(h.tablet.Learn(ctx, trem.Learned{Relayed: &got}))
	if err := h.tablet.Learn(ctx, trem.Learned{Relayed: &got}); err == nil {
		t.Error("a relayed time answers one nonce once")
	}
}

// More than 400 days ahead needs two signers: here the time signer and the signer
// of revocation states.
func TestEvaluator_E1_AJumpNeedsTwoSigners(t *testing.T) {
	h, _ := witnessed(t)
	was := h.clockOf(h.phone)
	h.pass(401 * 24 * time.Hour)
	h.pki.Now = h.now
	h.times, h.state = h.pki.Party(pki.TimeSigner), h.pki.Party(pki.StateSigner)
	h.phone.reboot(77, time.UnixMilli(was.Est), time.Minute) // the machine was off
	wantRejected(t, h.learnTime(h.phone), trem.CodeRejected, "second signer")
	wantRejected(t, h.learnTime(h.phone), trem.CodeRejected, "second signer") // the same one twice
	h.must(h.learnState(h.phone, h.publish()))
	h.must(h.learnTime(h.phone))
	got := h.clockOf(h.phone)
	if off := got.Est - h.now.UnixMilli(); got.Quality != "SECURE" || off < -1000 || off > 1000 {
		t.Errorf("with two signers: %+v, %d ms off", got, off)
	}
}

// V30: an issuer's time is a floor for its own licenses only.
func TestEvaluator_E17_V30_AnIssuersTime(t *testing.T) {
	h, own := witnessed(t)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	if _, err := h.tablet.play(own, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
		t.Error(err)
	}
	const later, another = ident.Content("later"), ident.Content("another")
	h.stock(cenc.SchemeCENC, later)
	h.stock(cenc.SchemeCENC, another)
	end := h.now.Add(30 * 24 * time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	h.wantKinds(h.buy(later, h.sell("PLAY; END_TIME="+end, later)), trem.EventInstalled)
	if d := h.decision(h.home, later); !d.Allow {
		t.Fatalf("before its end: %+v", d)
	}
	h.must(h.lieAboutTime(h.issuer, h.now.Add(40*24*time.Hour)))
	h.wantKinds(h.buy(another, h.sell(purchase, another)), trem.EventInstalled)
	if d := h.decision(h.home, later); d.Allow {
		t.Errorf("a license that its issuer's own time has ended: %+v", d)
	}
	if d := h.decision(h.home, ownFilm); !d.Allow {
		t.Errorf("a purchase: %+v", d)
	}
	if q := h.clockOf(h.home); q.Est > h.now.Add(time.Hour).UnixMilli() {
		t.Errorf("an issuer has moved the clock: %+v", q)
	}
	h.home.restart()
	h.learn(h.home)
	if d := h.decision(h.home, later); d.Allow {
		t.Errorf("forgotten by a restart: %+v", d)
	}
}

// Only the root leads a clock back.
func TestEvaluator_E1_TimeReset(t *testing.T) {
	h, _ := witnessed(t)
	ctx := context.Background()
	day := 24 * time.Hour
	true0 := h.now
	h.must(h.lieAboutTime(h.tablet, h.now.Add(300*day)))
	if h.clockOf(h.tablet).Lo < true0.Add(299*day).UnixMilli() {
		t.Fatal("the lie was not believed")
	}
	reset := func(serial uint64, class pki.Class, most time.Time) []byte {
		data, err := revocation.SignTimeReset(h.pki.CAs[pkitest.RootClass].Signer, h.pki.Root, revocation.TimeReset{Class: class, MaxLo: most.UnixMilli(), Serial: serial})
		h.must(err)
		return data
	}
	learn := func(b *box, data []byte) error { return b.Learn(ctx, trem.Learned{TimeReset: data}) }
	forged, err := revocation.SignTimeReset(h.pki.Key(), h.pki.Root, revocation.TimeReset{MaxLo: 1, Serial: 9})
	h.must(err)
	if err := learn(h.tablet, forged); err == nil {
		t.Error("a reset that the root has not signed")
	}
	h.must(learn(h.tablet, reset(1, 4711, true0))) // for another class
	if h.clockOf(h.tablet).Lo < true0.Add(299*day).UnixMilli() {
		t.Error("it obeyed a reset for others")
	}
	h.must(learn(h.tablet, reset(2, 0, true0)))
	if got := h.clockOf(h.tablet); got.Lo > true0.UnixMilli() || got.Quality == "SECURE" {
		t.Errorf("after the reset: %+v", got)
	}
	h.must(h.learnTime(h.tablet))
	if got := h.clockOf(h.tablet); got.Quality != "SECURE" || got.Est > h.now.UnixMilli()+1000 {
		t.Errorf("it finds the true time again: %+v", got)
	}
	lo := h.clockOf(h.tablet).Lo
	h.must(learn(h.tablet, reset(2, 0, true0.Add(-100*day)))) // the same serial
	h.must(learn(h.tablet, reset(1, 0, true0.Add(-100*day)))) // an older one
	h.tablet.restart()
	h.must(learn(h.tablet, reset(2, 0, true0.Add(-100*day))))
	if got := h.clockOf(h.tablet).Lo; got < lo {
		t.Errorf("an old reset has moved lo from %d to %d", lo, got)
	}
}
