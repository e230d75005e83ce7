package httpd

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/clearkey"
	"github.com/lares-drm/lares/interconnect/adapt/hls"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// Problem is an error of the API: an RFC 9457 problem document. Code is
// stable and for programs, Detail is for people.
type Problem struct {
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Code     string            `json:"code"`
	Detail   string            `json:"detail"`
	Decision *license.Decision `json:"decision,omitempty"` // refused: every reason
	Words    []string          `json:"words,omitempty"`    // the reasons, for people
	Screens  []ScreenView      `json:"screens,omitempty"`  // in_use: what holds the places
	RetryMS  int64             `json:"retry_ms,omitempty"` // when it is worth asking again
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	writeProblem(w, Problem{Status: status, Code: code, Detail: detail})
}

func writeProblem(w http.ResponseWriter, p Problem) {
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

// readJSON reads a bounded request body of one JSON object, or answers with a
// problem and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "media_type", "The body must be application/json.")
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || dec.Decode(&struct{}{}) != io.EOF {
		problem(w, http.StatusBadRequest, "malformed", "The body is not of the documented form.")
		return false
	}
	return true
}

// pinLaterWords says when a PIN is read again, and where it is before.
func pinLaterWords(l home.PINLater) string {
	if l.Elsewhere {
		return say("problem.pin-elsewhere", span(l.RetryMS))
	}
	return say("problem.pin-later", span(l.RetryMS))
}

