package module_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

const ourFilm = ident.Content("urn:lares:own:0f9c2f4e2b8d4f3b9d2c6a7e1f5b8c3d")

func ourAsk() trem.Ask {
	return trem.Ask{Content: ourFilm, Action: permission.Play, Output: trem.OutputInternal, Confirm: true}
}

// packOwn packs a film for a home server's module, as its host does, and returns the
// key delivery.
func (h *house) packOwn(b *box, id ident.Content) (*stuff, []byte) {
	h.t.Helper()
	st, err := b.Status(context.Background())
	h.must(err)
	s := pack(h.t, cenc.SchemeCENC, id, st.Delivery)
	blob, err := os.ReadFile(filepath.Join(s.dir, packager.KeysName))
	h.must(err)
	return s, blob
}

// protects is a house that has protected a film of its own.
func protects(t *testing.T) (*house, *stuff, []byte, trem.Protected) {
	t.Helper()
	h := newHouse(t)
	s, blob := h.packOwn(h.home, ourFilm)
	out, err := h.home.Protect(context.Background(), blob)
	h.must(err)
	return h, s, blob, out
}

func (h *house) playsOurs(b *box, want bool) {
	h.t.Helper()
	d, err := b.Evaluate(context.Background(), ourAsk())
	h.must(err)
	if d.Allow != want {
		h.t.Fatalf("it plays: %v, want %v; %+v", d.Allow, want, d.Reasons)
	}
}

// stranger is the card of a device that is not of this house.
func (h *house) stranger(b *box) trem.Card {
	h.t.Helper()
	s, err := b.Status(context.Background())
	h.must(err)
	return trem.Card{Chain: s.Chain, Delivery: s.Delivery}
}

func (h *house) lendOurs(to trem.Card, d time.Duration) (trem.Handed, error) {
	return h.home.HandOver(context.Background(), trem.HandOver{Op: trem.OpLend, Content: ourFilm, To: to, ForMS: d.Milliseconds()})
}

func wantRefused(t *testing.T, err error, code license.Code, constraint string) {
	t.Helper()
	var no *trem.RefusalError
	if !errors.As(err, &no) || no.Decision.Reasons[0].Code != code || no.Decision.Reasons[0].Constraint != constraint {
		t.Errorf("%v, want a refusal %s, %s", err, code, constraint)
	}
}

// TestOwn_ProtectedFilmPlaysInTheHouse: on the home server and on a device that has
// fetched it, and nowhere else; over restarts, and not once it is given up.
func TestOwn_ProtectedFilmPlaysInTheHouse(t *testing.T) {
	h, s, blob, out := protects(t)
	ctx := context.Background()
	held := h.held(h.home)
	if len(held) != 1 || !held[0].House || held[0].License != out.License || !bytes.Equal(held[0].Bytes, out.Bytes) || held[0].Kind != 0 {
		t.Fatalf("held %+v, protected %+v", held, out)
	}
	st, err := h.home.Status(ctx)
	h.must(err)
	lic, err := license.Parse(out.Bytes)
	h.must(err)
	if domain, house := lic.House(); !house || domain != st.Domain || lic.Info().Policy.Backup != license.BackupHousehold {
		t.Errorf("it is of %v (%v), the house is %v", domain, house, st.Domain)
	}
	again, err := h.home.Protect(ctx, blob)
	if err != nil || again.License != out.License || !bytes.Equal(again.Bytes, out.Bytes) {
		t.Errorf("said again: %+v, %v", again, err)
	}
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	for range 2 { // and after a restart
		for _, b := range []*box{h.home, h.tablet} {
			if _, err := b.play(s, content.HD, ourAsk(), 0); err != nil {
				t.Error(err)
			}
			b.restart()
			h.learn(b)
		}
	}
	h.wantKinds(h.get(h.phone, ourFilm, 0), trem.EventRefused) // it is not of the house
	_, other := h.packOwn(h.home, ourFilm)
	_, err = h.home.Protect(ctx, other)
	wantRejected(t, err, trem.CodeRejected, "other keys")
	wantRefused(t, h.home.Unprotect(ctx, ourFilm), license.DestNotAllowed, "ALLOWANCE")
	back, err := h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(back.Letters)
	h.must(h.home.Unprotect(ctx, ourFilm))
	h.must(h.home.Unprotect(ctx, ourFilm)) // said again
	h.home.restart()
	h.learn(h.home)
	h.playsOurs(h.home, false)
	anew, err := h.home.Protect(ctx, other)
	if err != nil || anew.License == out.License {
		t.Errorf("protected anew: %v, %v", anew.License, err)
	}
	h.playsOurs(h.home, true)
}

