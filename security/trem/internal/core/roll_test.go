package core

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

func exampleRoll() Roll {
	return Roll{
		Domain: ident.Domain(repeat(1, 16)), Generation: 2, Next: 3, Devices: 5, NewAYear: 4,
		Members: []rollEntry{{Device: ident.Device(repeat(2, 16)), Index: 2, Hardware: repeat(3, 32), Since: 1796169600000, Until: 1798761600000}},
		Former:  []rollFormer{{Device: ident.Device(repeat(6, 16)), Since: 1796169600000, Back: true}},
	}
}

// TestMembership_RollWorkedExample holds a roll against the page.
func TestMembership_RollWorkedExample(t *testing.T) {
	got := signed(t, objectRoll, exampleRoll())
	if want := named(t, "membership.md", "roll"); !bytes.Equal(got, want) {
		t.Errorf("the roll is %x, the page says %x", got, want)
	}
}

// FuzzParseRoll reads payloads of rolls: what parses is written the same.
func FuzzParseRoll(f *testing.F) {
	data, err := wire.Marshal(exampleRoll())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, in []byte) {
		roll := new(Roll)
		if wire.Unmarshal(in, roll, rollLimit) != nil {
			return
		}
		if again, err := wire.Marshal(roll); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x reads as %x (%v)", in, again, err)
		}
	})
}