// problemOf says in one place what each error is to a client. Errors it does
// not know are logged, and the client learns nothing of them.
func (s *server) problemOf(r *http.Request, err error) Problem {
	if refusal, ok := errors.AsType[*trem.RefusalError](err); ok {
		return s.refusalOf(&refusal.Decision)
	}
	if full, ok := errors.AsType[*home.InUseError](err); ok {
		return s.inUseProblem(full)
	}
	if stopped, ok := errors.AsType[*home.Stopped](err); ok {
		return Problem{Status: http.StatusGone, Code: "stopped", Detail: stopWords(stopped), Decision: stopped.Decision}
	}
	if shop, ok := errors.AsType[*home.ShopError](err); ok {
		return Problem{Status: http.StatusForbidden, Code: "shop_refused", Detail: shopWords(shop), RetryMS: shop.RetryMS}
	}
	if p, ok := laterProblem(err); ok {
		return p
	}
	if p, ok := protectProblem(err); ok {
		return p
	}
	if said, ok := errors.AsType[*OrderError](err); ok {
		return Problem{Status: said.Status, Code: said.Code, Detail: said.Text}
	}
	for _, k := range []struct {
		err    error
		status int
		code   string
		detail string
	}{
		{errIncomplete, http.StatusUnprocessableEntity, "incomplete", say("form.incomplete")},
		{home.ErrStopped, http.StatusGone, "stopped", say("stop.ended")},
		{home.ErrUnknown, http.StatusNotFound, "not_found", say("problem.not-found")},
		{home.ErrLog, http.StatusUnprocessableEntity, "not_kept", say("problem.not-kept")},
		{home.ErrUnproven, http.StatusForbidden, "unproven", say("problem.unproven")},
		{home.ErrFolder, http.StatusUnprocessableEntity, "not_packed", say("problem.not-packed", content.ManifestName)},
		{home.ErrFolders, http.StatusUnprocessableEntity, "too_many_folders", say("problem.folders")},
		{home.ErrFile, http.StatusUnprocessableEntity, "no_file", say("problem.no-file")},
		{home.ErrBusy, http.StatusConflict, "busy", say("problem.busy")},
		{home.ErrWho, http.StatusForbidden, "who", say("problem.who")},
		{home.ErrForAdults, http.StatusForbidden, "adults", say("problem.adults")},
		{home.ErrWrongPIN, http.StatusForbidden, "wrong_pin", say("problem.wrong-pin")},
		{home.ErrPersonName, http.StatusUnprocessableEntity, "person_name", say("problem.person-name")},
		{home.ErrPersonKind, http.StatusUnprocessableEntity, "person_kind", say("problem.person-kind")},
		{home.ErrPIN, http.StatusUnprocessableEntity, "person_pin", say("problem.person-pin")},
		{home.ErrNoAdult, http.StatusUnprocessableEntity, "no_adult", say("problem.no-adult")},
		{home.ErrPairing, http.StatusBadRequest, "malformed", say("problem.malformed")},
		{home.ErrTooMany, http.StatusTooManyRequests, "too_many", say("problem.too-many")},
		{home.ErrCode, http.StatusForbidden, "wrong_code", say("wrong-code")},
		{home.ErrAmbiguous, http.StatusUnprocessableEntity, "ambiguous", say("problem.ambiguous")},
		{home.ErrNotExpected, http.StatusForbidden, "not_expected", say("problem.not-expected")},
		{home.ErrHouseAway, http.StatusServiceUnavailable, "house_away", say("problem.house-away")},
		{home.ErrNoCard, http.StatusUnprocessableEntity, "pair_again", say("problem.pair-again")},
		{home.ErrNoAccount, http.StatusForbidden, "no_account", say("problem.no-account")},
		{home.ErrAccount, http.StatusForbidden, "account", say("problem.account")},
		{home.ErrAway, http.StatusServiceUnavailable, "authority_away", say("problem.authority-away")},
		{adapt.ErrNotExportable, http.StatusForbidden, "not_exportable", say("problem.not-exportable")},
		{hls.ErrNotFound, http.StatusNotFound, "not_found", say("problem.no-such-file")},
		{clearkey.ErrRequest, http.StatusBadRequest, "malformed", say("problem.no-key-request")},
		{clearkey.ErrNoKeys, http.StatusNotFound, "no_keys", say("problem.no-keys")},
	} {
		if errors.Is(err, k.err) {
			return Problem{Status: k.status, Code: k.code, Detail: k.detail}
		}
	}
	e, ok := errors.AsType[*trem.Error](err)
	switch {
	case ok && e.Code == trem.CodeRejected:
		return Problem{Status: http.StatusUnprocessableEntity, Code: "rejected", Detail: say("problem.rejected", e.Text)}
	case ok && e.Code == trem.CodeState:
		return Problem{Status: http.StatusConflict, Code: "not_now", Detail: say("problem.not-now")}
	case ok && e.Code == trem.CodeUnknown:
		return Problem{Status: http.StatusNotFound, Code: "not_found", Detail: say("problem.not-found")}
	}
	s.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("route", r.Pattern), slog.Any("error", err))
	if r.Pattern == "POST /api/v1/licenses" {
		return Problem{Status: http.StatusBadGateway, Code: "no_answer", Detail: say("problem.no-answer")}
	}
	return Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: say("problem.internal")}
}

// laterProblem is problemOf for what is worth asking again.
func laterProblem(err error) (Problem, bool) {
	if l, ok := errors.AsType[home.AccountLater](err); ok {
		return Problem{Status: http.StatusTooManyRequests, Code: "account_later", Detail: accountLaterWords(l), RetryMS: l.RetryMS}, true
	}
	if l, ok := errors.AsType[home.PINLater](err); ok {
		return Problem{Status: http.StatusTooManyRequests, Code: "pin_later", Detail: pinLaterWords(l), RetryMS: l.RetryMS}, true
	}
	return Problem{}, false
}

func (s *server) refusalOf(d *license.Decision) Problem {
	p := Problem{Status: http.StatusForbidden, Code: "refused", Decision: d, Words: sentences(reasonsOf(d))}
	if onlyConfirm(d) {
		p.Status, p.Code = http.StatusConflict, "needs_confirm"
	}
	if p.Detail = say("not-now"); len(p.Words) > 0 {
		p.Detail = p.Words[0]
	}
	return p
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, s.problemOf(r, err))
}
