package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
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
		{"status.md 1", "the status of a license that nobody has is a problem 404", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, s.statusPath(ident.NewDomain(), ident.NewLicense(), ""), "", nil)
			if err == nil {
				err = wantProblem("a random license", a, http.StatusNotFound, "not_found")
			}
			return err
		}},
		{"status.md 3", "it is not renewed and not returned either", at, func(ctx context.Context, s *subject) error {
			d, l := ident.NewDomain(), ident.NewLicense()
			a, err := s.ask(ctx, http.MethodPost, s.statusPath(d, l, "/renew"), typeJSON, []byte("{}"))
			if err == nil {
				err = wantProblem("renew", a, http.StatusNotFound, "not_found")
			}
			b, err2 := s.ask(ctx, http.MethodPost, s.statusPath(d, l, "/return"), typeJSON, []byte(`{"object": "AA==", "chain": []}`))
			if err2 == nil && (b.status < 400 || b.status >= 500) {
				err2 = fmt.Errorf("return: expected a refusal, seen HTTP status %d", b.status)
			}
			return errors.Join(err, err2)
		}},
		{"claim-code.md", "a code that was never given out is refused with a code_ problem", at, func(ctx context.Context, s *subject) error {
			body := fmt.Sprintf(`{"code": %q, "domain": %q}`, "7KQ2M4XD9T3V", ident.NewDomain().String())
			a, err := s.ask(ctx, http.MethodPost, "/api/v1/claims/redeem", typeJSON, []byte(body))
			if err != nil {
				return err
			}
			var p struct {
				Code string `json:"code"`
			}
			if a.status < 400 || a.status >= 500 || a.typ != "application/problem+json" || decode(a, &p) != nil || !strings.HasPrefix(p.Code, "code_") && p.Code != "too_many" {
				return fmt.Errorf("expected a problem with a code that begins with code_, seen HTTP status %d, %.80q", a.status, a.body)
			}
			return nil
		}},
		{"claim-code.md", "unknown fields, and more than 256 KiB, are refused", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodPost, "/api/v1/claims/redeem", typeJSON, []byte(`{"code": "7KQ2M4XD9T3V", "more": 1}`))
			if err == nil && (a.status < 400 || a.status >= 500) {
				err = fmt.Errorf("an unknown field: expected a refusal, seen HTTP status %d", a.status)
			}
			b, err2 := s.ask(ctx, http.MethodPost, "/api/v1/claims/redeem", typeJSON, []byte(`{"code": "`+strings.Repeat("7", 300<<10)+`"}`))
			if err2 == nil {
				err2 = wantProblem("300 KiB", b, http.StatusRequestEntityTooLarge, "too_large")
			}
			return errors.Join(err, err2)
		}},
		{"claim-code.md", "the claim page loads nothing from elsewhere and tells nobody its address", at, checkClaimPage},
	}
}

// statusPath is where a status document is, by what the issuer says.
func (s *subject) statusPath(d ident.Domain, l ident.License, more string) string {
	path := strings.NewReplacer("{domain}", d.String(), "{license}", l.String()).Replace(s.about.Status)
	if _, rest, ok := strings.Cut(path, "://"); ok {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	return path + more
}

var elsewhere = regexp.MustCompile(`(?i)(?:src|href|action)\s*=\s*["']?(?:https?:)?//`)

func checkClaimPage(ctx context.Context, s *subject) error {
	a, err := s.wantStatus(ctx, "/c", http.MethodGet, "/c", "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	switch {
	case a.typ != "text/html":
		return fmt.Errorf("expected text/html, seen %q", a.typ)
	case elsewhere.Match(a.body):
		return fmt.Errorf("expected no address of elsewhere, seen %q", elsewhere.Find(a.body))
	case a.header.Get("Referrer-Policy") != "no-referrer":
		return fmt.Errorf("expected Referrer-Policy: no-referrer, seen %q", a.header.Get("Referrer-Policy"))
	case !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'"):
		return fmt.Errorf("expected a Content-Security-Policy with default-src 'none', seen %q", a.header.Get("Content-Security-Policy"))
	}
	return nil
}

// statusDocument is what a status document must have.
type statusDocument struct {
	ID      ident.License `json:"id"`
	Status  string        `json:"status"`
	Message string        `json:"message"`
	Version uint64        `json:"version"`
	Updated struct {
		License time.Time `json:"license"`
	} `json:"updated"`
	Links []struct {
		Rel, Href, Method string
	} `json:"links"`
}
