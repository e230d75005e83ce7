package module_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// sharing is a house with a rental of so many plays, which its devices share.
func sharing(t *testing.T, terms string) *house {
	t.Helper()
	h := newHouse(t)
	h.rental = h.stock(cenc.SchemeCENC, rentedFilm)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(rentedFilm, h.stateful(terms, rentedFilm)), trem.EventInstalled, trem.EventClosed)
	return h
}

// aside is how many plays the house's module says are set aside at a device.
func (h *house) aside(b *box) (n uint64) {
	h.t.Helper()
	for _, a := range h.member(b).Aside {
		n += a.Plays
	}
	return n
}

func (h *house) wantPlays(home, tablet, phone uint64) {
	h.t.Helper()
	if a, b, c := playsLeft(h.t, h.home), playsLeft(h.t, h.tablet), playsLeft(h.t, h.phone); a != home || b != tablet || c != phone {
		h.t.Errorf("plays: house %d, tablet %d, phone %d, want %d, %d, %d", a, b, c, home, tablet, phone)
	}
}

// One device has all plays, another asks in vain. When the first meets the house it
// gives half of them back, once, and the other one's next question is answered.
func TestTransfer_GiveBackOfWhatOthersWant(t *testing.T) {
	h := sharing(t, "PLAY; PLAY_COUNT=9")
	h.wantKinds(h.get(h.tablet, rentedFilm, 9), trem.EventInstalled, trem.EventClosed)
	h.watch(h.tablet)
	h.wantPlays(0, 8, 0)
	h.wantKinds(h.get(h.phone, rentedFilm, 5), trem.EventRefused)
	if got := h.aside(h.tablet); got != 9 {
		t.Errorf("%d plays are set aside for the tablet, want 9", got)
	}
	h.home.restart() // what is wanted is not forgotten
	h.learn(h.home)
	ask := h.letters(h.home)
	if len(ask) != 1 || ask[0].To != h.tablet.id {
		t.Fatalf("letters of the house: %+v", ask)
	}
	h.mail(ask)
	h.wantPlays(4, 4, 0)
	h.tablet.restart()
	h.learn(h.tablet)
	h.mail(ask) // the same words again ask for nothing more
	h.mail(h.letters(h.home))
	h.wantPlays(4, 4, 0)
	h.wantKinds(h.get(h.phone, rentedFilm, 5), trem.EventInstalled, trem.EventClosed)
	h.wantPlays(0, 4, 4)
	if a, b := h.aside(h.tablet), h.aside(h.phone); a != 5 || b != 4 { // one of the tablet's is used, which it has not said
		t.Errorf("set aside: tablet %d, phone %d, want 5 and 4", a, b)
	}
	last, err := h.tablet.Yield(t.Context(), h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(last.Letters)
	h.wantPlays(4, 0, 4)
}

// What nobody has used for a week goes back as a whole, if it is wanted. A device
// whose membership is over, or that was put out, is not asked: what it has counts as
// used.
func TestTransfer_GiveBackOfTheIdleAndNotOfTheLapsed(t *testing.T) {
	h := sharing(t, "PLAY; PLAY_COUNT=4")
	h.wantKinds(h.get(h.tablet, rentedFilm, 4), trem.EventInstalled, trem.EventClosed)
	h.pass(8 * 24 * time.Hour)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		h.learn(b)
	}
	h.wantKinds(h.get(h.phone, rentedFilm, 2), trem.EventRefused)
	h.mail(h.letters(h.home))
	h.wantPlays(2, 2, 0)
	h.wantKinds(h.get(h.phone, rentedFilm, 2), trem.EventInstalled, trem.EventClosed)
	h.pass(31 * 24 * time.Hour)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		h.learn(b)
	}
	h.wantKinds(h.get(h.phone, rentedFilm, 2), trem.EventRefused) // the phone is seen, the tablet is not
	if got := h.letters(h.home); len(got) != 0 {
		t.Errorf("a lapsed member is asked: %+v", got)
	}
	if m := h.member(h.tablet); !m.Lapsed || h.aside(h.tablet) != 2 {
		t.Errorf("%+v", m)
	}
	h.wantPlays(0, 2, 2)
}

