package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

var (
	customer = netip.MustParseAddr("192.0.2.1")
	other    = ident.Domain{0x31}
)

// selling is a shop with an offer.
func selling(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: "rental-48h", Name: "48-hour rental", Content: film, Terms: rental}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) codes(n issuer.NewCodes) (issuer.Batch, []issuer.Coded) {
	s.t.Helper()
	if n.Offer == "" {
		n.Offer = "rental-48h"
	}
	b, coded, err := s.NewCodes(s.t.Context(), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return b, coded
}

func TestClaim_Spec3_ACodeBecomesOneGrant(t *testing.T) {
	s := selling(t)
	_, coded := s.codes(issuer.NewCodes{Codes: 2})
	if len(coded) != 2 || coded[0].Code == coded[1].Code {
		t.Fatalf("%d codes", len(coded))
	}
	first, err := s.Redeem(t.Context(), customer, coded[0].Code, house)
	if err != nil || first.Offer != "rental-48h" || first.Domain != house || first.Remaining != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	s.open() // restart
	s.now = s.now.Add(time.Hour)
	again, err := s.Redeem(t.Context(), customer, coded[0].Code, house)
	if err != nil || again.ID != first.ID || again.Created != first.Created {
		t.Errorf("the same house again: %+v, %v", again, err)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[0].Code, other); !errors.Is(err, issuer.ErrCodeTaken) {
		t.Errorf("another house: %v, want ErrCodeTaken", err)
	}
	if n := len(s.grants()); n != 1 {
		t.Errorf("%d grants of one code", n)
	}
	if got := s.send(request(1)); got == "" || got[:7] != "license" {
		t.Errorf("the license of a redeemed code: %q", got)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[1].Code, ident.Domain{}); !errors.Is(err, issuer.ErrTerms) {
		t.Errorf("no house: %v", err)
	}
}

// Who bought a code gets what was on its page, whatever the shop offers since.
func TestClaim_Spec3_WhatWasSoldStands(t *testing.T) {
	s := selling(t)
	_, coded := s.codes(issuer.NewCodes{})
	if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: "rental-48h", Content: film, Terms: "PLAY; PLAY_COUNT=1"}); err != nil {
		t.Fatal(err)
	}
	b, _, err := s.LookUp(t.Context(), customer, coded[0].Code)
	if err != nil || b.Offer.Name != "48-hour rental" {
		t.Errorf("the page: %+v, %v", b, err)
	}
	g, err := s.Redeem(t.Context(), customer, coded[0].Code, house)
	if err != nil || g.Terms != b.Offer.Terms {
		t.Errorf("%s, %v; the page said %s", g.Terms, err, b.Offer.Terms)
	}
}

