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

// problemOf says in one place what each error is to a client. Errors it does
// not know are logged, and the client learns nothing of them.
func (s *server) problemOf(r *http.Request, err error) Problem {
	if refusal, ok := errors.AsType[*trem.RefusalError](err); ok {
		return s.refusalOf(&refusal.Decision)
	}
	if stopped, ok := errors.AsType[*home.Stopped](err); ok {
		return Problem{Status: http.StatusGone, Code: "stopped", Detail: stopWords(stopped), Decision: stopped.Decision}
	}
	if shop, ok := errors.AsType[*home.ShopError](err); ok {
		return Problem{Status: http.StatusForbidden, Code: "shop_refused", Detail: shopWords(shop), RetryMS: shop.RetryMS}
	}
	if l, ok := errors.AsType[home.AccountLater](err); ok {
		return Problem{Status: http.StatusTooManyRequests, Code: "account_later", Detail: accountLaterWords(l), RetryMS: l.RetryMS}
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
		{home.ErrUnknown, http.StatusNotFound, "not_found", "There is no such thing in the house."},
		{home.ErrLog, http.StatusUnprocessableEntity, "not_kept", "This copy of a log is not kept: it is too large, or nobody has offered it."},
		{home.ErrUnproven, http.StatusForbidden, "unproven", "The device has to prove itself first, by a signed HELLO on the link that the request names."},
		{home.ErrFolder, http.StatusUnprocessableEntity, "not_packed", "This folder holds no packed film: it needs a valid " + content.ManifestName + "."},
		{home.ErrFile, http.StatusUnprocessableEntity, "no_file", "The file cannot be made there: give an absolute path of a new file, in a folder that the home server may write to."},
		{home.ErrBusy, http.StatusConflict, "busy", "This is being done already; try again in a moment."},
		{home.ErrPairing, http.StatusBadRequest, "malformed", "This is not a pairing request."},
		{home.ErrTooMany, http.StatusTooManyRequests, "too_many", "Too many devices are waiting. Answer or refuse one first."},
		{home.ErrCode, http.StatusForbidden, "wrong_code", say("wrong-code")},
		{home.ErrAmbiguous, http.StatusUnprocessableEntity, "ambiguous", "Several devices of the house have this name. Use the device's ID."},
		{home.ErrNotExpected, http.StatusForbidden, "not_expected", "The other house expects nothing now. Its owner says: lares home receive."},
		{home.ErrHouseAway, http.StatusServiceUnavailable, "house_away", "The other house does not answer now. Nothing has left this one."},
		{home.ErrNoCard, http.StatusUnprocessableEntity, "pair_again", "This device was paired by an earlier version: pair it again, then a title can go to it."},
		{home.ErrNoAccount, http.StatusForbidden, "no_account", "The shop or library wants to know its customer first: lares home account."},
		{home.ErrAccount, http.StatusForbidden, "account", "The shop or library does not know the account of this house: lares home account."},
		{home.ErrAway, http.StatusServiceUnavailable, "authority_away", "The authority cannot be reached now."},
		{adapt.ErrNotExportable, http.StatusForbidden, "not_exportable", "The license of this title does not allow a player of this kind."},
		{hls.ErrNotFound, http.StatusNotFound, "not_found", "This stream has no such file."},
		{clearkey.ErrRequest, http.StatusBadRequest, "malformed", "This is not a key request."},
		{clearkey.ErrNoKeys, http.StatusNotFound, "no_keys", "This stream has none of these keys."},
	} {
		if errors.Is(err, k.err) {
			return Problem{Status: k.status, Code: k.code, Detail: k.detail}
		}
	}
	e, ok := errors.AsType[*trem.Error](err)
	switch {
	case ok && e.Code == trem.CodeRejected:
		return Problem{Status: http.StatusUnprocessableEntity, Code: "rejected", Detail: "The secure player does not accept this: " + e.Text}
	case ok && e.Code == trem.CodeState:
		return Problem{Status: http.StatusConflict, Code: "not_now", Detail: "The secure player cannot do this now: something that comes first is not finished. Try again later."}
	case ok && e.Code == trem.CodeUnknown:
		return Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "There is no such thing in the house."}
	}
	s.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("route", r.Pattern), slog.Any("error", err))
	if r.Pattern == "POST /api/v1/licenses" {
		return Problem{Status: http.StatusBadGateway, Code: "no_answer", Detail: "The shop gave no answer. It is asked again by itself; nothing is lost or paid twice."}
	}
	return Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: say("problem.internal")}
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
