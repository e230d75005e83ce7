package lrp_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// shelf is a Shelf in memory.
type shelf struct {
	kept map[uint64][]byte
	fail error
}

func newShelf() *shelf { return &shelf{kept: map[uint64][]byte{}} }

func (s *shelf) Keep(n uint64, record []byte) error {
	if s.fail == nil {
		s.kept[n] = record
	}
	return s.fail
}

func (s *shelf) Drop(n uint64) error { delete(s.kept, n); return nil }

// reopened is the mailbox as after a crash.
func (s *shelf) reopened(t testing.TB, now time.Time) *lrp.Mailbox {
	t.Helper()
	var held []lrp.Kept
	for _, r := range s.kept {
		k, err := lrp.ParseKept(r)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, k)
	}
	return lrp.NewMailbox(s, held, now)
}

func mailFrame(src, dst lrp.Addr, tx byte, n int, now time.Time) lrp.Frame {
	return lrp.Frame{Version: 1, Type: lrp.TypeSLTP, Dst: dst, Src: src, Tx: lrp.Tx{tx}, Expires: now.Add(lrp.MailLife * 2).UnixMilli(), Body: make([]byte, n)}
}

func put(t testing.TB, m *lrp.Mailbox, f lrp.Frame, now time.Time) lrp.Kept {
	t.Helper()
	k, err := m.Put(f, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestMailbox_Spec7_WaitsAndOutlivesACrash(t *testing.T) {
	s := newShelf()
	m := lrp.NewMailbox(s, nil, start)
	a := put(t, m, mailFrame(home, device, 1, 10, start), start)
	b := put(t, m, mailFrame(home, device, 2, 20, start), start)
	for name, m := range map[string]*lrp.Mailbox{"as it is": m, "after a crash": s.reopened(t, start)} {
		got := m.For(device, 0, start)
		if len(got) != 2 || got[0].Number != a.Number || len(got[1].Frame.Body) != 20 || a.Number >= b.Number {
			t.Errorf("%s: %+v", name, got)
		}
		if got := m.For(device, a.Number, start); len(got) != 1 || got[0].Number != b.Number {
			t.Errorf("%s: after the first: %+v", name, got)
		}
	}
	c := put(t, s.reopened(t, start), mailFrame(home, device, 3, 1, start), start)
	if c.Number <= b.Number {
		t.Errorf("number %d after %d", c.Number, b.Number)
	}
	lost := lrp.NewMailbox(newShelf(), nil, start.Add(time.Hour)) // with its disk
	if d := put(t, lost, mailFrame(home, device, 1, 1, start), start); d.Number <= c.Number {
		t.Errorf("a mailbox that was lost gives number %d again", d.Number)
	}
}

// A machine without a clock starts again with an earlier time, and its mailbox is
// empty: numbers go on all the same, so that a reader who is ahead misses nothing.
func TestMailbox_Spec7_NumbersGoOnWithoutAClock(t *testing.T) {
	s := newShelf()
	m := lrp.NewMailbox(s, nil, start)
	var last lrp.Kept
	for n := range byte(9) {
		last = put(t, m, mailFrame(home, device, n, 1, start), start)
	}
	m.Taken(device, last.Number)
	if got := m.For(device, 0, start); len(got) != 0 || len(s.kept) != 1 {
		t.Fatalf("%d wait, %d on the shelf", len(got), len(s.kept))
	}
	early := start.Add(-time.Hour)
	m = s.reopened(t, early)
	k := put(t, m, mailFrame(home, device, 20, 1, early), early)
	if m.Taken(device, last.Number); k.Number <= last.Number || len(m.For(device, last.Number, early)) != 1 {
		t.Errorf("number %d after %d", k.Number, last.Number)
	}
	lost := lrp.NewMailbox(newShelf(), nil, early)
	put(t, lost, mailFrame(home, device, 1, 1, early), early)
	if lost.Taken(device, last.Number); len(lost.For(device, 0, early)) != 1 {
		t.Error("a number that was never given here empties the box")
	}
}

func TestMailbox_Spec7_NewerTakesThePlace(t *testing.T) {
	s := newShelf()
	m := lrp.NewMailbox(s, nil, start)
	old := put(t, m, mailFrame(home, device, 1, 10, start), start)
	record := s.kept[old.Number]
	put(t, m, mailFrame(home, device, 1, 11, start), start)
	if got := m.For(device, 0, start); len(got) != 1 || len(got[0].Frame.Body) != 11 || len(s.kept) != 1 {
		t.Errorf("%+v; %d on the shelf", got, len(s.kept))
	}
	s.kept[old.Number] = record // a crash came before it was dropped
	m = s.reopened(t, start)
	if got := m.For(device, 0, start); len(got) != 1 || len(got[0].Frame.Body) != 11 || len(s.kept) != 1 {
		t.Errorf("after a crash: %+v; %d on the shelf", got, len(s.kept))
	}
}

func TestMailbox_Spec7_Limits(t *testing.T) {
	m := lrp.NewMailbox(newShelf(), nil, start)
	for n := range byte(lrp.MaxMailSource) {
		put(t, m, mailFrame(home, device, n, 1, start), start)
	}
	if _, err := m.Put(mailFrame(home, device, 99, 1, start), 0, start); !errors.Is(err, lrp.ErrFull) {
		t.Errorf("frame %d of one source: %v", lrp.MaxMailSource+1, err)
	}
	put(t, m, mailFrame(home, device, 3, 2, start), start) // takes a place
	for n := range lrp.MaxMailBox - lrp.MaxMailSource {
		put(t, m, mailFrame(lrp.Addr{8, byte(n / 16)}, device, byte(n), 1, start), start)
	}
	if _, err := m.Put(mailFrame(lrp.Addr{7}, device, 1, 1, start), 0, start); !errors.Is(err, lrp.ErrFull) {
		t.Errorf("frame %d of one box: %v", lrp.MaxMailBox+1, err)
	}
	put(t, m, mailFrame(lrp.Addr{7}, lrp.Addr{5}, 1, 1, start), start) // another's box is its own
	large := lrp.NewMailbox(newShelf(), nil, start)
	for n := range byte(8) {
		put(t, large, mailFrame(home, device, n, lrp.MaxBody, start), start)
	}
	if _, err := large.Put(mailFrame(home, device, 9, 1, start), 0, start); !errors.Is(err, lrp.ErrFull) {
		t.Errorf("more than %d bytes of one source: %v", lrp.MaxSourceBytes, err)
	}
	later := start.Add(lrp.MailLife + time.Second)
	if got := m.For(device, 0, later); len(got) != 0 {
		t.Errorf("%d wait longer than MailLife", len(got))
	}
	put(t, m, mailFrame(home, device, 99, 1, later), later)
	for n := range lrp.MaxBoxes {
		_, _ = m.Put(mailFrame(home, lrp.Addr{4, byte(n), byte(n >> 8)}, 1, 1, later), 0, later) // all but the last have room
	}
	if _, err := m.Put(mailFrame(home, lrp.Addr{3}, 1, 1, later), 0, later); !errors.Is(err, lrp.ErrFull) {
		t.Errorf("box %d: %v", lrp.MaxBoxes+1, err)
	}
}

// A mailbox is bounded in all, too, and one source has a quarter of it at most: it
// cannot keep others out. What is taken makes room.
func TestMailbox_Spec7_LimitsInAll(t *testing.T) {
	for name, tc := range map[string]struct{ body, box, source int }{
		"frames": {1, lrp.MaxMailSource, lrp.MaxMailFrom}, "bytes": {lrp.MaxBody, lrp.MaxSourceBytes / lrp.MaxBody, lrp.MaxFromBytes / lrp.MaxBody},
	} {
		t.Run(name, func(t *testing.T) {
			m := lrp.NewMailbox(newShelf(), nil, start)
			fill := func(src lrp.Addr, n int) (frames []lrp.Frame) {
				t.Helper()
				for i := range n {
					f := mailFrame(src, lrp.Addr{2, byte(i / tc.box), src[1] / 8}, byte(i%tc.box), tc.body, start)
					put(t, m, f, start)
					frames = append(frames, f)
				}
				return frames
			}
			first := fill(lrp.Addr{1, 0}, tc.source)
			more := mailFrame(lrp.Addr{1, 0}, lrp.Addr{3}, 1, 1, start)
			if _, err := m.Put(more, 0, start); !errors.Is(err, lrp.ErrFull) {
				t.Errorf("frame %d of one source, in another's box: %v", tc.source+1, err)
			}
			for n := range byte(3) {
				fill(lrp.Addr{1, n + 1}, tc.source)
			}
			if got, want := m.Held(), (lrp.Share{Frames: 4 * tc.source, Bytes: 4 * tc.source * tc.body}); got != want {
				t.Errorf("%+v wait, want %+v", got, want)
			}
			other := mailFrame(lrp.Addr{1, 9}, lrp.Addr{3}, 1, 1, start)
			if _, err := m.Put(other, 0, start); !errors.Is(err, lrp.ErrFull) {
				t.Errorf("frame %d in all: %v", 4*tc.source+1, err)
			}
			again := first[0]
			again.Seq++
			put(t, m, again, start) // it takes its own place
			taken := m.For(again.Dst, 0, start)
			m.Taken(again.Dst, taken[len(taken)-1].Number)
			if got := m.For(again.Dst, 0, start); len(got) != 0 || len(taken) == 0 {
				t.Errorf("%d wait of %d that were taken", len(got), len(taken))
			}
			put(t, m, other, start)
			later := start.Add(lrp.MailLife + time.Second)
			other.Expires, other.Tx = later.Add(time.Hour).UnixMilli(), lrp.NewTx()
			k := put(t, m, other, later) // all the rest has lapsed
			if m.Sweep(later); m.Held() != (lrp.Share{Frames: 1, Bytes: 1}) || k.Frame.Dst != other.Dst {
				t.Errorf("%+v wait after all lapsed, want one", m.Held())
			}
		})
	}
}

func TestMailbox_Spec7_WhatIsNotDurableIsNotKept(t *testing.T) {
	s := newShelf()
	m := lrp.NewMailbox(s, nil, start)
	s.fail = errors.New("disk full")
	if _, err := m.Put(mailFrame(home, device, 1, 1, start), 0, start); !errors.Is(err, s.fail) {
		t.Errorf("%v", err)
	}
	if got := m.For(device, 0, start); len(got) != 0 {
		t.Errorf("kept all the same: %+v", got)
	}
}

// Whatever is put in, in whatever order and with whatever restarts: the limits
// hold, numbers ascend, and nothing that waits is lost.
func TestMailbox_Spec7_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		now := start
		m := lrp.NewMailbox(s, nil, now)
		var last uint64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			f := mailFrame(lrp.Addr{1, rapid.Byte().Draw(t, "src") % 3}, lrp.Addr{2, rapid.Byte().Draw(t, "dst") % 2},
				rapid.Byte().Draw(t, "tx")%40, rapid.IntRange(0, lrp.MaxBody).Draw(t, "bytes"), now)
			k, err := m.Put(f, 0, now)
			if err == nil && k.Number <= last {
				t.Fatalf("number %d after %d", k.Number, last)
			}
			last = max(last, k.Number)
			if rapid.Byte().Draw(t, "crash")%10 == 0 {
				var held []lrp.Kept
				for _, r := range s.kept {
					k, err := lrp.ParseKept(r)
					if err != nil {
						t.Fatal(err)
					}
					held = append(held, k)
				}
				m = lrp.NewMailbox(s, held, now)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "pause")))
			total := 0
			for d := range byte(2) {
				box, size, own := m.For(lrp.Addr{2, d}, 0, now), 0, map[lrp.Addr]int{}
				for _, k := range box {
					size += len(k.Frame.Body)
					own[k.Frame.Src]++
				}
				if total += len(box); len(box) > lrp.MaxMailBox || size > lrp.MaxBoxBytes {
					t.Fatalf("%d frames of %d bytes in one box", len(box), size)
				}
				for src, n := range own {
					if n > lrp.MaxMailSource {
						t.Fatalf("%d frames of %v", n, src)
					}
				}
			}
			if total != len(s.kept) || m.Held().Frames != total {
				t.Fatalf("%d wait, %d are on the shelf, %+v counted", total, len(s.kept), m.Held())
			}
		}
	})
}

