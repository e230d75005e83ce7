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

	"github.com/lares-drm/lares/service/home"
)

// posterColors is how many backgrounds style.css has for titles without a picture.
const posterColors = 6

// pageNames are the pages of the house; plainNames those without its navigation.
var (
	pageNames  = []string{"library", "title", "film", "watch", "devices", "lending", "activity", "shop", "health", "settings", "people", "simulator", "lose", "problem"}
	plainNames = []string{"trust", "setup", "enter", "who"}
)

// pageFuncs are what templates may call.
func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"say": say, "many": many, "tier": tierWords, "stamp": stamp, "kind": KindOf, "length": length, "aside": AsideWords,
		"path":  func(c fmt.Stringer) string { return url.PathEscape(c.String()) },
		"color": func(c fmt.Stringer) string { return colorOf(c.String()) }, "initial": initial,
		"count": func(l []string) uint64 { return uint64(len(l)) },
		"spans": spans,
		"lines": func(l []string) string { return strings.Join(l, "\n") },
		"dots":  func(l []string) string { return strings.Join(l, " · ") },
		"pairing": func(token, after string, p []PairingView) any {
			return struct {
				Token, After string
				Pairings     []PairingView
			}{token, after, p}
		},
		"whose": func(token, action, name, person string, narrow []home.Person) any {
			return struct {
				Token, Action, Name, Person string
				Narrow                      []home.Person
			}{token, action, name, person, narrow}
		},
		"transfer": func(token, after string, t TransferView) any {
			return struct {
				Token, After string
				T            *TransferView
			}{token, after, &t}
		},
	}
}

// pageRoutes are the pages, and what their forms do.
func (s *server) pageRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /{$}", s.pageLibrary)
	m.HandleFunc("GET /title/{id}", s.pageTitle)
	m.HandleFunc("GET /film/{id}", s.pageFilm)
	m.HandleFunc("POST /title/{id}/{do}", s.form(s.handOver))
	m.HandleFunc("GET /watch/{session}", s.pageWatch)
	m.HandleFunc("GET /lending", s.pageTransfers("lending"))
	m.HandleFunc("GET /activity", s.pageTransfers("activity"))
	m.HandleFunc("GET /devices", s.pageDevices)
	m.HandleFunc("GET /shop", s.pageShop)
	m.HandleFunc("GET /health", s.pageHealth)
	m.HandleFunc("GET /settings", s.pageSettings)
	s.transferForms(m)
	s.deviceForms(m)
	s.browserForms(m)
	s.shopForms(m)
	s.healthForms(m)
	s.settingForms(m)
	s.folderForms(m)
	s.protectForms(m)
	s.setupRoutes(m)
}

// parsePages reads the templates of pages on top of a base.
func parsePages(base string, names []string, into map[string]*template.Template) error {
	t, err := template.New(base).Funcs(pageFuncs()).ParseFS(templateFiles, "templates/"+base, "templates/parts.html")
	if err != nil {
		return fmt.Errorf("parse pages: %w", err)
	}
	for _, name := range names {
		p, err := template.Must(t.Clone()).ParseFS(templateFiles, "templates/"+name+".html") // a base that was never used can be cloned
		if err != nil {
			return fmt.Errorf("parse pages: %w", err)
		}
		into[name] = p
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
	Name  string // of the template
	Title string
	Nav   []navigation
	Said  string   // what the last order came to
	Waits []string // what waits for somebody who is not reached now
	Live  bool     // of a plain page: it is shown anew when something happens
	Data  any
}

// navigation is a way to a page.
type navigation struct {
	Path, Words string
	Here, Aside bool
	Count       uint64 // of what waits there for the owner
}

// nav are the ways from a page to the others.
func (s *server) nav(r *http.Request, here string) []navigation {
	who := home.WatcherIn(r.Context())
	if !who.Administers() {
		return []navigation{{Path: "/", Words: say("nav.library"), Here: here == "library"}, {Path: whoPath, Words: say("nav.who", who.Name), Aside: true}}
	}
	waiting := uint64(len(s.Home.Pending()) + len(s.Home.WaitingBrowsers()))
	out := []navigation{
		{Path: "/"},
		{Path: "/lending"},
		{Path: "/activity"},
		{Path: "/devices", Count: waiting},
		{Path: "/shop"},
		{Path: "/health", Aside: true},
		{Path: "/settings", Aside: true},
		{Path: "/simulator", Aside: true},
	}
	if s.Play != nil {
		out = append(out, navigation{Path: playPage, Aside: true})
	}
	for i := range out {
		name := strings.TrimPrefix(out[i].Path, "/")
		if name == "" {
			name = "library"
		}
		out[i].Words, out[i].Here = say("nav."+name), name == here
	}
	if who != nil {
		out = append(out, navigation{Path: whoPath, Words: say("nav.who", who.Name), Aside: true})
	}
	return out
}

// waits says what waits, and for whom.
func (s *server) waits() (out []string) {
	if s.Home.Health().Problem != "" {
		out = append(out, say("waits.authority"))
	}
	if n := len(s.Home.Waiting()); n > 0 {
		out = append(out, many("waits.shop", uint64(n)))
	}
	return out
}

func (s *server) render(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	var b bytes.Buffer
	p := page{Name: name, Title: title, Nav: s.nav(r, name), Said: maybe("said." + r.URL.Query().Get("said")), Data: data}
	if home.WatcherIn(r.Context()).Administers() {
		p.Waits = s.waits()
	}
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		s.answer(w, r, fmt.Errorf("write the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser is gone
}

// renderPlain shows a page without the house's navigation.
func (s *server) renderPlain(w http.ResponseWriter, r *http.Request, name, title string, data any) {
	if err := showPlain(w, s.pages[name], http.StatusOK, page{Name: name, Title: title, Data: data}); err != nil {
		s.answer(w, r, err)
	}
}

func showPlain(w http.ResponseWriter, t *template.Template, status int, p page) error {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "plain.html", p); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser is gone
	return nil
}

// fail shows an error as a page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	s.render(w, r, p.Status, "problem", say("problem"), p)
}

// watchView is what the player page needs. Ended says why there is no player.
type watchView struct {
	Session SessionView
	Ended   string
}

func (s *server) pageWatch(w http.ResponseWriter, r *http.Request) {
	p, err := s.Home.Playing(r.PathValue("session"))
	if err != nil {
		if stopped, ok := errors.AsType[*home.Stopped](err); ok {
			s.render(w, r, http.StatusGone, "watch", say("watch.name"), watchView{Ended: stopWords(stopped)})
			return
		}
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "watch", p.Title, watchView{Session: viewSession(p)})
}
