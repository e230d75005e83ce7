package httpd

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/adapt/hls"
	"github.com/lares-drm/lares/service/home"
)

// Who of the house asks. Source: local, docs/spec/people.md, sections 4 and 5.
const (
	whoPath      = "/who"
	personCookie = "lares_person"
	personAge    = 365 * 24 * time.Hour // of the cookie; the house forgets earlier

	// OwnerHeader has what programs of the machine's owner show.
	OwnerHeader = "Lares-Owner"

	eventsPattern = "GET /api/v1/events"

	// refreshHeader says that a page asks by itself, and nobody uses it (static/live.js).
	refreshHeader = "Lares-Refresh"
)

// watching are the routes of those who only watch. What is not here is for adults: so a
// new page is theirs until somebody says otherwise.
var watching = map[string]bool{
	"GET /{$}": true, "GET /title/{id}": true, "GET /film/{id}": true, "GET /watch/{session}": true, "GET /static/": true,
	"POST /title/{id}/{do}": true, "POST /title/{id}/once": true, // the module, or an adult's PIN, has the word
	"GET /play/{session}/manifest.mpd": true, "GET /play/{session}/{track}/{segment}": true, "POST /play/{session}/license": true,
	hls.PlaylistPattern: true, hls.FilePattern: true,
	"GET /api/v1/library": true, "GET /api/v1/library/{id}": true, eventsPattern: true,
	"POST /api/v1/sessions": true, "GET /api/v1/sessions/{id}": true, "DELETE /api/v1/sessions/{id}": true,
	"PUT /api/v1/sessions/{id}/position": true,
	"GET " + whoPath:                     true, "POST " + whoPath: true, "POST " + whoPath + "/leave": true,
}

