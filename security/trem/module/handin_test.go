package module_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// TestCopies_Spec4_HandedIn: a loan that a library lent to the house is destroyed at
// the house's word before its end, when no device has it, and never comes again.
func TestCopies_Spec4_HandedIn(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.must(h.pair(h.tablet))
	film := h.stock(cenc.SchemeCENC, filmID)
	lent := h.sell("PLAY; END_TIME="+h.now.Add(14*24*time.Hour).UTC().Format(time.RFC3339)+"; CHARGE=LOAN", filmID)
	if _, err := h.home.HandIn(ctx, filmID); !isCode(err, trem.CodeUnknown) {
		t.Fatalf("nothing is here: %v", err)
	}
	h.buy(filmID, lent)
	if got := h.get(h.tablet, filmID, 0); !slices.Contains(kinds(got), trem.EventInstalled) {
		t.Fatalf("%v", kinds(got))
	}
	if _, err := h.tablet.play(film, content.SD, trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputInternal}, 0); err != nil {
		t.Fatal(err)
	}
	var no *trem.RefusalError
	if _, err := h.home.HandIn(ctx, filmID); !errors.As(err, &no) || no.Decision.Reasons[0].Remedy != license.ReturnFirst {
		t.Fatalf("the tablet has it: %v", err)
	}
	held, err := h.tablet.Licenses(ctx)
	h.must(err)
	back, err := h.tablet.Yield(ctx, held[0].License)
	h.must(err)
	h.told(back.Letters...)
	in, err := h.home.HandIn(ctx, filmID)
	h.must(err)
	got, err := h.issuer.CheckReturn(ctx, in.Proof)
	h.must(err)
	if got.License != in.License || got.Device != h.home.id || got.Issuer != h.issuerID {
		t.Errorf("%+v, of %+v", got, in)
	}
	if left, err := h.home.Licenses(ctx); err != nil || len(left) != 0 {
		t.Errorf("%d licenses, %v", len(left), err)
	}
	h.home.restart()
	again, err := h.home.HandIn(ctx, filmID)
	if err != nil || string(again.Proof.Object) != string(in.Proof.Object) {
		t.Errorf("said again: %v", err)
	}
	for name, g := range map[string]grant{"the same": lent, "renewed": func(e trem.Event) trem.Terms {
		x := lent(e)
		x.Info.Version = 2
		return x
	}} {
		if got := h.buy(filmID, g); slices.Contains(kinds(got), trem.EventInstalled) {
			t.Errorf("%s came again: %v", name, kinds(got))
		}
	}
	for name, p := range map[string]trem.Proof{
		"cut":           {Object: in.Proof.Object[:40], Chain: in.Proof.Chain},
		"of a device":   {Object: in.Proof.Object, Chain: h.chainOf(h.tablet)},
		"nobody's":      {Object: in.Proof.Object},
		"of the issuer": {Object: in.Proof.Object, Chain: h.chainOf(h.issuer)},
	} {
		if _, err := h.issuer.CheckReturn(ctx, p); !isCode(err, trem.CodeRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (h *house) chainOf(b *box) [][]byte {
	s, err := b.Status(context.Background())
	h.must(err)
	return s.Chain
}

// TestIssuer_Spec7_ModuleKnowsItsDatabase: the mark of the last visit, and none else.
func TestIssuer_Spec7_ModuleKnowsItsDatabase(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	h.stock(cenc.SchemeCENC, filmID)
	book := func(have, next byte) trem.Booked {
		t.Helper()
		b, err := h.issuer.Book(ctx, trem.Book{Have: [16]byte{have}, Next: [16]byte{next}})
		h.must(err)
		return b
	}
	first := book(0, 1)
	if first.Renewed || book(1, 2).Incarnation != first.Incarnation {
		t.Error("the same database")
	}
	h.issuer.restart()
	if b := book(2, 3); b.Renewed || b.Incarnation != first.Incarnation {
		t.Errorf("after a restart: %+v", b)
	}
	if _, err := h.issuer.Book(ctx, trem.Book{Have: [16]byte{1}, Next: [16]byte{4}}); !isCode(err, trem.CodeState) {
		t.Errorf("an older copy, which nobody has accepted: %v", err)
	}
	if b := book(3, 3); b.Renewed || b.Incarnation != first.Incarnation {
		t.Errorf("the right one afterwards: %+v", b)
	}
	old, err := h.issuer.Book(ctx, trem.Book{Have: [16]byte{1}, Next: [16]byte{4}, How: trem.BookAccept})
	if err != nil || !old.Renewed || old.Incarnation == first.Incarnation {
		t.Fatalf("an older copy that is accepted: %+v, %v", old, err)
	}
	if _, err := h.issuer.Book(ctx, trem.Book{How: 3}); !isCode(err, trem.CodeMalformed) {
		t.Errorf("another way: %v", err)
	}
	h.issuer.restart()
	if b := book(4, 5); b.Renewed || b.Incarnation != old.Incarnation {
		t.Errorf("it stays: %+v", b)
	}
	var tid ident.Transfer
	h.buy(filmID, func(e trem.Event) trem.Terms {
		x := h.sell(rental, filmID)(e)
		return x
	})
	for _, p := range h.sold {
		tid = p.Transfer
	}
	if tid.Incarnation != old.Incarnation {
		t.Errorf("transfer %v, want the new incarnation", tid)
	}
	if _, err := h.home.Book(ctx, trem.Book{}); !isCode(err, trem.CodeState) {
		t.Errorf("a home server: %v", err)
	}
}
