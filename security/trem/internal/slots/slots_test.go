package slots

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// desk is a keeper with devices that reach it.
type desk struct {
	t      *testing.T
	k      *Keeper
	now    int64
	rule   license.ConcurrencyRule
	own    license.Slots
	holder map[ident.Device]*Holder
}

func newDesk(t *testing.T, rule license.ConcurrencyRule) *desk {
	return &desk{t: t, k: NewKeeper(ident.Device{9}, 0), now: 1000, rule: rule, holder: map[ident.Device]*Holder{}}
}

// says asks and takes the answer.
func (d *desk) says(who byte, op Op, takeover bool) *Answer {
	d.t.Helper()
	id := ident.Device{who}
	h := d.holder[id]
	if h == nil {
		h = new(Holder)
		d.holder[id] = h
	}
	ask := Ask{Op: op, Keeper: d.k.self, License: film, Takeover: takeover}
	if op != End {
		ask.Max, ask.OnFull = d.rule.Max, d.rule.OnFull
	}
	a, err := h.Ask(ask, d.now)
	for err == nil {
		answer, ended, no := d.k.Answer(id, a, d.own, d.now)
		if no != nil {
			d.t.Fatal(no)
		}
		for _, s := range ended {
			d.own = d.own.End(s.Device)
		}
		if a, err = h.Take(answer, id, d.now); a == nil && err == nil {
			return answer
		}
	}
	d.t.Fatal(err)
	return nil
}

func (d *desk) want(got *Answer, want Outcome) *Answer {
	d.t.Helper()
	if got.Outcome != want {
		d.t.Fatalf("outcome %d, want %d: %+v", got.Outcome, want, got)
	}
	return got
}

func TestEvaluator_E5_TheThreeWaysOfGivingWay(t *testing.T) {
	for _, tc := range []struct {
		onFull         license.OnFull
		asked, unasked Outcome
	}{
		{0, Granted, Full}, {license.AskTakeover, Granted, Full}, {license.BlockNew, Full, Full}, {license.TakeoverOldest, Granted, Granted},
	} {
		for _, takeover := range []bool{false, true} {
			d := newDesk(t, license.ConcurrencyRule{Max: 1, OnFull: tc.onFull})
			want := tc.unasked
			if takeover {
				want = tc.asked
			}
			d.want(d.says(1, Begin, false), Granted)
			d.now += 5000
			got := d.want(d.says(2, Begin, takeover), want)
			d.now += 5000
			first := d.says(1, Beat, false)
			if want == Full {
				if len(got.Holders) != 1 || got.Holders[0].Device != (ident.Device{1}) || got.Holders[0].Since != 5000 {
					t.Errorf("who has it: %+v", got.Holders)
				}
				d.want(first, Granted)
				continue
			}
			d.want(first, Lost)
			if first.By != (ident.Device{2}) || len(first.Holders) != 1 || first.Holders[0].Device != first.By {
				t.Errorf("who took it: %+v", first)
			}
		}
	}
}

// The keeper's own sessions and the devices' are one table.
func TestEvaluator_E5_OneTableOfTheHouse(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 1})
	d.own = license.Slots{{Device: Own(41), Since: 500, Seen: license.Open}}
	got := d.want(d.says(1, Begin, false), Full)
	if len(got.Holders) != 1 || got.Holders[0] != (Holding{Device: d.k.self, Since: 500, Own: true}) {
		t.Errorf("%+v", got.Holders)
	}
	if d.want(d.says(1, Begin, true), Granted); len(d.own) != 0 {
		t.Errorf("the keeper's own session goes on: %+v", d.own)
	}
	if y := d.k.Yield(film, d.rule, nil, d.now); len(y) != 0 || used(d.k.Slots(film, nil, d.now, d.now)) != 1 {
		t.Errorf("asking ends nothing: %+v", y)
	}
	d.k.Take(film, d.rule, nil, d.now)
	if lost := d.want(d.says(1, Beat, false), Lost); lost.By != d.k.self {
		t.Errorf("taken by %v", lost.By)
	}
}