func TestRelay_Spec9_WhereFramesGo(t *testing.T) {
	box := lrp.NewMailbox(newShelf(), nil, start)
	r := &lrp.Relay{Self: home, Mailbox: box}
	far, away, stranger := lrp.Addr{5}, lrp.Addr{6}, lrp.Addr{7}
	if err := r.Route(far, "unix:far"); err != nil {
		t.Fatal(err)
	}
	r.Box(away, true)
	f := mailFrame(device, far, 1, 4, start)
	got := r.Handle(f, start)
	if got.Next != "unix:far" || got.Frame.Hops != 1 || got.Answer != nil {
		t.Errorf("with a way: %+v", got)
	}
	f.Dst = away
	if got := r.Handle(f, start); len(got.Answer) != 1 || got.Answer[0].Type != lrp.TypeAck || got.Kept == nil || len(box.For(away, 0, start)) != 1 {
		t.Errorf("with a box: %+v", got)
	}
	f.Dst = stranger
	if c := code(t, r.Handle(f, start).Answer); c != lrp.CodeUnknownDst {
		t.Errorf("a stranger: %v", c)
	}
	r.Default = "http://up"
	if got := r.Handle(f, start); got.Next != "http://up" {
		t.Errorf("by default: %+v", got)
	}
	f.Dst = home
	if got := r.Handle(f, start); got.Answer != nil || got.Next != "" {
		t.Errorf("its own: %+v", got)
	}
	f.Dst, f.Hops = far, lrp.MaxHops
	if c := code(t, r.Handle(f, start).Answer); c != lrp.CodeHops {
		t.Errorf("at the last hop: %v", c)
	}
	f.Type = lrp.TypeError
	if got := r.Handle(f, start); len(got.Answer) != 0 || got.Answer == nil || got.Next != "" {
		t.Errorf("an ERROR at the last hop is dropped, not answered: %+v", got)
	}
	f.Type, f.Hops, f.Expires = lrp.TypeSLTP, 0, start.UnixMilli()
	if c := code(t, r.Handle(f, start).Answer); c != lrp.CodeExpired {
		t.Errorf("expired: %v", c)
	}
}

