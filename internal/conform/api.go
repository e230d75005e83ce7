package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// pathDescription is where an issuer describes its API. Source: docs/spec/issuer-api.md section 1.
const pathDescription = "/api/v1/openapi.json"

// readAPI reads what several clauses go by: the issuer's description of its API, and
// what it says that the operator's key may do. Whether they are right, clauses of
// their own say.
func (s *subject) readAPI(ctx context.Context) {
	if !slices.Contains(s.roles, Issuer) {
		return
	}
	if a, err := s.ask(ctx, http.MethodGet, pathDescription, "", nil); err == nil && a.status == http.StatusOK {
		s.api, _ = parseDocument(a.body) // a clause of its own reads it again
	}
	var who whoami
	if s.cfg.Key == "" {
		return
	}
	if a, err := s.operate(ctx, http.MethodGet, "/api/v1/whoami", nil); err == nil && a.status == http.StatusOK && decode(a, &who) == nil {
		s.scopes = who.Scopes
	}
}

// described wants that there is a description to go by.
func (s *subject) described() error {
	if s.api == nil {
		return without("the issuer's description of its API cannot be read, as the clause about it says")
	}
	return nil
}

func apiChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"issuer-api.md 1", "the issuer's API is described where it is served: each operation with its answers and its problems", at, checkDescription},
		{"issuer-api.md 2", "what takes a key by that description is 401 for who shows none", at, func(ctx context.Context, s *subject) error {
			return s.refusesAll(ctx, "", func(o *operation) bool { return o.scope() != "" }, http.StatusUnauthorized, "unauthorized")
		}},
		{"issuer-api.md 1", "lists and documents have the layout that the description gives them", at, checkLayouts},
		{"issuer-api.md 2", "an unknown query parameter is refused", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, "/api/v1/about?conform=1", "", nil)
			if err == nil {
				err = wantProblem("/api/v1/about?conform=1", a, http.StatusUnprocessableEntity, "invalid")
			}
			return err
		}},
		{"issuer-api.md 3", "a GET has an ETag, and who shows it is answered 304", at, func(ctx context.Context, s *subject) error {
			a, err := s.wantStatus(ctx, "/api/v1/about", http.MethodGet, "/api/v1/about", "", nil, http.StatusOK)
			if err != nil {
				return err
			}
			tag := a.header.Get("ETag")
			if !strings.HasPrefix(tag, `"`) {
				return fmt.Errorf("/api/v1/about: expected a strong ETag, seen %.80q", tag)
			}
			b, err := s.ask(ctx, http.MethodGet, "/api/v1/about", "", nil, "If-None-Match", tag)
			if err == nil && (b.status != http.StatusNotModified || len(b.body) != 0) {
				err = fmt.Errorf("with If-None-Match: expected HTTP status 304 without a body, seen %d with %d bytes", b.status, len(b.body))
			}
			return err
		}},
		{"issuer-api.md 4", "what is not there is a problem 404", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, "/api/v1/conform", "", nil)
			if err == nil {
				err = wantProblem("/api/v1/conform", a, http.StatusNotFound, "not_found")
			}
			return err
		}},
	}
}

// forEveryone is what households ask for without a key. Source: docs/spec/issuer-api.md section 2.
var forEveryone = []string{
	"GET /api/v1/about", "POST /api/v1/claims/redeem", "POST /api/v1/domains/join",
	"GET /status/v1/{domain}/{license}", "POST /status/v1/{domain}/{license}/renew", "POST /status/v1/{domain}/{license}/return",
}

func checkDescription(ctx context.Context, s *subject) error {
	a, err := s.wantStatus(ctx, pathDescription, http.MethodGet, pathDescription, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	d, err := parseDocument(a.body)
	if err != nil {
		return err
	}
	var errs []error
	seen, open := map[string]bool{}, []string{}
	for _, o := range d.operations {
		if o.ID == "" || seen[o.ID] {
			errs = append(errs, fmt.Errorf("%s %s: expected an operationId of its own, seen %q", o.method, o.path, o.ID))
		}
		if seen[o.ID] = true; o.scope() == "" {
			open = append(open, o.method+" "+o.path)
		}
		errs = append(errs, d.complete(&o))
	}
	for _, want := range forEveryone {
		if !slices.Contains(open, want) {
			errs = append(errs, fmt.Errorf("expected %s, for everyone, seen none", want))
		}
	}
	return errors.Join(errs...)
}

// complete wants that an operation's parameters, answers and problems are described.
func (d *document) complete(o *operation) error {
	for part := range strings.SplitSeq(o.path, "{") {
		name, _, ok := strings.Cut(part, "}")
		if ok && !slices.ContainsFunc(o.Parameters, func(p struct {
			Name string `json:"name"`
			In   string `json:"in"`
		},
		) bool {
			return p.In == "path" && p.Name == name
		}) {
			return fmt.Errorf("%s %s: expected the parameter %s, seen none", o.method, o.path, name)
		}
	}
	if len(o.Responses["200"].Content) == 0 {
		return fmt.Errorf("%s %s: expected an answer 200, seen none", o.method, o.path)
	}
	for _, content := range o.Responses {
		for _, c := range content.Content {
			if _, err := d.resolve(c.Schema); err != nil {
				return fmt.Errorf("%s %s: %w", o.method, o.path, err)
			}
		}
	}
	p, err := d.resolve(o.answer("default", "application/problem+json"))
	if err != nil || p == nil || p.Properties["code"] == nil || len(p.Properties["code"].Enum) == 0 {
		return fmt.Errorf("%s %s: expected problems with the list of their codes, seen none", o.method, o.path)
	}
	return nil
}

// refusesAll wants one refusal of each operation that is chosen, of the layout that
// the description gives problems.
func (s *subject) refusesAll(ctx context.Context, key string, chosen func(*operation) bool, status int, code string) error {
	if err := s.described(); err != nil {
		return err
	}
	var errs []error
	for _, o := range s.api.operations {
		if !chosen(&o) {
			continue
		}
		a, err := s.by(ctx, key, o.method, o.plain(), nil)
		if err == nil {
			err = wantProblem(o.method+" "+o.path, a, status, code)
		}
		if err == nil {
			err = s.api.fits(a.body, o.answer("default", "application/problem+json"))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func checkLayouts(ctx context.Context, s *subject) error {
	if err := cmpOr(s.allowed("read"), s.described); err != nil {
		return err
	}
	var errs []error
	for _, o := range s.api.operations {
		layout := o.answer("200", typeJSON)
		if o.method != http.MethodGet || strings.Contains(o.path, "{") || layout == nil {
			continue
		}
		if scope := o.scope(); scope != "" && s.allowed(scope) != nil {
			continue
		}
		a, err := s.operate(ctx, o.method, o.path, nil)
		if err == nil && (a.status != http.StatusOK || a.typ != typeJSON) {
			err = fmt.Errorf("expected HTTP status 200 and JSON, seen %d, %q", a.status, a.typ)
		}
		if err == nil {
			err = s.api.fits(a.body, layout)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", o.method, o.path, err))
		}
	}
	return errors.Join(errs...)
}
