package httpd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/lares-drm/lares/internal/operator"
)

// Console paths and its cookies. Source: local, docs/spec/operators.md.
const (
	consolePath   = "/console/"
	sessionCookie = "lares_console"
	stateCookie   = "lares_signin"
)

// Figure is one number on the console's page of figures.
type Figure struct {
	Name, Label string
	Value       float64
}

// ConsoleConfig is what the operators' pages of an issuer are made of.
type ConsoleConfig struct {
	API     http.Handler   // required: the issuer's API, which takes operators by operator.With
	Desk    *operator.Desk // required
	OIDC    *operator.OIDC // nil: nobody signs in at a provider
	Name    string         // of the shop or library
	URL     string         // where operators reach it; https makes cookies secure
	Figures func() ([]Figure, error)
	Now     func() time.Time // required
	Log     *slog.Logger     // nil: no log
}

type console struct {
	ConsoleConfig
	pages map[string]*template.Template
	wrong *throttle // tokens
}

// NewConsole returns the operators' pages, which are served below /console/.
// They work without scripts, decide nothing, and do what an operator may do by
// asking the API as that operator.
func NewConsole(cfg ConsoleConfig) (http.Handler, error) {
	if cfg.API == nil || cfg.Desk == nil || cfg.Now == nil {
		return nil, errors.New("httpd: ConsoleConfig needs API, Desk and Now")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &console{ConsoleConfig: cfg, pages: map[string]*template.Template{}, wrong: newThrottle(signTries, signEvery)}
	for _, name := range []string{"home", "titles", "offers", "households", "household", "codes", "batch", "given", "sheet", "copies", "copy", "licenses", "revocations", "log", "figures", "keys", "signin", "problem"} {
		t, err := template.New("console.html").Funcs(template.FuncMap{"say": say, "state": stateWords, "stamp": stampMS, "number": figureText, "short": shortID, "deed": logWords, "means": means, "qr": drawQR, "parts": consoleParts, "times": timesText}).
			ParseFS(templateFiles, "templates/console.html", "templates/console-"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("parse pages: %w", err)
		}
		c.pages[name] = t
	}
	mux := http.NewServeMux()
	c.routes(mux)
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, say("console.cross-origin"), http.StatusForbidden)
	}))
	return consoleHeaders(cross.Handler(mux)), nil
}

// consoleHeaders: no script runs, and nothing is loaded from anywhere else.
func consoleHeaders(next http.Handler) http.Handler {
	return secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		w.Header().Set("X-Robots-Tag", "noindex")
		next.ServeHTTP(w, r)
	}))
}

func stampMS(v any) string {
	var ms int64
	switch v := v.(type) {
	case float64:
		ms = int64(v)
	case int64:
		ms = v
	}
	if ms == 0 {
		return "–"
	}
	return utc(ms)
}

// stateWords says a state, a role or the kind of an offer. One that has no words is said
// as the API has it.
func stateWords(v any) string {
	s := fmt.Sprint(v)
	return cmp.Or(maybe("console.state."+s), s)
}

// titleOf is what a page is called: as the way to it, where it has no name of its own.
func titleOf(name string) string {
	return cmp.Or(maybe("console.title."+name), say("console.nav."+name))
}

// figureText is a number as people read it.
func figureText(v float64) string {
	if v == float64(int64(v)) && v < 1e15 {
		return fmt.Sprint(int64(v))
	}
	return fmt.Sprintf("%.3g", v)
}

// shortID is the beginning of an ID that people tell apart by eye.
func shortID(s string) string {
	if len(s) > 12 {
		return s[:12] + "…"
	}
	return s
}