// TestOwn_LentOneViewerAtATime: while a device of another house has it nobody here
// plays it, and it comes back by itself.
func TestOwn_LentOneViewerAtATime(t *testing.T) {
	h, s, _, _ := protects(t)
	h.visit()
	ctx := context.Background()
	out, err := h.lendOurs(h.stranger(h.phone), 24*time.Hour)
	h.must(err)
	h.wantKinds(h.mail(out.Letters), trem.EventInstalled, trem.EventReceipt)
	if held := h.held(h.phone); len(held) != 1 || !held[0].House || held[0].Kind != uint64(license.KindLoan) {
		t.Errorf("the borrower holds %+v", held)
	}
	h.phone.restart()
	h.learn(h.phone)
	if _, err := h.phone.play(s, content.HD, ourAsk(), 0); err != nil {
		t.Errorf("the borrower: %v", err)
	}
	h.home.restart()
	h.learn(h.home)
	h.playsOurs(h.home, false)
	wantRefused(t, h.home.Unprotect(ctx, ourFilm), license.LentOut, "LEND_COUNT")
	_, err = h.lendOurs(h.door(h.aunt), time.Hour)
	wantRefused(t, err, license.LentOut, "PHASE")
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventRefused)
	h.pass(25 * time.Hour)
	h.learn(h.phone)
	h.playsOurs(h.phone, false)
	h.learn(h.home)
	over, err := h.home.Letters(ctx)
	h.must(err)
	h.wantKinds(over.Events, trem.EventLoanOver)
	h.playsOurs(h.home, true)
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	_, err = h.lendOurs(h.door(h.aunt), time.Hour)
	wantRefused(t, err, license.DestNotAllowed, "ALLOWANCE")
}

// TestOwn_OneViewerInEachHouse: one session at a time, here and at the borrower, whose
// server does not hand it on to its own devices.
func TestOwn_OneViewerInEachHouse(t *testing.T) {
	h, _, _, _ := protects(t)
	h.visit()
	ctx := context.Background()
	first, err := h.home.Begin(ctx, ourAsk())
	h.must(err)
	_, err = h.home.Begin(ctx, ourAsk())
	wantRefused(t, err, license.SlotFull, "CONCURRENCY")
	h.must(h.home.End(ctx, first.Handle))
	out, err := h.lendOurs(h.door(h.aunt), time.Hour)
	h.must(err)
	h.mail(out.Letters)
	h.playsOurs(h.aunt, true)
	first, err = h.aunt.Begin(ctx, ourAsk())
	h.must(err)
	_, err = h.aunt.Begin(ctx, ourAsk())
	wantRefused(t, err, license.SlotFull, "CONCURRENCY")
	h.must(h.aunt.End(ctx, first.Handle))
	home := h.home
	h.home = h.aunt // the phone is a device of that house
	h.must(h.pair(h.phone))
	h.wantKinds(h.get(h.phone, ourFilm, 0), trem.EventRefused)
	h.home = home
	_, err = h.aunt.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: ourFilm, To: h.stranger(h.tablet), ForMS: 1000})
	wantRefused(t, err, license.NoGrant, "LEND")
	back, err := h.aunt.GiveBack(ctx, out.Transfer)
	h.must(err)
	h.mail(back.Letters)
	for _, op := range []trem.Op{trem.OpMove, trem.OpCopy, trem.OpTransfer} { // nor does it leave its own house so
		_, err = h.home.HandOver(ctx, trem.HandOver{Op: op, Content: ourFilm, To: h.door(h.aunt)})
		wantRefused(t, err, license.NoGrant, op.String())
	}
	h.playsOurs(h.home, true)
}

