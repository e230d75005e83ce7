package core

import (
	"bytes"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// longBehind is a module with a domain, and lists of it: the first is further behind than
// the steps that are remembered, the others are within reach. One device stays in it.
func longBehind(t *testing.T) (c *Core, reopen func() *Core, now trem.Rolled, lists [][]byte, stays, leaver ident.Device) {
	t.Helper()
	c, reopen, rolls := manager(t)
	stays, leaver = ident.Device{6}, ident.Device{7}
	now = c.putTo(t, rolls[0].Roll, stays, true)
	for range maxOuts + 1 {
		now = c.putTo(t, now.Roll, leaver, true)
		lists = append(lists, now.Roll)
		b, err := c.openRoll(now.Roll)
		if err != nil {
			t.Fatal(err)
		}
		b.puts(*b.entry(leaver), true)
		if now, err = c.closeRoll(b, trem.Rolled{}, at(start, minute, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return c, reopen, now, lists, stays, leaver
}

func (c *Core) anew(roll []byte) (trem.Rolled, error) {
	return c.createRoll(trem.RollOrder{Op: trem.RollCreate, Roll: roll, Devices: 5}, at(start, minute, 1))
}

func (c *Core) putBack(t *testing.T) {
	t.Helper()
	if _, err := c.bookMarks(trem.Book{Have: [16]byte{1}, Next: [16]byte{2}, How: trem.BookAccept}); err != nil {
		t.Fatal(err)
	}
}

// TestMembership_AListOfLongAgoIsMadeAnew: a list that is more steps behind than are
// remembered ends no domain. Once the operator has accepted it, it begins again without
// members, above all that was signed before, and no list of before is believed any more,
// the newest neither.
func TestMembership_AListOfLongAgoIsMadeAnew(t *testing.T) {
	c, reopen, now, lists, stays, leaver := longBehind(t)
	for n, list := range lists[1:] { // within reach: nothing is lost, nobody is back
		if b, err := c.openRoll(list); err != nil || b.entry(stays) == nil || b.entry(leaver) != nil {
			t.Errorf("%d behind: %+v, %v", maxOuts-n, b, err)
		}
		if _, err := c.anew(list); err == nil {
			t.Errorf("%d behind: it is made anew", maxOuts-n)
		}
	}
	if _, err := c.openRoll(lists[0]); !isState(err) {
		t.Errorf("one more behind: %v", err)
	}
	if _, err := c.anew(lists[0]); !isState(err) {
		t.Errorf("made anew, which nobody has accepted: %v", err)
	}
	if b, err := c.openRoll(now.Roll); err != nil || b.entry(stays) == nil {
		t.Fatalf("the newest list after an old one was shown by mistake: %+v, %v", b, err)
	}
	c.putBack(t)
	c = reopen()
	anew, err := c.anew(lists[0])
	if err != nil || anew.Domain != now.Domain || anew.Generation != now.Generation+1 || len(anew.Members) != 0 {
		t.Fatalf("anew: %+v, %v", anew, err)
	}
	c = reopen()
	for name, list := range map[string][]byte{"the oldest": lists[0], "the newest": now.Roll} {
		if _, err := c.openRoll(list); !isState(err) {
			t.Errorf("%s is believed: %v", name, err)
		}
	}
}

// TestMembership_MadeAnewOnce: a host that does not know that a domain was made anew,
// since it was killed before it wrote it down or another one was before it, says so
// again. It gets the same empty list, and who has joined since is a member still; after
// one of them was put out it gets nothing, unless the operator accepts it once more.
func TestMembership_MadeAnewOnce(t *testing.T) {
	c, reopen, now, lists, stays, leaver := longBehind(t)
	c.putBack(t)
	var joined trem.Rolled
	for range 3 {
		anew, err := c.anew(lists[0])
		if err != nil || anew.Generation != now.Generation+1 || len(anew.Members) != 0 {
			t.Fatalf("anew: %+v, %v", anew, err)
		}
		if len(joined.Roll) == 0 {
			joined = c.putTo(t, c.putTo(t, anew.Roll, stays, true).Roll, leaver, true)
		}
		if b, err := c.openRoll(joined.Roll); err != nil || b.entry(stays) == nil || b.entry(leaver) == nil {
			t.Fatalf("who has joined since: %+v, %v", b, err)
		}
		c = reopen()
	}
	joined = c.putTo(t, joined.Roll, leaver, false)
	if _, err := c.anew(lists[0]); !isState(err) {
		t.Errorf("after one was put out: %v", err)
	}
	if b, err := c.openRoll(joined.Roll); err != nil || b.entry(stays) == nil {
		t.Errorf("who has stayed: %+v, %v", b, err)
	}
	c.putBack(t)
	c = reopen()
	if anew, err := c.anew(lists[0]); err != nil || anew.Generation != now.Generation+3 {
		t.Errorf("accepted once more: %+v, %v", anew, err)
	}
}

// TestMembership_NoIndexIsGivenTwice: whatever list a host shows, and however often the
// module starts, no two devices of a domain ever have one index.
func TestMembership_NoIndexIsGivenTwice(t *testing.T) {
	c, reopen, rolls := manager(t)
	given := map[uint64]ident.Device{}
	n := byte(0)
	join := func(roll []byte) []byte {
		t.Helper()
		n++
		id := ident.Device{9, n}
		got := c.putTo(t, roll, id, true)
		i := slices.IndexFunc(got.Members, func(m trem.RollMember) bool { return m.Device == id })
		if other, twice := given[got.Members[i].Index]; twice {
			t.Fatalf("index %d is of %v and of %v", got.Members[i].Index, other, id)
		}
		given[got.Members[i].Index] = id
		return got.Roll
	}
	copied := join(rolls[0].Roll)
	join(join(copied))
	join(copied) // within reach of the floor: nobody was put out since
	c = reopen()
	join(join(copied))
	c.managed.rec.Forgot = true
	c.putBack(t)
	anew, err := c.anew(copied)
	if err != nil {
		t.Fatal(err)
	}
	join(join(anew.Roll))
	c = reopen()
	if anew, err = c.anew(copied); err != nil {
		t.Fatal(err)
	}
	join(anew.Roll)
	if most := c.managed.index(); most > 4*indexBlock {
		t.Errorf("%d indices are gone for %d devices", most, n)
	}
}

// TestMembership_ManagerOfEarlierBuilds: what they kept says no index, and they have
// given none above those of their era.
func TestMembership_ManagerOfEarlierBuilds(t *testing.T) {
	type old struct {
		_      struct{} `cbor:",toarray"`
		Secret []byte
		Era    uint64
		Forgot bool
	}
	c, reopen, _ := manager(t)
	if err := c.commit(kindManager, old{Secret: repeat(3, 32), Era: 2, Forgot: true}); err != nil {
		t.Fatal(err)
	}
	c = reopen()
	if rec := c.managed.rec; rec.Era != 2 || !rec.Forgot || rec.Accepted != 0 || !bytes.Equal(rec.Secret, repeat(3, 32)) {
		t.Errorf("%+v", rec)
	}
	if got, last := c.managed.index(), uint64(2<<eraShift+1<<30)*oldIndices; got <= last {
		t.Errorf("index %d is given, and %d may have been", got, last)
	}
}