func (c *console) routes(m *http.ServeMux) {
	m.HandleFunc("GET /console/signin", func(w http.ResponseWriter, r *http.Request) { c.signInPage(w, r, http.StatusOK, "") })
	m.HandleFunc("POST /console/signin", c.signIn)
	m.HandleFunc("GET /console/oidc/begin", c.beginOIDC)
	m.HandleFunc("GET /console/oidc", c.finishOIDC)
	m.HandleFunc("POST /console/signout", c.signOut)
	for _, name := range []string{"style.css", "console.css", "icon.svg"} {
		m.Handle("GET /console/static/"+name, http.StripPrefix("/console", http.HandlerFunc(serveStatic)))
	}
	m.HandleFunc("GET /console/{$}", c.signed(c.home))
	m.HandleFunc("GET /console/titles", c.signed(c.list("titles", "/api/v1/contents")))
	m.HandleFunc("GET /console/offers", c.signed(c.offers))
	m.HandleFunc("GET /console/households", c.signed(c.list("households", "/api/v1/households")))
	m.HandleFunc("GET /console/households/{domain}", c.signed(c.household))
	m.HandleFunc("GET /console/licenses", c.signed(c.license))
	m.HandleFunc("GET /console/codes", c.signed(c.codes))
	m.HandleFunc("GET /console/codes/{batch}", c.signed(c.batch))
	m.HandleFunc("GET /console/copies", c.signed(c.copies))
	m.HandleFunc("GET /console/revocations", c.signed(c.revocations))
	m.HandleFunc("GET /console/log", c.signed(c.log))
	m.HandleFunc("GET /console/log/export", c.signed(c.export))
	m.HandleFunc("GET /console/keys", c.signed(c.list("keys", "/api/v1/keys")))
	m.HandleFunc("GET /console/figures", c.signed(c.figures))
	m.HandleFunc("POST /console/do/{action}", c.signed(c.do))
	m.HandleFunc("/console/", c.signed(func(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
		c.fail(w, r, who, &Problem{Status: http.StatusNotFound, Detail: say("console.nothing-here")})
	}))
}

// signed serves who signed in, and sends everybody else to do so.
func (c *console) signed(fn func(http.ResponseWriter, *http.Request, *operator.Operator)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		k, err := r.Cookie(sessionCookie)
		if err != nil {
			http.Redirect(w, r, "/console/signin", http.StatusSeeOther)
			return
		}
		who, err := c.Desk.Session(r.Context(), k.Value)
		switch {
		case errors.Is(err, operator.ErrUnknown):
			http.Redirect(w, r, "/console/signin", http.StatusSeeOther)
		case err != nil:
			c.Log.LogAttrs(r.Context(), slog.LevelError, "session not looked up", slog.Any("error", err))
			http.Error(w, say("console.who-failed"), http.StatusInternalServerError)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			fn(w, r.WithContext(operator.With(r.Context(), who)), who)
		}
	}
}

// kept is the answer of the API to a page.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// call asks the API as the operator who signed in.
func (c *console) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, path, &body) //nolint:gosec // it goes to a handler, not over a network
	if err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.no-id")}
	}
	r.Header.Set("Content-Type", "application/json")
	answer := &kept{header: http.Header{}, status: http.StatusOK}
	c.API.ServeHTTP(answer, r)
	if answer.status >= http.StatusMultipleChoices && answer.status < http.StatusBadRequest { // the path leads elsewhere: a field was empty or dots
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.no-id")}
	}
	if answer.status >= http.StatusBadRequest {
		p := &Problem{Status: answer.status}
		if err := json.Unmarshal(answer.body.Bytes(), p); err != nil {
			return fmt.Errorf("the API answered status %d", answer.status)
		}
		return p
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.body.Bytes(), out)
}

// Error is what the API said.
func (p *Problem) Error() string { return p.Detail }

// consolePage is what every template gets.
type consolePage struct {
	Shop, Name, Title string
	Who               *operator.Operator
	Said              string // what was done, for a status line
	Data              any
	Next              string // address of the next page of a list
}

// May reports whether the operator has a scope: what they may not do is not offered.
func (p *consolePage) May(scope string) bool { return p.Who != nil && p.Who.May(operator.Scope(scope)) }

// Part is the part of the console that the page is of.
func (p *consolePage) Part() string {
	switch p.Name {
	case "household":
		return "households"
	case "batch", "given", "sheet":
		return "codes"
	case "copy":
		return "copies"
	}
	return p.Name
}

// consoleParts are the parts of the console in the order of the way through it; the
// first has no name in its address.
func consoleParts() []string {
	return []string{"home", "titles", "offers", "codes", "copies", "households", "licenses", "revocations", "keys", "log", "figures"}
}

func (c *console) render(w http.ResponseWriter, r *http.Request, status int, p consolePage) {
	p.Shop = c.Name
	var b bytes.Buffer
	if err := c.pages[p.Name].ExecuteTemplate(&b, "console.html", &p); err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelError, "console page failed", slog.Any("error", err))
		http.Error(w, say("console.page-failed"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser is gone
}

// fail shows what the API refused, or that something failed inside.
func (c *console) fail(w http.ResponseWriter, r *http.Request, who *operator.Operator, err error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		c.Log.LogAttrs(r.Context(), slog.LevelError, "console page failed", slog.Any("error", err))
		p = &Problem{Status: http.StatusInternalServerError, Detail: say("console.see-log")}
	}
	c.render(w, r, p.Status, consolePage{Name: "problem", Title: say("problem"), Who: who, Data: map[string]string{"Detail": p.Detail, "Code": p.Code}})
}
