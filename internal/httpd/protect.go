package httpd

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// A film of one's own that the house protects (docs/spec/library.md, section 4).

// apiProtect protects a film; it takes as long as it takes, and goes on when nobody waits
// for it.
func (s *server) apiProtect(w http.ResponseWriter, r *http.Request) {
	var in struct{}
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	id, err := filmID(r)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // recorders in tests have none
	got, err := s.Home.Protect(r.Context(), id)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, got)
}

func (s *server) apiUnprotect(w http.ResponseWriter, r *http.Request) {
	id, err := filmID(r)
	if err == nil {
		err = s.Home.Unprotect(r.Context(), id)
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// protectProblem is problemOf for what keeps a film from being protected.
func protectProblem(err error) (Problem, bool) {
	if no, ok := errors.AsType[*home.UnpackableError](err); ok {
		return Problem{Status: http.StatusUnprocessableEntity, Code: "unpackable", Detail: say("problem.unpackable", no.Why)}, true
	}
	if no, ok := errors.AsType[*home.RoomError](err); ok {
		return Problem{Status: http.StatusInsufficientStorage, Code: "no_room", Detail: say("problem.no-room", megabytes(no.Need), megabytes(no.Free))}, true
	}
	switch {
	case errors.Is(err, home.ErrProtected):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "protected", Detail: say("problem.protected")}, true
	case errors.Is(err, home.ErrNotProtected):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "not_protected", Detail: say("problem.not-protected")}, true
	case errors.Is(err, home.ErrTwin):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "twin", Detail: say("problem.twin")}, true
	case errors.Is(err, home.ErrBorrowed):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "borrowed", Detail: say("problem.borrowed")}, true
	case errors.Is(err, home.ErrNoProtector):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "no_protector", Detail: say("problem.no-protector")}, true
	case errors.Is(err, home.ErrDiskFull):
		return Problem{Status: http.StatusInsufficientStorage, Code: "no_room", Detail: say("problem.disk-full")}, true
	case errors.Is(err, home.ErrQueueFull):
		return Problem{Status: http.StatusConflict, Code: "busy", Detail: say("problem.protect-queue")}, true
	case errors.Is(err, home.ErrWithdrawn):
		return Problem{Status: http.StatusConflict, Code: "withdrawn", Detail: say("problem.withdrawn")}, true
	case errors.Is(err, home.ErrChanged):
		return Problem{Status: http.StatusConflict, Code: "changed", Detail: say("problem.changed")}, true
	}
	return Problem{}, false
}

// protectingView is how far a film is that the house protects, on its page.
type protectingView struct {
	Percent int64
	Waits   bool   // others come first
	Failed  string // why it is not protected
}

func (s *server) protectingView(r *http.Request, id ident.Content) *protectingView {
	p, asked := s.Home.ProtectingOf(id)
	if !asked {
		return nil
	}
	if p.Err != nil {
		return &protectingView{Failed: s.problemOf(r, p.Err).Detail}
	}
	v := &protectingView{Waits: p.Total == 0}
	if !v.Waits {
		v.Percent = p.Done * 100 / p.Total
	}
	return v
}

// protectedFilm is what the page of a title that the house has protected itself says to
// adults.
type protectedFilm struct {
	Folder string // of what was packed, for another house that borrows it
	Clear  string // the file that it was made of; "": it is in no watched folder
}

func (s *server) protectedFilm(r *http.Request, t *home.Title) *protectedFilm {
	if !s.Home.IsOwn(t) || !home.WatcherIn(r.Context()).Administers() {
		return nil
	}
	v := &protectedFilm{Folder: t.Folder()}
	if f, ok := s.Home.ClearOf(t.Content); ok {
		v.Clear = f.Path
	}
	return v
}

// protectForms are the buttons on both pages of an own film. They are for adults: so is
// the film.
func (s *server) protectForms(m *http.ServeMux) {
	m.HandleFunc("POST /film/{id}/protect", s.form(func(r *http.Request) (string, string, error) {
		id, err := filmID(r)
		if err == nil {
			err = s.Home.BeginProtect(r.Context(), id)
		}
		return "/film/" + url.PathEscape(id.String()), "", err
	}))
	m.HandleFunc("POST /title/{id}/unprotect", s.form(func(r *http.Request) (string, string, error) {
		id, err := filmID(r)
		if err == nil {
			err = s.Home.Unprotect(r.Context(), id)
		}
		if err != nil {
			return "", "", err
		}
		if _, err := s.Home.Film(id); errors.Is(err, home.ErrUnknown) {
			return "/", "unprotected", nil
		}
		return "/film/" + url.PathEscape(id.String()), "unprotected", nil
	}))
}
