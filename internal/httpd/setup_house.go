package httpd

import (
	"context"
	"errors"
	"net/http"

	"github.com/lares-drm/lares/service/home"
)

// setupRoutes are the steps of the first run behind the founding: films, and the first
// device. They can be gone through again at any time.
func (s *server) setupRoutes(m *http.ServeMux) {
	m.HandleFunc("GET "+setupBegin, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, setupFilms, http.StatusSeeOther) })
	m.HandleFunc("GET "+setupFilms, func(w http.ResponseWriter, r *http.Request) {
		s.showSetup(w, r, http.StatusOK, "films", setupPage{})
	})
	m.HandleFunc("POST "+setupFilms, s.setFilms)
	m.HandleFunc("GET "+setupDevice, func(w http.ResponseWriter, r *http.Request) {
		s.showSetup(w, r, http.StatusOK, "device", setupPage{})
	})
	m.HandleFunc("GET "+setupEnd, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/?said=setup", http.StatusSeeOther)
	})
}

func (s *server) showSetup(w http.ResponseWriter, r *http.Request, status int, name string, p setupPage) {
	p.formed, p.Claims = s.formed(w, r), s.Claim != nil
	p.Pairings, p.Devices, p.Address = s.pairingViews(), s.Home.Devices(), s.address("")
	p.stepped(name)
	if err := showPlain(w, s.pages["setup"], status, page{Name: "setup", Title: say("setup.title"), Live: true, Data: p}); err != nil {
		s.answer(w, r, err)
	}
}

// setFilms has a folder watched for films, and redeems a link.
func (s *server) setFilms(w http.ResponseWriter, r *http.Request) {
	if !s.forms.fits(w, r) {
		s.showSetup(w, r, http.StatusForbidden, "films", setupPage{Problem: say("form.stale")})
		return
	}
	p := setupPage{Folder: field(r, "folder"), Link: field(r, "link")}
	err := s.addFilms(r.Context(), p.Folder)
	if err == nil && p.Link != "" && s.Claim != nil {
		_, err = s.Claim(r.Context(), p.Link)
	}
	switch {
	case errors.Is(err, errNoFilms):
		p.Problem = say("setup.no-films")
	case err != nil:
		p.Problem = s.problemOf(r, err).Detail
	default:
		http.Redirect(w, r, setupDevice, http.StatusSeeOther)
		return
	}
	s.showSetup(w, r, http.StatusUnprocessableEntity, "films", p)
}

// errNoFilms is returned for a folder without films.
var errNoFilms = errors.New("httpd: there are no films in the folder")

func (s *server) addFilms(ctx context.Context, folder string) error {
	if folder == "" {
		return nil
	}
	before := s.Home.Folders()
	found, err := s.Home.Watch(ctx, folder)
	switch {
	case errors.Is(err, home.ErrFolder):
		return errors.Join(errNoFilms, err)
	case err != nil:
		return err
	case found.Titles+found.Films+found.Waits > 0:
		return nil
	case len(s.Home.Folders()) == len(before)+1: // the path was mistaken for another
		return errors.Join(errNoFilms, s.Home.Unwatch(ctx, found.Folder))
	}
	return errNoFilms // it was watched, or took the place of some that were: that stays
}
