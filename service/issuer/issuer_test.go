package issuer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	rental   = "PLAY; PLAY_COUNT=2; INTERVAL=48h"
	purchase = "PLAY; EXPORT=clearkey"
)

func TestIssuer_Spec5_StatefulLicenseGoesOnce(t *testing.T) {
	s := newShop(t)
	g := s.grant(rental, 1)
	first := s.send(request(1))
	if !strings.HasSuffix(first, "seq 1 plays 2") {
		t.Fatalf("answer %q", first)
	}
	for range 3 {
		if again := s.send(request(1)); again != first {
			t.Errorf("the repeat was answered with %q", again)
		}
	}
	s.open() // restart
	if again := s.send(request(1)); again != first {
		t.Errorf("after a restart: %q, want %q", again, first)
	}
	if s.trem.prepared != 1 || s.remaining(g.ID) != 0 || len(s.licenses()) != 1 {
		t.Errorf("prepared %d, remaining %d, %d licenses", s.trem.prepared, s.remaining(g.ID), len(s.licenses()))
	}
	if l := s.licenses()[0]; l.State != issuer.Issued || l.Device != home || l.Grant != g.ID || l.IssuedAt != start.UnixMilli() {
		t.Errorf("license row %+v", l)
	}
	if got := s.send(request(2)); got != "refused EXHAUSTED" {
		t.Errorf("a second license of a grant of one: %q", got)
	}
}

func TestIssuer_Spec5_SameKeyOtherRequestIsRefused(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 2)
	s.send(request(1))
	other := request(1)
	other.Body = []byte("something else")
	if got := s.send(other); got != "refused CONFLICT" {
		t.Errorf("%q, want CONFLICT", got)
	}
	if n := len(s.licenses()); n != 1 {
		t.Errorf("%d licenses", n)
	}
}

func TestIssuer_Spec5_ReceiptCloses(t *testing.T) {
	s := newShop(t)
	g := s.grant(rental, 3)
	one, two := s.send(request(1)), s.send(request(2))
	if got := s.send(receipt(2, two, true)); got != "done 2 low 0" {
		t.Errorf("receipt of the second: %q", got)
	}
	if got := s.send(receipt(1, one, true)); got != "done 1 low 2" {
		t.Errorf("receipt of the first: %q", got)
	}
	if got := s.send(receipt(1, one, true)); got != "done 1 low 2" {
		t.Errorf("the receipt again: %q", got)
	}
	if got := s.send(request(1)); got != "done 1 low 2" {
		t.Errorf("the request again, after its end: %q", got)
	}
	for _, l := range s.licenses() {
		if l.State != issuer.Delivered {
			t.Errorf("license %v is %s", l.ID, l.State)
		}
	}
	if n := s.remaining(g.ID); n != 1 {
		t.Errorf("%d remain", n)
	}
}

func TestIssuer_Spec5_RefusedTransferGivesTheCountBack(t *testing.T) {
	s := newShop(t)
	g := s.grant(rental, 1)
	one := s.send(request(1))
	for range 2 {
		if got := s.send(receipt(1, one, false)); got != "done 1 low 1" {
			t.Errorf("refusal: %q", got)
		}
	}
	if n := s.remaining(g.ID); n != 1 {
		t.Errorf("%d remain after one refusal, said twice", n)
	}
	if l := s.licenses()[0]; l.State != issuer.Returned {
		t.Errorf("license is %s", l.State)
	}
	if got := s.send(request(2)); !strings.HasSuffix(got, "seq 2 plays 2") {
		t.Errorf("the next request: %q", got)
	}
}

func TestIssuer_Spec5_ReceiptThatDoesNotFit(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 1)
	one := s.send(request(1))
	if got := s.send(receipt(1, "other bytes", true)); got != "" {
		t.Errorf("another hash: %q, want silence", got)
	}
	if got := s.send(receipt(9, one, true)); got != "" {
		t.Errorf("an unknown transfer: %q, want silence", got)
	}
	if l := s.licenses()[0]; l.State != issuer.Issued {
		t.Errorf("license is %s", l.State)
	}
}

func TestIssuer_Spec5_QueryIsAnswered(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 1)
	one := s.send(request(1))
	q := receipt(1, "", false)
	q.Kind = trem.EventQuery
	if got := s.send(q); got != one {
		t.Errorf("query of an open transfer: %q, want %q", got, one)
	}
	s.send(receipt(1, one, true))
	if got := s.send(q); got != "done 1 low 1" {
		t.Errorf("query of a closed transfer: %q", got)
	}
	q.Transfer.Seq = 5
	if got := s.send(q); got != "refused UNKNOWN" {
		t.Errorf("query of an unknown transfer: %q", got)
	}
}

