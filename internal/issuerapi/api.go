package issuerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// Limits of the API. Source: local, docs/spec/issuer-api.md.
const (
	maxBody  = 256 << 10 // bytes of a request
	pageSize = 100       // records on one page
)

// Config is what the HTTP side of an issuer is made of.
type Config struct {
	Issuer *issuer.Issuer   // required; made with the store below, audited
	Store  issuer.Store     // required
	Desk   *operator.Desk   // required
	TREM   TREM             // required
	Now    func() time.Time // required
	Log    *slog.Logger     // nil: no log
	// Frames, the HTTP binding of LRP around Issuer.HandleBy, is served at FramesPath.
	FramesPath string
	Frames     http.Handler
	// About is what households may know: it is served to everyone.
	About About
	// URL is where households reach this issuer: what claim URLs begin with.
	URL string
	// QR draws a URL as a picture (PNG) for a camera; nil: no pictures.
	QR func(url string) ([]byte, error)
	// Pages serves the claim pages below issuer.ClaimPath, and what they need; nil: none.
	Pages http.Handler
	// Ready are further checks of /readyz, by name.
	Ready map[string]func(context.Context) error
}

// TREM tells whether the issuer's module is well.
type TREM interface {
	Status(ctx context.Context) (trem.Status, error)
}

// About tells a household whom to ask for licenses.
type About struct {
	Name   string       `json:"name"`
	Issuer ident.Issuer `json:"issuer"`
	Device ident.Device `json:"device"` // of the issuer's TREM
	// Status is where status documents are, with {domain} and {license} in it.
	Status string `json:"status,omitempty"`
	// Authority is the URL of the certification authority that this issuer visits:
	// where a device of a domain that it manages may learn what is revoked.
	Authority string `json:"authority,omitempty"`
}

type api struct {
	cfg  Config
	huma huma.API
}

// New returns the HTTP side as one handler. It starts nothing.
func New(cfg Config) (http.Handler, error) {
	if cfg.Issuer == nil || cfg.Store == nil || cfg.Desk == nil || cfg.TREM == nil || cfg.Now == nil {
		return nil, errors.New("issuerapi: Issuer, Store, Desk, TREM and Now are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.About.Status = strings.TrimSuffix(cfg.URL, "/") + issuer.StatusPath + "{domain}/{license}"
	mux := http.NewServeMux()
	a := &api{cfg: cfg, huma: humago.New(mux, description())}
	a.routes()
	if cfg.Frames != nil {
		mux.Handle(cfg.FramesPath, cfg.Frames)
	}
	a.memberDoors(mux)
	if cfg.Pages != nil {
		mux.Handle("GET /c", cfg.Pages)
		mux.Handle("GET "+issuer.ClaimPath, cfg.Pages)
		mux.Handle("GET /static/", cfg.Pages)
	}
	document, err := a.document()
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET "+DocumentPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the peer is gone
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, newProblem(http.StatusNotFound, "not_found", "no such resource"))
	})
	outer := http.NewServeMux() // supervisors are not turned away
	outer.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	outer.HandleFunc("GET /readyz", a.ready)
	outer.Handle("/", new(gate).guard(tagged(mux)))
	return outer, nil
}

// description is the head of the OpenAPI document.
func description() huma.Config {
	c := huma.DefaultConfig("Lares license issuer", "1")
	c.Info.Description = "Operators and households of a license issuer. Errors are problem documents with stable codes: docs/spec/issuer-api.md."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.Transformers = []huma.Transformer{plainProblem}
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "the owner's token, or an API key (lares issuer key new)"},
	}
	return c
}

// OpenAPI is the document that describes the API, as JSON.
func OpenAPI() ([]byte, error) {
	a := &api{huma: humago.New(http.NewServeMux(), description())}
	a.routes()
	return a.document()
}

// DocumentPath is where the document is served. Source: local, docs/spec/issuer-api.md.
const DocumentPath = "/api/v1/openapi.json"

func (a *api) document() ([]byte, error) {
	data, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return append(data, '\n'), nil
}

func (a *api) routes() {
	a.shelfRoutes()
	a.grantRoutes()
	a.householdRoutes()
	a.licenseRoutes()
	a.claimRoutes()
	a.copyRoutes()
	a.operatorRoutes()
	a.proposalRoutes()
	a.auditRoutes()
	a.domainRoutes()
	add(a, op{id: "about", method: "GET", path: "/api/v1/about", tag: "households", text: "Whom a household asks for licenses"},
		func(context.Context, *struct{}) (About, error) { return a.cfg.About, nil })
	add(a, op{id: "read-module", method: "GET", path: "/api/v1/module", tag: "operators", text: "What the issuer's trusted module says of itself", scope: operator.Read},
		func(ctx context.Context, _ *struct{}) (trem.Status, error) { return a.cfg.TREM.Status(ctx) })
}

// op is an operation in short.
type op struct {
	id, method, path, tag, text string
	scope                       operator.Scope // empty: for everyone
	act                         string         // what the log calls it; empty: it changes nothing
}