// Of a house where several wait, none gets all that is left.
func TestTransfer_SharesOfThoseWhoWait(t *testing.T) {
	h := sharing(t, "PLAY; PLAY_COUNT=8")
	h.wantKinds(h.get(h.tablet, rentedFilm, 8), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.phone, rentedFilm, 6), trem.EventRefused)
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventRefused) // both wait now
	back, err := h.tablet.Yield(t.Context(), h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(back.Letters)
	h.wantKinds(h.get(h.tablet, rentedFilm, 8), trem.EventInstalled, trem.EventClosed)
	h.wantPlays(4, 4, 0)
	h.wantKinds(h.get(h.phone, rentedFilm, 6), trem.EventInstalled, trem.EventClosed)
	h.wantPlays(2, 4, 2)
}

// balance is a house whose devices ask, play, give back and meet it in any order,
// over a courier that loses and repeats, while modules are killed.
type balance struct {
	*house
	n, used uint64
	net     []trem.Letter
	asked   map[*box][]trem.LicenseRequest
}

func (b *balance) some(rt *rapid.T) *box {
	return rapid.SampledFrom([]*box{b.tablet, b.phone}).Draw(rt, "device")
}

// send gives letters to the courier, which carries each not at all, once or twice.
func (b *balance) send(rt *rapid.T, letters []trem.Letter) {
	for _, l := range letters {
		for range rapid.IntRange(0, 2).Draw(rt, "copies") {
			b.net = append(b.net, l)
		}
	}
}

// take is an answer of a module: what it wrote, or a refusal that is one of its rules.
func (b *balance) take(rt *rapid.T, h trem.Handed, err error) {
	var no *trem.RefusalError
	if e, ok := errors.AsType[*trem.Error](err); err != nil && !errors.As(err, &no) && (!ok || e.Code == trem.CodeInternal || e.Code == trem.CodeBroken) {
		rt.Fatal(err)
	}
	b.send(rt, h.Letters)
}

// sum holds what may never be otherwise: what can be played and what was played is at
// most n, and what the house thinks is out covers what the devices have.
func (b *balance) sum(rt *rapid.T) {
	home, tablet, phone := playsLeft(b.t, b.home), playsLeft(b.t, b.tablet), playsLeft(b.t, b.phone)
	if all := home + tablet + phone + b.used; all > b.n {
		rt.Fatalf("%d plays of %d: house %d, tablet %d, phone %d, used %d", all, b.n, home, tablet, phone, b.used)
	}
	for _, d := range []*box{b.tablet, b.phone} {
		if has, aside := playsLeft(b.t, d), b.aside(d); has > aside && len(b.open) == 0 {
			if list, err := b.home.Transfers(b.t.Context()); err == nil && len(list) == 0 {
				rt.Fatalf("a device has %d plays, the house knows of %d", has, aside)
			}
		}
	}
}

func (b *balance) step(rt *rapid.T) {
	ctx := b.t.Context()
	switch what := rapid.IntRange(0, 9).Draw(rt, "what"); what {
	case 0, 1:
		b.getSome(rt, b.some(rt))
	case 2, 3:
		b.watchSome(rt, b.some(rt))
	case 4:
		d := b.some(rt)
		if held := b.held(d); len(held) > 0 {
			h, err := d.Yield(ctx, rapid.SampledFrom(held).Draw(rt, "allowance").License)
			b.take(rt, h, err)
		}
	case 5:
		rapid.SampledFrom([]*box{b.home, b.tablet, b.phone}).Draw(rt, "killed").mend()
	case 6, 7:
		h, err := rapid.SampledFrom([]*box{b.home, b.tablet, b.phone}).Draw(rt, "writer").Letters(ctx)
		b.take(rt, h, err)
	default:
		if len(b.net) == 0 {
			return
		}
		i := rapid.IntRange(0, len(b.net)-1).Draw(rt, "letter")
		l := b.net[i]
		b.net = slices.Delete(b.net, i, i+1)
		h, err := b.boxOf(l.To).Post(ctx, l.Bytes)
		b.take(rt, h, err)
	}
}