func TestClaim_Spec3_ManyHousesOneCode(t *testing.T) {
	s := selling(t)
	_, coded := s.codes(issuer.NewCodes{})
	var mu sync.Mutex
	got := map[ident.Domain]int{}
	var wg sync.WaitGroup
	for n := range byte(40) {
		wg.Go(func() {
			d := ident.Domain{1 + n%8}
			_, err := s.Redeem(t.Context(), customer, coded[0].Code, d)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				got[d]++
			case !errors.Is(err, issuer.ErrCodeTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(got) != 1 || len(s.grants()) != 1 {
		t.Errorf("one code was redeemed by %d houses, and is %d grants", len(got), len(s.grants()))
	}
	for _, n := range got {
		if n != 5 {
			t.Errorf("the house that has it asked five times and was given it %d times", n)
		}
	}
}

func TestClaim_Spec3_ExpiryVoidAndResend(t *testing.T) {
	s := selling(t)
	b, coded := s.codes(issuer.NewCodes{Codes: 4, Expires: s.now.Add(time.Hour).UnixMilli()})
	if _, err := s.Redeem(t.Context(), customer, coded[0].Code, house); err != nil {
		t.Fatal(err)
	}
	one := uint64(1)
	if n, err := s.Void(t.Context(), b.ID, &one); n != 1 || err != nil {
		t.Errorf("void one: %d, %v", n, err)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[1].Code, house); !errors.Is(err, issuer.ErrCodeVoid) {
		t.Errorf("a withdrawn code: %v", err)
	}
	_, again, err := s.Codes(t.Context(), b.ID)
	if err != nil || len(again) != 4 || again[2].Code != coded[2].Code || again[0].State != issuer.CodeRedeemed || again[1].State != issuer.CodeVoid {
		t.Errorf("sent again: %+v, %v", again, err)
	}
	s.now = s.now.Add(time.Hour)
	if _, err := s.Redeem(t.Context(), customer, coded[2].Code, house); !errors.Is(err, issuer.ErrCodeExpired) {
		t.Errorf("an expired code: %v", err)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[0].Code, house); err != nil {
		t.Errorf("what was redeemed in time, asked for again: %v", err)
	}
	if n, err := s.Void(t.Context(), b.ID, nil); n != 2 || err != nil {
		t.Errorf("void all: %d, %v; two were waiting", n, err)
	}
	if _, err := s.Void(t.Context(), issuer.BatchID{9}, nil); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("void an unknown batch: %v", err)
	}
}

func TestClaim_Spec2_TheSameBatchGivesTheSameCodes(t *testing.T) {
	s := selling(t)
	_, first := s.codes(issuer.NewCodes{Batch: issuer.BatchID{5}, Codes: 3})
	s.open()
	_, again := s.codes(issuer.NewCodes{Batch: issuer.BatchID{5}, Codes: 3})
	for i := range first {
		if first[i].Code != again[i].Code {
			t.Error("a repeated request gave other codes")
		}
	}
	for _, n := range []issuer.NewCodes{{Batch: issuer.BatchID{5}, Codes: 4, Offer: "rental-48h"}, {Codes: 1001, Offer: "rental-48h"}, {Offer: "none"}, {Offer: "rental-48h", Expires: 1}} {
		if _, _, err := s.NewCodes(t.Context(), n); err == nil {
			t.Errorf("%+v was accepted", n)
		}
	}
	// Another key makes other codes: a folder whose key was lost must not hand
	// out codes that it does not accept.
	s.key = claimKey(t, 9)
	s.open()
	if _, _, err := s.Codes(t.Context(), issuer.BatchID{5}); !errors.Is(err, issuer.ErrConflict) {
		t.Errorf("codes of another key: %v", err)
	}
	if _, err := s.Redeem(t.Context(), customer, first[0].Code, house); !errors.Is(err, issuer.ErrCodeUnknown) {
		t.Errorf("a code of another key: %v", err)
	}
}

func TestClaim_Spec4_Guessing(t *testing.T) {
	s := selling(t)
	_, coded := s.codes(issuer.NewCodes{Codes: 2})
	guess := func(from string, n uint64) error {
		_, _, err := s.LookUp(t.Context(), netip.MustParseAddr(from), issuer.CodeOf(claimKey(t, 8), issuer.BatchID{8}, n))
		return err
	}
	for n := range uint64(10) {
		if err := guess("192.0.2.7", n); !errors.Is(err, issuer.ErrCodeUnknown) {
			t.Fatalf("guess %d: %v", n, err)
		}
	}
	if err := guess("192.0.2.7", 10); !errors.Is(err, issuer.ErrGuessing) {
		t.Errorf("the eleventh guess: %v", err)
	}
	if _, err := s.Redeem(t.Context(), netip.MustParseAddr("192.0.2.7"), coded[0].Code, house); !errors.Is(err, issuer.ErrGuessing) {
		t.Errorf("a right code from there: %v", err)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[0].Code, house); err != nil {
		t.Errorf("a right code from elsewhere: %v", err)
	}
	s.now = s.now.Add(30 * time.Second)
	if err := guess("192.0.2.7", 11); !errors.Is(err, issuer.ErrCodeUnknown) {
		t.Errorf("half a minute later: %v", err)
	}
	if err := guess("192.0.2.7", 12); !errors.Is(err, issuer.ErrGuessing) {
		t.Errorf("and at once again: %v", err)
	}
	// A household's 64 bits of IPv6 are one source.
	for n := range uint64(10) {
		_ = guess(fmt.Sprintf("2001:db8::%d", n+1), 20+n)
	}
	if err := guess("2001:db8::ffff", 40); !errors.Is(err, issuer.ErrGuessing) {
		t.Errorf("another address of the same network: %v", err)
	}
	if err := guess("2001:db8:1::1", 41); !errors.Is(err, issuer.ErrCodeUnknown) {
		t.Errorf("another network: %v", err)
	}
	// Right codes cost nothing, however often a page is loaded.
	for range 50 {
		if _, _, err := s.LookUp(t.Context(), customer, coded[1].Code); err != nil {
			t.Fatal(err)
		}
	}
	// Who guesses from everywhere fills no memory.
	for n := range 6000 {
		_ = guess(fmt.Sprintf("10.%d.%d.1", n/250, n%250), uint64(n))
	}
	if n := issuer.Guessers(s.Issuer); n > 4096 {
		t.Errorf("%d sources are remembered", n)
	}
}

// killStore kills its own process, as kill -9 does, at a place in a transaction.
type killStore struct {
	issuer.Store
	before bool // the commit; else between the commit and its answer
}

func (k killStore) Update(ctx context.Context, fn func(context.Context, issuer.Tx) error) error {
	err := k.Store.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
		err := fn(ctx, tx)
		if err == nil && k.before {
			die()
		}
		return err
	})
	if err == nil {
		die()
	}
	return err
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // nobody is left to be told
	select {}
}

// A process that dies between COMMIT and its answer has given the code to the
// house that asked, once; one that dies before has given nothing.
func TestClaim_Spec3_KilledAroundTheCommit(t *testing.T) {
	needs.Long(t)
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			s := selling(t)
			_, coded := s.codes(issuer.NewCodes{})
			if err := s.store.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClaimChild$")
			cmd.Env = append(os.Environ(), "LARES_CLAIM_CHILD="+s.path, "LARES_CLAIM_WHEN="+when, "LARES_CLAIM_CODE="+coded[0].Code.Text())
			out, err := cmd.CombinedOutput()
			var ee *exec.ExitError
			if !errors.As(err, &ee) || ee.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			s.store = nil
			s.open()
			if n, want := len(s.grants()), map[string]int{"before": 0, "after": 1}[when]; n != want {
				t.Errorf("%d grants after the kill, want %d", n, want)
			}
			_, err = s.Redeem(t.Context(), customer, coded[0].Code, other)
			if when == "after" {
				if !errors.Is(err, issuer.ErrCodeTaken) {
					t.Errorf("another house: %v", err)
				}
				if _, err := s.Redeem(t.Context(), customer, coded[0].Code, house); err != nil {
					t.Errorf("the house whose answer was lost: %v", err)
				}
			} else if err != nil {
				t.Errorf("a code that nobody has: %v", err)
			}
			if n := len(s.grants()); n != 1 {
				t.Errorf("%d grants in the end", n)
			}
		})
	}
}

// TestClaimChild is the process that TestClaim_Spec3_KilledAroundTheCommit makes.
func TestClaimChild(t *testing.T) {
	path := os.Getenv("LARES_CLAIM_CHILD")
	if path == "" {
		return // not a child
	}
	db, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	i, err := issuer.New(t.Context(), issuer.Config{
		TREM: &fakeTREM{epoch: 7}, Store: killStore{db, os.Getenv("LARES_CLAIM_WHEN") == "before"}, Now: func() time.Time { return start }, ClaimKey: claimKey(t, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	code, err := issuer.ParseClaimCode(os.Getenv("LARES_CLAIM_CODE"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.Redeem(t.Context(), customer, code, house)
	t.Fatalf("it was answered: %v", err)
}
