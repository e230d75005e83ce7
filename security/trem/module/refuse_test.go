package module_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// nothingStored holds a module to what it had before.
func nothingStored(t *testing.T, b *box, do func()) {
	t.Helper()
	before, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do()
	after, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if before.Licenses != after.Licenses || before.Records != after.Records {
		t.Errorf("before %d licenses and %d records, after %d and %d", before.Licenses, before.Records, after.Licenses, after.Records)
	}
}

// failed finds the failure among events and returns what it says.
func failed(t *testing.T, events []trem.Event) string {
	t.Helper()
	for _, e := range events {
		if e.Kind == trem.EventInstalled {
			t.Fatal("a license was installed")
		}
		if e.Kind == trem.EventFailed || e.Kind == trem.EventRefused {
			return e.Code + " " + e.Text
		}
	}
	return ""
}

// TestStory_6_EveryByteOfEveryMessage changes each byte of each message, and
// cuts each message, on the way from the shop to the home server: nothing is
// ever stored.
func TestStory_6_TamperedAndTruncatedMessagesStoreNothing(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	ctx := context.Background()
	bend := func(n int, how func([]byte) []byte) {
		o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
		h.must(err)
		to, from := h.issuer, h.home
		for i, m := 0, o.Messages[0]; i < 4; i++ {
			if i == n {
				m.Bytes = how(m.Bytes)
			}
			got, err := to.Receive(ctx, m)
			h.must(err)
			out := got.Messages
			for _, e := range got.Events {
				if e.Kind == trem.EventInstalled {
					t.Errorf("message %d changed, and the license was installed", n+1)
				}
				out = append(out, h.host(to, e, h.sell(purchase, filmID))...)
			}
			if len(out) == 0 {
				return
			}
			m, to, from = out[0], from, to
		}
	}
	nothingStored(t, h.home, func() {
		for n := range 4 {
			for _, at := range []int{0, 1, 2, 5, 20, 40, 60, 100, 200, 400, 700, 1000} {
				bend(n, func(b []byte) []byte {
					b = bytes.Clone(b)
					b[at%len(b)] ^= 0x10
					return b
				})
				bend(n, func(b []byte) []byte { return b[:at%len(b)] })
			}
		}
	})
	h.wantKinds(h.buy(filmID, h.sell(purchase, filmID)), trem.EventInstalled)
}

// TestStory_6_CertificateOfTheWrongClass: a device does not issue licenses, and a home
// server takes none from it. To which devices an issuer gives some,
// TestDomain_TheManagerIsNotSwapped says.
func TestStory_6_CertificateOfTheWrongClass(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	ctx := context.Background()
	nothingStored(t, h.home, func() {
		o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.tablet.id, Request: ident.NewRequest(), Content: filmID, Issuer: h.issuerID})
		h.must(err)
		got, err := h.tablet.Receive(ctx, o.Messages[0])
		h.must(err)
		text := failedAnywhere(t, h, h.home, h.tablet, got)
		if !strings.Contains(text, "role") {
			t.Errorf("the rule is not named: %q", text)
		}
	})
}

// failedAnywhere carries on until one side says why it fails.
func failedAnywhere(t *testing.T, h *house, a, b *box, got trem.Received) string {
	t.Helper()
	for to, other := a, b; ; to, other = other, to {
		if text := failed(t, got.Events); text != "" {
			return text
		}
		if len(got.Messages) == 0 {
			return ""
		}
		var err error
		got, err = to.Receive(context.Background(), got.Messages[0])
		h.must(err)
	}
}

// TestStory_6_ExpiredChain lets the issuer's certificate run out.
func TestStory_6_ExpiredChain(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.pass(100 * 24 * time.Hour)
	h.learn(h.home)
	nothingStored(t, h.home, func() {
		text := failed(t, h.buy(filmID, h.sell(purchase, filmID)))
		if !strings.Contains(text, "validity") {
			t.Errorf("the rule is not named: %q", text)
		}
	})
}

// TestStory_7_RevokedClass: the class of a device is revoked; the home server
// refuses it on its own, and goes on serving the other.
func TestStory_7_RevokedClassIsRefusedByTheHouse(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(purchase, filmID))
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.must(h.issuer.Close()) // the shop is gone
	h.must(h.builder.RevokeClass(pkitest.SecondDevices, 0))
	h.must(h.learnState(h.home, h.publish()))
	o, err := h.phone.Open(context.Background(), trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: filmID})
	h.must(err)
	nothingStored(t, h.phone, func() {
		got, err := h.home.Receive(context.Background(), o.Messages[0])
		h.must(err)
		if text := failedAnywhere(t, h, h.phone, h.home, got); !strings.Contains(text, "revoked") && !strings.Contains(text, "STALE") {
			t.Errorf("the rule is not named: %q", text)
		}
	})
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
}

