package httpd

import (
	"context"
	"net/http"
	"strconv"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// recipient tells a device of the house what it needs to hand a license over to
// another one, by its name.
func (s *server) recipient(w http.ResponseWriter, r *http.Request) {
	got, err := s.Home.RecipientOf(r.Context(), r.PathValue("name"), ident.Issuer(r.URL.Query().Get("issuer")))
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, got)
}

// letters are what waits for a device, for itself only.
func (s *server) letters(w http.ResponseWriter, r *http.Request, id ident.Device) {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"letters": s.Home.LettersFor(id, after)})
}

// TransferView is a transfer of the house's server that is not closed.
type TransferView struct {
	trem.Transfer
	PeerName string `json:"peer_name,omitempty"`
	Words    string `json:"words"`

	TitleName  string `json:"-"` // for pages
	UntilWords string `json:"-"`
}

func (s *server) apiTransfers(w http.ResponseWriter, r *http.Request) {
	out, err := s.transfers(r)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"transfers": out})
}

// HandOverRequest asks the house's server to hand a license over to a member.
type HandOverRequest struct {
	Op      trem.Op       `json:"op"`
	Content ident.Content `json:"content"`
	To      string        `json:"to"` // name or ID of a member, or URL of another house
	ForMS   int64         `json:"for_ms,omitzero"`
	Plays   uint64        `json:"plays,omitzero"`
	HoldMS  int64         `json:"hold_ms,omitzero"`
}

// HandOverAnswer is how far a hand-over is: a member that is off has not got it yet.
type HandOverAnswer struct {
	Transfer ident.Transfer `json:"transfer"`
	Arrived  bool           `json:"arrived,omitempty"`
	Refused  string         `json:"refused,omitempty"` // the other side's reason
}

func (s *server) apiHandOver(w http.ResponseWriter, r *http.Request) {
	var in HandOverRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if in.Op == 0 || in.Content == "" || in.To == "" {
		problem(w, http.StatusBadRequest, "malformed", "It must say what goes where: op, content and to.")
		return
	}
	got, err := s.Home.HandOver(r.Context(), trem.HandOver{Op: in.Op, Content: in.Content, ForMS: in.ForMS, Plays: in.Plays, HoldMS: in.HoldMS}, in.To)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	out := HandOverAnswer{Transfer: got.Transfer}
	for _, e := range got.Events {
		if e.Kind == trem.EventReceipt && e.Transfer == got.Transfer {
			out.Arrived, out.Refused = e.Installed, e.Code
		}
	}
	writeJSON(w, http.StatusCreated, out)
}

// RenewLoanRequest gives a loan a new end, so many ms from now.
type RenewLoanRequest struct {
	Transfer ident.Transfer `json:"transfer"`
	ForMS    int64          `json:"for_ms"`
}

func (s *server) apiRenewLoan(w http.ResponseWriter, r *http.Request) {
	var in RenewLoanRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if err := s.Home.RenewLoan(r.Context(), trem.Renewal{Transfer: in.Transfer, ForMS: in.ForMS}); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// aboutTransfer does something about one open transfer.
func (s *server) aboutTransfer(do func(context.Context, ident.Transfer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Transfer ident.Transfer `json:"transfer"`
		}
		if !readJSON(w, r, maxBody, &in) {
			return
		}
		if err := do(r.Context(), in.Transfer); err != nil {
			s.answer(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
