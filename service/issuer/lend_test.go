package issuer_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	loanPeriod = 14 * 24 * time.Hour
	loanWindow = 3 * 24 * time.Hour
	loanGuard  = 10 * time.Minute
)

// library is a shop that lends n copies of the film.
func library(t *testing.T, n uint64) *shop {
	t.Helper()
	s := newShop(t)
	if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: "loan", Content: film, Kind: issuer.Loan, Terms: "PLAY; EXPORT=clearkey"}); err != nil {
		t.Fatal(err)
	}
	s.stock(n)
	return s
}

func (s *shop) stock(n uint64) {
	s.t.Helper()
	if err := s.tryStock(n); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) tryStock(n uint64) error {
	_, err := s.PutStock(s.t.Context(), issuer.Stock{Content: film, Copies: n, Offer: "loan", Period: loanPeriod.Milliseconds(), Window: loanWindow.Milliseconds()})
	return err
}

// fetch lets a house ask for the license of what it borrowed.
func (s *shop) fetch(d ident.Domain, n byte) string {
	s.t.Helper()
	ev := request(n)
	ev.Domain = d
	return s.send(ev)
}

func TestCopies_Spec2_OneCopyAfterTheOther(t *testing.T) {
	s := library(t, 1)
	ann, bob, cat := ident.Domain{0xa}, ident.Domain{0xb}, ident.Domain{0xc}
	l, err := s.Lend(t.Context(), film, ann)
	if err != nil || l.Until != s.now.Add(loanPeriod).UnixMilli() {
		t.Fatalf("%+v, %v", l, err)
	}
	if again, err := s.Lend(t.Context(), film, ann); err != nil || again != l {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if _, err := s.Lend(t.Context(), film, bob); !errors.Is(err, issuer.ErrNoCopy) {
		t.Errorf("a second loan of one copy: %v", err)
	}
	for _, d := range []ident.Domain{bob, cat} {
		if h, err := s.PlaceHold(t.Context(), film, d); err != nil || h.OfferedUntil != 0 {
			t.Errorf("%+v, %v", h, err)
		}
	}
	if _, err := s.PlaceHold(t.Context(), film, ann); !errors.Is(err, issuer.ErrConflict) {
		t.Errorf("who has it waits for it: %v", err)
	}
	if _, err := s.RenewLoan(t.Context(), film, ann); !errors.Is(err, issuer.ErrAwaited) {
		t.Errorf("renewed while others wait: %v", err)
	}
	if got := s.fetch(ann, 1); !strings.HasPrefix(got, "license ") {
		t.Fatalf("the loan's license: %q", got)
	}
	if err := s.ReturnLoan(t.Context(), film, ann); !errors.Is(err, issuer.ErrStillOut) {
		t.Errorf("a return without proof: %v", err)
	}
	s.now = s.now.Add(loanPeriod)
	if v, err := s.Copies(t.Context(), film); err != nil || v.Free != 0 || len(v.Loans) != 1 {
		t.Errorf("at the loan's end, within the guard: %+v, %v", v, err)
	}
	s.now = s.now.Add(loanGuard)
	v, err := s.Copies(t.Context(), film)
	if err != nil || len(v.Loans) != 0 || v.Holds[0].Domain != bob || v.Holds[0].OfferedUntil != s.now.Add(loanWindow).UnixMilli() || v.Holds[1].OfferedUntil != 0 {
		t.Errorf("behind the guard: %+v, %v", v, err)
	}
	if _, err := s.Lend(t.Context(), film, cat); !errors.Is(err, issuer.ErrNoCopy) {
		t.Errorf("the second in the queue: %v", err)
	}
	s.now = s.now.Add(loanWindow) // bob does not come
	if _, err := s.Lend(t.Context(), film, cat); err != nil {
		t.Errorf("the second, when the first has not come: %v", err)
	}
	if _, err := s.Lend(t.Context(), film, bob); !errors.Is(err, issuer.ErrNoCopy) {
		t.Errorf("the first, too late: %v", err)
	}
}

// A loan that was not fetched comes back at once, and its license is nobody's.
func TestCopies_Spec3_ReturnOfWhatWasNotFetched(t *testing.T) {
	s := library(t, 1)
	if _, err := s.Lend(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PlaceHold(t.Context(), film, other); err != nil {
		t.Fatal(err)
	}
	if err := s.ReturnLoan(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	if got := s.fetch(house, 1); got != "refused NO_GRANT" {
		t.Errorf("a license after the return: %q", got)
	}
	v, err := s.Copies(t.Context(), film)
	if err != nil || len(v.Holds) != 1 || v.Holds[0].OfferedUntil == 0 {
		t.Errorf("the next one was not offered the copy: %+v, %v", v, err)
	}
	if err := s.ReturnLoan(t.Context(), film, house); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("returned twice: %v", err)
	}
	if err := s.CancelHold(t.Context(), film, other); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Copies(t.Context(), film); v.Free != 1 {
		t.Errorf("after a cancelled hold: %+v", v)
	}
}

// A renewal is the same license in the next version; the content is not needed
// for it, and a repeat of the first request gets the newest.
func TestCopies_Spec3_RenewalKeepsTheLicense(t *testing.T) {
	s := library(t, 1)
	l, err := s.Lend(t.Context(), film, house)
	if err != nil {
		t.Fatal(err)
	}
	first := s.fetch(house, 1)
	before := s.licenses()[0]
	if again, err := s.RenewLoan(t.Context(), film, house); err != nil || again != l {
		t.Errorf("renewed at once: %+v, %v", again, err)
	}
	s.now = s.now.Add(loanPeriod + time.Minute) // even after its end, while nobody else has it
	next, err := s.RenewLoan(t.Context(), film, house)
	if err != nil || next.Grant != l.Grant || next.Until != s.now.Add(loanPeriod).UnixMilli() {
		t.Fatalf("%+v, %v", next, err)
	}
	s.trem.registered = 0
	if got := s.fetch(house, 2); got != first {
		t.Errorf("the renewal is another license: %q, first %q", got, first)
	}
	all := s.licenses()
	if len(all) != 1 || all[0].ID != before.ID || all[0].Version != 2 || all[0].Digest == before.Digest || all[0].IssuedAt != s.now.UnixMilli() {
		t.Errorf("%+v, before %+v", all, before)
	}
	if got := s.fetch(house, 1); got != first || s.licenses()[0].Version != 2 {
		t.Errorf("the first request again: %q", got)
	}
	if s.trem.registered != 0 {
		t.Error("the renewal asked for content keys")
	}
}

func TestCopies_Spec1_StocksThatCannotBe(t *testing.T) {
	s := library(t, 2)
	for id, terms := range map[string]string{"ends": "PLAY; END_TIME=2099-01-01T00:00:00Z", "counts": "PLAY; PLAY_COUNT=3", "interval": "PLAY; INTERVAL=48h"} {
		if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: id, Content: film, Kind: issuer.Loan, Terms: terms}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: "buy", Content: film, Kind: issuer.Purchase, Terms: "PLAY"}); err != nil {
		t.Fatal(err)
	}
	ok := issuer.Stock{Content: film, Copies: 2, Offer: "loan", Period: 60_000, Window: 60_000}
	for name, change := range map[string]func(*issuer.Stock){
		"no end of a loan": func(s *issuer.Stock) { s.Period = 0 }, "no window": func(s *issuer.Stock) { s.Window = 1 }, "too many": func(s *issuer.Stock) { s.Copies = 10_001 },
		"a purchase": func(s *issuer.Stock) { s.Offer = "buy" }, "an end of its own": func(s *issuer.Stock) { s.Offer = "ends" }, "a count": func(s *issuer.Stock) { s.Offer = "counts" },
		"an interval": func(s *issuer.Stock) { s.Offer = "interval" }, "another title": func(s *issuer.Stock) { s.Content = "urn:other" },
	} {
		bad := ok
		change(&bad)
		if _, err := s.PutStock(t.Context(), bad); !errors.Is(err, issuer.ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Lend(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	if err := s.tryStock(0); !errors.Is(err, issuer.ErrConflict) {
		t.Errorf("fewer copies than are out: %v", err)
	}
	if _, err := s.Copies(t.Context(), "urn:none"); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("copies of nothing: %v", err)
	}
}

func TestCopies_Spec2_ManyHousesAtOnce(t *testing.T) {
	const n = 3
	s := library(t, n)
	var mu sync.Mutex
	lent := 0
	var wg sync.WaitGroup
	for d := range byte(20) {
		wg.Go(func() {
			_, err := s.Lend(t.Context(), film, ident.Domain{d + 1})
			if errors.Is(err, issuer.ErrNoCopy) {
				_, err = s.PlaceHold(t.Context(), film, ident.Domain{d + 1})
			} else if err == nil {
				mu.Lock()
				lent++
				mu.Unlock()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v, err := s.Copies(t.Context(), film); err != nil || lent != n || len(v.Loans) != n || len(v.Holds) != 20-n {
		t.Errorf("%d lent of %d; %+v, %v", lent, n, v, err)
	}
}

// TestCopies_Spec2_NoTwoHoldersOfOneCopy does anything in any order at any time.
// Never do more houses hold a license that plays now, or may fetch one, or have a
// copy kept for them, than there are copies; and nobody overtakes in the queue.
func TestCopies_Spec2_NoTwoHoldersOfOneCopy(t *testing.T) {
	needs.Checks(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		s := library(t, 1)
		defer s.store.Close()
		n := uint64(1)
		requests := byte(0)
		houses := rapid.SampledFrom([]ident.Domain{{1}, {2}, {3}, {4}, {5}})
		queue := []ident.Domain{} // who waits, in the order in which they came
		known := func(err error, allowed ...error) {
			for _, a := range allowed {
				if errors.Is(err, a) {
					return
				}
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"lend": func(rt *rapid.T) {
				_, err := s.Lend(t.Context(), film, houses.Draw(rt, "house"))
				known(err, issuer.ErrNoCopy)
			},
			"hold": func(rt *rapid.T) {
				_, err := s.PlaceHold(t.Context(), film, houses.Draw(rt, "house"))
				known(err, issuer.ErrConflict)
			},
			"cancel": func(rt *rapid.T) {
				known(s.CancelHold(t.Context(), film, houses.Draw(rt, "house")), issuer.ErrNotFound)
			},
			"renew": func(rt *rapid.T) {
				_, err := s.RenewLoan(t.Context(), film, houses.Draw(rt, "house"))
				known(err, issuer.ErrNotFound, issuer.ErrAwaited)
			},
			"return": func(rt *rapid.T) {
				known(s.ReturnLoan(t.Context(), film, houses.Draw(rt, "house")), issuer.ErrNotFound, issuer.ErrStillOut)
			},
			"fetch": func(rt *rapid.T) {
				requests++
				s.fetch(houses.Draw(rt, "house"), requests)
			},
			"give back": func(rt *rapid.T) { // what was fetched, at its module's word
				h := houses.Draw(rt, "house")
				for _, l := range s.licensesOf(h) {
					known(s.giveBack(l), issuer.ErrEnded)
				}
			},
			"time": func(rt *rapid.T) {
				s.now = s.now.Add(rapid.SampledFrom([]time.Duration{time.Second, loanGuard, 24 * time.Hour, loanWindow, loanPeriod}).Draw(rt, "later"))
			},
			"stock": func(rt *rapid.T) {
				if m := rapid.Uint64Range(0, 3).Draw(rt, "copies"); s.tryStock(m) == nil {
					n = m
				}
			},
			"": func(rt *rapid.T) {
				v, err := s.Copies(t.Context(), film)
				if err != nil {
					rt.Fatal(err)
				}
				holders := s.holders()
				for _, h := range v.Holds {
					if h.OfferedUntil != 0 {
						holders[h.Domain] = "a copy is kept for it"
					}
				}
				if uint64(len(holders)) > n {
					rt.Fatalf("%d copies, and these hold one: %v", n, holders)
				}
				queue = fair(rt, queue, v.Holds)
			},
		})
	})
}

// holders are the houses that can play now, or could after a fetch: read from
// what was granted and issued, not from what the library believes is lent.
func (s *shop) holders() map[ident.Domain]string {
	out := map[ident.Domain]string{}
	for _, g := range s.grants() {
		u, _, err := issuer.ReadTerms(g.Terms)
		if err != nil {
			s.t.Fatal(err)
		}
		if g.Revoked && (g.Remaining == 0 && !s.issued(g) || s.isBack(g)) {
			continue
		}
		if u.Usage[0].EndTime+loanGuard.Milliseconds() > s.now.UnixMilli() {
			out[g.Domain] = fmt.Sprintf("grant until %d", u.Usage[0].EndTime)
		}
	}
	return out
}

// giveBack is the word of the module that has a license.
func (s *shop) giveBack(l issuer.License) error {
	return s.ReturnLicense(s.t.Context(), l.Domain, l.ID, trem.Proof{Object: l.ID[:], Chain: [][]byte{l.Device[:]}})
}

// isBack: the module that had the grant's license has destroyed it.
func (s *shop) isBack(g issuer.Grant) bool {
	for _, l := range s.licensesOf(g.Domain) {
		if d, err := s.Document(s.t.Context(), "", "", g.Domain, l.ID); err == nil && l.Grant == g.ID && d.Status == issuer.Back {
			return true
		}
	}
	return false
}

func (s *shop) issued(g issuer.Grant) bool {
	for _, l := range s.licensesOf(g.Domain) {
		if l.Grant == g.ID {
			return true
		}
	}
	return false
}

// fair compares the queue with what it was: who is left keeps the order, who
// came stands behind, and nobody is offered a copy before who stands in front.
func fair(rt *rapid.T, before []ident.Domain, now []issuer.Hold) (after []ident.Domain) {
	at := map[ident.Domain]int{}
	for i, d := range before {
		at[d] = i
	}
	last, waits := -1, false
	for _, h := range now {
		i, old := at[h.Domain]
		if !old {
			i = len(before)
		}
		if i < last {
			rt.Fatalf("the queue was %v and is %v", before, now)
		}
		last = i
		if waits && h.OfferedUntil != 0 {
			rt.Fatalf("offered before who stands in front: %v", now)
		}
		waits = waits || h.OfferedUntil == 0
		after = append(after, h.Domain)
	}
	return after
}