// TestE1_RejectedStatements: what may not move the clock or the epoch does not.
func TestE1_RejectedStatements(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	other := pkitest.New(t, pkitest.Start())
	reject := func(name string, l trem.Learned) {
		t.Helper()
		var e *trem.Error
		nothingStored(t, h.tablet, func() {
			if err := h.tablet.Learn(ctx, l); !errors.As(err, &e) || e.Code != trem.CodeRejected {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	s := h.publish()
	stranger := other.Party(pki.StateSigner)
	reject("a state signer of another house", trem.Learned{Head: s.Head().Bytes(), HeadChain: stranger.Chain, Snapshot: s.Snapshot()})
	reject("a time signer as state signer", trem.Learned{Head: s.Head().Bytes(), HeadChain: h.times.Chain, Snapshot: s.Snapshot()})
	bad := bytes.Clone(s.Snapshot())
	bad[len(bad)/2] ^= 1
	reject("a changed snapshot", trem.Learned{Head: s.Head().Bytes(), HeadChain: h.state.Chain, Snapshot: bad})
	reject("a token that nobody asked for", trem.Learned{Time: []byte{1}, TimeChain: h.times.Chain})
	if err := h.learnState(h.tablet, s); err != nil {
		t.Errorf("the real state: %v", err)
	}
}

// TestPKI_2_TwoStatesOfOneEpoch: the state held stays, also after a restart, and
// whom the other one revokes is not served until the next epoch decides.
func TestPKI_2_TwoStatesOfOneEpoch(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(purchase, filmID))
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	other := revocation.NewBuilder(h.publish())
	h.must(other.RevokeClass(pkitest.SecondDevices, 0))
	held, err := h.builder.Sign(h.state.Key, revocation.Issue{Epoch: pki.Epoch{Number: h.epoch}, IssuedAt: h.now, NextUpdate: h.now.Add(time.Hour)})
	h.must(err)
	twin, err := other.Sign(h.state.Key, revocation.Issue{Epoch: pki.Epoch{Number: h.epoch}, IssuedAt: h.now, NextUpdate: h.now.Add(time.Hour)})
	h.must(err)
	h.must(h.learnState(h.home, held))
	refused := func(b *box) bool {
		t.Helper()
		o, err := b.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: filmID})
		h.must(err)
		got, err := h.home.Receive(ctx, o.Messages[0])
		h.must(err)
		return strings.Contains(failedAnywhere(t, h, b, h.home, got), "revoked")
	}
	for round := range 3 { // twice shown, then after a restart
		if round < 2 {
			var e *trem.Error
			if err := h.learnState(h.home, twin); !errors.As(err, &e) || e.Code != trem.CodeRejected || !strings.Contains(e.Text, "same epoch") {
				t.Fatalf("another state of the epoch: %v", err)
			}
		} else {
			h.home.restart()
		}
		if st, err := h.home.Status(ctx); err != nil || st.Epoch != h.epoch {
			t.Errorf("epoch %d, %v", st.Epoch, err)
		}
		if !refused(h.phone) {
			t.Errorf("round %d: whom the other state revokes is refused for something else", round)
		}
	}
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled) // who stands in both
	h.must(h.learnState(h.home, h.publish()))
	h.wantKinds(h.get(h.phone, filmID, 0), trem.EventInstalled) // the next epoch decides
}

// TestTREM_OneWayDoor: no reply of any command holds a title key, and a link
// session gives keys that do not open the packed film.
func TestTREM_LinkKeysAreNotTitleKeys(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCBCS, filmID)
	h.buy(filmID, h.sell(purchase, filmID))
	ask := playAsk(content.HD)
	ask.Output = trem.OutputLink
	ses, err := h.home.Begin(context.Background(), ask)
	h.must(err)
	keys, err := h.home.LinkKeys(context.Background(), ses.Handle)
	h.must(err)
	if len(keys) == 0 {
		t.Fatal("no session keys")
	}
	for _, k := range keys {
		for tier, title := range s.keys {
			plain, err := title.Reveal()
			h.must(err)
			if bytes.Equal(k.Key, plain[:]) {
				t.Errorf("the session key is the %v title key", tier)
			}
		}
	}
	noExport := h.sell("PLAY", "lares-quiet")
	h.stock(cenc.SchemeCENC, "lares-quiet")
	h.wantKinds(h.buy("lares-quiet", noExport), trem.EventInstalled)
	ask.Content = "lares-quiet"
	var no *trem.RefusalError
	if _, err := h.home.Begin(context.Background(), ask); !errors.As(err, &no) || !no.Decision.Has(license.OutputCode) {
		t.Errorf("a license that does not name clearkey plays in a browser: %v", err)
	}
}
