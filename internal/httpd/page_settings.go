package httpd

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"
)

type settingsPage struct {
	formed
	Code    bool     // the house has a recovery code
	Backups bool     // this house can be backed up at all
	Words   []string // drawn now, shown once
	Spelled string   // Words as a form sends them back
	Trust   bool     // the house has HTTPS
	Sum     string
	Address string
	Folders []folderView
}

func (s *server) settings(w http.ResponseWriter, r *http.Request) settingsPage {
	v := settingsPage{formed: s.formed(w, r), Trust: s.TLS != nil, Address: s.address(TrustPath), Folders: s.folderViews()}
	if s.TLS != nil {
		sum := s.TLS.CASum()
		v.Sum = grouped(strings.ToUpper(hex.EncodeToString(sum[:])))
	}
	has, err := s.Home.HasCode(r.Context())
	v.Code, v.Backups = has, err == nil
	return v
}

func (s *server) pageSettings(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "settings", say("nav.settings"), s.settings(w, r))
}

// settingForms draws a recovery code and saves backups.
func (s *server) settingForms(m *http.ServeMux) {
	m.HandleFunc("POST /settings/code", s.checked(func(w http.ResponseWriter, r *http.Request) error {
		text, err := s.drawCode(r)
		if err != nil {
			return err
		}
		v := s.settings(w, r)
		v.Words, v.Spelled = strings.Fields(text), text
		s.render(w, r, http.StatusOK, "settings", say("nav.settings"), v)
		return nil
	}))
	m.HandleFunc("POST /settings/backup", s.checked(func(w http.ResponseWriter, r *http.Request) error {
		out, file, err := s.backup(r, field(r, "words"))
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="lares-house-`+time.UnixMilli(out.Made).UTC().Format("2006-01-02")+`.backup"`)
		_, _ = w.Write(file) // the browser is gone
		return nil
	}))
}

// checked is form for an answer that is no further page.
func (s *server) checked(do func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := Problem{Status: http.StatusForbidden, Code: "form", Detail: say("form.stale")}
		if s.forms.fits(w, r) {
			err := do(w, r)
			if err == nil {
				return
			}
			if p = s.backupProblem(r, err); errors.Is(err, errWords) {
				p = Problem{Status: http.StatusBadRequest, Code: "words", Detail: say("backup.words")}
			}
		}
		s.render(w, r, p.Status, "problem", say("problem"), p)
	}
}
