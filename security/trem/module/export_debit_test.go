package module_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// exportable is counted, and names a system that counts and one that does not.
const exportable = "PLAY; PLAY_COUNT=3; INTERVAL=48h; EXPORT=lcp,odrl"

var (
	counts = []string{"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT"}
	bounds = []string{"START_TIME", "END_TIME"}
)

// exporter is a house that has bought a title which may be handed to other systems.
func exporter(t *testing.T, terms string) (*house, trem.Held) {
	t.Helper()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.stateful(terms, filmID))
	return h, h.home.only(t)
}

// only is the one license of a module.
func (b *box) only(t *testing.T) trem.Held {
	t.Helper()
	held, err := b.Licenses(context.Background())
	if err != nil || len(held) != 1 {
		t.Fatalf("%d licenses (%v), want one", len(held), err)
	}
	return held[0]
}

func child(t *testing.T, e trem.Exported) *license.License {
	t.Helper()
	lic, err := license.Parse(e.License)
	if err != nil {
		t.Fatal(err)
	}
	return lic
}

func TestTREM_ExportDebitsBeforeItSigns(t *testing.T) {
	h, held := exporter(t, exportable)
	ctx := t.Context()
	order := trem.Export{Request: ident.NewRequest(), License: held.Hash, System: "odrl", Holds: counts, Plays: 2, Trial: true}
	trial, err := h.home.Export(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	if left := *h.home.only(t).Counters.PlaysLeft; trial.License != nil || left != 3 {
		t.Errorf("a trial: %d bytes signed, %d plays left", len(trial.License), left)
	}
	order.Trial = false
	first, err := h.home.Export(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := license.Parse(held.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.home.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := (&pki.Verifier{Trust: h.pki.Trust}).Verify(s.Chain, h.now)
	if err != nil {
		t.Fatal(err)
	}
	got := child(t, first)
	if err := errors.Join(got.Verify(signer), license.Narrower(got.Info(), parent.Info())); err != nil {
		t.Error(err)
	}
	if p := got.Info().Parent; p.Kind != license.KindExport || p.Hash != held.Hash || got.Units().Text() != "PLAY; INTERVAL=48h; PLAY_COUNT=2; EXPORT=odrl" {
		t.Errorf("kind %d of %x: %s", p.Kind, p.Hash, got.Units().Text())
	}
	for range 2 { // whoever did not hear it asks again; what a restart knows is the same
		again, err := h.home.Export(ctx, order)
		if left := *h.home.only(t).Counters.PlaysLeft; err != nil || !bytes.Equal(again.License, first.License) || left != 1 {
			t.Errorf("repeated: %v, the same %v, %d plays left; want 1", err, bytes.Equal(again.License, first.License), left)
		}
		h.home.restart()
		h.learn(h.home)
	}
	other := order
	other.Plays = 1
	if _, err := h.home.Export(ctx, other); !isCode(err, trem.CodeRejected) {
		t.Errorf("another order under the request: %v", err)
	}
	sitting, err := h.home.Export(ctx, trem.Export{Request: ident.NewRequest(), License: held.Hash, System: "lcp", Holds: bounds, Plays: 2})
	if err != nil {
		t.Fatal(err)
	}
	last := child(t, sitting)
	if x := last.Units().Usage[0]; x.PlayCount != 1 || x.EndTime > h.now.Add(12*time.Hour+time.Minute).UnixMilli() || !slices.Equal(sitting.Lost, []string{"INTERVAL", "PLAY_COUNT"}) {
		t.Errorf("a system that does not count has %s, lost %v", last.Units().Text(), sitting.Lost)
	}
	if d, err := h.home.Evaluate(ctx, playAsk(0)); err != nil || d.Allow || !d.Has(license.CountExhausted) {
		t.Errorf("after three plays left, it plays here: %+v, %v", d, err)
	}
}

func isCode(err error, code trem.Code) bool {
	e, ok := errors.AsType[*trem.Error](err)
	return ok && e.Code == code
}

// A refusal names what is in the way, and costs nothing.
func TestTREM_ExportIsRefused(t *testing.T) {
	h, held := exporter(t, exportable)
	ctx, request := t.Context(), ident.NewRequest
	for what, tc := range map[string]struct {
		order  trem.Export
		code   trem.Code
		reason string
	}{
		"a system that is not named": {trem.Export{Request: request(), License: held.Hash, System: "widevine", Holds: counts}, 0, "EXPORT"},
		"no such license":            {trem.Export{Request: request(), License: [32]byte{1}, System: "odrl", Holds: counts}, trem.CodeUnknown, ""},
		"more than is left":          {trem.Export{Request: request(), License: held.Hash, System: "odrl", Holds: counts, Plays: 4}, trem.CodeRejected, ""},
		"a system without an end":    {trem.Export{Request: request(), License: held.Hash, System: "odrl"}, trem.CodeRejected, ""},
		"a request without a name":   {trem.Export{License: held.Hash, System: "odrl", Holds: counts}, trem.CodeMalformed, ""},
		"too many conditions":        {trem.Export{Request: request(), License: held.Hash, System: "odrl", Holds: make([]string, trem.MaxHolds+1)}, trem.CodeMalformed, ""},
	} {
		_, err := h.home.Export(ctx, tc.order)
		no, refused := errors.AsType[*trem.RefusalError](err)
		switch {
		case tc.reason != "" && (!refused || no.Decision.Reasons[0].Constraint != tc.reason):
			t.Errorf("%s: %v, want a refusal that names %s", what, err, tc.reason)
		case tc.reason == "" && !isCode(err, tc.code):
			t.Errorf("%s: %v, want code %d", what, err, tc.code)
		}
	}
	if left := *h.home.only(t).Counters.PlaysLeft; left != 3 {
		t.Errorf("%d plays left after refusals", left)
	}
	if _, err := h.issuer.Export(ctx, trem.Export{Request: request(), License: held.Hash, System: "odrl"}); !isCode(err, trem.CodeState) {
		t.Errorf("an issuer's module: %v", err)
	}
}

// What is not counted and was handed on does not leave the house as well, before
// it is over there.
func TestTREM_ExportKeepsWhatIsNotCounted(t *testing.T) {
	h, held := exporter(t, "PLAY; MOVE=ANY; COPY=NO_MORE; EXPORT=lcp")
	h.must(h.pair(h.tablet))
	ctx := t.Context()
	if _, err := h.home.Export(ctx, trem.Export{Request: ident.NewRequest(), License: held.Hash, System: "lcp", Holds: bounds}); err != nil {
		t.Fatal(err)
	}
	_, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.tablet)})
	no, ok := errors.AsType[*trem.RefusalError](err)
	if !ok || no.Decision.Reasons[0].Constraint != permission.Export.String() {
		t.Errorf("it moves on: %v", err)
	}
}

