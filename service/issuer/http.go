package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of the admin API. Source: local, docs/spec/issuer-store.md section 6.
const (
	maxAdminBody = 256 << 10 // bytes of a request
	pageSize     = 100       // grants on one page
)

// APIConfig is what the HTTP side of an issuer is made of.
type APIConfig struct {
	Issuer *Issuer
	// TokenHash is SHA-256 of the admin token: who knows the token may do
	// everything here. The token itself is not kept.
	TokenHash [32]byte
	// Frames, the HTTP binding of LRP around Issuer.Handle, is served at FramesPath.
	FramesPath string
	Frames     http.Handler
	// About is what households may know: it is served to everyone.
	About About
	// URL is where households reach this issuer: what claim URLs begin with.
	URL string
	// QR draws a URL as a picture (PNG) for a camera; nil: no pictures.
	QR func(url string) ([]byte, error)
	// Pages serves the claim pages below ClaimPath, and what they need; nil: none.
	Pages http.Handler
	// Ready are further checks of /readyz, by name.
	Ready map[string]func(context.Context) error
}

// About tells a household whom to ask for licenses.
type About struct {
	Name   string       `json:"name"`
	Issuer ident.Issuer `json:"issuer"`
	Device ident.Device `json:"device"` // of the issuer's TREM
	// Status is where status documents are, with {domain} and {license} in it.
	Status string `json:"status,omitempty"`
}

// Handler serves households, operators and supervisors on one listener.
func Handler(cfg APIConfig) http.Handler {
	cfg.About.Status = strings.TrimSuffix(cfg.URL, "/") + StatusPath + "{domain}/{license}"
	a := &api{cfg}
	mux := http.NewServeMux()
	mux.Handle(cfg.FramesPath, cfg.Frames)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /api/v1/about", a.open(func(*http.Request) (any, error) { return cfg.About, nil }))
	mux.HandleFunc("GET /api/v1/module", a.admin(func(r *http.Request) (any, error) { return a.Issuer.cfg.TREM.Status(r.Context()) }))
	mux.HandleFunc("GET /api/v1/contents", a.admin(a.contents))
	mux.HandleFunc("POST /api/v1/contents", a.admin(a.addContent))
	mux.HandleFunc("GET /api/v1/offers", a.admin(a.offers))
	mux.HandleFunc("POST /api/v1/offers", a.admin(a.addOffer))
	mux.HandleFunc("GET /api/v1/offers/{offer}", a.admin(a.offer))
	mux.HandleFunc("GET /api/v1/grants", a.admin(a.grants))
	mux.HandleFunc("POST /api/v1/grants", a.admin(a.addGrant))
	mux.HandleFunc("POST /api/v1/grants/{domain}/{grant}/revoke", a.admin(a.revoke))
	mux.HandleFunc("POST /api/v1/grants/{domain}/{grant}/renew", a.admin(a.renewGrant))
	mux.HandleFunc("GET /api/v1/licenses/{domain}", a.admin(a.licenses))
	a.claimRoutes(mux)
	a.copyRoutes(mux)
	a.statusRoutes(mux)
	if cfg.Pages != nil {
		mux.Handle("GET /c", cfg.Pages)
		mux.Handle("GET "+ClaimPath, cfg.Pages)
		mux.Handle("GET /static/", cfg.Pages)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "not_found", "no such resource")
	})
	outer := http.NewServeMux() // supervisors are not turned away
	for _, path := range []string{"GET /healthz", "GET /readyz"} {
		outer.Handle(path, mux)
	}
	outer.Handle("/", new(gate).guard(mux))
	return outer
}

type api struct{ APIConfig }

// errRequest is a request that no server state would make right.
var errRequest = errors.New("malformed request")

type endpoint func(*http.Request) (any, error)

// open serves an endpoint to everyone.
func (a *api) open(fn endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
		v, err := fn(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the peer is gone
	}
}

