package httpd

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// perPage is how many titles one page of the library shows: each is judged by the
// secure player when it is shown. Source: local.
const perPage = 48

// maxSearch bounds what is looked for, in bytes. Source: local.
const maxSearch = 128

type libraryPage struct {
	Titles         []TitleView
	Total          int    // in the library
	Looking        string // that not all of it was looked through since the start
	Found          int    // by Search
	Search         string
	Page, Pages    int    // from 1
	Earlier, Later string // addresses; empty: none
}

func (s *server) pageLibrary(w http.ResponseWriter, r *http.Request) {
	all := s.entries(r)
	q := r.URL.Query()
	v := libraryPage{Total: len(all), Search: strings.TrimSpace(q.Get("q"))}
	if found, folders, looking := s.Home.Looking(); looking {
		v.Looking = say("library.looking", found, folders)
	}
	v.Search = v.Search[:min(len(v.Search), maxSearch)]
	found := search(all, v.Search)
	v.Found, v.Pages = len(found), max(1, (len(found)+perPage-1)/perPage)
	v.Page, _ = strconv.Atoi(q.Get("page")) // what is no number is the first page
	v.Page = min(max(v.Page, 1), v.Pages)
	at := func(page int) string {
		return "/?" + url.Values{"q": {v.Search}, "page": {strconv.Itoa(page)}}.Encode()
	}
	if v.Page > 1 {
		v.Earlier = at(v.Page - 1)
	}
	if v.Page < v.Pages {
		v.Later = at(v.Page + 1)
	}
	var err error
	if v.Titles, err = s.cards(r, found[(v.Page-1)*perPage:min(v.Page*perPage, len(found))]); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "library", say("nav.library"), v)
}

// entry is what has a card in the library: a title, or one of the household's own films.
type entry struct {
	name  string // in lower case
	title *home.Title
	film  *home.Film
}

// entries are titles and own films side by side, by name.
func (s *server) entries(r *http.Request) []entry {
	var out []entry
	for _, t := range s.titles(r, s.Home.TitlesSoFar()) {
		out = append(out, entry{name: strings.ToLower(t.Title), title: t})
	}
	for _, f := range s.films(r) {
		out = append(out, entry{name: strings.ToLower(f.Title), film: f})
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return out
}

// titles are those of a list that who asks may know of.
func (s *server) titles(r *http.Request, list []*home.Title) []*home.Title {
	who := home.WatcherIn(r.Context())
	return slices.DeleteFunc(list, func(t *home.Title) bool { return !s.Home.MayKnow(who, t) })
}

// title finds the title that the path names, if who asks may know of it.
func (s *server) title(r *http.Request) (*home.Title, error) {
	var id ident.Content
	if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
		return nil, home.ErrUnknown
	}
	t, err := s.Home.Title(id)
	if err == nil && !s.Home.MayKnow(home.WatcherIn(r.Context()), t) {
		return nil, home.ErrForAdults
	}
	return t, err
}

// cards asks the module about the titles among some entries, and about nothing else.
func (s *server) cards(r *http.Request, list []entry) ([]TitleView, error) {
	var titles []*home.Title
	for _, e := range list {
		if e.title != nil {
			titles = append(titles, e.title)
		}
	}
	views, err := s.views(r, titles)
	if err != nil {
		return nil, err
	}
	out := make([]TitleView, 0, len(list))
	for _, e := range list {
		if e.title == nil {
			out = append(out, card(e.film))
			continue
		}
		out, views = append(out, views[0]), views[1:]
	}
	return out, nil
}

// search finds entries by a part of their names.
func search(all []entry, words string) []entry {
	if words == "" {
		return all
	}
	words = strings.ToLower(words)
	var out []entry
	for _, e := range all {
		if strings.Contains(e.name, words) {
			out = append(out, e)
		}
	}
	return out
}
