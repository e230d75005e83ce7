package revocation

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// offer shows a state with its snapshot.
func (h *house) offer(s *State) Offer {
	return Offer{Head: s.Head().Bytes(), Chain: h.signer.Chain, Snapshot: s.Snapshot()}
}

// at signs a state that is issued some time from now.
func (h *house) at(t *testing.T, b *Builder, number uint64, later time.Duration) *State {
	t.Helper()
	s, err := b.Sign(h.signer.Key, Issue{Epoch: pki.Epoch{Number: number}, IssuedAt: h.Now.Add(later), NextUpdate: h.Now.Add(later + 24*time.Hour)})
	must(t, err)
	return s
}

// TestPKI_2_RefusedByNameAndTheStateStays: what a peer may show besides a newer
// state, what it is refused as, and that nothing moves by it.
func TestPKI_2_RefusedByNameAndTheStateStays(t *testing.T) {
	h := newHouse(t)
	dev := h.Party(pki.Device)
	b := h.builder(t)
	old := h.sign(t, b, 4)
	members := h.Peer(dev).Members()
	oldProof, err := old.Proof(members...)
	must(t, err)
	must(t, b.RevokeDevice(dev.Member.Class, dev.Member.Index))
	held := h.sign(t, b, 5)
	must(t, b.RevokeDevice(pkitest.Devices, 77))
	newer := h.sign(t, b, 6)
	delta, err := newer.Delta(held)
	must(t, err)
	another := NewBuilder(held)
	must(t, another.RevokeDevice(pkitest.Devices, 78))
	forged := mustDelta(t, h.sign(t, another, 6), held) // well formed, and of somebody else
	other := NewBuilder(old)
	must(t, other.RevokeDevice(pkitest.Devices, 9))
	twin := h.sign(t, other, 5)
	stranger := h.Party(pki.TimeSigner)

	w, err := (&Watch{}).Take(h.offer(held), h.v, h.Now)
	must(t, err)
	for _, tc := range []struct {
		name  string
		offer Offer
		want  error
	}{
		{"an older epoch", h.offer(old), ErrOlder},
		{"an older epoch, head alone", Offer{Head: old.Head().Bytes(), Chain: h.signer.Chain}, ErrOlder},
		{"a future head", h.offer(h.at(t, b, 7, MaxAhead+time.Second)), ErrEpoch},
		{"a number that the hours do not allow", h.offer(numbered64(t, h, b)), ErrEpoch},
		{"a forged delta", Offer{Head: newer.Head().Bytes(), Chain: h.signer.Chain, Delta: forged}, ErrRoot},
		{"a delta of another state", Offer{Head: newer.Head().Bytes(), Chain: h.signer.Chain, Delta: mustDelta(t, held, old)}, ErrRoot},
		{"a snapshot of another state", Offer{Head: newer.Head().Bytes(), Chain: h.signer.Chain, Snapshot: held.Snapshot()}, ErrRoot},
		{"a newer head without its state", Offer{Head: newer.Head().Bytes(), Chain: h.signer.Chain}, ErrMalformed},
		{"a head that a time signer signed", Offer{Head: newer.Head().Bytes(), Chain: stranger.Chain, Snapshot: newer.Snapshot()}, ErrSigner},
		{"a head of another generation without the root's word", h.offer(inGeneration(t, h, b, 1)), ErrSigner},
		{"two heads for one epoch", h.offer(twin), ErrTwin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next, err := w.Take(tc.offer, h.v, h.Now)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if next.State() != w.State() || !errors.Is(err, ErrTwin) && next != w {
				t.Error("what is held did not stay")
			}
		})
	}
	t.Run("a replayed proof", func(t *testing.T) {
		if _, err := OpenProof(oldProof, w.State().Trusted()); !errors.Is(err, ErrEpoch) {
			t.Errorf("got %v, want %v", err, ErrEpoch)
		}
	})
	// And what is right is taken, by delta and by snapshot.
	for name, o := range map[string]Offer{"delta": {Head: newer.Head().Bytes(), Chain: h.signer.Chain, Delta: delta}, "snapshot": h.offer(newer)} {
		next, err := w.Take(o, h.v, h.Now)
		if err != nil || next.State().Epoch() != newer.Epoch() || w.State().Epoch() != held.Epoch() {
			t.Errorf("by %s: %v", name, err)
		}
	}
	if next, err := w.Take(h.offer(held), h.v, h.Now); err != nil || next != w {
		t.Errorf("the same again: %v", err)
	}
}

// numbered64 signs more epochs than there were hours.
func numbered64(t *testing.T, h *house, b *Builder) *State {
	t.Helper()
	s := h.sign(t, b, 9)
	s.trusted.head.Epoch.Number = 1 << 40
	must(t, s.trusted.head.sign(h.signer.Key))
	return s
}

