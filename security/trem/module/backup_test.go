package module_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
)

const (
	ownFilm    = ident.Content("lares-film")
	boughtFilm = ident.Content("bought-film")
	rentedFilm = ident.Content("rented-film")
)

// household lets the code open a grant's license.
func household(g grant, id byte) grant {
	return func(e trem.Event) trem.Terms {
		t := g(e)
		t.Info.ID[0], t.Info.Policy.Backup = id, license.BackupHousehold
		return t
	}
}

// again is what a shop gives to the house after a restore: the same title for the
// new generation of the household has another license ID, as with a real shop.
func again(g grant) grant {
	return func(e trem.Event) trem.Terms {
		t := g(e)
		t.Info.ID[15] = byte(e.Generation)
		return t
	}
}

// backup makes a backup of the home, the first time with a new code.
func (h *house) backup(code []byte, host string) (trem.Backup, []byte) {
	h.t.Helper()
	out, file, err := h.home.Backup(context.Background(), trem.BackupOrder{Code: code}, []byte(host))
	h.must(err)
	return out, file
}

func (h *house) code() []byte {
	h.t.Helper()
	code, err := h.home.RecoveryCode(context.Background())
	h.must(err)
	return code
}

// lose ends the home server's module for good and puts a new one in its place.
func (h *house) lose() *box {
	h.t.Helper()
	old := h.home
	h.must(old.Close())
	h.must(<-old.exited)
	old.exited <- nil // for the cleanup
	h.home = h.newHome()
	return old
}

func (h *house) newHome() *box {
	h.t.Helper()
	b := h.box(pki.HomeServer, pkitest.HomeServers)
	h.learn(b)
	_, err := b.Found(context.Background())
	h.must(err)
	return b
}

func (h *house) restore(b *box, code, file []byte, above uint64) trem.Restored {
	h.t.Helper()
	out, _, err := b.Restore(context.Background(), trem.RestoreOrder{Code: code, Above: above}, file)
	h.must(err)
	return out
}

func (h *house) follow(b, manager *box) (trem.Following, error) {
	h.t.Helper()
	s, err := manager.Succession(context.Background())
	h.must(err)
	return b.Follow(context.Background(), s)
}

func needsOf(titles []trem.Title) map[ident.Content]trem.RestoredBy {
	out := map[ident.Content]trem.RestoredBy{}
	for _, t := range titles {
		out[t.Content] = t.Needs
	}
	return out
}

func wantRejected(t *testing.T, err error, code trem.Code, word string) {
	t.Helper()
	e, ok := errors.AsType[*trem.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Text, word) {
		t.Errorf("error %v, want code %d and the word %q", err, code, word)
	}
}

// furnished is a house with one title of each kind, a paired tablet that knows
// the recovery key, a backup and its code.
type furnished struct {
	*house
	own        *stuff
	code, file []byte
	made       trem.Backup
}

func furnish(t *testing.T) *furnished {
	t.Helper()
	h := newHouse(t)
	f := &furnished{house: h, own: h.stock(cenc.SchemeCENC, ownFilm)}
	h.stock(cenc.SchemeCENC, boughtFilm)
	h.stock(cenc.SchemeCENC, rentedFilm)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(ownFilm, household(h.sell(purchase, ownFilm), 0x51)), trem.EventInstalled)
	h.wantKinds(h.buy(boughtFilm, h.sell("PLAY; CHARGE=PURCHASE", boughtFilm)), trem.EventInstalled)
	h.wantKinds(h.buy(rentedFilm, h.sell(rental, rentedFilm)), trem.EventInstalled, trem.EventClosed)
	f.code = h.code()
	f.made, f.file = h.backup(f.code, "library")
	h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled) // and with it the recovery key
	return f
}