// TestOwn_RemovedDeviceIsNotOfTheHouse: it gets nothing more, and what it never gave
// back does not keep the film at home for ever. Who stays goes on.
func TestOwn_RemovedDeviceIsNotOfTheHouse(t *testing.T) {
	h, _, _, _ := protects(t)
	h.visit()
	ctx := context.Background()
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	h.must(h.home.Remove(ctx, h.tablet.id))
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventRefused)
	h.wantKinds(h.get(h.phone, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	h.playsOurs(h.phone, true)
	back, err := h.phone.Yield(ctx, h.held(h.phone)[0].License)
	h.must(err)
	h.mail(back.Letters)
	out, err := h.lendOurs(h.door(h.aunt), time.Hour)
	h.must(err)
	h.mail(out.Letters)
	h.playsOurs(h.aunt, true)
	h.playsOurs(h.home, false)
}

// TestAttack_HouseIssuesForWhatIsNotItsOwn: a host asks for a license of a bought title,
// of a module that manages no house, with keys for another module, or with none.
func TestAttack_HouseIssuesForWhatIsNotItsOwn(t *testing.T) {
	h := newHouse(t)
	h.visit()
	ctx := context.Background()
	_, bought := h.packOwn(h.home, filmID)
	_, err := h.home.Protect(ctx, bought)
	wantRejected(t, err, trem.CodeRejected, "no film of the house's own")
	_, hers := h.packOwn(h.aunt, ourFilm)
	_, err = h.home.Protect(ctx, hers)
	wantRejected(t, err, trem.CodeRejected, "key delivery")
	_, err = h.home.Protect(ctx, nil)
	wantRejected(t, err, trem.CodeRejected, "key delivery")
	_, err = h.tablet.Protect(ctx, hers)
	wantRejected(t, err, trem.CodeState, "role")
	_, err = h.issuer.Protect(ctx, hers)
	wantRejected(t, err, trem.CodeState, "role")
	homeless := h.box(pki.HomeServer, pkitest.HomeServers)
	_, own := h.packOwn(homeless, ourFilm)
	_, err = homeless.Protect(ctx, own)
	wantRejected(t, err, trem.CodeState, "no domain yet")
	for _, b := range []*box{h.home, homeless} {
		if held := h.held(b); len(held) != 0 {
			t.Errorf("held %+v", held)
		}
	}
}

// TestOwn_RestoredHouseSignsAnew: after RESTORE the film plays on the new machine and on
// the house's devices, which take it of the new home server only.
func TestOwn_RestoredHouseSignsAnew(t *testing.T) {
	h, s, _, before := protects(t)
	ctx := context.Background()
	h.must(h.pair(h.tablet))
	code := h.code()
	made, file := h.backup(code, "")
	if len(made.Titles) != 1 || made.Titles[0].Needs != trem.NeedsNothing || made.Titles[0].Backup != license.BackupHousehold {
		t.Fatalf("the backup holds %+v", made.Titles)
	}
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed) // and with it the recovery key
	old := h.lose()
	out := h.restore(h.home, code, file, 0)
	if len(out.Titles) != 1 || out.Titles[0].Needs != trem.NeedsNothing {
		t.Fatalf("restored %+v", out.Titles)
	}
	for range 2 { // and after a restart
		held := h.held(h.home)
		if len(held) != 1 || held[0].License != before.License {
			t.Fatalf("held %+v", held)
		}
		lic, err := license.Parse(held[0].Bytes)
		h.must(err)
		if i := lic.Info(); i.Version != 2 || i.Subject.Generation != 2 {
			t.Errorf("version %d, generation %d, want 2 and 2", i.Version, i.Subject.Generation)
		}
		if _, err := h.home.play(s, content.HD, ourAsk(), 0); err != nil {
			t.Error(err)
		}
		h.home.restart()
		h.learn(h.home)
	}
	_, err := h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	if _, err := h.tablet.play(s, content.HD, ourAsk(), 0); err != nil {
		t.Error(err)
	}
	// The old machine comes up again and issues: nobody of the house takes it.
	<-old.exited
	old.start()
	h.learn(old)
	now := h.home
	h.home = old
	_, blob := h.packOwn(old, license.OwnPrefix+"another")
	_, err = old.Protect(ctx, blob)
	h.must(err)
	events := h.get(h.tablet, license.OwnPrefix+"another", 0)
	if slices.ContainsFunc(events, func(e trem.Event) bool { return e.Kind == trem.EventInstalled }) {
		t.Errorf("a film of the manager before came in: %+v", events)
	}
	const third = license.OwnPrefix + "third" // nor the home server of now, as if it were another house's
	_, sealed := h.packOwn(old, third)
	_, err = old.Protect(ctx, sealed)
	h.must(err)
	lent, err := old.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: third, To: h.stranger(now), ForMS: 3_600_000})
	h.must(err)
	h.learn(now)
	for _, l := range lent.Letters {
		got, err := now.Post(ctx, l.Bytes)
		h.must(err)
		if len(got.Events) != 1 || got.Events[0].Kind != trem.EventFailed || !strings.Contains(got.Events[0].Text, "another than its home server") {
			t.Errorf("a loan of the manager before: %+v", got.Events)
		}
	}
	if held := h.held(now); len(held) != 1 {
		t.Errorf("the home server holds %+v", held)
	}
	_, err = h.follow(old, now)
	h.must(err)
	_, err = old.Protect(ctx, blob)
	wantRejected(t, err, trem.CodeState, "another home server")
	wantRejected(t, old.Unprotect(ctx, ourFilm), trem.CodeState, "another home server")
}