// Relays in a ring pass a frame on until it has crossed MaxHops of them.
func TestRelay_Spec9_ALoopEnds(t *testing.T) {
	a, b := &lrp.Relay{Self: lrp.Addr{1}, Default: "b"}, &lrp.Relay{Self: lrp.Addr{2}, Default: "a"}
	f := mailFrame(lrp.Addr{8}, lrp.Addr{9}, 1, 4, start)
	crossed := 0
	for r := a; ; crossed++ {
		s := r.Handle(f, start)
		if s.Next == "" {
			if c := code(t, s.Answer); c != lrp.CodeHops {
				t.Errorf("%v, want HOPS", c)
			}
			break
		}
		if f = s.Frame; s.Next == "b" {
			r = b
		} else {
			r = a
		}
	}
	if crossed != lrp.MaxHops {
		t.Errorf("it crossed %d relays, want %d", crossed, lrp.MaxHops)
	}
}

func TestRelay_Spec9_RoutesAreBounded(t *testing.T) {
	r := &lrp.Relay{Self: home}
	for n := range lrp.MaxRoutes {
		if err := r.Route(lrp.Addr{9, byte(n), byte(n >> 8)}, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Route(device, "x"); !errors.Is(err, lrp.ErrRoutes) {
		t.Errorf("%v", err)
	}
	if err := r.Route(lrp.Addr{9}, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.Route(device, "x"); err != nil {
		t.Error(err)
	}
}

func TestRelay_Spec9_ALiarSpeaksToNobodyElse(t *testing.T) {
	f := mailFrame(device, lrp.Addr{5}, 1, 4, start)
	good := lrp.Acknowledge(f)
	other, foreign, tired := good, good, good
	other.Dst, foreign.Tx, tired.Hops = lrp.Addr{9}, lrp.Tx{9}, lrp.MaxHops
	got := lrp.Back(f, []lrp.Frame{other, foreign, tired, good}, start)
	if len(got) != 1 || got[0].Type != lrp.TypeAck || got[0].Hops != 1 {
		t.Errorf("%+v", got)
	}
}

func FuzzKept(f *testing.F) {
	k, err := lrp.Kept{Number: 7, At: start.UnixMilli(), Mark: 3, Frame: example(f)}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k)
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := lrp.ParseKept(data)
		if err != nil {
			return
		}
		if again, err := k.Encode(); err != nil || string(again) != string(data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}