func TestIssuer_Spec5_StatelessLicenseIsAlwaysTheSame(t *testing.T) {
	s := newShop(t)
	g := s.grant(purchase, 1)
	first := s.send(request(1))
	if !strings.HasSuffix(first, "seq 0 plays 0") {
		t.Fatalf("%q", first)
	}
	s.now = s.now.Add(time.Hour)
	s.trem.epoch = 99
	for _, n := range []byte{1, 2, 3} {
		if got := s.send(request(n)); got != first {
			t.Errorf("request %d: %q, want %q", n, got, first)
		}
	}
	all := s.licenses()
	if len(all) != 1 || s.remaining(g.ID) != 0 || all[0].IssuedAt != start.UnixMilli() {
		t.Errorf("%d licenses, %d remaining", len(all), s.remaining(g.ID))
	}
	// A household that removed a device gets a license for its new generation.
	later := request(4)
	later.Generation = 2
	if got := s.send(later); got == first || !strings.HasPrefix(got, "license ") {
		t.Errorf("the next generation: %q", got)
	}
	if again := s.send(later); !strings.HasPrefix(again, "license ") {
		t.Errorf("its repeat: %q", again)
	}
}

func TestIssuer_Spec5_ChangedKeysAreNotTheSameLicense(t *testing.T) {
	s := newShop(t)
	s.grant(purchase, 1)
	s.send(request(1))
	s.trem.key = "another key"
	for _, n := range []byte{1, 2} {
		if got := s.send(request(n)); got != "refused UNAVAILABLE" {
			t.Errorf("request %d: %q, want UNAVAILABLE", n, got)
		}
	}
}

func TestIssuer_Spec4_WhichGrantIsUsed(t *testing.T) {
	s := newShop(t)
	if got := s.send(request(1)); got != "refused NO_GRANT" {
		t.Errorf("without a grant: %q", got)
	}
	put := func(terms string, kind issuer.Kind, expires time.Duration) issuer.Grant {
		g := issuer.Grant{Domain: house, Content: film, Terms: terms, Kind: kind}
		if expires != 0 {
			g.Expires = s.now.Add(expires).UnixMilli()
		}
		s.now = s.now.Add(time.Second)
		g, err := s.Grant(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	forever := put(rental, issuer.Rental, 0)
	late := put(rental, issuer.Rental, 2*time.Hour)
	early := put(rental, issuer.Rental, time.Hour)
	bought := put(rental, issuer.Purchase, 0)
	past := put(rental, issuer.Rental, time.Minute)
	s.now = s.now.Add(2 * time.Minute)
	var got []issuer.GrantID
	for n := range byte(4) {
		s.send(request(n))
		got = append(got, s.licenses()[n].Grant)
		s.now = s.now.Add(time.Second)
	}
	want := []issuer.GrantID{bought.ID, early.ID, late.ID, forever.ID}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("grants used %v, want %v", got, want)
	}
	if n := s.remaining(past.ID); n != 1 {
		t.Error("an expired grant was used")
	}
	if got := s.send(request(9)); got != "refused EXHAUSTED" {
		t.Errorf("after all: %q", got)
	}
}

func TestIssuer_Spec4_RevokedAndExpiredGrants(t *testing.T) {
	s := newShop(t)
	g := s.grant(rental, 2)
	first := s.send(request(1))
	if err := s.Revoke(t.Context(), issuer.GrantKey{Domain: house, Grant: g.ID}); err != nil {
		t.Fatal(err)
	}
	if got := s.send(request(2)); got != "refused NO_GRANT" {
		t.Errorf("a revoked grant: %q", got)
	}
	if got := s.send(request(1)); got != first {
		t.Errorf("what was issued before: %q, want %q", got, first)
	}
	if err := s.Revoke(t.Context(), issuer.GrantKey{Domain: house}); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("revoke nothing: %v", err)
	}
	foreign := request(3)
	foreign.Domain = ident.Domain{9}
	if got := s.send(foreign); got != "refused NO_GRANT" {
		t.Errorf("another household: %q", got)
	}
}

// n licenses granted are n licenses issued, however many ask at once, and
// every asker that asks again gets what it got.
func TestIssuer_Spec5_CountsAreExactTogether(t *testing.T) {
	for _, tc := range []struct{ name, terms string }{{"counted", rental}, {"one interval", "PLAY; INTERVAL=1h"}} {
		t.Run(tc.name, func(t *testing.T) {
			const granted, asking = 17, 40
			s := newShop(t)
			g := s.grant(tc.terms, granted)
			var mu sync.Mutex
			answers := map[byte][]string{}
			var wg sync.WaitGroup
			for n := range byte(asking) {
				for range 2 {
					wg.Go(func() {
						got := s.send(request(n))
						mu.Lock()
						defer mu.Unlock()
						answers[n] = append(answers[n], got)
					})
				}
			}
			wg.Wait()
			issued := 0
			for n, got := range answers {
				if got[0] != got[1] && s.send(request(n)) != "refused EXHAUSTED" {
					t.Errorf("request %d was answered with %q and %q", n, got[0], got[1])
				}
				if strings.HasPrefix(got[0], "license ") {
					issued++
				}
			}
			if issued != granted || len(s.licenses()) != granted || s.remaining(g.ID) != 0 {
				t.Errorf("%d issued, %d rows, %d remaining; want %d, %d, 0", issued, len(s.licenses()), s.remaining(g.ID), granted, granted)
			}
		})
	}
}