// TestOwn_AllowanceFromBeforeRestoreGoesBack: the restored home server knows nothing of
// it and answers all the same, so that the device does not say it for ever; what the
// device took since still keeps the film at home.
func TestOwn_AllowanceFromBeforeRestoreGoesBack(t *testing.T) {
	h, _, _, _ := protects(t)
	h.visit()
	ctx := context.Background()
	h.must(h.pair(h.tablet))
	code := h.code()
	_, file := h.backup(code, "")
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	of := h.held(h.tablet)[0].License
	h.lose()
	h.restore(h.home, code, file, 0)
	_, err := h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ourFilm, 0), trem.EventInstalled, trem.EventClosed)
	var newer ident.License
	for _, held := range h.held(h.tablet) {
		if held.License != of {
			newer = held.License
		}
	}
	for _, id := range []ident.License{of, newer} {
		_, err = h.lendOurs(h.door(h.aunt), time.Hour)
		wantRefused(t, err, license.DestNotAllowed, "ALLOWANCE")
		back, err := h.tablet.Yield(ctx, id)
		h.must(err)
		again := back.Letters
		h.wantKinds(h.mail(back.Letters), trem.EventLoanOver)
		h.mail(again) // said again
		if out, err := h.tablet.Letters(ctx); err != nil || len(out.Letters) != 0 {
			t.Errorf("the tablet still says %+v, %v", out.Letters, err)
		}
	}
	out, err := h.lendOurs(h.door(h.aunt), time.Hour)
	h.must(err)
	h.mail(out.Letters)
	h.playsOurs(h.aunt, true)
	h.playsOurs(h.home, false)
}

// TestOwn_KillDuringProtect cuts the log inside the batch of PROTECT, as a power cut
// would: there is no license, or one with its keys, and PROTECT said again ends it.
func TestOwn_KillDuringProtect(t *testing.T) {
	h := newHouse(t)
	s, blob := h.packOwn(h.home, ourFilm)
	ctx := context.Background()
	b := h.home
	b.restart()
	h.learn(b) // begins this opening's segment
	segment := func() (string, int64) {
		all, err := filepath.Glob(filepath.Join(b.dir, "vault", "*.seg"))
		h.must(err)
		slices.Sort(all)
		info, err := os.Stat(all[len(all)-1])
		h.must(err)
		return all[len(all)-1], info.Size()
	}
	_, from := segment()
	out, err := b.Protect(ctx, blob)
	h.must(err)
	path, to := segment()
	h.must(b.Close())
	<-b.exited
	whole, err := os.ReadFile(path)
	h.must(err)
	cuts := 0
	for at := from; at < to; at += 512 {
		h.must(os.WriteFile(path, whole[:at], 0o600))
		b.start()
		if held := h.held(b); len(held) != 0 {
			t.Fatalf("cut at byte %d of %d to %d, %+v is held", at, from, to, held)
		}
		again, err := b.Protect(ctx, blob)
		h.must(err)
		if again.License == out.License {
			t.Fatal("the license came back from nowhere")
		}
		h.must(b.Close())
		<-b.exited
		if later, _ := segment(); later != path {
			h.must(os.Remove(later))
		}
		cuts++
	}
	if cuts < 3 {
		t.Errorf("%d cuts in a batch of %d bytes", cuts, to-from)
	}
	h.must(os.WriteFile(path, whole, 0o600))
	b.start()
	h.learn(b)
	if again, err := b.Protect(ctx, blob); err != nil || again.License != out.License {
		t.Errorf("the whole log: %v, %v", again.License, err)
	}
	if _, err := b.play(s, content.HD, ourAsk(), 0); err != nil {
		t.Error(err)
	}
}