// asked lets those in whom the house knows: in a house with people nobody asks who did
// not say who they are, and everything below is asked as them.
func (s *server) asked(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(s.Home.People()) == 0 || s.ofOwner(r) {
			next.ServeHTTP(w, r)
			return
		}
		_, pattern := next.Handler(r)
		find := s.Home.Sitter
		if r.Header.Get(refreshHeader) != "" || pattern == eventsPattern {
			find = s.Home.Seated
		}
		who, known := find(sittingOf(r), s.boundTo(r))
		switch {
		case known:
			r = r.WithContext(home.As(r.Context(), who))
			if !who.Administers() && (!watching[pattern] || !s.theirs(r, who)) {
				s.refuse(w, r, home.ErrForAdults)
				return
			}
		case pattern == "GET /static/" || strings.HasSuffix(pattern, " "+whoPath):
		case isPage(r):
			http.Redirect(w, r, whoPath, http.StatusSeeOther)
			return
		default:
			s.answer(w, r, home.ErrWho)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// stays reports whether who opened an event stream may still have what happens: a browser
// that is of the house yet, and the same person at it.
func (s *server) stays(r *http.Request) bool {
	if !fromHere(r) && !s.letIn(r) {
		return false
	}
	if len(s.Home.People()) == 0 || s.ofOwner(r) {
		return true
	}
	was := home.WatcherIn(r.Context())
	now, known := s.Home.Seated(sittingOf(r), s.boundTo(r))
	return known && was != nil && now.ID == was.ID
}

// isPage reports whether somebody looks at a page, and not a program at the API.
func isPage(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/play/") && !strings.HasPrefix(r.URL.Path, "/static/")
}

// refuse says no as a page, or to a program.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if isPage(r) || r.PostForm != nil || strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, err)
}

// ofOwner reports whether a program asks that can read the server's folder.
func (s *server) ofOwner(r *http.Request) bool {
	shown := r.Header.Get(OwnerHeader)
	return s.Owner != "" && subtle.ConstantTimeCompare([]byte(shown), []byte(s.Owner)) == 1
}

func sittingOf(r *http.Request) string {
	c, err := r.Cookie(personCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// boundTo is whose the browser is, where it is on another machine.
func (s *server) boundTo(r *http.Request) string {
	if fromHere(r) {
		return ""
	}
	return s.Home.BrowserOf(tokenOf(r))
}

// placeOf is where somebody sits down, for who counts their PINs.
func (s *server) placeOf(r *http.Request) string {
	if fromHere(r) {
		return home.PlaceHere
	}
	return s.Home.BrowserPlace(tokenOf(r))
}

// theirs reports whether the play that a path or query names, if any, is of who asks: an
// address that was left in a browser is no way to another's film.
func (s *server) theirs(r *http.Request, who *home.Watcher) bool {
	session := r.URL.Query().Get("session")
	for _, before := range []string{"/watch/", "/play/", "/api/v1/sessions/"} {
		if rest, ok := strings.CutPrefix(r.URL.Path, before); ok {
			session, _, _ = strings.Cut(rest, "/")
		}
	}
	for _, p := range s.Home.Sessions() {
		if p.ID == session {
			return p.Person == who.ID
		}
	}
	return true // there is none, or it has ended
}

// whoPage shows who there is.
type whoPage struct {
	formed
	People  []whoView
	Adults  []home.Person
	Now     string // name of who sits here
	Problem string
}

// whoView is one to choose, and what it takes.
type whoView struct {
	home.Person
	Own   bool // their own PIN
	Adult bool // an adult's
	Words string
}

func (s *server) who(w http.ResponseWriter, r *http.Request) whoPage {
	v := whoPage{formed: s.formed(w, r)}
	bound := s.boundTo(r)
	if now, ok := s.Home.Seated(sittingOf(r), bound); ok {
		v.Now = now.Name
	}
	all := s.Home.People()
	foreign := false
	for _, p := range all {
		if p.Kind == home.Adult {
			v.Adults = append(v.Adults, p)
		} else if p.ID == bound {
			foreign = true
		}
	}
	for _, p := range all {
		x := whoView{Person: p, Words: kindWords(p)}
		switch theirs := foreign && p.ID == bound; {
		case p.Kind == home.Adult:
			x.Own = true
		case !theirs && (foreign || p.Kind == home.Guest):
			x.Adult = true
		case !theirs:
			x.Own = p.PIN != ""
		}
		v.People = append(v.People, x)
	}
	return v
}

// kindWords says what somebody may.
func kindWords(p home.Person) string {
	words := say("person." + string(p.Kind))
	if p.Age != 0 || p.Kind == home.Child {
		words = say("person.age", words, p.Age)
	}
	if p.Hours != (home.Hours{}) {
		words = say("person.hours", words, clockOf(p.Hours.From), clockOf(p.Hours.Until))
	}
	return words
}

// clockOf is a minute of the day as a clock shows it.
func clockOf(minute uint16) string {
	return time.Date(2000, 1, 1, 0, int(minute), 0, 0, time.UTC).Format("15:04")
}

func (s *server) pageWho(w http.ResponseWriter, r *http.Request) {
	if len(s.Home.People()) == 0 {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.renderPlain(w, r, "who", say("who.title"), s.who(w, r))
}

// sit makes the browser somebody's, or says on the page why not.
func (s *server) sit(w http.ResponseWriter, r *http.Request) {
	problem := say("form.stale")
	if s.forms.fits(w, r) {
		token, err := s.Home.SitDown(home.Seat{Token: sittingOf(r), Bound: s.boundTo(r), Place: s.placeOf(r), Person: field(r, "person"), PIN: field(r, "pin"), By: field(r, "by")})
		if err == nil {
			s.seated(w, r, token, int(personAge/time.Second))
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		problem = s.problemOf(r, err).Detail
	}
	v := s.who(w, r)
	v.Problem = problem
	if err := showPlain(w, s.pages["who"], http.StatusForbidden, page{Name: "who", Title: say("who.title"), Data: v}); err != nil {
		s.answer(w, r, err)
	}
}

func (s *server) seated(w http.ResponseWriter, r *http.Request, token string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // loopback is HTTP
		Name: personCookie, Value: token, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

func (s *server) whoRoutes(m *http.ServeMux) {
	m.HandleFunc("GET "+whoPath, s.pageWho)
	m.HandleFunc("POST "+whoPath, s.sit)
	m.HandleFunc("POST "+whoPath+"/leave", s.checked(func(w http.ResponseWriter, r *http.Request) error {
		s.Home.StandUp(sittingOf(r))
		s.seated(w, r, "", -1)
		http.Redirect(w, r, whoPath, http.StatusSeeOther)
		return nil
	}))
	m.HandleFunc("POST /title/{id}/once", s.once)
	for _, page := range []string{"/title/", "/film/"} {
		m.HandleFunc("POST "+page+"{id}/rate", s.form(func(r *http.Request) (string, string, error) {
			id, err := filmID(r)
			if err != nil {
				return "", "", err
			}
			years, err := yearsOf(field(r, "years"))
			if err != nil {
				return "", "", err
			}
			return page + url.PathEscape(id.String()), "rated", s.Home.Rate(id, years)
		}))
	}
}

// once has an adult let who asks play a title. Who did not sit down, because the browser
// is theirs, does so by it.
func (s *server) once(w http.ResponseWriter, r *http.Request) {
	s.form(func(r *http.Request) (string, string, error) {
		t, err := s.title(r)
		if err != nil {
			return "", "", err
		}
		token, err := s.Home.LetOnce(r.Context(), t.Content, field(r, "by"), field(r, "pin"))
		if token != "" {
			s.seated(w, r, token, int(personAge/time.Second))
		}
		return "/title/" + url.PathEscape(t.Content.String()), "once", err
	})(w, r)
}

// yearsOf reads an age; nothing is none.
func yearsOf(text string) (*uint8, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no age is one of the answers
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return nil, errIncomplete
	}
	years := uint8(n)
	return &years, nil
}