func TestIssuer_Spec5_FailuresLeaveNothing(t *testing.T) {
	s := newShop(t)
	g := s.grant(rental, 1)
	s.trem.failPrep = &trem.Error{Code: trem.CodeRejected, Text: "terms: no"}
	if got := s.send(request(1)); got != "refused UNAVAILABLE" {
		t.Errorf("%q", got)
	}
	s.trem.failPrep = errors.New("something else")
	if got := s.send(request(1)); !strings.Contains(got, "INTERNAL") {
		t.Errorf("%q", got)
	}
	if s.remaining(g.ID) != 1 || len(s.licenses()) != 0 {
		t.Errorf("%d remaining, %d licenses", s.remaining(g.ID), len(s.licenses()))
	}
	// The commit stands when only the release fails: the repeat gets it.
	s.trem.failPrep, s.trem.failRel = nil, errors.New("the session is gone")
	if got := s.send(request(1)); !strings.Contains(got, "INTERNAL") {
		t.Errorf("%q", got)
	}
	s.trem.failRel = nil
	if got := s.send(request(1)); !strings.HasSuffix(got, "seq 1 plays 2") || s.trem.prepared != 1 {
		t.Errorf("%q after %d preparations", got, s.trem.prepared)
	}
	select {
	case <-s.Failed():
		t.Error("ordinary failures broke the issuer")
	default:
	}
	s.trem.failRel = fmt.Errorf("%w: gone", trem.ErrStream)
	s.send(request(1))
	select {
	case <-s.Failed():
	default:
		t.Error("a dead TREM did not end service")
	}
	if !errors.Is(s.Err(), trem.ErrStream) {
		t.Errorf("Err is %v", s.Err())
	}
}

func TestIssuer_Spec4_GrantsThatCannotBe(t *testing.T) {
	s := newShop(t)
	for _, tc := range []struct {
		name string
		g    issuer.Grant
		want error
	}{
		{"no household", issuer.Grant{Content: film, Terms: rental}, issuer.ErrTerms},
		{"no terms", issuer.Grant{Domain: house, Content: film}, issuer.ErrTerms},
		{"allows nothing", issuer.Grant{Domain: house, Content: film, Terms: "EXPORT=clearkey"}, issuer.ErrTerms},
		{"unknown word", issuer.Grant{Domain: house, Content: film, Terms: "PLAY; WATCH_TOGETHER"}, issuer.ErrTerms},
		{"bad duration", issuer.Grant{Domain: house, Content: film, Terms: "PLAY; STORAGE_DURATION=soon"}, issuer.ErrTerms},
		{"empty window", issuer.Grant{Domain: house, Content: film, Terms: "PLAY; START_TIME=2027-01-01T00:00:00Z; END_TIME=2026-12-01T00:00:00Z"}, issuer.ErrTerms},
		{"unknown kind", issuer.Grant{Domain: house, Content: film, Terms: rental, Kind: "theft"}, issuer.ErrTerms},
		{"expired", issuer.Grant{Domain: house, Content: film, Terms: rental, Expires: start.UnixMilli()}, issuer.ErrTerms},
		{"unknown content", issuer.Grant{Domain: house, Content: "urn:none", Terms: rental}, issuer.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := s.Grant(t.Context(), tc.g); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
	s.trem.epoch = 0
	if _, err := s.Grant(t.Context(), issuer.Grant{Domain: house, Content: film, Terms: rental}); !errors.Is(err, issuer.ErrNotReady) {
		t.Errorf("before the first revocation state: %v, want ErrNotReady", err)
	}
}

func TestIssuer_Spec4_GrantIsIdempotentByItsID(t *testing.T) {
	s := newShop(t)
	g := issuer.Grant{ID: issuer.GrantID{5}, Domain: house, Content: film, Terms: rental, Remaining: 2}
	first, err := s.Grant(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	s.send(request(1))
	s.now = s.now.Add(time.Hour)
	again, err := s.Grant(t.Context(), g)
	if err != nil || again.Created != first.Created || again.Remaining != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	g.Terms = purchase
	if _, err := s.Grant(t.Context(), g); !errors.Is(err, issuer.ErrConflict) {
		t.Errorf("other terms: %v, want ErrConflict", err)
	}
}

// A household whose connection breaks while it is served finds its answer when
// it sends the same frame again.
func TestIssuer_Spec5_BrokenConnectionLosesNoAnswer(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 1)
	m, err := json.Marshal(request(1))
	if err != nil {
		t.Fatal(err)
	}
	body, err := lrp.SLTP{Message: m}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := lrp.NewTransaction(lrp.Addr(self), lrp.Addr(home), s.now, lrp.Life).Next(lrp.TypeSLTP, body)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	first, again := s.Handle(gone, f), s.Handle(t.Context(), f)
	if len(first) != 1 || len(again) != 1 || first[0].Type != lrp.TypeSLTP || string(first[0].Body) != string(again[0].Body) {
		t.Errorf("%v, then %v", first, again)
	}
	if s.trem.prepared != 1 || len(s.licenses()) != 1 {
		t.Errorf("%d prepared, %d licenses", s.trem.prepared, len(s.licenses()))
	}
}