// The house comes back with what its code opens, its devices go on by
// themselves, and the shop gives again what it alone can give.
func TestBackup_3_RestoreBringsTheHouseBack(t *testing.T) {
	f := furnish(t)
	h, ctx := f.house, context.Background()
	want := map[ident.Content]trem.RestoredBy{ownFilm: trem.NeedsNothing, boughtFilm: trem.NeedsIssuer, rentedFilm: trem.NeedsGrant}
	if got := needsOf(f.made.Titles); len(got) != 3 || got[ownFilm] != want[ownFilm] || got[boughtFilm] != want[boughtFilm] || got[rentedFilm] != want[rentedFilm] {
		t.Fatalf("backup needs %v, want %v", got, want)
	}
	before, err := h.home.Pairwise(ctx, h.issuerID)
	h.must(err)
	old := h.lose()
	out, host, err := h.home.Restore(ctx, trem.RestoreOrder{Code: f.code}, f.file)
	h.must(err)
	if string(host) != "library" || out.Old != old.id || out.Generation != 2 || !slices.Equal(out.Members, []ident.Device{h.tablet.id}) {
		t.Errorf("restored %+v with %q", out, host)
	}
	if got := needsOf(out.Titles); got[ownFilm] != want[ownFilm] || got[boughtFilm] != want[boughtFilm] || got[rentedFilm] != want[rentedFilm] {
		t.Errorf("restore needs %v, want %v", got, want)
	}
	for range 2 { // before and after a restart
		if after, err := h.home.Pairwise(ctx, h.issuerID); err != nil || after != before {
			t.Errorf("the shop knows the house as %v (%v), before as %v", after, err, before)
		}
		if held := h.held(h.home); len(held) != 1 || held[0].Content != ownFilm {
			t.Fatalf("held after the restore: %+v", held)
		}
		h.home.restart()
	}
	h.learn(h.home)
	if _, err := h.home.play(f.own, content.HD, playAsk(content.HD), 0); err != nil {
		t.Errorf("the household's own title does not play: %v", err)
	}
	got, err := h.follow(h.tablet, h.home)
	h.must(err)
	if got.Manager != h.home.id || got.Generation != 2 || got.Rival != nil {
		t.Errorf("followed %+v", got)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.tablet.restart()
	h.learn(h.tablet)
	if _, err := h.tablet.play(f.own, content.HD, playAsk(content.HD), 0); err != nil {
		t.Errorf("the tablet does not play what the restored house gave: %v", err)
	}
	if st, err := h.tablet.Status(ctx); err != nil || st.Generation != 2 || st.Domain != out.Domain {
		t.Errorf("the tablet's membership after the renewal: %+v (%v)", st, err)
	}
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventRefused)
	h.wantKinds(h.buy(boughtFilm, again(h.sell("PLAY; CHARGE=PURCHASE", boughtFilm))), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled)
	f.oldHomeIsOver(old)
}

// oldHomeIsOver brings the lost home server up again: a device that follows the
// new one takes nothing from it, and once it is told it serves nobody.
func (f *furnished) oldHomeIsOver(old *box) {
	h, now := f.house, f.home
	<-old.exited
	old.start()
	h.learn(old)
	h.home = old
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventRefused)
	got, err := h.follow(old, now)
	h.must(err)
	if got.Manager != now.id {
		h.t.Errorf("the old home server says that %v manages the house", got.Manager)
	}
	old.restart()
	h.learn(old)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventRefused)
	s, err := h.phone.Status(context.Background())
	h.must(err)
	_, err = old.Admit(context.Background(), trem.Candidate{Chain: s.Chain, Hardware: []byte("x")})
	wantRejected(h.t, err, trem.CodeState, "another home server")
	_, _, err = old.Backup(context.Background(), trem.BackupOrder{}, nil)
	wantRejected(h.t, err, trem.CodeState, "another home server")
	h.home = now
}

// What is counted, what may leave and what has left does not come back from an
// older backup.
func TestBackup_4_WhatMayHaveLeftDoesNotComeBack(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, ownFilm)
	h.stock(cenc.SchemeCENC, rentedFilm)
	movable := household(h.sell("PLAY; MOVE=DOMAIN", ownFilm), 0x52)
	h.wantKinds(h.buy(ownFilm, movable), trem.EventInstalled)
	counted := h.sell("PLAY; PLAY_COUNT=2; CHARGE=PURCHASE", rentedFilm)
	h.wantKinds(h.buy(rentedFilm, counted), trem.EventInstalled, trem.EventClosed)
	code := h.code()
	made, file := h.backup(code, "")
	if got := needsOf(made.Titles); got[ownFilm] != trem.NeedsState || got[rentedFilm] != trem.NeedsState {
		t.Errorf("backup needs %v, want the state for both", got)
	}
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, rentedFilm, 2), trem.EventInstalled, trem.EventClosed) // all plays leave the house server
	h.lose()
	out := h.restore(h.home, code, file, 0)
	if held := h.held(h.home); len(held) != 0 {
		t.Errorf("held after the restore: %+v", held)
	}
	if got := needsOf(out.Titles); got[ownFilm] != trem.NeedsState || got[rentedFilm] != trem.NeedsState {
		t.Errorf("restore needs %v, want the state for both", got)
	}
	for _, id := range []ident.Content{ownFilm, rentedFilm} {
		d, err := h.home.Evaluate(context.Background(), trem.Ask{Content: id, Action: 1, Output: trem.OutputInternal})
		h.must(err)
		if d.Allow || d.Reasons[0].Code != license.NoGrant {
			t.Errorf("%v after the restore: %+v", id, d)
		}
	}
}

