package testissuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// Path is where scenarios are asked for, and their doors below it.
const Path = "/test"

// briefly is for how long a code is good that is given out when it is over: an issuer
// makes none that is over already. Source: local.
const briefly = 100 * time.Millisecond

// maxScenarios is how many scenarios' lost answers are remembered.
const maxScenarios = 10_000

// Config is what a test issuer is made of.
type Config struct {
	Issuer  *issuer.Issuer   // required
	Store   issuer.Store     // required: the issuer's
	Doors   http.Handler     // required: the issuer's doors, about, frames, claims and status
	Frames  string           // required: path of the frames' door
	Content ident.Content    // required: of the title that licenses are for
	URL     string           // required: where the doors are reached
	CA      string           // where modules enroll
	Film    http.Handler     // nil: no packed title is served
	Now     func() time.Time // required
	// Voucher makes an enrollment voucher of a role, for modules of the test; nil: none.
	Voucher func(role string) (string, error)
}

type server struct {
	Config
	mu   sync.Mutex
	lost map[string]int // guarded by mu: answers lost so far, by scenario
}

// New returns the doors of a test issuer. It starts nothing.
func New(cfg Config) (http.Handler, error) {
	if cfg.Issuer == nil || cfg.Store == nil || cfg.Doors == nil || cfg.Now == nil || cfg.Content == "" || cfg.Frames == "" {
		return nil, errors.New("testissuer: Issuer, Store, Doors, Frames, Content and Now are required")
	}
	s := &server{Config: cfg, lost: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, s.ask)
	mux.HandleFunc("GET "+Path+"/voucher", s.voucher)
	mux.HandleFunc(Path+"/s/{scenario}/{rest...}", s.door)
	if cfg.Film != nil {
		mux.Handle("GET "+Path+"/film/", http.StripPrefix(Path+"/film", cfg.Film))
	}
	return mux, nil
}

// Answer is what the URL gives: whom to ask, and for what.
type Answer struct {
	Test    bool          `json:"test"` // always: what is issued is for tests
	Query   string        `json:"query"`
	Terms   string        `json:"terms"`
	Kind    issuer.Kind   `json:"kind"`
	Content ident.Content `json:"content"`
	Claim   string        `json:"claim"`  // for lares home claim, or the redeem operation
	Issuer  string        `json:"issuer"` // base URL of the scenario's doors
	CA      string        `json:"ca"`     // where a module enrolls to be believed here
	Film    string        `json:"film,omitempty"`
	Voucher string        `json:"voucher,omitempty"` // address of vouchers
}

func (s *server) ask(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "" {
		s.page(w)
		return
	}
	sc, err := Parse(r.URL.RawQuery, s.Now())
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "scenario", err.Error())
		return
	}
	a, err := s.make(r.Context(), sc)
	if errors.Is(err, issuer.ErrTerms) {
		refuse(w, http.StatusUnprocessableEntity, "scenario", err.Error())
		return
	}
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "not_ready", "the test issuer cannot do it just now: "+err.Error())
		return
	}
	reply(w, http.StatusOK, a)
}

// make puts the scenario's offer on the shelf and makes a code for it.
func (s *server) make(ctx context.Context, sc *Scenario) (a Answer, err error) {
	o, err := s.Issuer.PutOffer(ctx, issuer.Offer{ID: sc.offer(), Content: s.Content, Kind: sc.Kind, Terms: sc.Terms, Tiers: sc.Tiers, Name: "Test"})
	if err != nil {
		return a, err
	}
	n := issuer.NewCodes{Offer: o.ID, Codes: 1}
	if sc.Fail.Code == "expired" {
		n.Expires = s.Now().Add(briefly).UnixMilli()
	}
	b, coded, err := s.Issuer.NewCodes(ctx, n)
	if err != nil {
		return a, err
	}
	if n.Expires != 0 { // it is over when it is given out
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(briefly):
		}
	}
	if sc.Fail.Code == "void" {
		if _, err := s.Issuer.Void(ctx, b.ID, nil); err != nil {
			return a, err
		}
	}
	base := strings.TrimSuffix(s.URL, "/")
	a = Answer{Test: true, Query: sc.query, Terms: o.Terms, Kind: o.Kind, Content: o.Content, Issuer: base + Path + "/s/" + sc.path(), CA: s.CA}
	a.Claim = a.Issuer + issuer.ClaimPath + coded[0].Code.Text()
	if s.Film != nil {
		a.Film = base + Path + "/film/"
	}
	if s.Voucher != nil {
		a.Voucher = base + Path + "/voucher?role=home-server"
	}
	return a, nil
}

// page lists the parameters, for who opens the address without any.
func (s *server) page(w http.ResponseWriter) {
	var b bytes.Buffer
	b.WriteString("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Test issuer</title><h1>Test issuer</h1><p>Any policy and any failure from one address. What it issues is for tests: modules of others refuse it.</p><dl>")
	for _, p := range Parameters() {
		fmt.Fprintf(&b, "<dt><code>%s</code></dt><dd>%s</dd>", html.EscapeString(p.Name), html.EscapeString(p.Means))
	}
	b.WriteString("</dl></html>")
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	_, _ = b.WriteTo(w) // the browser is gone
}

