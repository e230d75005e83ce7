package httpd

import (
	"net/http"
	"strings"
	"time"

	"github.com/lares-drm/lares/service/home"
)

// Whether the files of the library are as they should be (docs/spec/library.md,
// section 3), in words.

// namedFiles is how many files of a film are named; maxSuspects how many films the health
// page names. Source: local.
const (
	namedFiles  = 3
	maxSuspects = 12
)

// FaultWords says what is wrong with a film's files, and what helps.
func FaultWords(s home.Suspect) (found, do string) {
	var said, help []string
	for _, kind := range []home.FaultKind{home.FaultMissing, home.FaultDamaged, home.FaultUnreadable} {
		var names []string
		n := 0
		for _, f := range s.Faults {
			if f.Kind != kind {
				continue
			}
			if n++; n <= namedFiles {
				names = append(names, f.File)
			}
		}
		if n == 0 {
			continue
		}
		list := strings.Join(names, ", ")
		if n > namedFiles {
			list = say("fault.more", list, n-namedFiles)
		}
		said = append(said, say("fault."+string(kind), list))
		remedy := say("fault." + string(kind) + ".do")
		if s.Own && kind == home.FaultDamaged {
			remedy = say("fault.own.do")
		}
		if len(help) == 0 || help[len(help)-1] != remedy {
			help = append(help, remedy)
		}
	}
	if s.Further > 0 {
		said = append(said, many("fault.further", uint64(s.Further)))
	}
	return strings.Join(said, " "), strings.Join(help, " ")
}

// filmChecks are the lines of the health page about the library's files.
func (s *server) filmChecks() []Check {
	r := s.Home.Checked()
	films := Check{Name: say("check.films"), State: "ok", Found: FilmsWords(r)}
	out := []Check{films}
	for i, x := range r.Suspects {
		if i == maxSuspects {
			break
		}
		found, do := FaultWords(x)
		out = append(out, Check{Name: x.Title, State: "fail", Found: found, Do: do})
	}
	if len(r.Unpacked) > 0 {
		out = append(out, Check{Name: say("check.unpacked"), State: "fail", Found: say("check.unpacked.at", strings.Join(r.Unpacked, ", ")), Do: say("fault.damaged.do")})
	}
	if len(r.Away) > 0 {
		out = append(out, Check{Name: say("check.away"), State: "warn", Found: say("check.away.at", strings.Join(r.Away, ", ")), Do: say("check.away.do")})
	}
	return out
}

// FilmsWords says how much of the library was read, and how much of it is not as it
// should be; of one film that was asked about, how that one is.
func FilmsWords(r home.CheckReport) string {
	switch {
	case r.Title != "" && len(r.Suspects) > 0:
		return say("check.film.bad", r.Title)
	case r.Title != "" && r.Read == 0:
		return say("check.film.unread", r.Title)
	case r.Title != "":
		return say("check.film.ok", r.Title, stamp(r.Oldest))
	case r.Films == 0:
		return say("check.films.none")
	case len(r.Suspects) > 0:
		return many("check.films.bad", uint64(len(r.Suspects)))
	case r.Read < r.Films:
		return say("check.films.reading", r.Read, r.Films)
	}
	return say("check.films.ok", r.Films, stamp(r.Oldest))
}

func (s *server) apiChecked(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Home.Checked())
}

// apiCheck checks now; it takes as long as it takes, and stops when nobody waits for it.
func (s *server) apiCheck(w http.ResponseWriter, r *http.Request) {
	var in home.CheckOrder
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // recorders in tests have none
	got, err := s.Home.Check(r.Context(), in)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, got)
}
