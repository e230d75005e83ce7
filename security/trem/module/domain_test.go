package module_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// generation is how often the house has put somebody out, and one.
func (h *house) generation() uint64 {
	h.t.Helper()
	s, err := h.home.Status(h.t.Context())
	h.must(err)
	return s.Generation
}

func wantTREM(t *testing.T, what string, err error, code trem.Code) {
	t.Helper()
	if e, ok := errors.AsType[*trem.Error](err); !ok || e.Code != code {
		t.Errorf("%s: %v, want code %d", what, err, code)
	}
}

// told gives letters to whom they are for, once, and returns what they led to.
func (h *house) told(letters ...trem.Letter) (events []trem.Event) {
	h.t.Helper()
	for _, l := range letters {
		got, err := h.home.Post(h.t.Context(), l.Bytes)
		h.must(err)
		events = append(events, got.Events...)
	}
	return events
}

// A device leaves: what was set aside goes back first, the rest is destroyed, the
// house hears of it, also from the same words a second time, and after a restart in
// between; and what comes after is not for it.
func TestDomain_LeaveGivesBackAndDestroys(t *testing.T) {
	h, _ := witnessed(t)
	ctx := t.Context()
	_, err := h.tablet.Leave(ctx, h.home.id)
	wantTREM(t, "with plays set aside", err, trem.CodeState)
	held, err := h.tablet.Licenses(ctx)
	h.must(err)
	if len(held) < 2 {
		t.Fatalf("%d licenses", len(held))
	}
	for _, x := range held {
		if x.Kind == 3 {
			got, err := h.tablet.Yield(ctx, x.License)
			h.must(err)
			h.mail(got.Letters)
		}
	}
	before := h.generation()
	out, err := h.tablet.Leave(ctx, h.home.id)
	h.must(err)
	if held, err = h.tablet.Licenses(ctx); err != nil || len(held) != 0 {
		t.Errorf("%d licenses are left (%v)", len(held), err)
	}
	h.tablet.restart() // before the house has heard
	st, err := h.tablet.Status(ctx)
	h.must(err)
	if st.Domain != (ident.Domain{}) {
		t.Errorf("it is of %v still", st.Domain)
	}
	again, err := h.tablet.Leave(ctx, h.home.id)
	h.must(err)
	later, err := h.tablet.Letters(ctx)
	h.must(err)
	if len(out.Letters) != 1 || len(again.Letters) != 1 || len(later.Letters) != 1 || !slices.Equal(out.Letters[0].Bytes, again.Letters[0].Bytes) || !later.Letters[0].Again {
		t.Fatalf("letters: %d, %d, %d", len(out.Letters), len(again.Letters), len(later.Letters))
	}
	if got := h.told(out.Letters[0], again.Letters[0]); len(got) != 1 || got[0].Kind != trem.EventLeft || got[0].Peer != h.tablet.id {
		t.Errorf("events %+v, want one LEFT", got)
	}
	if got := h.generation(); got != before+1 {
		t.Errorf("generation %d after %d", got, before)
	}
	h.home.restart()
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventRefused)
	h.must(h.pair(h.tablet)) // and back: a new membership, and a word of before counts no more
	if got := h.told(out.Letters...); len(got) != 0 {
		t.Errorf("an old LEFT put the new member out: %+v", got)
	}
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventInstalled, trem.EventClosed)
}

// LEFT of somebody else, or changed, puts nobody out.
func TestDomain_LeaveIsTheDevicesOwnWord(t *testing.T) {
	h := newHouse(t)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	out, err := h.tablet.Leave(t.Context(), h.home.id)
	h.must(err)
	letter := slices.Clone(out.Letters[0].Bytes)
	letter[len(letter)/5] ^= 1
	_, err = h.home.Post(t.Context(), letter)
	wantTREM(t, "a changed letter", err, trem.CodeRejected)
	if got := h.generation(); got != 1 {
		t.Errorf("generation %d", got)
	}
	_, err = h.phone.Leave(t.Context(), h.tablet.id)
	wantTREM(t, "another house", err, trem.CodeState)
	_, err = h.phone.Leave(t.Context(), h.home.id)
	h.must(err)
	_, err = h.home.Leave(t.Context(), h.home.id)
	wantTREM(t, "the house itself", err, trem.CodeState)
}

// Hardware that was installed anew takes over its place, and the old one is out.
func TestDomain_ReinstalledHardwareTakesOverItsPlace(t *testing.T) {
	h := newHouse(t)
	mark := []byte("the machine")
	admit := func(b *box, mark []byte) trem.Admission {
		t.Helper()
		s, err := b.Status(t.Context())
		h.must(err)
		a, err := h.home.Admit(t.Context(), trem.Candidate{Chain: s.Chain, Hardware: mark})
		h.must(err)
		return a
	}
	if a := admit(h.tablet, mark); a.Replaced != (ident.Device{}) {
		t.Errorf("the first replaces %v", a.Replaced)
	}
	a := admit(h.phone, mark) // the same machine with a new key
	if a.Replaced != h.tablet.id || h.generation() != 2 {
		t.Errorf("replaced %v, generation %d", a.Replaced, h.generation())
	}
	h.must(h.phone.Join(t.Context(), a))
	h.home.restart()
	s, err := h.tablet.Status(t.Context())
	h.must(err)
	_, err = h.home.Admit(t.Context(), trem.Candidate{Chain: s.Chain, Hardware: mark})
	wantTREM(t, "the old key", err, trem.CodeRejected)
	for range 2 { // without a mark nobody is the same machine as another
		if a, err := h.home.Admit(t.Context(), trem.Candidate{Chain: h.pki.Party(pki.Device).Chain}); err != nil || a.Replaced != (ident.Device{}) {
			t.Errorf("%v, %v", a.Replaced, err)
		}
	}
}

// A house has 64 devices at a time, and any number in its life.
func TestDomain_SizeIsOfThoseWhoAreThere(t *testing.T) {
	h := newHouse(t)
	admit := func() (ident.Device, error) {
		p := h.pki.Party(pki.Device)
		a, err := h.home.Admit(t.Context(), trem.Candidate{Chain: p.Chain, Hardware: p.Leaf()[:40]})
		_ = a
		return h.pki.Peer(p).ID(), err
	}
	var all []ident.Device
	for range 64 {
		id, err := admit()
		h.must(err)
		all = append(all, id)
	}
	_, err := admit()
	wantTREM(t, "the 65th", err, trem.CodeRejected)
	for n := range 12 { // 76 in its life
		h.must(h.home.Remove(t.Context(), all[n]))
		_, err := admit()
		h.must(err)
	}
	h.home.restart()
	_, err = admit()
	wantTREM(t, "one too many after a restart", err, trem.CodeRejected)
	if got := h.generation(); got != 13 {
		t.Errorf("generation %d, want 13", got)
	}
}
