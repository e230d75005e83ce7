package httpd

import (
	"net/http"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// peopleAPI is what programs of adults ask about people (docs/spec/people.md, section 5).
func (s *server) peopleAPI(m *http.ServeMux) {
	m.HandleFunc("GET /api/v1/people", func(w http.ResponseWriter, _ *http.Request) {
		list := []PersonView{}
		for _, p := range s.Home.People() {
			list = append(list, viewPerson(p))
		}
		writeJSON(w, http.StatusOK, map[string]any{"people": list})
	})
	m.HandleFunc("POST /api/v1/people", s.apiPerson(http.StatusCreated, func(_ *http.Request, c home.PersonChange) (home.Person, error) {
		return s.Home.AddPerson(c)
	}))
	m.HandleFunc("PATCH /api/v1/people/{person}", s.apiPerson(http.StatusOK, func(r *http.Request, c home.PersonChange) (home.Person, error) {
		return s.Home.SetPerson(r.PathValue("person"), c)
	}))
	m.HandleFunc("DELETE /api/v1/people/{person}", func(w http.ResponseWriter, r *http.Request) {
		s.done(w, r, s.Home.RemovePerson(r.PathValue("person")))
	})
	m.HandleFunc("PUT /api/v1/library/{id}/rated", s.apiRate)
	m.HandleFunc("PUT /api/v1/devices/{id}/person", s.apiBind)
}

// done answers that nothing is left to say, or why not.
func (s *server) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) apiPerson(status int, do func(*http.Request, home.PersonChange) (home.Person, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c home.PersonChange
		if !readJSON(w, r, maxBody, &c) {
			return
		}
		p, err := do(r, c)
		if err != nil {
			s.answer(w, r, err)
			return
		}
		writeJSON(w, status, viewPerson(p))
	}
}

// proven serves a device that has proven itself about itself.
func (s *server) proven(next func(http.ResponseWriter, *http.Request, ident.Device)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var id ident.Device
		if id.UnmarshalText([]byte(r.PathValue("device"))) != nil {
			s.answer(w, r, home.ErrUnknown)
			return
		}
		if err := s.Home.ProvenAs(r.Context(), linkOf(r), id); err != nil {
			s.answer(w, r, err)
			return
		}
		next(w, r, id)
	}
}

func (s *server) whose(w http.ResponseWriter, r *http.Request, id ident.Device) {
	whose, err := s.Home.WhoseDevice(id)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, whose)
}

// OnceRequest is the body of POST /house/v1/people/{device}/once.
type OnceRequest struct {
	By  string `json:"by"` // name or ID of an adult
	PIN string `json:"pin"`
}

// letOnce reads an adult's PIN that came by TLS or from this machine: another one was for
// all the network to read, and is not taken.
func (s *server) letOnce(w http.ResponseWriter, r *http.Request, id ident.Device) {
	if r.TLS == nil && !fromHere(r) {
		problem(w, http.StatusForbidden, "not_local", say("problem.pin-plain"))
		return
	}
	var in OnceRequest
	if readJSON(w, r, maxPairBody, &in) {
		s.done(w, r, s.Home.LetDeviceOnce(r.Context(), id, in.By, in.PIN))
	}
}

// RateRequest is the body of PUT /api/v1/library/{content}/rated.
type RateRequest struct {
	Years *uint8 `json:"years,omitempty"` // none: what the title's folder says
}

func (s *server) apiRate(w http.ResponseWriter, r *http.Request) {
	var in RateRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	id, err := filmID(r)
	if err == nil {
		err = s.Home.Rate(id, in.Years)
	}
	s.done(w, r, err)
}

// BindRequest is the body of PUT /api/v1/devices/{id}/person.
type BindRequest struct {
	Person string `json:"person"` // name or ID; "": nobody
}

func (s *server) apiBind(w http.ResponseWriter, r *http.Request) {
	var in BindRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	var id ident.Device
	err := id.UnmarshalText([]byte(r.PathValue("id")))
	if err != nil {
		err = home.ErrUnknown
	} else {
		err = s.Home.BindDevice(id, in.Person)
	}
	s.done(w, r, err)
}
