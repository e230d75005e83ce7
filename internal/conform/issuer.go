package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func decode(a answer, v any) error { return json.Unmarshal(a.body, v) }

// wantProblem wants a problem document (RFC 9457) with a status and one of some
// stable codes; no codes: any.
func wantProblem(what string, a answer, status int, codes ...string) error {
	var p struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
	}
	switch {
	case a.status != status:
		return fmt.Errorf("%s: expected HTTP status %d, seen %d", what, status, a.status)
	case a.typ != "application/problem+json":
		return fmt.Errorf("%s: expected application/problem+json, seen %q", what, a.typ)
	case decode(a, &p) != nil || p.Code == "":
		return fmt.Errorf("%s: expected a problem with a code, seen %.80q", what, a.body)
	}
	if len(codes) > 0 && !slices.Contains(codes, p.Code) {
		return fmt.Errorf("%s: expected code %s, seen %q", what, strings.Join(codes, " or "), p.Code)
	}
	return nil
}

const typeJSON = "application/json"

func issuerChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"issuer-store.md 6", "the issuer says who it is and where status documents are", at, func(_ context.Context, s *subject) error {
			a := s.about
			if a.Issuer == "" || a.Name == "" || !strings.Contains(a.Status, "{domain}") || !strings.Contains(a.Status, "{license}") {
				return fmt.Errorf("/api/v1/about: expected name, issuer, device and status with {domain} and {license}, seen %+v", a)
			}
			return nil
		}},
		{"issuer-store.md 6", "supervisors get 204 of /healthz and 200 of /readyz", at, func(ctx context.Context, s *subject) error {
			_, err := s.wantStatus(ctx, "/healthz", http.MethodGet, "/healthz", "", nil, http.StatusNoContent)
			_, err2 := s.wantStatus(ctx, "/readyz", http.MethodGet, "/readyz", "", nil, http.StatusOK)
			return errors.Join(err, err2)
		}},
		{"issuer-store.md 6", "without its token the operator's interface is shut", at, func(ctx context.Context, s *subject) error {
			var errs []error
			for _, path := range []string{"/api/v1/contents", "/api/v1/offers", "/api/v1/grants", "/api/v1/copies", "/api/v1/claims"} {
				a, err := s.ask(ctx, http.MethodGet, path, "", nil, "Authorization", "Bearer conform")
				if err == nil {
					err = wantProblem(path, a, http.StatusUnauthorized, "unauthorized")
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}},
	}
}
