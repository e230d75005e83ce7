package httpd

import (
	"context"
	"crypto/subtle"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// The pages of the first run. Source: local, docs/spec/home-api.md, "First run".
const (
	setupBegin  = "/setup"
	setupFilms  = "/setup/films"
	setupDevice = "/setup/device"
	setupEnd    = "/setup/end"
)

// Wrong setup codes: after setupTries, each waits for setupPause. Source: local.
const (
	setupTries = 5
	setupPause = time.Minute
)

// SetupConfig is what a house is founded with.
type SetupConfig struct {
	Code      string // required: the one-time code that the terminal shows
	Authority string // where it is known already; an invitation need not name it then
	// Found founds the house with an invitation. Once it succeeds this handler is not
	// asked again.
	Found func(ctx context.Context, authority, voucher string) error
	Now   func() time.Time // required
	Log   *slog.Logger     // nil: no log
}

// setup is the side of a house that is not founded yet.
type setup struct {
	SetupConfig
	pages map[string]*template.Template
	forms formKey

	mu    sync.Mutex // one at a time
	wrong int        // guarded by mu; codes in a row
	until time.Time  // guarded by mu; no code is read before
	done  bool       // guarded by mu; it is founded
}

// NewSetup returns the pages of a house that is not founded yet. They answer on this
// machine only.
func NewSetup(cfg SetupConfig) (http.Handler, error) {
	if cfg.Code == "" || cfg.Found == nil || cfg.Now == nil {
		return nil, errors.New("httpd: SetupConfig needs Code, Found and Now")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &setup{SetupConfig: cfg, pages: map[string]*template.Template{}, forms: newFormKey()}
	if err := parsePages("plain.html", []string{"setup"}, s.pages); err != nil {
		return nil, err
	}
	m := http.NewServeMux()
	m.HandleFunc("GET "+setupBegin, func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, http.StatusOK, setupPage{Code: r.URL.Query().Get("code")})
	})
	m.HandleFunc("POST "+setupBegin, s.found)
	m.Handle("GET /static/", http.HandlerFunc(serveStatic))
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, setupBegin, http.StatusSeeOther) })
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusServiceUnavailable, "not_founded", say("setup.not-yet"))
	})
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(crossOrigin))
	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	here := (&server{}).guard(m)
	all.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			problem(w, http.StatusForbidden, "not_founded", say("setup.elsewhere"))
			return
		}
		here.ServeHTTP(w, r)
	})
	return secure(cross.Handler(all)), nil
}

// setupPage is one page of the first run.
type setupPage struct {
	formed
	Step       string // begin, films, device
	Steps      []step
	Problem    string
	Code       string
	Invitation string
	Known      bool // where the authority is, so that the invitation is only a code
	Folder     string
	Link       string
	Claims     bool
	Pairings   []PairingView
	Devices    []home.Device
	Address    string
}

// stepped sets which of the three steps a page is.
func (p *setupPage) stepped(name string) {
	p.Step = name
	at := 0
	for i, n := range []string{"begin", "films", "device"} {
		if n == name {
			at = i
		}
	}
	for i, n := range []string{"begin", "films", "device"} {
		p.Steps = append(p.Steps, stepAt(i, at, "setup.step."+n))
	}
}

func (s *setup) show(w http.ResponseWriter, r *http.Request, status int, p setupPage) {
	p.formed, p.Known = formed{s.forms.give(w, r)}, s.Authority != ""
	p.stepped("begin")
	if err := showPlain(w, s.pages["setup"], status, page{Name: "setup", Title: say("setup.title"), Data: p}); err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "internal", say("problem.internal"))
	}
}

// found founds the house.
func (s *setup) found(w http.ResponseWriter, r *http.Request) {
	if !s.forms.fits(w, r) {
		s.show(w, r, http.StatusForbidden, setupPage{Problem: say("form.stale")})
		return
	}
	p := setupPage{Code: field(r, "code"), Invitation: field(r, "invitation")}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.Now(); now.Before(s.until) {
		p.Problem = say("setup.wait")
		s.show(w, r, http.StatusTooManyRequests, p)
		return
	}
	if subtle.ConstantTimeCompare([]byte(home.NormalCode(p.Code)), []byte(s.Code)) != 1 {
		if s.wrong++; s.wrong >= setupTries {
			s.wrong, s.until = 0, s.Now().Add(setupPause)
		}
		p.Problem = say("setup.wrong-code")
		s.show(w, r, http.StatusForbidden, p)
		return
	}
	if s.done { // the button was pressed twice
		http.Redirect(w, r, setupFilms, http.StatusSeeOther)
		return
	}
	authority, voucher, ok := parseInvitation(p.Invitation, s.Authority)
	if !ok {
		p.Problem = say("setup.no-invitation")
		s.show(w, r, http.StatusUnprocessableEntity, p)
		return
	}
	if err := s.Found(r.Context(), authority, voucher); err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelWarn, "house not founded", slog.Any("error", err))
		p.Problem = foundProblem(err)
		s.show(w, r, http.StatusUnprocessableEntity, p)
		return
	}
	s.done = true
	http.Redirect(w, r, setupFilms, http.StatusSeeOther)
}

// foundProblem says why a house was not founded.
func foundProblem(err error) string {
	if _, ok := errors.AsType[*trem.Error](err); ok {
		return say("setup.not-taken")
	}
	return say("setup.not-heard")
}

// maxInvitation bounds an invitation, in bytes. Source: local.
const maxInvitation = 1024

// parseInvitation reads what whoever runs the authority gave: its address and a
// voucher, in any order, with anything but letters, digits and hyphens in between.
// Where the address is known the voucher is enough.
func parseInvitation(text, known string) (authority, voucher string, ok bool) {
	if len(text) > maxInvitation {
		return "", "", false
	}
	authority = known
	for word := range strings.FieldsSeq(text) {
		switch u, err := url.Parse(word); {
		case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil:
			if u.Fragment != "" {
				voucher = u.Fragment
			}
			u.Fragment = ""
			authority = strings.TrimSuffix(u.String(), "/")
		case voucher == "":
			voucher = word
		default:
			return "", "", false
		}
	}
	for _, c := range voucher {
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", "", false
		}
	}
	return authority, voucher, authority != "" && voucher != ""
}
