package httpd

import (
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// The household's own films: nobody protected them, so nobody is asked. What is in the
// house is for the household all the same: the owner's browsers, and devices of the house
// that have proven themselves; of a house with people, adults, and of the others those for
// whom an adult rated it. Source: local, docs/spec/library.md, docs/spec/people.md section 1.

// FilmView is one of the household's own films, as the API and devices see it.
type FilmView struct {
	ID         ident.Content `json:"id"`
	Title      string        `json:"title"`
	DurationMS int64         `json:"duration_ms"`
	Bytes      int64         `json:"bytes"`
	Width      int           `json:"width,omitempty"`
	Height     int           `json:"height,omitempty"`
	Rated      *uint8        `json:"rated,omitempty"` // years, as an adult of the house said
	File       string        `json:"file"`            // address of the file, with ranges
}

func viewFilm(f *home.Film, rated map[ident.Content]uint8) FilmView {
	v := FilmView{ID: f.ID, Title: f.Title, DurationMS: f.DurationMS, Bytes: f.Bytes, Width: f.Width, Height: f.Height, File: home.PathFilms + "/" + url.PathEscape(f.ID.String())}
	if years, known := rated[f.ID]; known {
		v.Rated = &years
	}
	return v
}

// filmViews are the own films that who asks may see.
func (s *server) filmViews(r *http.Request) []FilmView {
	out, rated := []FilmView{}, s.Home.Ratings()
	for _, f := range s.films(r) {
		out = append(out, viewFilm(f, rated))
	}
	return out
}

func (s *server) films(r *http.Request) []*home.Film {
	return s.Home.FilmsFor(home.WatcherIn(r.Context()))
}

// card is how an own film stands on the library's page, among titles.
func card(f *home.Film) TitleView {
	return TitleView{
		Content: f.ID, Title: f.Title, DurationMS: f.DurationMS, Own: "/film/" + url.PathEscape(f.ID.String()),
		Words: TitleWords{Kind: say("film.kind"), Length: length(f.DurationMS)},
	}
}

// ofHouse serves the household as household does, and has next know who of it asks.
func (s *server) ofHouse(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var who *home.Watcher
		var err error
		switch browser := fromHere(r) && s.knownHost(r.Host) || s.letIn(r); {
		case !browser || linkOf(r) != lrp.LinkID{}:
			who, err = s.Home.ProvenWatcher(r.Context(), linkOf(r))
		case len(s.Home.People()) > 0 && !s.ofOwner(r):
			var known bool
			if who, known = s.Home.Sitter(sittingOf(r), s.boundTo(r)); !known {
				err = home.ErrWho
			}
		}
		if err != nil {
			s.answer(w, r, err)
			return
		}
		next(w, r.WithContext(home.As(r.Context(), who)))
	}
}

func filmID(r *http.Request) (id ident.Content, err error) {
	if id.UnmarshalText([]byte(r.PathValue("id"))) != nil {
		err = home.ErrUnknown
	}
	return id, err
}

// ownFilms lists them.
func (s *server) ownFilms(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"films": s.filmViews(r)})
}

// ownFilm serves one as it lies in its folder, with ranges, until the hours of who asks end.
func (s *server) ownFilm(w http.ResponseWriter, r *http.Request) {
	id, err := filmID(r)
	var until time.Time
	if err == nil {
		until, err = s.Home.MayFilm(home.WatcherIn(r.Context()), id)
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	film, f, err := s.Home.OpenFilm(id)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		s.answer(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+strings.TrimPrefix(film.ID.String(), home.OwnPrefix)+"-"+strconv.FormatInt(info.ModTime().UnixNano(), 36)+`"`)
	h.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": filepath.Base(film.Path)}))
	end := s.Home.Now().Add(time.Hour) // a film takes longer than one answer may; each range may
	if !until.IsZero() && until.Before(end) {
		end = until
	}
	_ = http.NewResponseController(w).SetWriteDeadline(end) // recorders in tests have none
	http.ServeContent(w, r, "", info.ModTime(), f)
}

type filmPage struct {
	formed
	FilmView
	Length, Size, Path string
	Rates              bool            // who looks may say from which age it is
	RatedWords         string          // from which age it is
	Protecting         *protectingView // nil: nobody asked for it, or who looks may not
}

func (s *server) pageFilm(w http.ResponseWriter, r *http.Request) {
	id, err := filmID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if t, err := s.title(r); err == nil && s.Home.IsOwn(t) { // it is protected now
		http.Redirect(w, r, "/title/"+url.PathEscape(id.String()), http.StatusSeeOther)
		return
	}
	who := home.WatcherIn(r.Context())
	if _, err = s.Home.MayFilm(who, id); err != nil {
		s.fail(w, r, err)
		return
	}
	f, err := s.Home.Film(id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := filmPage{formed: s.formed(w, r), FilmView: viewFilm(f, s.Home.Ratings()), Length: length(f.DurationMS), Size: megabytes(f.Bytes)}
	v.Rates, v.RatedWords = who != nil && who.Administers(), say("film.unrated")
	if who.Administers() {
		v.Path, v.Protecting = f.Path, s.protectingView(r, id)
	}
	if v.Rated != nil {
		v.RatedWords = say("rate.from", *v.Rated)
	}
	s.render(w, r, http.StatusOK, "film", f.Title, v)
}

// megabytes says how large a file is.
func megabytes(n int64) string {
	return say("film.size", strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64))
}

// watch has a folder watched.
func (s *server) watch(w http.ResponseWriter, r *http.Request, folder string) {
	found, err := s.Home.Watch(r.Context(), folder)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"watched": found})
}

func (s *server) apiFolders(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"folders": s.Home.Folders()})
}

func (s *server) apiUnwatch(w http.ResponseWriter, r *http.Request) {
	var in AddRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if err := s.Home.Unwatch(r.Context(), in.Folder); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// folderView is a watched folder, in words.
type folderView struct {
	Folder string
	Words  []string
}

func (s *server) folderViews() []folderView {
	var out []folderView
	for _, f := range s.Home.Folders() {
		v := folderView{Folder: f.Folder}
		add := func(is bool, words string) {
			if is {
				v.Words = append(v.Words, words)
			}
		}
		add(f.Titles > 0, many("folder.titles", uint64(f.Titles))) //nolint:gosec // a count
		add(f.Films > 0, many("folder.films", uint64(f.Films)))    //nolint:gosec // a count
		add(f.Waits > 0, many("folder.waits", uint64(f.Waits)))    //nolint:gosec // a count
		add(f.Unread > 0, many("folder.unread", uint64(f.Unread))) //nolint:gosec // a count
		add(f.Away, say("folder.away"))
		if len(v.Words) == 0 {
			v.Words = []string{say("folder.empty")}
		}
		out = append(out, v)
	}
	return out
}

// folderForms ends the watch of a folder.
func (s *server) folderForms(m *http.ServeMux) {
	m.HandleFunc("POST /settings/folders/remove", s.form(func(r *http.Request) (string, string, error) {
		return "/settings", "unwatched", s.Home.Unwatch(r.Context(), field(r, "folder"))
	}))
}
