package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
)

func trialChecks() []check {
	at := []Role{TestIssuer}
	return []check{
		{"test-issuer.md", "a test issuer says that it is one, and what it issues is of lares-test", at, func(ctx context.Context, s *subject) error {
			t, err := s.try(ctx, "permission=PLAY")
			if err == nil && (!t.Test || s.about.Issuer != "lares-test") {
				err = fmt.Errorf("expected test and the issuer lares-test, seen %v and %q", t.Test, s.about.Issuer)
			}
			return err
		}},
		{"test-issuer.md", "one URL gives licenses of one policy, under a new code each time", at, checkTrial},
		{"test-issuer.md", "the failure that a URL names is what happens at its doors", at, checkFailures},
		{"test-issuer.md", "a URL that says something twice, or what nobody knows, is refused", at, func(ctx context.Context, s *subject) error {
			var errs []error
			for _, query := range []string{"count=2&count=3", "conform=1", "count=many", "http=200"} {
				a, err := s.ask(ctx, http.MethodGet, "/test?"+query, "", nil)
				if err == nil {
					err = wantProblem(query, a, http.StatusUnprocessableEntity, "scenario")
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}},
	}
}

// trial is what a scenario's URL gives.
type trial struct {
	Test   bool   `json:"test"`
	Terms  string `json:"terms"`
	Claim  string `json:"claim"`
	Issuer string `json:"issuer"`
}

func (s *subject) try(ctx context.Context, query string) (t trial, err error) {
	a, err := s.wantStatus(ctx, "/test?"+query, http.MethodGet, "/test?"+query, "", nil, http.StatusOK)
	if err == nil && (decode(a, &t) != nil || t.Claim == "" || t.Issuer == "" || t.Terms == "") {
		err = fmt.Errorf("/test?%s: expected terms, a claim URL and the scenario's doors, seen %.120q", query, a.body)
	}
	return t, err
}

// redeemAt shows a scenario's code at its doors, as a new household.
func (s *subject) redeemAt(ctx context.Context, t trial) (answer, error) {
	return s.by(ctx, "", http.MethodPost, pathOf(t.Issuer)+pathRedeem, map[string]any{"code": t.Claim, "domain": ident.NewDomain()})
}

func checkTrial(ctx context.Context, s *subject) error {
	const query = "permission=PLAY&count=2"
	first, err := s.try(ctx, query)
	if err != nil {
		return err
	}
	second, err := s.try(ctx, query)
	if err != nil {
		return err
	}
	if first.Claim == second.Claim || first.Terms != second.Terms || first.Issuer != second.Issuer || !strings.Contains(first.Terms, "PLAY_COUNT=2") {
		return fmt.Errorf("asked twice: expected another code for the same terms with PLAY_COUNT=2, seen %q and %q", first.Terms, second.Terms)
	}
	for _, t := range []trial{first, second} {
		var r redeemed
		a, err := s.redeemAt(ctx, t)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || decode(a, &r) != nil || r.Terms != t.Terms {
			return fmt.Errorf("its code: expected HTTP status 200 and a grant of its terms, seen %d, %.120q", a.status, a.body)
		}
	}
	return nil
}

func checkFailures(ctx context.Context, s *subject) error {
	var errs []error
	for query, code := range map[string]string{"code=void": "code_void", "code=expired": "code_expired"} {
		t, err := s.try(ctx, query)
		if err != nil {
			return err
		}
		a, err := s.redeemAt(ctx, t)
		if err == nil {
			err = wantProblem(query, a, http.StatusGone, code)
		}
		errs = append(errs, err)
	}
	t, err := s.try(ctx, "http=503&retry=3s")
	if err != nil {
		return err
	}
	a, err := s.ask(ctx, http.MethodPost, pathOf(t.Issuer)+lrphttp.Path, lrphttp.TypeFrame, []byte{0})
	if err == nil && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "3") {
		err = fmt.Errorf("http=503&retry=3s: expected HTTP status 503 with Retry-After: 3, seen %d with %.20q", a.status, a.header.Get("Retry-After"))
	}
	errs = append(errs, err)
	if t, err = s.try(ctx, "cut=true"); err != nil {
		return err
	}
	if a, err := s.ask(ctx, http.MethodPost, pathOf(t.Issuer)+lrphttp.Path, lrphttp.TypeFrame, []byte{0}); err == nil {
		errs = append(errs, fmt.Errorf("cut=true: expected that the connection ends, seen HTTP status %d", a.status))
	}
	return errors.Join(errs...)
}
