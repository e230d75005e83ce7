package issuer_test

import (
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// What was made before the transaction is not taken when somebody else was faster:
// the number that it has is the other one's.
func TestIssuer_Spec5_AStaleDraftIsMadeAnew(t *testing.T) {
	s := newShop(t)
	s.grant(rental, 2)
	var inBetween string
	s.trem.before = func() {
		s.trem.before = nil
		inBetween = s.send(request(2))
	}
	got := s.send(request(1))
	if !strings.HasSuffix(inBetween, "seq 1 plays 2") || !strings.HasSuffix(got, "seq 2 plays 2") || s.trem.prepared != 4 { // two drafts, and the transaction, which runs twice
		t.Errorf("%q, then %q, after %d preparations; want 1, then 2, after 4", inBetween, got, s.trem.prepared)
	}
	if again := s.send(request(1)); again != got {
		t.Errorf("the repeat: %q, want %q", again, got)
	}
}

// A grant that is revoked, or used up, between the look and the transaction gives nothing.
func TestIssuer_Spec5_TheTransactionDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(s *shop, g issuer.Grant)
		want   string
	}{
		"revoked": {func(s *shop, g issuer.Grant) {
			if err := s.Revoke(s.t.Context(), issuer.GrantKey{Domain: house, Grant: g.ID}); err != nil {
				s.t.Error(err)
			}
		}, "refused NO_GRANT"},
		"used up": {func(s *shop, _ issuer.Grant) { s.send(request(2)) }, "refused EXHAUSTED"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			g := s.grant(rental, 1)
			s.trem.before = func() {
				s.trem.before = nil
				tc.change(s, g)
			}
			if got := s.send(request(1)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// A license without state that is given once more is not written down.
func TestIssuer_Spec5_TheSameLicenseAgainWritesNothing(t *testing.T) {
	s := newShop(t)
	s.grant(purchase, 1)
	first := s.send(request(1))
	if again := s.send(request(2)); again != first {
		t.Fatalf("%q, want %q", again, first)
	}
	for n, want := range map[byte]bool{1: true, 2: false} {
		got, err := s.store.Ahead(t.Context(), issuer.Asked{Domain: house, Request: ident.Request{n}, Content: film, Peer: home, Incarnation: ident.Incarnation{1}})
		if err != nil || got.Claimed != want {
			t.Errorf("request %d is noted: %v, %v, want %v", n, got.Claimed, err, want)
		}
	}
}
