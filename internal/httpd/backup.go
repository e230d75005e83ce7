package httpd

import (
	"errors"
	"net/http"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/recovery"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// BackupOrder is the body of POST /api/v1/backup.
type BackupOrder struct {
	Words string `json:"words,omitempty"` // of POST /api/v1/backup/code, when they shall be the house's from now on
}

// BackupView is its answer.
type BackupView struct {
	trem.Backup
	File []byte `json:"file"`
}

func (s *server) backupRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /api/v1/backup", s.apiHasCode)
	m.HandleFunc("POST /api/v1/backup/code", s.apiCode)
	m.HandleFunc("POST /api/v1/backup", s.apiBackup)
}

func (s *server) restoreRoutes(m *http.ServeMux) {
	m.HandleFunc("GET "+home.RestorePath+"/{domain}", s.succession)
	m.HandleFunc("POST "+home.RestorePath, s.rival)
}

func (s *server) apiHasCode(w http.ResponseWriter, r *http.Request) {
	has, err := s.Home.HasCode(r.Context())
	if err != nil {
		s.answerBackup(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"code": has})
}

// apiCode shows a recovery code. It counts only when a backup names it.
func (s *server) apiCode(w http.ResponseWriter, r *http.Request) {
	text, err := s.drawCode(r)
	if err != nil {
		s.answerBackup(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]string{"words": text})
}

// drawCode draws a recovery code and spells it in words.
func (s *server) drawCode(r *http.Request) (string, error) {
	raw, err := s.Home.RecoveryCode(r.Context())
	if err != nil {
		return "", err
	}
	code, err := recovery.CodeOf(raw)
	clear(raw)
	if err != nil {
		return "", err
	}
	defer code.Clear()
	return code.Text()
}

func (s *server) apiBackup(w http.ResponseWriter, r *http.Request) {
	var in BackupOrder
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	out, file, err := s.backup(r, in.Words)
	if errors.Is(err, errWords) {
		problem(w, http.StatusBadRequest, "words", say("backup.words"))
		return
	}
	if err != nil {
		s.answerBackup(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, BackupView{Backup: out, File: file})
}

// errWords is returned for words that are no recovery code.
var errWords = errors.New("httpd: not the 24 words")

// backup makes a backup; with words they are the house's code from now on.
func (s *server) backup(r *http.Request, words string) (trem.Backup, []byte, error) {
	if words == "" {
		return s.Home.Backup(r.Context(), nil)
	}
	code, err := recovery.ParseCode(words)
	if err != nil {
		return trem.Backup{}, nil, errWords
	}
	defer code.Clear()
	raw, err := code.Reveal()
	if err != nil {
		return trem.Backup{}, nil, err
	}
	defer clear(raw[:])
	return s.Home.Backup(r.Context(), raw[:])
}

func (s *server) answerBackup(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, s.backupProblem(r, err))
}

func (s *server) backupProblem(r *http.Request, err error) Problem {
	var e *trem.Error
	switch {
	case errors.Is(err, home.ErrNoCode):
		return Problem{Status: http.StatusPreconditionRequired, Code: "no_code", Detail: say("backup.no-code")}
	case errors.Is(err, home.ErrNoBackup):
		return Problem{Status: http.StatusNotImplemented, Code: "no_backup", Detail: say("backup.none")}
	case errors.As(err, &e) && (e.Code == trem.CodeState || e.Code == trem.CodeRejected):
		return Problem{Status: http.StatusUnprocessableEntity, Code: "no_backup", Detail: e.Text}
	}
	return s.problemOf(r, err)
}

// succession tells a device who manages its house after a restore.
func (s *server) succession(w http.ResponseWriter, r *http.Request) {
	var domain ident.Domain
	if err := domain.UnmarshalText([]byte(r.PathValue("domain"))); err != nil {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	out, err := s.Home.Succession(r.Context(), domain)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// rival takes a restore of this house that a device has met elsewhere.
func (s *server) rival(w http.ResponseWriter, r *http.Request) {
	var in trem.Succession
	if !readJSON(w, r, maxPairBody, &in) {
		return
	}
	if err := s.Home.Rival(r.Context(), in); err != nil {
		s.answerBackup(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
