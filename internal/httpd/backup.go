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
	raw, err := s.Home.RecoveryCode(r.Context())
	if err != nil {
		s.answerBackup(w, r, err)
		return
	}
	code, err := recovery.CodeOf(raw)
	clear(raw)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer code.Clear()
	text, err := code.Text()
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]string{"words": text})
}

func (s *server) apiBackup(w http.ResponseWriter, r *http.Request) {
	var in BackupOrder
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	var raw []byte
	if in.Words != "" {
		code, err := recovery.ParseCode(in.Words)
		if err != nil {
			problem(w, http.StatusBadRequest, "words", "These are not the 24 words.")
			return
		}
		defer code.Clear()
		b, err := code.Reveal()
		if err != nil {
			s.answer(w, r, err)
			return
		}
		raw = b[:]
		defer clear(raw)
	}
	out, file, err := s.Home.Backup(r.Context(), raw)
	if err != nil {
		s.answerBackup(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, BackupView{Backup: out, File: file})
}

func (s *server) answerBackup(w http.ResponseWriter, r *http.Request, err error) {
	var e *trem.Error
	switch {
	case errors.Is(err, home.ErrNoCode):
		problem(w, http.StatusPreconditionRequired, "no_code", "The house has no recovery code yet.")
	case errors.Is(err, home.ErrNoBackup):
		problem(w, http.StatusNotImplemented, "no_backup", "This house cannot be backed up.")
	case errors.As(err, &e) && (e.Code == trem.CodeState || e.Code == trem.CodeRejected):
		problem(w, http.StatusUnprocessableEntity, "no_backup", e.Text)
	default:
		s.answer(w, r, err)
	}
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
