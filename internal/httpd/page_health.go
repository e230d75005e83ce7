package httpd

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// Check is one line of the health page: what was looked at, ok, warn or fail, what
// was found, and what to do.
type Check struct {
	Name, State, Found, Do string
}

type healthPage struct {
	formed
	Checks []Check
	Status trem.Status
	Worst  string // ok, warn or fail
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
	v := healthPage{formed: s.formed(w, r), Status: st, Checks: s.checks(st), Worst: "ok"}
	v.Checks = append(v.Checks, s.filmChecks()...)
	if s.Examine != nil {
		more, err := s.Examine(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		v.Checks = append(v.Checks, more...)
	}
	for _, c := range v.Checks {
		if c.State == "fail" || c.State == "warn" && v.Worst == "ok" {
			v.Worst = c.State
		}
	}
	s.render(w, r, http.StatusOK, "health", say("nav.health"), v)
}

// checks are what the home server itself sees.
func (s *server) checks(st trem.Status) []Check {
	check := func(name, state, found string) Check {
		return Check{Name: say("check." + name), State: state, Found: found}
	}
	player := check("player", "ok", many("check.player.holds", uint64(max(st.Licenses, 0)))) // not negative
	if len(st.Leaf) == 0 {
		player = check("player", "fail", say("not-ready"))
	}
	clock := check("time", "ok", clockWords(st.Clock))
	if st.Clock.Quality != "SECURE" {
		clock.State, clock.Do = "warn", say("remedy.SYNC_TIME")
	}
	h := s.Home.Health()
	list := check("list", "ok", say("check.list.of", stamp(h.StateAt)))
	switch {
	case h.StateAt.IsZero():
		list = check("list", "warn", say("check.list.none"))
	case s.Home.Now().Sub(h.StateAt) > staleAfter:
		list.State = "warn"
	}
	if h.Problem != "" {
		list.State, list.Do = "warn", say("check.list.again")
	}
	house := check("house", "ok", many("check.house.devices", uint64(len(s.Home.Devices()))))
	if st.Domain.String() == (trem.Status{}).Domain.String() {
		house = check("house", "warn", say("check.house.none"))
	}
	shop := check("shop", "ok", say("check.shop.none"))
	if n := len(s.Home.Waiting()); n > 0 {
		shop = check("shop", "warn", many("waits.shop", uint64(n)))
	}
	return []Check{player, clock, list, house, shop}
}

// healthForms visits the authority now, and looks whether all files are there.
func (s *server) healthForms(m *http.ServeMux) {
	m.HandleFunc("POST /health/films", s.form(func(r *http.Request) (string, string, error) {
		_, err := s.Home.Check(r.Context(), home.CheckOrder{})
		return "/health", "checked", err
	}))
	m.HandleFunc("POST /health/learn", s.form(func(r *http.Request) (string, string, error) {
		if err := s.Home.Learn(r.Context()); err != nil {
			s.Log.LogAttrs(r.Context(), slog.LevelWarn, "authority not heard", slog.Any("error", err))
			return "/health", "away", nil
		}
		return "/health", "learned", nil
	}))
}
