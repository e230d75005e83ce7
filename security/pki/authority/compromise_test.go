package authority_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// TestPKI_2_StolenKeyOfAnIssuer: every place of the key is revoked, as of an epoch
// that was; it is published, and stays through the next ones.
func TestPKI_2_StolenKeyOfAnIssuer(t *testing.T) {
	dir := newMemory()
	a := withIssuer(t, dir)
	first, second := pki.Member{Class: authority.IssuerClass}, pki.Member{Class: authority.IssuerClass, Index: 1}
	_, err := a.Enroll(request(t, pki.LicenseIssuer), start().Add(2*time.Hour))
	must(t, err)
	must(t, a.Publish(start().Add(5*time.Hour)))
	for name, tc := range map[string]struct {
		id     ident.Issuer
		places []pki.Member
		since  uint64
	}{
		"an issuer of nobody":  {"nobody", []pki.Member{first}, 1},
		"no epoch":             {"shop.example", []pki.Member{first}, 0},
		"a later epoch":        {"shop.example", []pki.Member{first}, 4},
		"a place that is none": {"shop.example", []pki.Member{{Class: authority.IssuerClass, Index: 9}}, 1},
	} {
		if err := a.Compromise(tc.id, tc.places, tc.since); !errors.Is(err, authority.ErrCompromise) {
			t.Errorf("%s: %v, want ErrCompromise", name, err)
		}
	}
	must(t, a.Compromise("shop.example", []pki.Member{first, second}, 3))
	must(t, a.Publish(start().Add(6*time.Hour)))
	must(t, a.Compromise("shop.example", []pki.Member{first}, 2))
	must(t, a.Publish(start().Add(7*time.Hour)))
	must(t, a.Publish(start().Add(8*time.Hour)))
	a, err = authority.Open(dir)
	must(t, err)
	for m, want := range map[pki.Member]uint64{first: 2, second: 3} {
		if since, ok := a.State().Compromised(m); !ok || since != want {
			t.Errorf("%v: since %d, %v, want %d", m, since, ok, want)
		}
		if err := a.State().Check(m.Class, m.Index, 0); !errors.Is(err, pki.ErrRevoked) {
			t.Errorf("%v: %v, want revoked", m, err)
		}
	}
}
