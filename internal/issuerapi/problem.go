package issuerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// Problem is an error of the API: an RFC 9457 problem document. Code is stable
// and for programs, Detail is for people.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error is what a log says of the problem.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// byStatus are the codes of what is refused before anybody looks at what is asked.
var byStatus = map[int]string{
	http.StatusBadRequest: "malformed", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden", http.StatusNotFound: "not_found",
	http.StatusMethodNotAllowed: "method_not_allowed", http.StatusRequestTimeout: "timeout", http.StatusNotAcceptable: "not_acceptable", http.StatusPreconditionFailed: "changed",
	http.StatusRequestEntityTooLarge: "too_large", http.StatusUnsupportedMediaType: "unsupported_media_type", http.StatusUnprocessableEntity: "invalid",
}

// byError are the refusals that have a name: status and stable code. The detail
// is the error's own text; detailed ones say what was asked.
var byError = []struct {
	err      error
	status   int
	code     string
	detailed bool
}{
	{issuer.ErrMistyped, http.StatusUnprocessableEntity, "code_mistyped", false},
	{issuer.ErrCodeUnknown, http.StatusNotFound, "code_unknown", false},
	{issuer.ErrCodeTaken, http.StatusConflict, "code_taken", false},
	{issuer.ErrCodeExpired, http.StatusGone, "code_expired", false},
	{issuer.ErrCodeVoid, http.StatusGone, "code_void", false},
	{issuer.ErrGuessing, http.StatusTooManyRequests, "code_guessing", false},
	{issuer.ErrNoCodes, http.StatusNotFound, "no_codes", false},
	{issuer.ErrFull, http.StatusConflict, "domain_full", true},
	{issuer.ErrNotItself, http.StatusUnprocessableEntity, "not_itself", false},
	{issuer.ErrNoCopy, http.StatusConflict, "no_copy", false},
	{issuer.ErrAwaited, http.StatusConflict, "awaited", false},
	{issuer.ErrStillOut, http.StatusConflict, "still_out", false},
	{issuer.ErrNotRenewed, http.StatusConflict, "not_renewed", false},
	{issuer.ErrEnded, http.StatusConflict, "ended", false},
	{issuer.ErrNotDelivered, http.StatusConflict, "not_delivered", false},
	{issuer.ErrProof, http.StatusUnprocessableEntity, "no_proof", false},
	{operator.ErrUnknown, http.StatusUnauthorized, "unauthorized", false},
	{operator.ErrForbidden, http.StatusForbidden, "forbidden", false},
	{operator.ErrSecond, http.StatusConflict, "second_operator", false},
	{operator.ErrOver, http.StatusConflict, "decided", false},
	{operator.ErrNotFound, http.StatusNotFound, "not_found", false},
	{operator.ErrInvalid, http.StatusUnprocessableEntity, "invalid", true},
	{errRequest, http.StatusUnprocessableEntity, "invalid", true},
	{issuer.ErrTerms, http.StatusUnprocessableEntity, "invalid", true},
	{errChanged, http.StatusPreconditionFailed, "changed", false},
	{issuer.ErrNotFound, http.StatusNotFound, "not_found", true},
	{issuer.ErrConflict, http.StatusConflict, "conflict", true},
	{issuer.ErrNotReady, http.StatusServiceUnavailable, "not_ready", true},
	{issuer.ErrBusy, http.StatusServiceUnavailable, "busy", false},
	{issuer.ErrSetBack, http.StatusConflict, "set_back", true},
}

// Errors of this package.
var (
	// errRequest is a request that no server state would make right.
	errRequest = errors.New("malformed request")
	// errChanged: If-Match names another state than the one that is there.
	errChanged = errors.New("it was changed since you read it: read it again")
)

// Codes lists the stable codes, for the page of them.
func Codes() map[string]int {
	all := map[string]int{"rejected": http.StatusUnprocessableEntity, "internal": http.StatusInternalServerError}
	for status, code := range byStatus {
		all[code] = status
	}
	for _, p := range byError {
		all[p.code] = p.status
	}
	return all
}

// problem turns an error into a problem document. What is the server's own
// stays in its log.
func (a *api) problem(ctx context.Context, err error) error {
	for _, p := range byError {
		if !errors.Is(err, p.err) {
			continue
		}
		text := p.err
		if p.detailed {
			text = err
		}
		out := newProblem(p.status, p.code, strings.NewReplacer("issuer: ", "", "operator: ", "").Replace(text.Error()))
		if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
			after := fmt.Sprint(retryAfter)
			if p.code == "busy" {
				after = soon()
			}
			return huma.ErrorWithHeaders(out, http.Header{"Retry-After": {after}})
		}
		return out
	}
	var te *trem.Error
	if errors.As(err, &te) && (te.Code == trem.CodeRejected || te.Code == trem.CodeMalformed) {
		return newProblem(http.StatusUnprocessableEntity, "rejected", te.Text)
	}
	if te != nil && te.Code == trem.CodeState {
		return newProblem(http.StatusConflict, "conflict", te.Text)
	}
	a.cfg.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.Any("error", err))
	return newProblem(http.StatusInternalServerError, "internal", "see the server's log")
}

// retryAfter is when it is worth asking again, in seconds. Source: local,
// docs/spec/claim-code.md.
const retryAfter = 30

// plainProblem is what is refused by the library, in the form of this package.
// What was sent is not repeated: it may be a code.
func plainProblem(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := byStatus[e.Status]
	if code == "" {
		code = "internal"
	}
	detail := []string{e.Detail}
	for _, d := range e.Errors {
		if d.Location == "" {
			detail = append(detail, d.Message)
		} else {
			detail = append(detail, d.Message+" ("+d.Location+")")
		}
	}
	return newProblem(e.Status, code, strings.Join(detail, "; ")), nil
}

// writeProblem answers outside of an operation.
func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) //nolint:errcheck,errchkjson // the peer is gone
}
