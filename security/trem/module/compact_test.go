package module_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/lares-drm/lares/internal/needs"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// TestVault_CompactionKeepsEverything fills the logs of all three kinds of
// module until they are compacted at a restart, and holds what they know.
func TestVault_CompactionKeepsEverything(t *testing.T) {
	needs.Long(t)
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.must(h.home.Remove(context.Background(), h.phone.id))
	h.get(h.tablet, filmID, 1)
	_, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0)
	h.must(err)
	boxes := []*box{h.issuer, h.home, h.tablet}
	for range 2100 {
		for _, b := range boxes {
			h.must(h.learnTime(b))
		}
	}
	for _, b := range boxes {
		before, held := look(t, b)
		size := logSize(t, b)
		b.restart() // compacts
		look(t, b)  // has answered, so it has done so
		if now := logSize(t, b); now > size/2 {
			t.Errorf("%s: the log has %d bytes after %d", before.Role, now, size)
		}
		b.restart() // reads what it wrote
		after, heldAfter := look(t, b)
		if after.Records < before.Records {
			t.Errorf("%s: the number of records fell from %d to %d", before.Role, before.Records, after.Records)
		}
		before.Records, after.Records, before.Clock, after.Clock = 0, 0, trem.ClockStatus{}, trem.ClockStatus{}
		if !reflect.DeepEqual(before, after) || !reflect.DeepEqual(held, heldAfter) {
			t.Errorf("%s: before %+v %+v, after %+v %+v", before.Role, before, held, after, heldAfter)
		}
	}
	// The houses' machines go on where they were.
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventRefused)
	if err := h.pair(h.phone); err == nil {
		t.Error("the removed device is a member again")
	}
	h.wantKinds(h.buy("another", nil), trem.EventRefused)
	_, err = h.home.Pairwise(context.Background(), ident.Issuer("x"))
	h.must(err)
}

// TestVault_CompactionAmongMoves: a title went to and fro, and is on its way once
// more when the logs of both sides are compacted. Letters that come late or again
// find it where it is.
func TestVault_CompactionAmongMoves(t *testing.T) {
	needs.Long(t)
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	ctx := context.Background()
	var old []trem.Letter
	order := func(from, to *box) []trem.Letter {
		out, err := from.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(to)})
		h.must(err)
		return out.Letters
	}
	for range 2 {
		for _, way := range [][2]*box{{h.tablet, h.phone}, {h.phone, h.tablet}} {
			letters := order(way[0], way[1])
			h.mail(letters)
			old = append(old, letters...)
		}
	}
	last := order(h.tablet, h.phone)
	h.learn(h.phone)
	receipt, err := h.phone.Post(ctx, last[0].Bytes) // it is there, and not closed
	h.must(err)
	for range 2100 {
		h.must(h.learnTime(h.tablet))
		h.must(h.learnTime(h.phone))
	}
	for range 2 { // the first compacts, the second reads that
		for _, b := range []*box{h.tablet, h.phone} {
			b.restart()
			h.learn(b)
		}
		h.waiting(h.phone, trem.StageUnconfirmed)
		h.plays(h.phone, true)
		h.reason(h.tablet, license.LockedInMove)
	}
	for _, l := range old {
		_, _ = h.boxOf(l.To).Post(ctx, l.Bytes) // whatever it says, nothing changes
		h.plays(h.phone, true)
		h.reason(h.tablet, license.LockedInMove)
	}
	h.mail(receipt.Letters)
	h.plays(h.phone, true)
	h.reason(h.tablet, license.MovedAway)
	h.waiting(h.tablet)
	h.waiting(h.phone)
	h.mail(order(h.phone, h.tablet)) // and on it goes
	h.plays(h.tablet, true)
	if held := h.held(h.tablet); len(held) != 1 || *held[0].Counters.PlaysLeft != 3 {
		t.Errorf("%+v", held)
	}
}

func look(t *testing.T, b *box) (trem.Status, []trem.Held) {
	t.Helper()
	st, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	held, err := b.Licenses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st, held
}

// logSize is the length of a module's log in bytes.
func logSize(t *testing.T, b *box) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "vault"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