func inGeneration(t *testing.T, h *house, b *Builder, generation uint64) *State {
	t.Helper()
	s, err := b.Sign(h.signer.Key, Issue{Epoch: pki.Epoch{Generation: generation, Number: 1}, IssuedAt: h.Now, NextUpdate: h.Now.Add(time.Hour)})
	must(t, err)
	return s
}

// TestPKI_2_TwoHeadsForOneEpoch: the one held stays, moves go by the union,
// both are passed on, the evidence is kept, and the next epoch decides.
func TestPKI_2_TwoHeadsForOneEpoch(t *testing.T) {
	h := newHouse(t)
	base := h.builder(t)
	a, b := NewBuilder(h.sign(t, base, 1)), NewBuilder(h.sign(t, base, 1))
	must(t, a.RevokeDevice(pkitest.Devices, 1))
	must(t, b.RevokeDevice(pkitest.Devices, 2))
	one, two := h.sign(t, a, 2), h.sign(t, b, 2)
	w, err := (&Watch{}).Take(h.offer(one), h.v, h.Now)
	must(t, err)
	// First the head alone, then its state, then both again.
	for i, o := range []Offer{{Head: two.Head().Bytes(), Chain: h.signer.Chain}, h.offer(two), h.offer(two)} {
		next, err := w.Take(o, h.v, h.Now)
		if !errors.Is(err, ErrTwin) {
			t.Fatalf("offer %d: %v", i, err)
		}
		w = next
		if n := len(w.Evidence()); n != 1 {
			t.Fatalf("offer %d: %d pieces of evidence", i, n)
		}
	}
	if err := w.State().Check(pkitest.Devices, 2, 0); err != nil {
		t.Errorf("the state held has changed: %v", err)
	}
	for _, index := range []uint32{1, 2} {
		if err := w.Moves().Check(pkitest.Devices, index, 0); !errors.Is(err, pki.ErrRevoked) {
			t.Errorf("device %d moves: %v", index, err)
		}
	}
	if err := w.Moves().Check(pkitest.Devices, 3, 0); err != nil || w.Moves().Epoch() != one.Epoch() {
		t.Errorf("a device that stands in both: %v", err)
	}
	gossip := w.Gossip()
	if len(gossip) != 2 || !slices.Equal(gossip[0].Head, one.Head().Bytes()) || !slices.Equal(gossip[1].Head, two.Head().Bytes()) {
		t.Errorf("%d heads are passed on", len(gossip))
	}
	// Evidence stands by itself: both heads verify, one epoch, two roots.
	e := w.Evidence()[0]
	first, err := VerifyHead(e.Heads[0], h.v, e.Chain[0], h.Now)
	must(t, err)
	second, err := VerifyHead(e.Heads[1], h.v, e.Chain[1], h.Now)
	must(t, err)
	if first.Head().Epoch != second.Head().Epoch || first.Head().Root == second.Head().Root {
		t.Error("the evidence shows nothing")
	}
	// The next epoch decides, and the evidence stays.
	three := h.sign(t, a, 3)
	w, err = w.Take(h.offer(three), h.v, h.Now)
	must(t, err)
	if err := w.Moves().Check(pkitest.Devices, 2, 0); err != nil || len(w.Gossip()) != 1 || len(w.Evidence()) != 1 {
		t.Errorf("after the next epoch: %v, %d heads, %d pieces", err, len(w.Gossip()), len(w.Evidence()))
	}
	// A signer who says ever new things does not fill the memory.
	for i := range uint32(20) {
		c := NewBuilder(three)
		must(t, c.RevokeDevice(pkitest.Devices, 100+i))
		w, err = w.Take(h.offer(h.sign(t, c, 3)), h.v, h.Now)
		if !errors.Is(err, ErrTwin) {
			t.Fatal(err)
		}
	}
	if len(w.twins) != maxTwins || len(w.Evidence()) != maxEvidence {
		t.Errorf("%d twins and %d pieces of evidence are kept", len(w.twins), len(w.Evidence()))
	}
}