// manager is a module that signs rolls, as an issuer's does, with two domains.
func manager(t *testing.T) (c *Core, reopen func() *Core, rolls [2]trem.Rolled) {
	t.Helper()
	c, _, open := onCounted(t)
	reopen = func() *Core {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = open()
		c.identity = &identityRecord{Chain: [][]byte{[]byte("certificate")}}
		return c
	}
	c.identity = &identityRecord{Chain: [][]byte{[]byte("certificate")}}
	for i := range rolls {
		var err error
		if rolls[i], err = c.createRoll(trem.RollOrder{Devices: 5}, at(start, minute, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return c, reopen, rolls
}

// put admits a device, or puts it out: the roll's own part of both.
func (c *Core) putTo(t *testing.T, roll []byte, id ident.Device, in bool) trem.Rolled {
	t.Helper()
	b, err := c.openRoll(roll)
	if err != nil {
		t.Fatal(err)
	}
	if in {
		b.Members, b.Next = append(b.Members, rollEntry{Device: id, Index: b.index, Hardware: repeat(3, 32), Since: start, Until: start}), b.index+1
	} else if err := b.remove(id); err != nil {
		t.Fatal(err)
	}
	out, err := c.closeRoll(b, trem.Rolled{}, at(start, minute, 1))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMembership_WhoWasForgottenEndsAnEra: who was put out is remembered of so many
// domains. A database that is put back after one was forgotten is believed for nothing:
// its domains begin anew, above all that was signed before.
func TestMembership_WhoWasForgottenEndsAnEra(t *testing.T) {
	c, reopen, rolls := manager(t)
	leaver := ident.Device{7}
	old := c.putTo(t, rolls[0].Roll, leaver, true)
	now := c.putTo(t, old.Roll, leaver, false)
	for i := range maxFloors - 1 { // others put somebody out since
		f := floorRecord{Domain: ident.Domain{1, byte(i >> 8), byte(i)}, Generation: 2, Order: c.managed.order + 1, Outs: []rollOut{{Generation: 2}}}
		c.managed.keep(f)
	}
	if err := c.rollsPutBack(); err != nil {
		t.Fatal(err)
	}
	if b, err := c.openRoll(old.Roll); err != nil || b.entry(leaver) != nil || b.Generation != 2 {
		t.Fatalf("while nothing is forgotten: %+v, %v", b, err)
	}
	other := c.putTo(t, c.putTo(t, rolls[1].Roll, leaver, true).Roll, leaver, false)
	if _, known := c.managed.floors[now.Domain]; known || !c.managed.rec.Forgot {
		t.Fatal("nothing was forgotten")
	}
	c = reopen()
	if c.managed.rec.Era != 0 {
		t.Fatalf("era %d before anybody accepts that the database was put back", c.managed.rec.Era)
	}
	if err := c.rollsPutBack(); err != nil {
		t.Fatal(err)
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	c = reopen()
	for name, roll := range map[string][]byte{"an older one": old.Roll, "the newest": now.Roll, "another": other.Roll} {
		if _, err := c.openRoll(roll); err == nil {
			t.Errorf("%s is believed", name)
		}
	}
	anew, err := c.createRoll(trem.RollOrder{Roll: old.Roll, Devices: 5}, at(start, minute, 1))
	if err != nil || anew.Domain != old.Domain || anew.Generation <= now.Generation || len(anew.Members) != 0 {
		t.Errorf("anew: %+v, %v", anew, err)
	}
	if _, err := c.createRoll(trem.RollOrder{Roll: anew.Roll, Devices: 5}, at(start, minute, 1)); err == nil {
		t.Error("a domain that is there is made anew")
	}
	if again, err := c.createRoll(trem.RollOrder{Roll: old.Roll, Devices: 5}, at(start, minute, 1)); err != nil || again.Generation != anew.Generation {
		t.Errorf("said again: %+v, %v", again, err)
	}
	c.putTo(t, c.putTo(t, anew.Roll, leaver, true).Roll, leaver, false)
	if _, err := c.createRoll(trem.RollOrder{Roll: old.Roll, Devices: 5}, at(start, minute, 1)); !isState(err) {
		t.Errorf("said again after one was put out: %v", err)
	}
}

// TestMembership_FloorsOutliveACompaction: the log is replaced by what it means.
func TestMembership_FloorsOutliveACompaction(t *testing.T) {
	c, reopen, rolls := manager(t)
	leaver := ident.Device{7}
	old := c.putTo(t, rolls[0].Roll, leaver, true)
	c.putTo(t, old.Roll, leaver, false)
	var s log
	c.snapshotManaged(&s)
	if s.err != nil || len(s.recs) != 2 {
		t.Fatalf("%d records, %v", len(s.recs), s.err)
	}
	want := c.managed
	if err := c.vault.Compact(s.recs); err != nil {
		t.Fatal(err)
	}
	c = reopen()
	if d := cmp.Diff(want.floors, c.managed.floors); d != "" || !cmp.Equal(want.rec, c.managed.rec) {
		t.Errorf("after a compaction:\n%s", d)
	}
	if b, err := c.openRoll(old.Roll); err != nil || b.entry(leaver) != nil {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestMembership_AnOlderRollBringsNobodyIn: who joined and went since a roll was copied
// is out in the copy, too, its index is not given again, and who was removed after it
// left does not come back.
func TestMembership_AnOlderRollBringsNobodyIn(t *testing.T) {
	c, _, rolls := manager(t)
	copied := rolls[0].Roll
	removed, leaver := ident.Device{7}, ident.Device{8}
	now := c.putTo(t, c.putTo(t, copied, removed, true).Roll, leaver, true)
	given := now.Members[len(now.Members)-1].Index
	now = c.putTo(t, now.Roll, removed, false)
	b, err := c.openRoll(now.Roll)
	if err != nil {
		t.Fatal(err)
	}
	b.puts(*b.entry(leaver), true)
	now, err = c.closeRoll(b, trem.Rolled{}, at(start, minute, 1))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = c.openRoll(copied); err != nil {
		t.Fatal(err)
	}
	if f := b.former(removed); f == nil || f.Back {
		t.Errorf("the removed one in the copy: %+v", f)
	}
	if f := b.former(leaver); f == nil || !f.Back || f.Since != start {
		t.Errorf("the leaver in the copy: %+v", f)
	}
	if b.index <= given {
		t.Errorf("the copy gives index %d, and %d was given", b.index, given)
	}
	generation := now.Generation
	now = c.putTo(t, now.Roll, leaver, false) // it left, and is removed
	if now.Generation != generation+1 {
		t.Errorf("generation %d after %d", now.Generation, generation)
	}
	if b, err = c.openRoll(copied); err != nil || b.former(leaver) == nil || b.former(leaver).Back {
		t.Errorf("the leaver that was removed: %+v, %v", b, err)
	}
	if again := c.putTo(t, now.Roll, leaver, false); again.Generation != now.Generation {
		t.Errorf("removed twice: generation %d", again.Generation)
	}
}

// TestMembership_TakeOversForgetNobody: a machine that comes with new keys again and
// again does not push those out of the list who were removed.
func TestMembership_TakeOversForgetNobody(t *testing.T) {
	r := Roll{Former: []rollFormer{{Device: ident.Device{1}, Since: start}}}
	for i := range 3 * maxRollFormer {
		r.out(rollEntry{Device: ident.Device{2, byte(i >> 8), byte(i)}}, true) // another one counts for it
	}
	if f := r.former(ident.Device{1}); f == nil || len(r.Former) != maxRollFormer {
		t.Errorf("%d former members, the removed one %+v", len(r.Former), f)
	}
}

// TestMembership_WhichRoleManagesWhat: an issuer's membership names this issuer and the
// domain's own name, nobody else's and no recovery code; a home server's is none of those.
func TestMembership_WhichRoleManagesWhat(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	home := d.Peer(d.Party(pki.HomeServer))
	shop := d.Peer(d.Party(pki.LicenseIssuer))
	own, other := ident.Domain{1}, ident.Domain{2}
	for _, c := range []struct {
		name        string
		m           Membership
		house, shop bool
	}{
		{"of a house", Membership{Domain: own, Pairwise: map[ident.Issuer]ident.Domain{shop.Issuer(): other}}, true, false},
		{"of a new house", Membership{Domain: own}, true, false},
		{"of this issuer", Membership{Domain: own, Pairwise: map[ident.Issuer]ident.Domain{shop.Issuer(): own}}, false, true},
		{"of another issuer", Membership{Domain: own, Pairwise: map[ident.Issuer]ident.Domain{"another": own}}, false, false},
		{"of two", Membership{Domain: own, Pairwise: map[ident.Issuer]ident.Domain{shop.Issuer(): own, "another": other}}, false, false},
		{"with a recovery code", Membership{Domain: own, Pairwise: map[ident.Issuer]ident.Domain{shop.Issuer(): own}, Recovery: repeat(4, 65)}, false, false},
	} {
		if house, issuer := mayManage(home, &c.m), mayManage(shop, &c.m); house != c.house || issuer != c.shop {
			t.Errorf("%s: a home server %v, an issuer %v", c.name, house, issuer)
		}
	}
}

// TestMembership_ACrashWhileItBooksEndsNoEra: the host's process, or the module's, may
// end at any step of BOOK. The database is that which was served last, whichever of its
// two marks it has, and an older one is found out as before.
func TestMembership_ACrashWhileItBooksEndsNoEra(t *testing.T) {
	c, reopen, rolls := manager(t)
	c.managed.rec.Forgot = true
	if err := c.commit(kindManager, c.managed.rec); err != nil {
		t.Fatal(err)
	}
	mark := func(n byte) (m [16]byte) { m[0] = n; return m }
	in, next := mark(0), byte(1) // the database
	book := func(show [16]byte, then [16]byte) trem.Booked {
		t.Helper()
		out, err := c.bookMarks(trem.Book{Have: show, Next: then})
		if err != nil {
			t.Fatal(err)
		}
		if c.managed.rec.Era != 0 {
			t.Fatalf("mark %d of %d began an era", show[0], next)
		}
		return out
	}
	first := book(in, mark(next))
	for first := range 3 {
		for _, crash := range []int{first, 0, 1, 2} { // steps that are done: shown, written, shown again
			next++
			book(in, mark(next))
			if crash > 0 {
				in = mark(next)
			}
			if crash > 1 {
				book(in, in)
			}
			c = reopen()
		}
	}
	older := in
	for range 2 {
		next++
		book(in, mark(next))
		in = mark(next)
		book(in, in)
	}
	if _, err := c.openRoll(rolls[0].Roll); err != nil {
		t.Fatal(err)
	}
	for range 2 { // started by mistake: the module refuses it, and nothing has changed
		c = reopen()
		if look, err := c.bookMarks(trem.Book{Have: older, How: trem.BookLook}); err != nil || !look.Renewed || !look.Forgot {
			t.Errorf("how it stands: %+v, %v", look, err)
		}
		if _, err := c.bookMarks(trem.Book{Have: older, Next: mark(next + 1)}); !isState(err) {
			t.Errorf("an older database: %v", err)
		}
		if out := book(in, in); out.Renewed || out.Incarnation != first.Incarnation {
			t.Errorf("the right one afterwards: %+v", out)
		}
	}
	c = reopen()
	out, err := c.bookMarks(trem.Book{Have: older, Next: mark(next + 1), How: trem.BookAccept})
	if err != nil || !out.Renewed || out.Incarnation == first.Incarnation || c.managed.rec.Era != 1 {
		t.Fatalf("an older database that is accepted: %+v, era %d, %v", out, c.managed.rec.Era, err)
	}
	c = reopen() // before the host has written the next mark
	if again, err := c.bookMarks(trem.Book{Have: older, Next: mark(next + 2)}); err != nil || again.Renewed || again.Incarnation != out.Incarnation || c.managed.rec.Era != 1 {
		t.Errorf("the same one again: %+v, era %d, %v", again, c.managed.rec.Era, err)
	}
	if _, err := c.bookMarks(trem.Book{Have: in, Next: mark(next + 3)}); !isState(err) {
		t.Errorf("the one before it was accepted: %v", err)
	}
}

// TestMembership_MarksOfEarlierBuilds: what they kept is one mark.
func TestMembership_MarksOfEarlierBuilds(t *testing.T) {
	c, reopen, _ := manager(t)
	if err := c.commit(kindBookedOld, bookedOldRecord{Mark: [16]byte{1}, Incarnation: ident.Incarnation{9}}); err != nil {
		t.Fatal(err)
	}
	c = reopen()
	if out, err := c.bookMarks(trem.Book{Have: [16]byte{1}, Next: [16]byte{2}}); err != nil || out.Renewed || out.Incarnation != (ident.Incarnation{9}) {
		t.Errorf("%+v, %v", out, err)
	}
}

func isState(err error) bool {
	var e *trem.Error
	return errors.As(err, &e) && e.Code == trem.CodeState
}

// TestMembership_WhatAHiddenCopyBringsBack: once a domain's floor is forgotten, a host
// that shows an older list, and hides from BOOK that its database is one, is believed.
// The page says so.
func TestMembership_WhatAHiddenCopyBringsBack(t *testing.T) {
	c, _, rolls := manager(t)
	leaver := ident.Device{7}
	old := c.putTo(t, rolls[0].Roll, leaver, true)
	c.putTo(t, old.Roll, leaver, false)
	if b, err := c.openRoll(old.Roll); err != nil || b.entry(leaver) != nil {
		t.Fatalf("remembered: %+v, %v", b, err)
	}
	for i := range maxFloors {
		c.managed.keep(floorRecord{Domain: ident.Domain{1, byte(i >> 8), byte(i)}, Generation: 2, Order: c.managed.order + 1, Outs: []rollOut{{Generation: 2}}})
	}
	if b, err := c.openRoll(old.Roll); err != nil || b.entry(leaver) == nil {
		t.Errorf("forgotten: %+v, %v: if this is mended, change the page", b, err)
	}
}
