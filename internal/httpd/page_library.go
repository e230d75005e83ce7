package httpd

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

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
	all := s.Home.TitlesSoFar()
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
	if v.Titles, err = s.views(r, found[(v.Page-1)*perPage:min(v.Page*perPage, len(found))]); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "library", say("nav.library"), v)
}

// search finds titles by a part of their names.
func search(all []*home.Title, words string) []*home.Title {
	if words == "" {
		return all
	}
	words = strings.ToLower(words)
	var out []*home.Title
	for _, t := range all {
		if strings.Contains(strings.ToLower(t.Title), words) {
			out = append(out, t)
		}
	}
	return out
}