// TestPKI_2_RootChangesTheSigner: a stolen key ends with one word of the root,
// however far its holder has counted.
func TestPKI_2_RootChangesTheSigner(t *testing.T) {
	h := newHouse(t)
	stolen := h.sign(t, h.builder(t), uint64(h.Now.Sub(T0())/time.Hour)) // the last number there is
	w, err := (&Watch{}).Take(h.offer(stolen), h.v, h.Now)
	must(t, err)
	root, next := h.CAs[pkitest.RootClass], h.Party(pki.StateSigner)
	change, err := SignChange(root.Signer, h.Root, 1, next.Key.Public())
	must(t, err)
	b := h.builder(t)
	must(t, b.RevokeDevice(h.signer.Member.Class, h.signer.Member.Index))
	s, err := b.Sign(next.Key, Issue{Epoch: pki.Epoch{Generation: 1, Number: 1}, IssuedAt: h.Now, NextUpdate: h.Now.Add(time.Hour)})
	must(t, err)
	good := Offer{Head: s.Head().Bytes(), Chain: next.Chain, Change: change, Snapshot: s.Snapshot()}
	w, err = w.Take(good, h.v, h.Now)
	if err != nil || w.State().Epoch() != (pki.Epoch{Generation: 1, Number: 1}) || !slices.Equal(w.Gossip()[0].Change, change) {
		t.Fatalf("%v, gossip %+v", err, w.Gossip())
	}
	if _, err := w.Take(h.offer(stolen), h.v, h.Now); !errors.Is(err, ErrOlder) {
		t.Errorf("the stolen key's newest head: %v", err)
	}
	again, err := SignChange(root.Signer, h.Root, 2, next.Key.Public())
	must(t, err)
	byOther, err := SignChange(h.CAs[pkitest.Devices].Signer, h.Root, 1, next.Key.Public())
	must(t, err)
	forThief, err := SignChange(root.Signer, h.Root, 1, h.signer.Key.Public())
	must(t, err)
	for name, c := range map[string][]byte{"none": nil, "of another generation": again, "signed by a CA": byOther, "for another key": forThief, "cut off": change[:len(change)-1]} {
		o := good
		o.Change = c
		if _, err := (&Watch{}).Take(o, h.v, h.Now); !errors.Is(err, ErrSigner) {
			t.Errorf("change %s: %v", name, err)
		}
	}
	for i := range change {
		o := good
		o.Change = flipped(change, 8*i)
		if _, err := (&Watch{}).Take(o, h.v, h.Now); !errors.Is(err, ErrSigner) {
			t.Errorf("byte %d of the change turned over: %v", i, err)
		}
	}
	for _, g := range []uint64{0, maxGeneration + 1} {
		if _, err := SignChange(root.Signer, h.Root, g, next.Key.Public()); !errors.Is(err, ErrEpoch) {
			t.Errorf("generation %d: %v", g, err)
		}
	}
}

func TestPKI_2_FreshnessTiers(t *testing.T) {
	h := newHouse(t)
	head := h.sign(t, h.builder(t), 9).Head() // the next update is due after a day
	const day = 24 * time.Hour
	for _, tc := range []struct {
		age, maxAge time.Duration
		want        Tier
	}{
		{-day, 7 * day, Fresh},
		{0, 7 * day, Fresh},
		{day, 7 * day, Fresh},
		{day + time.Millisecond, 7 * day, Stale},
		{7 * day, 7 * day, Stale},
		{7*day + time.Millisecond, 7 * day, Expired},
		{1000 * day, 0, Stale},
		{time.Hour, time.Minute, Expired},
	} {
		if got := head.Tier(h.Now.Add(tc.age), tc.maxAge); got != tc.want {
			t.Errorf("%v old, at most %v: %v, want %v", tc.age, tc.maxAge, got, tc.want)
		}
	}
	own := pki.Epoch{Number: 9}
	type may struct{ play, relay, move bool }
	for _, tc := range []struct {
		tier  Tier
		peer  uint64
		same  bool
		want  may
		about string
	}{
		{Fresh, 8, false, may{true, true, false}, "a peer that is behind is updated before anything moves"},
		{Fresh, 9, false, may{true, true, true}, ""},
		{Fresh, 10, true, may{true, true, true}, ""},
		{Stale, 8, true, may{true, false, false}, ""},
		{Stale, 9, false, may{true, true, true}, ""},
		{Stale, 10, false, may{true, true, true}, ""},
		{Expired, 9, false, may{}, "across domains nothing moves"},
		{Expired, 10, false, may{}, ""},
		{Expired, 9, true, may{false, true, true}, "members at one epoch go on among each other"},
		{Expired, 10, true, may{}, "who is behind takes the newer state first"},
		{0, 9, true, may{}, "the zero tier allows nothing"},
	} {
		c := Contact{Own: own, Peer: pki.Epoch{Number: tc.peer}, SameDomain: tc.same}
		if got := (may{tc.tier.MayPlay(), tc.tier.MayRelay(c), tc.tier.MayMove(c)}); got != tc.want {
			t.Errorf("%v, peer at %d, same domain %v: %+v, want %+v %s", tc.tier, tc.peer, tc.same, got, tc.want, tc.about)
		}
	}
}
