package issuer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/service/issuer"
)

func TestOffer_Spec4_AGrantSaysWhatTheOfferSaid(t *testing.T) {
	s := newShop(t)
	o, err := s.PutOffer(t.Context(), issuer.Offer{ID: "rent-48h", Content: film, Terms: rental + "; STORAGE_DURATION=30d"})
	if err != nil {
		t.Fatal(err)
	}
	if o.Licenses != 1 || o.Kind != issuer.Rental || o.Name != "rent-48h" || !strings.Contains(o.Terms, "STORAGE_DURATION=30d") || !strings.Contains(o.Terms, "CHARGE=RENTAL") {
		t.Errorf("%+v", o)
	}
	g, err := s.Offered(t.Context(), "rent-48h", house)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = s.Grant(t.Context(), g); err != nil || g.Terms != o.Terms || g.Domain != house || g.Offer != "rent-48h" {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := s.PutOffer(t.Context(), issuer.Offer{ID: "rent-48h", Content: film, Terms: "PLAY; PLAY_COUNT=9"}); err != nil {
		t.Fatal(err)
	}
	if got := s.send(request(1)); !strings.HasSuffix(got, "plays 2") {
		t.Errorf("%q: the offer was replaced, the grant must not be", got)
	}
	if _, err := s.Offered(t.Context(), "none", house); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("unknown offer: %v", err)
	}
}

// The kind is not a word beside the code but its charge model, by which the
// evaluator chooses defaults.
func TestOffer_Spec4_TheKindStandsInTheCode(t *testing.T) {
	s := newShop(t)
	seen := map[permission.Charge]bool{}
	for _, k := range issuer.Kinds() {
		o, err := s.PutOffer(t.Context(), issuer.Offer{ID: string(k), Content: film, Kind: k, Terms: "PLAY"})
		if err != nil {
			t.Fatal(err)
		}
		u, _, err := issuer.ReadTerms(o.Terms)
		if err != nil || u.Classification == nil || u.Classification.Charge == 0 || seen[u.Classification.Charge] {
			t.Errorf("%s: %s, %v", k, o.Terms, err)
			continue
		}
		seen[u.Classification.Charge] = true
		// Read back from its text, it is the same kind.
		again, err := s.PutOffer(t.Context(), issuer.Offer{ID: "again", Content: film, Terms: o.Terms})
		if err != nil || again.Kind != k || again.Terms != o.Terms {
			t.Errorf("%s again: %+v, %v", k, again, err)
		}
	}
}

func TestOffer_Spec4_OffersThatCannotBe(t *testing.T) {
	s := newShop(t)
	for _, tc := range []struct {
		name string
		o    issuer.Offer
		want error
	}{
		{"no ID", issuer.Offer{}, issuer.ErrTerms},
		{"an ID that is no word", issuer.Offer{ID: "rent/48h"}, issuer.ErrTerms},
		{"a long ID", issuer.Offer{ID: strings.Repeat("a", 65)}, issuer.ErrTerms},
		{"a name of two lines", issuer.Offer{ID: "x", Name: "a\nb"}, issuer.ErrTerms},
		{"a long name", issuer.Offer{ID: "x", Name: strings.Repeat("a", 101)}, issuer.ErrTerms},
		{"long words", issuer.Offer{ID: "x", Words: strings.Repeat("a", 1001)}, issuer.ErrTerms},
		{"unknown kind", issuer.Offer{ID: "x", Kind: "theft"}, issuer.ErrTerms},
		{"two kinds", issuer.Offer{ID: "x", Kind: issuer.Gift, Terms: "PLAY; CHARGE=PURCHASE"}, issuer.ErrTerms},

		{"unknown content", issuer.Offer{ID: "x", Content: "urn:none"}, issuer.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.o.Terms == "" {
				tc.o.Terms = rental
			}
			if tc.o.Content == "" {
				tc.o.Content = film
			}
			if _, err := s.PutOffer(t.Context(), tc.o); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// What was bought or given is used before what is borrowed, and a preview last.
func TestOffer_Spec4_OrderOfKinds(t *testing.T) {
	s := newShop(t)
	want := []issuer.Kind{issuer.Gift, issuer.Rental, issuer.Preview}
	for n := range want {
		k := want[len(want)-1-n]
		if _, err := s.Grant(t.Context(), issuer.Grant{Domain: house, Content: film, Kind: k, Terms: rental}); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Second)
	}
	kindOf := map[issuer.GrantID]issuer.Kind{}
	for _, g := range s.grants() {
		kindOf[g.ID] = g.Kind
	}
	for n, k := range want {
		s.send(request(byte(n)))
		if all := s.licenses(); len(all) != n+1 || kindOf[all[n].Grant] != k {
			t.Fatalf("license %d is not of the %s: %+v", n, k, all)
		}
		s.now = s.now.Add(time.Second)
	}
}
