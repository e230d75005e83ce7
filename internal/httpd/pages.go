package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// posterColors is how many backgrounds style.css has for titles without a picture.
const posterColors = 6

func (s *server) parsePages() error {
	base, err := template.New("layout.html").Funcs(template.FuncMap{
		"tier": tierWords, "stamp": stamp, "kind": KindOf, "length": length, "aside": AsideWords,
		"path":  func(c fmt.Stringer) string { return url.PathEscape(c.String()) },
		"color": func(c fmt.Stringer) string { return colorOf(c.String()) }, "initial": initial,
		"lines": func(l []string) string { return strings.Join(l, "\n") },
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return fmt.Errorf("parse pages: %w", err)
	}
	s.pages = map[string]*template.Template{}
	for _, name := range []string{"library", "title", "watch", "devices", "sessions", "health", "simulator", "lose", "problem"} {
		t, err := template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+name+".html")
		if err != nil {
			return fmt.Errorf("parse pages: %w", err)
		}
		s.pages[name] = t
	}
	return nil
}

func colorOf(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return "poster-" + strconv.Itoa(int(h.Sum32()%posterColors))
}

func initial(title string) string {
	for _, r := range title {
		return string(r)
	}
	return ""
}

// page is what every template gets.
type page struct {
	Name    string // of the template, for the navigation
	Title   string
	Waiting int // devices that wait for the owner
	Play    bool
	Data    any
}

func (s *server) render(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	var b bytes.Buffer
	p := page{Name: name, Title: title, Waiting: len(s.Home.Pending()), Play: s.Play != nil, Data: data}
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		s.answer(w, r, fmt.Errorf("write the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser is gone
}

// fail shows an error as a page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	s.render(w, r, p.Status, "problem", p.Title, p)
}

func (s *server) pageLibrary(w http.ResponseWriter, r *http.Request) {
	views, err := s.views(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "library", "Library", LibraryView{Titles: views, Waiting: s.Home.Waiting()})
}

func (s *server) pageTitle(w http.ResponseWriter, r *http.Request) {
	t, err := s.title(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v, err := s.view(r, t)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "title", v.Title, v)
}

// watchView is what the player page needs. Ended says why there is no player.
type watchView struct {
	Session SessionView
	Title   TitleView
	Ended   string
}

func (s *server) pageWatch(w http.ResponseWriter, r *http.Request) {
	p, err := s.Home.Playing(r.PathValue("session"))
	if err != nil {
		if stopped, ok := errors.AsType[*home.Stopped](err); ok {
			s.render(w, r, http.StatusGone, "watch", "Playback", watchView{Ended: stopWords(stopped)})
			return
		}
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "watch", p.Title, watchView{Session: viewSession(p)})
}

type devicesView struct {
	Pairings []PairingView
	Devices  []home.Listed
}

func (s *server) pageDevices(w http.ResponseWriter, r *http.Request) {
	list, err := s.Home.Roll(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "devices", "Devices", devicesView{s.pairingViews(), list})
}

func (s *server) pageSessions(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "sessions", "Playing now", s.sessionViews())
}

// check is one line of the health page.
type check struct {
	Name   string
	State  string // ok, warn or fail
	Detail string
}

type healthView struct {
	Checks []check
	Status trem.Status
}

// staleAfter is how old the last word of the authority may be before the page
// warns. Source: local.
const staleAfter = 24 * time.Hour

func (s *server) pageHealth(w http.ResponseWriter, r *http.Request) {
	st, err := s.Home.Status(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "health", "Health", healthView{Checks: s.checks(st), Status: st})
}

func (s *server) checks(st trem.Status) []check {
	player := check{"Secure player", "ok", "It runs in a process of its own and holds " + count(uint64(max(st.Licenses, 0)), "copy, rental or loan.", "copies, rentals and loans.")} // not negative
	if len(st.Leaf) == 0 {
		player = check{"Secure player", "fail", wordsNotReady}
	}
	clock := check{"Time", "ok", clockWords(st.Clock)}
	if st.Clock.Quality != "SECURE" {
		clock.State = "warn"
	}
	h := s.Home.Health()
	list := check{"Safety list", "ok", "The list of " + stamp(h.StateAt) + " is in use."}
	switch {
	case h.StateAt.IsZero():
		list = check{"Safety list", "warn", "The authority has not been heard since the home server started; the list known before is in use."}
	case s.Home.Now().Sub(h.StateAt) > staleAfter:
		list.State = "warn"
	}
	if h.Problem != "" {
		list.Detail += " The last visit to the authority did not work; it is tried again every minute."
		list.State = "warn"
	}
	house := check{"Your house", "ok", count(uint64(len(s.Home.Devices())), "paired device.", "paired devices.")}
	if st.Domain.String() == (trem.Status{}).Domain.String() {
		house = check{"Your house", "warn", "The house has not been founded yet."}
	}
	shop := check{"Shops and libraries", "ok", "Nothing is waiting for an answer."}
	if n := len(s.Home.Waiting()); n > 0 {
		shop = check{"Shops and libraries", "warn", count(uint64(n), "request waits", "requests wait") + " for an answer and will be asked again."}
	}
	return []check{player, clock, list, house, shop}
}