type answer[T any] struct{ Body T }

// add serves an operation: who asks is found out before anything is read, and
// what is changed stands in the operators' log.
func add[I, O any](a *api, o op, fn func(context.Context, *I) (O, error)) {
	huma.Register(a.huma, a.operation(o), func(ctx context.Context, in *I) (*answer[O], error) {
		if o.act != "" {
			who := operator.From(ctx)
			ctx = issuer.WithAct(ctx, &issuer.Act{Entry: audit.Entry{At: a.cfg.Now().UnixMilli(), Actor: who.Actor(), Action: o.act, Subject: subjectOf(in)}})
		}
		v, err := fn(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &answer[O]{v}, nil
	})
}

// subjectOf is what a request is about, as the log says it.
func subjectOf(in any) string {
	if s, ok := in.(interface{ subject() string }); ok {
		return s.subject()
	}
	return ""
}

func (a *api) operation(o op) huma.Operation {
	out := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.text, Tags: []string{o.tag}, MaxBodyBytes: maxBody,
		DefaultStatus: http.StatusOK, Responses: map[string]*huma.Response{"default": problemResponse()}, SkipValidateParams: false,
	}
	if o.method == http.MethodGet && !whole(o.path) {
		out.Responses["304"] = &huma.Response{Description: "Nothing has changed since the answer whose ETag is in If-None-Match"}
	}
	if o.scope != "" {
		out.Security = []map[string][]string{{"token": {string(o.scope)}}}
		out.Middlewares = huma.Middlewares{a.admit(o.scope)}
	}
	return out
}

// problemResponse describes a problem document.
func problemResponse() *huma.Response {
	text := &huma.Schema{Type: "string"}
	codes := Codes()
	all := make([]any, 0, len(codes))
	for _, c := range slices.Sorted(maps.Keys(codes)) {
		all = append(all, c)
	}
	return &huma.Response{
		Description: "A problem (RFC 9457)",
		Content: map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{
			Type: "object", Required: []string{"type", "title", "status", "code", "detail"},
			Properties: map[string]*huma.Schema{"type": text, "title": text, "status": {Type: "integer"}, "code": {Type: "string", Enum: all}, "detail": text},
		}}},
	}
}

// admit lets operators through that have a scope. No cookie carries a token, so
// a foreign page cannot use it.
func (a *api) admit(scope operator.Scope) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx := hc.Context()
		_, w := humago.Unwrap(hc)
		who := operator.From(ctx)
		if who == nil {
			token, ok := strings.CutPrefix(hc.Header("Authorization"), "Bearer ")
			var err error
			if who, err = a.cfg.Desk.Authenticate(ctx, token); !ok || errors.Is(err, operator.ErrUnknown) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="lares issuer"`)
				writeProblem(w, newProblem(http.StatusUnauthorized, "unauthorized", "the token is missing, wrong or over"))
				return
			} else if err != nil {
				a.cfg.Log.LogAttrs(ctx, slog.LevelError, "operator not looked up", slog.Any("error", err))
				writeProblem(w, newProblem(http.StatusInternalServerError, "internal", "see the server's log"))
				return
			}
		}
		if !who.May(scope) {
			writeProblem(w, newProblem(http.StatusForbidden, "forbidden", "your role does not allow this: it takes the scope "+string(scope)))
			return
		}
		next(huma.WithContext(hc, operator.With(ctx, who)))
	}
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	checks := map[string]func(context.Context) error{
		"store": func(ctx context.Context) error {
			return a.view(ctx, func(ctx context.Context, r issuer.Reader) error {
				_, err := r.Grants(ctx, issuer.GrantKey{}, 1)
				return err
			})
		},
		"trem": func(ctx context.Context) error {
			st, err := a.cfg.TREM.Status(ctx)
			if err == nil && st.Epoch == 0 {
				err = issuer.ErrNotReady
			}
			return err
		},
	}
	maps.Copy(checks, a.cfg.Ready)
	out, status := map[string]string{}, http.StatusOK
	for name, check := range checks {
		out[name] = "ok"
		if err := check(r.Context()); err != nil {
			out[name], status = "failed", http.StatusServiceUnavailable
			a.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "not ready", slog.String("check", name), slog.Any("error", err))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(out) //nolint:errcheck,errchkjson // the peer is gone
}

func (a *api) view(ctx context.Context, fn func(context.Context, issuer.Reader) error) error {
	return a.cfg.Store.View(ctx, fn)
}

// page cuts what lies behind a cursor out of a list in the order of its keys.
func page[T any, K cmp.Ordered](all []T, key func(*T) K, after K) (out []T, next K) {
	from, found := slices.BinarySearchFunc(all, after, func(v T, k K) int { return cmp.Compare(key(&v), k) })
	if found {
		from++
	}
	out = all[from:]
	if len(out) > pageSize {
		out = out[:pageSize]
		next = key(&out[pageSize-1])
	}
	return out, next
}