// A slot lapses 180 s after the last heartbeat, on both sides; an end frees it at once.
func TestEvaluator_E5_SlotsLapseByTheBootClock(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 1})
	d.now = 10_000_000 // long after the keeper's start
	d.want(d.says(1, Begin, false), Granted)
	d.now += license.SlotLife - 1
	if !d.holder[ident.Device{1}].Holds(film, d.now) {
		t.Error("the grant is over too early")
	}
	d.want(d.says(2, Begin, false), Full)
	d.now++
	if d.holder[ident.Device{1}].Holds(film, d.now) {
		t.Error("the grant outlives the slot")
	}
	d.want(d.says(2, Begin, false), Granted)
	d.want(d.says(1, Beat, false), Lost)
	d.want(d.says(2, End, false), Ended)
	d.want(d.says(1, Beat, false), Granted) // there is room again
}

// A keeper that has restarted is told by heartbeats who plays. Who began meanwhile
// gives way to who was there before, within one heartbeat.
func TestEvaluator_E5_AKeeperThatRestarts(t *testing.T) {
	for _, tc := range []struct {
		onFull   license.OnFull
		old, new Outcome
	}{{license.AskTakeover, Granted, Lost}, {license.BlockNew, Granted, Lost}, {license.TakeoverOldest, Lost, Granted}} {
		d := newDesk(t, license.ConcurrencyRule{Max: 1, OnFull: tc.onFull})
		d.want(d.says(1, Begin, false), Granted)
		d.now += 30_000
		d.k = NewKeeper(d.k.self, d.now)
		d.now += 5000
		d.want(d.says(2, Begin, false), Granted) // nobody is known
		d.now += 25_000
		d.want(d.says(1, Beat, false), tc.old)
		d.now += 35_000
		d.want(d.says(2, Beat, false), tc.new)
	}
	d := newDesk(t, license.ConcurrencyRule{Max: 1}) // later, age is no right any more
	d.want(d.says(1, Begin, false), Granted)
	d.k = NewKeeper(d.k.self, d.now)
	d.want(d.says(2, Begin, false), Granted)
	d.now += license.SlotLife
	d.want(d.says(2, Begin, false), Granted)
	d.want(d.says(1, Beat, false), Lost)
}

// An ask counts once: couriers that keep one end or take over nothing with it.
func TestEvaluator_E5_ARepeatedAskDoesNothing(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 1})
	d.want(d.says(1, Begin, false), Granted)
	h := d.holder[ident.Device{1}]
	end, err := h.Ask(Ask{Op: End, Keeper: d.k.self, License: film}, d.now)
	if err != nil {
		t.Fatal(err)
	}
	if a, _, err := d.k.Answer(ident.Device{1}, end, nil, d.now); err != nil || a.Outcome != Ended {
		t.Fatalf("%+v %v", a, err)
	}
	d.want(d.says(1, Begin, false), Granted)
	for _, who := range []byte{1, 2} { // also one signed by somebody else
		if a, _, err := d.k.Answer(ident.Device{who}, end, nil, d.now); err != nil || a.Outcome != Again {
			t.Errorf("repeated: %+v %v", a, err)
		}
	}
	d.want(d.says(2, Begin, false), Full)
}

