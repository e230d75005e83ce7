package module_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// TestPKI_2_ModuleTakesDeltas: where a module has the base, the step is enough,
// after a restart too; a step that does not fit is refused by name, and what is
// held stays.
func TestPKI_2_ModuleTakesDeltas(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	epoch := func(want uint64) {
		t.Helper()
		if st, err := h.home.Status(ctx); err != nil || st.Epoch != want {
			t.Errorf("epoch %d, %v; want %d", st.Epoch, err, want)
		}
	}
	step := func(b *box, from, to *revocation.State) error {
		d, err := to.Delta(from)
		h.must(err)
		return b.Learn(ctx, trem.Learned{Head: to.Head().Bytes(), HeadChain: h.state.Chain, Delta: d})
	}
	first := h.publish()
	h.must(h.learnState(h.home, first))
	h.must(h.builder.RevokeDevice(pkitest.SecondDevices, 17))
	second := h.publish()
	h.must(step(h.home, first, second))
	epoch(h.epoch)
	h.home.restart()
	epoch(h.epoch)
	h.must(step(h.home, first, second)) // again: nothing changes
	h.must(h.builder.RevokeDevice(pkitest.SecondDevices, 18))
	third := h.publish()
	for name, err := range map[string]error{
		"from another base": step(h.home, first, third),
		"bytes":             h.home.Learn(ctx, trem.Learned{Head: third.Head().Bytes(), HeadChain: h.state.Chain, Delta: []byte{1, 2, 3}}),
		"neither":           h.home.Learn(ctx, trem.Learned{Head: third.Head().Bytes(), HeadChain: h.state.Chain}),
	} {
		var e *trem.Error
		if !errors.As(err, &e) || e.Code != trem.CodeRejected || !strings.Contains(e.Text, "revocation: ") {
			t.Errorf("%s: %v", name, err)
		}
		epoch(h.epoch - 1)
	}
	h.must(step(h.home, second, third))
	epoch(h.epoch)
	fresh := h.box(pki.Device, pkitest.Devices)
	if err := step(fresh, second, third); err == nil {
		t.Error("a step from a state that a module does not have was taken")
	}
}

// TestPKI_2_ModuleTakesANewSigner: the root's word is all that makes another key
// count, and it ends the key before, however far its holder has counted.
func TestPKI_2_ModuleTakesANewSigner(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.must(h.learnState(h.home, h.publish()))
	next, root := h.pki.Party(pki.StateSigner), h.pki.CAs[pkitest.RootClass]
	change, err := revocation.SignChange(root.Signer, h.pki.Root, 1, next.Key.Public())
	h.must(err)
	sign := func(p *pkitest.Party, e pki.Epoch) *revocation.State {
		s, err := h.builder.Sign(p.Key, revocation.Issue{Epoch: e, IssuedAt: h.now, NextUpdate: h.now.Add(24 * time.Hour)})
		h.must(err)
		return s
	}
	learn := func(p *pkitest.Party, s *revocation.State, change []byte) error {
		return h.home.Learn(ctx, trem.Learned{Head: s.Head().Bytes(), HeadChain: p.Chain, Snapshot: s.Snapshot(), Change: change})
	}
	first := sign(next, pki.Epoch{Generation: 1, Number: 1})
	if err := learn(next, first, nil); err == nil || !strings.Contains(err.Error(), "signer") {
		t.Errorf("without the root's word: %v", err)
	}
	h.must(learn(next, first, change))
	h.home.restart()
	// The old key's highest number is below.
	h.must(learn(&pkitest.Party{Key: h.state.Key, Chain: h.state.Chain}, sign(h.state, pki.Epoch{Number: h.epoch + 5}), nil))
	if st, err := h.home.Status(ctx); err != nil || st.Epoch != 1 {
		t.Errorf("epoch %d, %v; want 1 of generation 1", st.Epoch, err)
	}
	h.must(learn(next, sign(next, pki.Epoch{Generation: 1, Number: 2}), change))
}

// TestPKI_2_WhoIsBehindGetsNothingFromAStaleHouse: while a newer state is due, the
// house deals with those who are at its epoch or later only.
func TestPKI_2_WhoIsBehindGetsNothingFromAStaleHouse(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(purchase, filmID))
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	newer := h.publish()
	h.must(h.learnState(h.home, newer))
	h.must(h.learnState(h.phone, newer))
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled) // behind, and the house's state is fresh
	second := h.publish()
	h.must(h.learnState(h.home, second))
	h.must(h.learnState(h.phone, second))
	h.pass(25 * time.Hour) // a newer one is due
	if got := failed(t, h.get(h.tablet, filmID, 0)); !strings.Contains(got, "STALE_EPOCH") {
		t.Errorf("who is behind: %q", got)
	}
	h.wantKinds(h.get(h.phone, filmID, 0), trem.EventInstalled)
	h.must(h.learnState(h.tablet, second))
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
}

// TestPKI_2_AskerLearnsFromTheStaple: a device that was offline deals with a house
// at the epoch that the house proves, and a house that was revoked since is refused
// by its own proof, by who has an older state and by who has none.
func TestPKI_2_AskerLearnsFromTheStaple(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		h := newHouse(t)
		h.stock(cenc.SchemeCENC, filmID)
		h.buy(filmID, h.sell(purchase, filmID))
		b := h.tablet
		if fresh {
			b = h.box(pki.Device, pkitest.Devices) // has learned nothing yet
			h.must(h.learnTime(b))
		}
		h.must(h.pair(b))
		h.must(h.learnState(h.home, h.publish()))
		if !fresh {
			h.wantKinds(h.get(b, filmID, 0), trem.EventInstalled)
		}
		st, err := h.home.Status(context.Background())
		h.must(err)
		h.must(h.builder.RevokeDevice(pki.Class(st.Class), st.Index))
		h.must(h.learnState(h.home, h.publish())) // it says honestly what it knows
		if got := failed(t, h.get(b, filmID, 0)); !strings.Contains(got, "revoked") {
			t.Errorf("fresh %v: of a house that was revoked since: %q", fresh, got)
		}
	}
}
