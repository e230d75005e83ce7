package httpd

import (
	"net/http"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// ExportRequest asks the house's module to debit a license for another system.
type ExportRequest struct {
	Request ident.Request `json:"request"`
	License [32]byte      `json:"license"` // its hash
	System  string        `json:"system"`
	Holds   []string      `json:"holds"`
	Plays   uint64        `json:"plays,omitzero"`
	Trial   bool          `json:"trial,omitempty"`
}

// ExportAnswer is what leaves, or would.
type ExportAnswer struct {
	Info    []byte   `json:"info"`
	Lost    []string `json:"lost"`
	License []byte   `json:"license,omitempty"`
}

// apiExportable is the license of a title that may go to another system.
func (s *server) apiExportable(w http.ResponseWriter, r *http.Request) {
	var id ident.Content
	if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	lic, err := s.Home.ForSystem(r.Context(), id, r.URL.Query().Get("system"))
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"license": lic.Bytes()})
}

func (s *server) apiExport(w http.ResponseWriter, r *http.Request) {
	var in ExportRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if in.Request == (ident.Request{}) || in.System == "" {
		problem(w, http.StatusBadRequest, "malformed", "It must say which request it is and for which system.")
		return
	}
	got, err := s.Home.Export(r.Context(), trem.Export{Request: in.Request, License: in.License, System: in.System, Holds: in.Holds, Plays: in.Plays, Trial: in.Trial})
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, ExportAnswer{Info: got.Info, Lost: got.Lost, License: got.License})
}
