package httpd

import (
	"net/http"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/service/home"
)

// ScreenView is a screen that holds a place of a license.
type ScreenView struct {
	Session string    `json:"session,omitempty"` // none: a device plays
	Screen  string    `json:"screen"`            // for people
	Since   time.Time `json:"since"`
}

// screen is what people call the screen that a request comes from: the name that the
// owner gave it, or what its browser is and that it is here.
func (s *server) screen(r *http.Request) string {
	if s.secured(r) {
		if name := s.Home.BrowserName(tokenOf(r)); name != "" {
			return name
		}
	}
	return say("screen.here", browserKind(r))
}

// inUseWords says who holds the places, and what helps.
func (s *server) inUseWords(e *home.InUseError) []string {
	var out []string
	for _, p := range e.Open {
		out = append(out, say("inuse", p.Screen, near(p.Since.UnixMilli(), s.Home.Now())))
	}
	if len(out) == 0 { // it began or ended this moment
		return []string{WordsOf(license.Reason{Code: license.SlotFull, Closed: true}).Sentence}
	}
	switch {
	case !e.Ask:
		return append(out, say("inuse.wait"))
	case len(out) == 1:
		return append(out, say("inuse.continue"))
	}
	var ends []string
	for _, p := range e.Open[:min(e.Ends, len(e.Open))] {
		ends = append(ends, p.Screen)
	}
	return append(out, say("inuse.continue.on", strings.Join(ends, ", ")))
}

// inUseProblem is 409 where the play may go on here, else a refusal like any other.
func (s *server) inUseProblem(e *home.InUseError) Problem {
	p := Problem{Status: http.StatusConflict, Code: "in_use", Words: s.inUseWords(e)}
	if !e.Ask {
		p.Status, p.Code, p.Decision = http.StatusForbidden, "refused", &e.Decision
	}
	p.Detail = p.Words[0]
	for _, o := range e.Open {
		p.Screens = append(p.Screens, ScreenView{Session: o.Session, Screen: o.Screen, Since: o.Since.UTC().Truncate(time.Second)})
	}
	return p
}

// PositionBody is the body of PUT /api/v1/sessions/{id}/position.
type PositionBody struct {
	MS int64 `json:"ms"` // of the film
}

// maxPosition bounds a media position, in ms: a week. Source: local.
const maxPosition = 7 * 24 * 3_600_000

// apiPosition notes where a session's player is, from where another screen goes on.
func (s *server) apiPosition(w http.ResponseWriter, r *http.Request) {
	var in PositionBody
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if in.MS < 0 || in.MS > maxPosition {
		problem(w, http.StatusBadRequest, "malformed", "ms is a position of the film, from 0 to a week.")
		return
	}
	if err := s.Home.At(r.PathValue("id"), in.MS); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