// watchSome begins a play, which uses one up, and may go on with the one before.
func (b *balance) watchSome(rt *rapid.T, d *box) {
	before := playsLeft(b.t, d)
	ask := trem.Ask{Content: rentedFilm, Action: 1, Output: trem.OutputInternal, Confirm: true, Again: rapid.Bool().Draw(rt, "again")}
	_, err := d.play(b.rental, content.SD, ask, 0)
	b.take(rt, trem.Handed{}, err)
	b.used += before - playsLeft(b.t, d)
}

// getSome asks the house anew or for the second time, and loses a message of the
// exchange now and then.
func (b *balance) getSome(rt *rapid.T, d *box) {
	ctx := b.t.Context()
	req := trem.LicenseRequest{Peer: b.home.id, Request: ident.NewRequest(), Content: rentedFilm, Plays: rapid.Uint64Range(1, 5).Draw(rt, "plays")}
	if old := b.asked[d]; len(old) > 0 && rapid.IntRange(0, 3).Draw(rt, "repeated") == 0 {
		req = rapid.SampledFrom(old).Draw(rt, "request")
	} else {
		b.asked[d] = append(old, req)
	}
	o, err := d.Open(ctx, req)
	b.must(err)
	lost := rapid.IntRange(0, 9).Draw(rt, "lost")
	for q := o.Messages; len(q) > 0; q = q[1:] {
		if lost--; lost == 0 {
			continue
		}
		got, err := b.home.Receive(ctx, q[0])
		b.must(err)
		for _, m := range got.Messages {
			if lost--; lost == 0 {
				continue
			}
			got, err := d.Receive(ctx, m)
			b.must(err)
			q = append(q, got.Messages...)
		}
	}
}

// closes finishes what a device and its house have begun.
func (b *balance) closes(d *box) {
	for range 64 {
		o, err := d.Resend(b.t.Context(), b.home.id)
		b.must(err)
		if len(o.Messages) == 0 {
			break
		}
		b.carry(d, b.home, o, nil)
	}
	for _, req := range b.asked[d] { // what is open yet comes by the repetition
		o, err := d.Open(b.t.Context(), req)
		b.must(err)
		b.carry(d, b.home, o, nil)
	}
}

// TestTransfer_GiveBackConservesTheSum: whatever is lost, repeated and killed, nobody
// plays more than was sold. In the end, when all is said, nothing is lost either.
func TestTransfer_GiveBackConservesTheSum(t *testing.T) {
	needs.Checks(t, 4) // each is a house of real modules
	rapid.Check(t, func(rt *rapid.T) {
		b := &balance{house: sharing(t, "PLAY; PLAY_COUNT=9"), n: 9, asked: map[*box][]trem.LicenseRequest{}}
		for range rapid.IntRange(10, 40).Draw(rt, "steps") {
			b.step(rt)
			b.sum(rt)
		}
		b.net = nil
		for _, b2 := range []*box{b.home, b.tablet, b.phone} { // all is said, and heard
			b.learn(b2)
		}
		for _, d := range []*box{b.tablet, b.phone} {
			b.closes(d)
			b.mail(b.letters(d))
		}
		b.mail(b.letters(b.home))
		for _, d := range []*box{b.tablet, b.phone} {
			for _, x := range b.held(d) {
				got, err := d.Yield(t.Context(), x.License)
				b.must(err)
				b.mail(got.Letters)
			}
		}
		if left := playsLeft(t, b.home); left+b.used != b.n {
			rt.Fatalf("%d plays are left at the house and %d were used, of %d", left, b.used, b.n)
		}
	})
}