// What is no answer to what was asked changes nothing.
func TestEvaluator_E5_AnAnswerCountsOnce(t *testing.T) {
	k, id := NewKeeper(ident.Device{9}, 0), ident.Device{1}
	var h Holder
	ask := Ask{Op: Begin, Keeper: k.self, License: film, Max: 1}
	first, err := h.Ask(ask, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, _, _ := k.Answer(id, first, nil, 0)
	second, err := h.Take(again, id, 0)
	if err != nil || second == nil {
		t.Fatal(err)
	}
	answer, _, _ := k.Answer(id, second, nil, 0)
	for name, bend := range map[string]func(*Answer){
		"another nonce":   func(a *Answer) { a.Nonce[0]++ },
		"another device":  func(a *Answer) { a.Device = ident.Device{2} },
		"another license": func(a *Answer) { a.License = ident.License{8} },
	} {
		bent := *answer
		bend(&bent)
		if _, err := h.Take(&bent, id, 0); !errors.Is(err, ErrFresh) || h.Holds(film, 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Take(answer, id, license.SlotLife); !errors.Is(err, ErrFresh) {
		t.Errorf("three minutes late: %v", err)
	}
	if _, err := h.Take(answer, id, 1); err != nil || !h.Holds(film, 1) {
		t.Errorf("the answer itself: %v", err)
	}
	if _, err := h.Take(answer, id, 1); !errors.Is(err, ErrFresh) {
		t.Errorf("the answer twice: %v", err)
	}
}

// One device fills no table.
func TestPlaces_ADeviceHasRoomForItsSessions(t *testing.T) {
	k, id := NewKeeper(ident.Device{9}, 0), ident.Device{1}
	var h Holder
	begin := func(n byte) error {
		a, err := h.Ask(Ask{Op: Begin, Keeper: k.self, License: ident.License{n}, Max: 1}, 0)
		for err == nil && a != nil {
			var answer *Answer
			if answer, _, err = k.Answer(id, a, nil, 0); err == nil {
				a, err = h.Take(answer, id, 0)
			}
		}
		return err
	}
	for n := range byte(maxPlaces) {
		if err := begin(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(maxPlaces); !errors.Is(err, ErrRoom) {
		t.Errorf("one more: %v", err)
	}
	if err := begin(3); err != nil {
		t.Errorf("one that it has: %v", err)
	}
	k.Forget(id)
	if ids := k.Licenses(0); len(ids) != 0 {
		t.Errorf("a device that is not of the house any more has %d places", len(ids))
	}
}

// A grant counts from when it was asked for, so that it does not outlive the slot.
func TestEvaluator_E5_AGrantCountsFromTheAsk(t *testing.T) {
	k, id := NewKeeper(ident.Device{9}, 0), ident.Device{1}
	var h Holder
	ask := Ask{Op: Begin, Keeper: k.self, License: film, Max: 1}
	first, _ := h.Ask(ask, 0)
	again, _, _ := k.Answer(id, first, nil, 0)
	second, err := h.Take(again, id, 1000)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, _ := k.Answer(id, second, nil, 1000)
	if _, err := h.Take(answer, id, 61_000); err != nil || !h.Holds(film, 1000+license.SlotLife-1) || h.Holds(film, 1000+license.SlotLife) {
		t.Errorf("a minute on the way: %v", err)
	}
}

// A place that lapsed is not the one that its device has later: that is as old as its grant.
func TestEvaluator_E5_ALapsedPlaceIsOver(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 1})
	d.want(d.says(1, Begin, false), Granted)
	d.now += license.SlotLife
	d.want(d.says(1, Beat, false), Granted)
	d.now += 1000
	a, err := d.holder[ident.Device{1}].Ask(Ask{Op: Beat, License: film}, d.now)
	if err != nil || a.Age != 1000 {
		t.Errorf("it says that it has its place since %d ms: %v", a.Age, err)
	}
}

// Who asks for its place back and is the youngest itself takes nobody's.
func TestEvaluator_E5_WhoLosesTakesNothing(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 2})
	d.now = 10_000
	d.want(d.says(1, Begin, false), Granted)
	d.now += 1000
	d.holder[ident.Device{3}] = &Holder{places: map[ident.License]place{film: {since: -90_000, until: d.now + 1}}, asked: map[ident.License]pending{}}
	d.want(d.says(2, Begin, false), Granted)
	d.now += 1000
	d.k.slots[film][0].Since = -100_000 // both had theirs from before the restart, too
	d.rule.Max = 1                      // by an older license
	d.want(d.says(3, Beat, false), Lost)
	for _, who := range []byte{1, 2} {
		d.want(d.says(who, Beat, false), Granted)
	}
}

// A place that this keeper gave and took away is no place of before its restart.
func TestEvaluator_E5_AgeIsNoRightAgainstTheSameKeeper(t *testing.T) {
	d := newDesk(t, license.ConcurrencyRule{Max: 1})
	d.want(d.says(1, Begin, false), Granted)
	d.now += 5000
	d.want(d.says(2, Begin, true), Granted)
	h := d.holder[ident.Device{1}]
	beat, _ := h.Ask(Ask{Op: Beat, Keeper: d.k.self, License: film, Max: 1}, d.now)
	if a, _, err := d.k.Answer(ident.Device{1}, beat, nil, d.now); err != nil || a.Outcome != Lost { // and is lost on the way
		t.Fatalf("%+v %v", a, err)
	}
	d.want(d.says(1, Beat, false), Lost)
	d.want(d.says(2, Beat, false), Granted)
}
