package httpd

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/lares-drm/lares/service/home"
)

// Browsers on other machines: they come by HTTPS, ask on one page, and may do what the
// pages on the home server may once the owner has let them in. Source: local,
// docs/spec/home-api.md, "Browsers of the house".
const (
	enterPath     = "/enter"
	browserCookie = "__Host-lares_browser" // no answer over HTTP, and no other host, can set it (RFC 6265bis, 4.1.3.2)
	browserAge    = 365 * 24 * time.Hour   // of the cookie; the house forgets earlier
)

type enterPage struct {
	formed
	Secure bool   // it came by HTTPS
	Code   string // it waits, and shows this
	Until  string
	Full   bool // too many wait
}

func (s *server) enterRoutes(m *http.ServeMux) {
	if s.TLS == nil {
		return
	}
	m.HandleFunc("GET "+enterPath, s.pageEnter)
	m.HandleFunc("POST "+enterPath, s.ask)
}

// inHome reports whether a name or address is one of a home network, which the house's
// certificates are for: so no name that another site's owner chose leads here.
func inHome(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasSuffix(host, ".home.arpa") || strings.HasSuffix(host, ".local") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

func tokenOf(r *http.Request) string {
	c, err := r.Cookie(browserCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// letIn reports whether a request comes from a browser of the house: over HTTPS to an
// address of a home network, through no relay.
func (s *server) letIn(r *http.Request) bool {
	return s.secured(r) && inHome(r.Host) && s.Home.KnowsBrowser(tokenOf(r))
}

func (s *server) secured(r *http.Request) bool {
	return r.TLS != nil && s.TLS != nil && r.Header.Get(hopsHeader) == ""
}

// admit reports whether a request from another machine may reach the owner's side; it
// answers those that may not. Over HTTP nobody may.
func (s *server) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !s.secured(r):
		problem(w, http.StatusForbidden, "not_local", say("problem.not-local"))
		return false
	case !inHome(r.Host):
		problem(w, http.StatusForbidden, "unknown_host", say("problem.unknown-host"))
		return false
	case s.letIn(r):
		return true
	}
	if r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/play/") && !strings.HasPrefix(r.URL.Path, "/static/") {
		http.Redirect(w, r, enterPath, http.StatusSeeOther)
		return false
	}
	problem(w, http.StatusForbidden, "not_known", say("problem.not-known"))
	return false
}

func (s *server) pageEnter(w http.ResponseWriter, r *http.Request) {
	token := tokenOf(r)
	if s.letIn(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	v := enterPage{formed: s.formed(w, r), Secure: s.secured(r) && inHome(r.Host)}
	if waiting, ok := s.Home.BrowserWaits(token); ok && token != "" {
		v.Code, v.Until = waiting.Code, stamp(waiting.Expires)
	}
	s.renderPlain(w, r, "enter", say("enter.title"), v)
}

// ask notes the wish of a browser, which then shows its code and waits.
func (s *server) ask(w http.ResponseWriter, r *http.Request) {
	if !s.secured(r) || !inHome(r.Host) || !s.forms.fits(w, r) {
		s.renderPlain(w, r, "enter", say("enter.title"), enterPage{formed: s.formed(w, r)})
		return
	}
	if _, waits := s.Home.BrowserWaits(tokenOf(r)); waits {
		http.Redirect(w, r, enterPath, http.StatusSeeOther)
		return
	}
	by, now := network(r), s.Home.Now()
	if s.pairings.wait(by, now) > 0 {
		s.renderPlain(w, r, "enter", say("enter.title"), enterPage{formed: s.formed(w, r), Secure: true, Full: true})
		return
	}
	s.pairings.tried(by, now)
	token, _, err := s.Home.AskBrowser(browserName(r))
	if err != nil {
		s.renderPlain(w, r, "enter", say("enter.title"), enterPage{formed: s.formed(w, r), Secure: true, Full: true})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: token, Path: "/", MaxAge: int(browserAge / time.Second), HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, enterPath, http.StatusSeeOther)
}

// browserName says what a browser calls itself, and where it is.
func browserName(r *http.Request) string {
	name := browserKind(r)
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		name += ", " + peer.Addr().Unmap().WithZone("").String()
	}
	return name
}

// browserKind says what a browser calls itself.
func browserKind(r *http.Request) string {
	name := say("browser.other")
	for _, p := range []struct{ mark, key string }{{"Firefox", "browser.firefox"}, {"Edg/", "browser.edge"}, {"Chrom", "browser.chrome"}, {"Safari", "browser.safari"}} {
		if strings.Contains(r.UserAgent(), p.mark) {
			name = say(p.key)
			break
		}
	}
	if p := platformOf(strings.ReplaceAll(r.UserAgent(), "Firefox", "")); p != "" {
		name = say("browser.on", name, cmp.Or(maybe("browser.platform."+p), say("trust."+p)))
	}
	return name
}

// browserForms are the owner's answers.
func (s *server) browserForms(m *http.ServeMux) {
	m.HandleFunc("POST /browsers/{id}/approve", s.form(func(r *http.Request) (string, string, error) {
		return "/devices", "browser", s.Home.LetBrowserIn(r.PathValue("id"))
	}))
	m.HandleFunc("POST /browsers/{id}/rename", s.form(func(r *http.Request) (string, string, error) {
		return "/devices", "browser-renamed", s.Home.RenameBrowser(r.PathValue("id"), field(r, "name"))
	}))
	m.HandleFunc("POST /browsers/{id}/remove", s.form(func(r *http.Request) (string, string, error) {
		return "/devices", "browser-removed", s.Home.RemoveBrowser(r.PathValue("id"))
	}))
}

// browserView is a browser that is known.
type browserView struct {
	home.Browser
	SeenWords string
}

func (s *server) browserViews() []browserView {
	var out []browserView
	for _, b := range s.Home.Browsers() {
		out = append(out, browserView{b, say("device.seen", near(b.Seen.UnixMilli(), s.Home.Now()))})
	}
	return out
}