// Power is cut at every place of what an export writes: afterwards the request
// was debited and is answered as before, or nothing of it ever happened.
func TestTREM_ExportPowerCutAtEachByte(t *testing.T) {
	h, held := exporter(t, exportable)
	ctx := t.Context()
	order := trem.Export{Request: ident.NewRequest(), License: held.Hash, System: "odrl", Holds: counts, Plays: 1}
	name, before := h.home.log()
	first, err := h.home.Export(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	now, after := h.home.log()
	if now != name || after <= before {
		t.Fatalf("the log grew from %d to %d bytes, in %s", before, after, now)
	}
	h.must(h.home.Close())
	h.must(<-h.home.exited)
	vault, saved := filepath.Join(h.home.dir, "vault"), t.TempDir()
	h.must(os.CopyFS(filepath.Join(saved, "vault"), os.DirFS(vault)))
	h.home.start()
	step, cuts := max((after-before)/40, 1), 0
	for cut := before; cut <= after; cut += step {
		cut = min(cut, after)
		h.must(h.home.Close())
		h.must(<-h.home.exited)
		h.must(os.RemoveAll(vault))
		h.must(os.CopyFS(vault, os.DirFS(filepath.Join(saved, "vault"))))
		h.must(os.Truncate(name, cut))
		h.home.start()
		h.learn(h.home)
		left := *h.home.only(t).Counters.PlaysLeft
		if left != 3 && cut < after || left != 2 && cut == after {
			t.Fatalf("cut at %d of %d bytes: %d plays left", cut-before, after-before, left)
		}
		again, err := h.home.Export(ctx, order)
		if err != nil {
			t.Fatalf("cut at %d: the request again: %v", cut-before, err)
		}
		if cut == after && !bytes.Equal(again.License, first.License) {
			t.Error("what was durable is answered with another child")
		}
		if left := *h.home.only(t).Counters.PlaysLeft; left != 2 {
			t.Fatalf("cut at %d: %d plays left after the request again, want 2", cut-before, left)
		}
		cuts++
	}
	if cuts < 40 {
		t.Errorf("%d cuts", cuts)
	}
}

// The module's process is killed at any moment of an export, and asked again until
// it answers: one play goes, and who heard an answer hears the same again.
func TestTREM_ExportKilled(t *testing.T) {
	h, held := exporter(t, exportable)
	h.must(h.home.Close())
	h.must(<-h.home.exited)
	cmd := h.home.spawn()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for n, delay := range []time.Duration{0, 300 * time.Microsecond, 2 * time.Millisecond} {
		order := trem.Export{Request: ident.NewRequest(), License: held.Hash, System: "odrl", Holds: counts, Plays: 1}
		var heard []byte
		for try := range 4 {
			h.must(h.learnTime(h.home))
			client, process := h.home.Client, cmd.Process
			if try < 3 {
				time.AfterFunc(delay*time.Duration(try), func() { _ = process.Kill() })
			}
			got, err := client.Export(t.Context(), order)
			if err == nil && heard != nil && !bytes.Equal(got.License, heard) {
				t.Fatal("one request has two answers")
			}
			if err == nil {
				heard = got.License
			}
			if try < 3 {
				_ = h.home.wait()
				_ = h.home.Close()
				cmd = h.home.spawn()
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if left := *h.home.only(t).Counters.PlaysLeft; left != uint64(2-n) {
			t.Fatalf("%d plays left after %d requests", left, n+1)
		}
	}
}