func (s *server) voucher(w http.ResponseWriter, r *http.Request) {
	if s.Voucher == nil {
		refuse(w, http.StatusNotFound, "not_found", "this test issuer has no authority beside it")
		return
	}
	v, err := s.Voucher(r.URL.Query().Get("role"))
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "role", "no voucher: "+err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"test": true, "voucher": v, "ca": s.CA})
}

// door passes a request on to the issuer, and breaks what the scenario says.
func (s *server) door(w http.ResponseWriter, r *http.Request) {
	sc, err := scenarioOf(r.PathValue("scenario"), s.Now())
	if err != nil {
		refuse(w, http.StatusNotFound, "scenario", "this address describes no scenario")
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = "/"+r.PathValue("rest"), ""
	inner.RequestURI = inner.URL.RequestURI()
	switch {
	case strings.HasPrefix(inner.URL.Path, "/api/v1/claims/redeem"):
		s.redeem(w, inner, sc)
	case inner.URL.Path == s.Frames:
		s.frames(w, inner, sc)
	case inner.URL.Path == "/api/v1/about", strings.HasPrefix(inner.URL.Path, issuer.StatusPath), strings.HasPrefix(inner.URL.Path, issuer.ClaimPath):
		s.Doors.ServeHTTP(w, inner)
	default:
		refuse(w, http.StatusNotFound, "not_found", "a scenario has the doors of households only")
	}
}

// kept is an answer that is held back.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (s *server) hold(r *http.Request) *kept {
	k := &kept{header: http.Header{}, status: http.StatusOK}
	s.Doors.ServeHTTP(k, r)
	return k
}

func (k *kept) pass(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes()) // the peer is gone
}

// redeem lets the household have its grant, and ends it where the scenario says so.
func (s *server) redeem(w http.ResponseWriter, r *http.Request, sc *Scenario) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "the request is too large")
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	k := s.hold(r)
	var asked struct {
		Domain ident.Domain `json:"domain"`
	}
	var got struct {
		Grant issuer.GrantID `json:"grant"`
	}
	if k.status == http.StatusOK && json.Unmarshal(body, &asked) == nil && json.Unmarshal(k.body.Bytes(), &got) == nil {
		if err := s.spoil(r.Context(), sc, issuer.GrantKey{Domain: asked.Domain, Grant: got.Grant}); err != nil {
			refuse(w, http.StatusServiceUnavailable, "not_ready", "the test issuer cannot do it just now")
			return
		}
	}
	k.pass(w)
}

// spoil ends the house's grants of scenarios before this one, which would be used
// in the place of one that fails, and does to this one what the scenario says.
func (s *server) spoil(ctx context.Context, sc *Scenario, key issuer.GrantKey) error {
	return s.Store.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
		all, err := tx.GrantsFor(ctx, key.Domain, s.Content)
		if err != nil {
			return err
		}
		for _, g := range all {
			if g.ID == key.Grant && !sc.Fail.Revoked {
				continue
			}
			if err := tx.RevokeGrant(ctx, issuer.GrantKey{Domain: key.Domain, Grant: g.ID}); err != nil {
				return err
			}
		}
		for sc.Fail.Exhausted {
			if ok, err := tx.Debit(ctx, key); err != nil || !ok {
				return err
			}
		}
		return nil
	})
}

// frames serves the module's door.
func (s *server) frames(w http.ResponseWriter, r *http.Request, sc *Scenario) {
	f := &sc.Fail
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-r.Context().Done():
			return
		case <-t.C:
		}
	}
	switch {
	case f.Status != 0:
		if f.Retry > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.Retry.Seconds())))
		}
		refuse(w, f.Status, "test", "the scenario says so")
		return
	case f.Cut:
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http ends a connection without an answer
	}
	k := s.hold(r)
	body := k.body.Bytes()
	switch {
	case s.loses(sc):
		panic(http.ErrAbortHandler) //nolint:forbidigo // the work is done, the answer is lost
	case f.Garbage:
		for i := range body {
			body[i] = byte(i * 7)
		}
	case f.Truncate:
		k.body.Truncate(len(body) / 2)
	case f.Flip && len(body) > 0:
		body[len(body)-1] ^= 1
	}
	k.header.Del("Content-Length")
	k.pass(w)
}

// loses tells whether this answer is one of those that are lost.
func (s *server) loses(sc *Scenario) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.lost[sc.query]
	if n >= sc.Fail.Lose || len(s.lost) >= maxScenarios {
		return false
	}
	s.lost[sc.query] = n + 1
	return true
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the peer is gone
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck,errchkjson // the peer is gone
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": strings.TrimPrefix(detail, "testissuer: "),
	})
}