func TestBackup_3_Refusals(t *testing.T) {
	f := furnish(t)
	h, ctx := f.house, context.Background()
	other := newHouse(t)
	otherCode := other.code()
	_, otherFile := other.backup(otherCode, "")
	_, _, err := h.home.Restore(ctx, trem.RestoreOrder{Code: f.code}, f.file)
	wantRejected(t, err, trem.CodeRejected, "this very home server")
	h.lose()
	try := func(code, file []byte) error {
		_, _, err := h.home.Restore(ctx, trem.RestoreOrder{Code: code}, file)
		return err
	}
	wantRejected(t, try(otherCode, f.file), trem.CodeRejected, "another code")
	wantRejected(t, try(f.code, otherFile), trem.CodeRejected, "home server") // its root is another's
	wantRejected(t, try(f.code[:31], f.file), trem.CodeRejected, "recovery code")
	for at := 0; at < len(f.file); at += 97 {
		bad := bytes.Clone(f.file)
		bad[at] ^= 0x10
		if err := try(f.code, bad); err == nil {
			t.Fatalf("a backup with byte %d changed is restored", at)
		}
	}
	for n := 0; n < len(f.file); n += 211 {
		wantRejected(t, try(f.code, f.file[:n]), trem.CodeRejected, "damaged")
	}
	if s, err := h.home.Status(ctx); err != nil || s.Generation != 1 || s.Licenses != 0 {
		t.Fatalf("refused backups have left %+v (%v)", s, err)
	}
	_, err = h.follow(h.tablet, h.home)
	wantRejected(t, err, trem.CodeRejected, "")
	h.must(h.pair(h.phone))
	wantRejected(t, try(f.code, f.file), trem.CodeRejected, "a house of its own")
	_, err = h.home.RecoveryCode(ctx)
	h.must(err)
	_, _, err = h.home.Backup(ctx, trem.BackupOrder{Code: f.code}, nil)
	wantRejected(t, err, trem.CodeRejected, "drawn")
	_, _, err = h.home.Backup(ctx, trem.BackupOrder{}, nil)
	wantRejected(t, err, trem.CodeState, "no recovery code yet")
	_, err = h.tablet.RecoveryCode(ctx)
	wantRejected(t, err, trem.CodeState, "role")
}

