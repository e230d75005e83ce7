package httpd

import (
	"net/http"
	"strings"

	"github.com/lares-drm/lares/service/home"
)

// spans are the ends of hours, as a form shows them; nil: none are said.
func spans(h any) struct{ From, Until string } {
	hours, _ := h.(home.Hours)
	from, until, _ := strings.Cut(hours.String(), "-")
	if until == "24:00" { // which no field for a time of day takes
		until = "00:00"
	}
	return struct{ From, Until string }{from, until}
}

// peoplePage is where adults say who there is.
type peoplePage struct {
	formed
	People []personView
	Kinds  []home.PersonKind
}

// personView is a person as pages and the API show them: no hash.
type personView struct {
	PersonView
	KindWords string
}

// PersonView is a person as the API gives them.
type PersonView struct {
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Kind  home.PersonKind `json:"kind"`
	Age   uint8           `json:"age,omitempty"`
	Hours home.Hours      `json:"hours,omitzero"`
	PIN   bool            `json:"pin"` // there is one
}

func viewPerson(p home.Person) PersonView {
	return PersonView{ID: p.ID, Name: p.Name, Kind: p.Kind, Age: p.Age, Hours: p.Hours, PIN: p.PIN != ""}
}

func (s *server) pagePeople(w http.ResponseWriter, r *http.Request) {
	v := peoplePage{formed: s.formed(w, r), Kinds: []home.PersonKind{home.Adult}}
	for _, p := range s.Home.People() {
		v.People = append(v.People, personView{viewPerson(p), kindWords(p)})
	}
	if len(v.People) > 0 {
		v.Kinds = []home.PersonKind{home.Child, home.Guest, home.Adult}
	}
	s.render(w, r, http.StatusOK, "people", say("people"), v)
}

// changeOf reads what a form says of somebody. A PIN that is left empty stays.
func changeOf(r *http.Request) (c home.PersonChange, err error) {
	name, kind := field(r, "name"), home.PersonKind(field(r, "kind"))
	c.Name, c.Kind = &name, &kind
	years, err := yearsOf(field(r, "age"))
	if err != nil {
		return c, err
	}
	if years == nil {
		years = new(uint8)
	}
	until := field(r, "until")
	if until == "00:00" {
		until = "24:00"
	}
	hours, err := home.ParseHours(strings.TrimSuffix(field(r, "from")+"-"+until, "-"))
	if err != nil {
		return c, err
	}
	c.Age, c.Hours = years, &hours
	if pin := field(r, "pin"); pin != "" || field(r, "nopin") != "" {
		c.PIN = &pin
	}
	return c, nil
}

func (s *server) peopleRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /people", s.pagePeople)
	m.HandleFunc("POST /people/add", s.form(func(r *http.Request) (string, string, error) {
		c, err := changeOf(r)
		if err == nil {
			_, err = s.Home.AddPerson(c)
		}
		return "/people", "person", err
	}))
	m.HandleFunc("POST /people/{id}/set", s.form(func(r *http.Request) (string, string, error) {
		c, err := changeOf(r)
		if err == nil {
			_, err = s.Home.SetPerson(r.PathValue("id"), c)
		}
		return "/people", "person-set", err
	}))
	m.HandleFunc("POST /people/{id}/remove", s.form(func(r *http.Request) (string, string, error) {
		return "/people", "person-removed", s.Home.RemovePerson(r.PathValue("id"))
	}))
	m.HandleFunc("POST /browsers/{id}/person", s.form(func(r *http.Request) (string, string, error) {
		before := s.boundTo(r)
		err := s.Home.BindBrowser(r.PathValue("id"), field(r, "person"))
		if s.boundTo(r) != before { // this very browser: the adult does not sit at it any more
			return "/", "bound", err
		}
		return "/devices", "bound", err
	}))
	m.HandleFunc("POST /devices/{id}/person", s.form(func(r *http.Request) (string, string, error) {
		id, err := deviceID(r)
		if err == nil {
			err = s.Home.BindDevice(id, field(r, "person"))
		}
		return "/devices", "bound", err
	}))
	s.peopleAPI(m)
}
