package issuer_test

import (
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/service/issuer"
)

// TestIssuer_Spec1_CommitsWhoseAnswerIsLost: whatever the database did before its
// connection was lost, the second run finds it by its keys: nothing is made twice, and
// nobody is told that it failed.
func TestIssuer_Spec1_CommitsWhoseAnswerIsLost(t *testing.T) {
	s := selling(t)
	s.lost = true
	s.open()
	ctx := t.Context()
	g := s.grant(rental, 2)
	first := s.send(request(1))
	if again := s.send(request(1)); again != first || s.remaining(g.ID) != 1 || len(s.licenses()) != 1 {
		t.Errorf("%q and %q, %d left, %d licenses", first, again, s.remaining(g.ID), len(s.licenses()))
	}
	if got := s.send(receipt(1, first, true)); got != "done 1 low 1" {
		t.Errorf("its receipt: %q", got)
	}
	_, coded := s.codes(issuer.NewCodes{Codes: 2})
	bought, err := s.Redeem(ctx, customer, coded[0].Code, house)
	if err != nil || len(s.grants()) != 2 {
		t.Errorf("a code became %+v, %d grants, %v", bought, len(s.grants()), err)
	}
	d, err := s.CreateDomain(ctx, issuer.NewDomain{})
	if err != nil {
		t.Fatalf("a domain: %v", err)
	}
	code, _, err := s.JoinCode(ctx, d.Domain, false)
	if err != nil {
		t.Fatal(err)
	}
	tablet := s.newcomer(pkitest.New(t, pkitest.Start()))
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveDevice(ctx, d.Domain, tablet.id); err != nil {
		t.Error(err)
	}
	all, err := s.Domains(ctx, ident.Domain{}, 10)
	if err != nil || len(all) != 1 || all[0].Generation != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	s.clean()
}