// admin serves an endpoint to who knows the token. No cookie carries it, so
// a foreign page cannot use it.
func (a *api) admin(fn endpoint) http.HandlerFunc {
	serve := a.open(fn)
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(token))
		if !ok || subtle.ConstantTimeCompare(sum[:], a.TokenHash[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="lares issuer"`)
			problem(w, http.StatusUnauthorized, "unauthorized", "the admin token is missing or wrong")
			return
		}
		if r.Method == http.MethodPost && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			problem(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "send application/json")
			return
		}
		serve(w, r)
	}
}

// fail turns an error into a problem document. What is the server's own stays in its log.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if claimProblem(w, err) || lendProblem(w, err) {
		return
	}
	var te *trem.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, "too_large", "the request is too large")
	case errors.Is(err, errRequest), errors.Is(err, ErrTerms):
		problem(w, http.StatusUnprocessableEntity, "invalid", err.Error())
	case errors.Is(err, ErrNotFound):
		problem(w, http.StatusNotFound, "not_found", err.Error())
	case errors.Is(err, ErrConflict):
		problem(w, http.StatusConflict, "conflict", err.Error())
	case errors.Is(err, ErrBusy):
		later(w, "busy", "the database does not answer in time")
	case errors.Is(err, ErrNotReady):
		problem(w, http.StatusServiceUnavailable, "not_ready", err.Error())
	case errors.As(err, &te) && (te.Code == trem.CodeRejected || te.Code == trem.CodeMalformed):
		problem(w, http.StatusUnprocessableEntity, "rejected", te.Text)
	default:
		a.Issuer.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "internal", "see the server's log")
	}
}

// problem writes a problem document (RFC 9457) with a stable code.
func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck,errchkjson // the peer is gone
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	checks := map[string]func(context.Context) error{
		"store": func(ctx context.Context) error {
			return a.Issuer.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
				_, err := r.Grants(ctx, GrantKey{}, 1)
				return err
			})
		},
		"trem": func(ctx context.Context) error {
			st, err := a.Issuer.cfg.TREM.Status(ctx)
			if err == nil && st.Epoch == 0 {
				err = ErrNotReady
			}
			return err
		},
	}
	maps.Copy(checks, a.APIConfig.Ready)
	out, status := map[string]string{}, http.StatusOK
	for name, check := range checks {
		out[name] = "ok"
		if err := check(r.Context()); err != nil {
			out[name], status = "failed", http.StatusServiceUnavailable
			a.Issuer.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "not ready", slog.String("check", name), slog.Any("error", err))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(out) //nolint:errcheck,errchkjson // the peer is gone
}

// decode reads a JSON body strictly.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		err = fmt.Errorf("%w: %w", errRequest, err)
	}
	return err
}

func (a *api) view(r *http.Request, fn func(context.Context, Reader) error) error {
	return a.Issuer.cfg.Store.View(r.Context(), fn)
}

func (a *api) contents(r *http.Request) (any, error) {
	out := struct {
		Contents []Content `json:"contents"`
	}{}
	err := a.view(r, func(ctx context.Context, rd Reader) (err error) {
		out.Contents, err = rd.Contents(ctx)
		return err
	})
	return out, err
}

func (a *api) addContent(r *http.Request) (any, error) {
	var in struct {
		Keys []byte `json:"keys"` // base64 of a key delivery
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return a.Issuer.RegisterContent(r.Context(), in.Keys)
}

// GrantPage is a page of grants; Next is the cursor of the next one, or empty.
type GrantPage struct {
	Grants []Grant `json:"grants"`
	Next   string  `json:"next,omitempty"`
}

func (a *api) grants(r *http.Request) (any, error) {
	var after GrantKey
	if c := r.URL.Query().Get("after"); c != "" {
		b, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil || len(b) != len(after.Domain)+len(after.Grant) {
			return nil, fmt.Errorf("%w: cursor", errRequest)
		}
		copy(after.Domain[:], b)
		copy(after.Grant[:], b[len(after.Domain):])
	}
	out := GrantPage{}
	err := a.view(r, func(ctx context.Context, rd Reader) (err error) {
		out.Grants, err = rd.Grants(ctx, after, pageSize)
		return err
	})
	if n := len(out.Grants); n == pageSize {
		last := out.Grants[n-1]
		out.Next = base64.RawURLEncoding.EncodeToString(append(append([]byte{}, last.Domain[:]...), last.ID[:]...))
	}
	return out, err
}

// GrantRequest asks for a grant: of an offer, or of terms for a content.
type GrantRequest struct {
	Domain    ident.Domain  `json:"domain"`
	Offer     string        `json:"offer,omitempty"`
	Content   ident.Content `json:"content,omitempty"`
	Kind      Kind          `json:"kind,omitempty"`
	Terms     string        `json:"terms,omitempty"`
	Tiers     []uint64      `json:"tiers,omitempty"`
	Licenses  uint64        `json:"licenses,omitempty"`
	ExpiresAt int64         `json:"expires_at,omitempty"` // Unix ms
}

func (a *api) addGrant(r *http.Request) (any, error) {
	var in GrantRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	g := Grant{Domain: in.Domain, Content: in.Content, Kind: in.Kind, Terms: in.Terms, Tiers: in.Tiers, Remaining: in.Licenses}
	if in.Offer != "" {
		if in.Content != "" || in.Terms != "" || in.Kind != "" || in.Tiers != nil || in.Licenses != 0 {
			return nil, fmt.Errorf("%w: an offer says all but who and until when", errRequest)
		}
		var err error
		if g, err = a.Issuer.Offered(r.Context(), in.Offer, in.Domain); err != nil {
			return nil, fmt.Errorf("offer %s: %w", strconv.Quote(in.Offer), err)
		}
	}
	g.Expires = in.ExpiresAt
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		sum := sha256.Sum256([]byte("lares/1/grant " + key))
		g.ID = GrantID(sum[:16])
	}
	return a.Issuer.Grant(r.Context(), g)
}

// grantArg reads which grant is meant.
func grantArg(r *http.Request) (key GrantKey, err error) {
	if err := errors.Join(key.Domain.UnmarshalText([]byte(r.PathValue("domain"))), key.Grant.UnmarshalText([]byte(r.PathValue("grant")))); err != nil {
		return key, fmt.Errorf("%w: %w", errRequest, err)
	}
	return key, nil
}

func (a *api) revoke(r *http.Request) (any, error) {
	key, err := grantArg(r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, a.Issuer.Revoke(r.Context(), key)
}

// RenewRequest says until when a grant goes on.
type RenewRequest struct {
	Until int64 `json:"until"` // Unix ms
}

func (a *api) renewGrant(r *http.Request) (any, error) {
	key, err := grantArg(r)
	if err != nil {
		return nil, err
	}
	var in RenewRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return a.Issuer.Renew(r.Context(), key, in.Until)
}

// LicenseRow is an issued license as the API shows it.
type LicenseRow struct {
	License
	Digest string `json:"digest"` // license hash, hexadecimal
}

func (a *api) licenses(r *http.Request) (any, error) {
	var domain ident.Domain
	if err := domain.UnmarshalText([]byte(r.PathValue("domain"))); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	out := struct {
		Licenses []LicenseRow `json:"licenses"`
	}{Licenses: []LicenseRow{}}
	err := a.view(r, func(ctx context.Context, rd Reader) error {
		all, err := rd.Licenses(ctx, domain)
		for _, l := range all {
			out.Licenses = append(out.Licenses, LicenseRow{l, hex.EncodeToString(l.Digest[:])})
		}
		return err
	})
	return out, err
}