// A RESTORE counts for its own house only, with the code's signature, and not
// below what a member knows.
func TestBackup_5_MembersCheckTheRestore(t *testing.T) {
	f := furnish(t)
	h, ctx := f.house, context.Background()
	st, err := h.home.Status(ctx)
	h.must(err)
	h.must(h.pair(h.phone))
	h.must(h.home.Remove(ctx, h.phone.id)) // generation 2
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	old := h.lose()
	h.restore(h.home, f.code, f.file, 0) // generation 2 again
	_, err = h.follow(h.tablet, h.home)
	wantRejected(t, err, trem.CodeRejected, "knows generation 2")
	forged, err := recovery.NewCode().SignRestore(recovery.Restore{Domain: st.Domain, Generation: 9, Old: old.id, Manager: h.home.id})
	h.must(err)
	now, err := h.home.Status(ctx)
	h.must(err)
	_, err = h.tablet.Follow(ctx, trem.Succession{Restore: forged, Manager: now.Chain})
	wantRejected(t, err, trem.CodeRejected, "another code")
	code, err := recovery.CodeOf(f.code)
	h.must(err)
	for word, r := range map[string]recovery.Restore{
		"another house":       {Domain: ident.Domain{1}, Generation: 9, Old: old.id, Manager: h.home.id},
		"another home server": {Domain: st.Domain, Generation: 9, Old: old.id, Manager: h.phone.id},
	} {
		raw, err := code.SignRestore(r)
		h.must(err)
		_, err = h.tablet.Follow(ctx, trem.Succession{Restore: raw, Manager: now.Chain})
		wantRejected(t, err, trem.CodeRejected, word)
	}
	_, err = h.follow(h.phone, h.home) // it joined after the backup: it believes the code, and is not a member
	h.must(err)
	h.wantKinds(h.get(h.phone, ownFilm, 0), trem.EventRefused)
	if out := h.restore(h.home, f.code, f.file, 2); out.Generation != 3 {
		t.Fatalf("restored above generation 2 with generation %d", out.Generation)
	}
	if out := h.restore(h.home, f.code, f.file, 2); out.Generation != 3 {
		t.Errorf("the repetition makes generation %d", out.Generation)
	}
	for range 2 {
		_, err = h.follow(h.tablet, h.home)
		h.must(err)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
}

// Two RESTOREs of one generation stop joins, at members and at the home servers
// that hear of it, until one of them is restored above the other.
func TestBackup_5_TwoRestoresOfOneGenerationStopJoins(t *testing.T) {
	f := furnish(t)
	h := f.house
	h.lose()
	one, two := h.home, h.newHome()
	h.restore(one, f.code, f.file, 0)
	h.restore(two, f.code, f.file, 0)
	_, err := h.follow(h.tablet, one)
	h.must(err)
	got, err := h.follow(h.tablet, two)
	h.must(err)
	if got.Rival == nil || got.Manager != one.id {
		t.Fatalf("two restores at the tablet: %+v", got)
	}
	for _, b := range []*box{one, two} {
		h.home = b
		h.tablet.restart()
		h.learn(h.tablet)
		h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventFailed)
		if err := h.pair(h.tablet); err == nil {
			t.Error("the tablet joins one of two houses")
		}
	}
	got, err = h.follow(one, two)
	h.must(err)
	if got.Rival == nil {
		t.Errorf("two restores at the home server: %+v", got)
	}
	one.restart()
	h.learn(one)
	h.home = one
	wantRejected(t, h.pair(h.phone), trem.CodeState, "restored twice")
	if out := h.restore(one, f.code, f.file, 0); out.Generation != 3 {
		t.Fatalf("restored again with generation %d, want one above the other", out.Generation)
	}
	got, err = h.follow(h.tablet, one)
	h.must(err)
	if got.Rival != nil {
		t.Errorf("after the decision: %+v", got)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.must(h.pair(h.phone))
	_, err = h.follow(two, one)
	h.must(err)
	h.home = two
	wantRejected(t, h.pair(h.tablet), trem.CodeState, "another home server")
	_, err = h.follow(h.tablet, two)
	wantRejected(t, err, trem.CodeRejected, "knows generation 3")
}

// The same words stay good for later backups and for a second loss; a new code
// ends the use of the old one for new files.
func TestBackup_2_CodesAndLaterBackups(t *testing.T) {
	f := furnish(t)
	h, ctx := f.house, context.Background()
	h.lose()
	h.restore(h.home, f.code, f.file, 0)
	_, err := h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	_, second := h.backup(nil, "")
	h.lose()
	if out := h.restore(h.home, f.code, second, 0); out.Generation != 3 {
		t.Errorf("the second restore has generation %d", out.Generation)
	}
	_, err = h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	if _, _, err := h.home.Restore(ctx, trem.RestoreOrder{Code: f.code}, f.file); err == nil {
		t.Error("a restored home server takes another backup")
	}
	next := h.code()
	_, third := h.backup(next, "")
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.home.restart()
	h.lose()
	_, _, err = h.home.Restore(ctx, trem.RestoreOrder{Code: f.code}, third)
	wantRejected(t, err, trem.CodeRejected, "another code")
	h.restore(h.home, next, third, 0)
	_, err = h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
}

// Before its membership is renewed a member that follows a RESTORE takes nothing
// from the manager that it had.
func TestBackup_5_FollowingEndsTheOldManager(t *testing.T) {
	f := furnish(t)
	h := f.house
	now := h.newHome()
	h.restore(now, f.code, f.file, 0)
	_, err := h.follow(h.tablet, now)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventFailed)
	h.tablet.restart()
	h.learn(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventFailed)
	h.home = now
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
}

// A house whose revoked home server was stolen comes back too.
func TestBackup_3_OfARevokedHomeServer(t *testing.T) {
	f := furnish(t)
	h := f.house
	s, err := h.home.Status(context.Background())
	h.must(err)
	h.must(h.builder.RevokeDevice(pki.Class(s.Class), s.Index))
	h.lose()
	h.restore(h.home, f.code, f.file, 0)
	h.learn(h.tablet)
	_, err = h.follow(h.tablet, h.home)
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
}
