package httpd

import (
	"net/http"
	"strconv"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// step is one of those that a transfer, or the first run, takes.
type step struct {
	Words string
	State string // past, now, future
}

// stepAt is step i, with the message of a key, when at is the one that is being taken.
func stepAt(i, at int, key string) step {
	state := "now"
	switch {
	case i < at:
		state = "past"
	case i > at:
		state = "future"
	}
	return step{say(key), state}
}

// Who is the other side, in words.
func (t TransferView) Who() string {
	if t.PeerName != "" {
		return t.PeerName
	}
	return say("other-device")
}

// Steps says how far it is.
func (t TransferView) Steps() []step {
	at := 1 // on its way
	switch t.Stage {
	case trem.StageUnconfirmed, trem.StageLent, trem.StageBorrowed, trem.StageInDoubt:
		at = 2
	case trem.StageReturned, trem.StageReleased:
		at = 3
	case trem.StageSent: // as above
	}
	kind := "move"
	if t.Op == trem.OpLend.String() {
		kind = "lend"
	}
	out := make([]step, 4)
	for i := range out {
		out[i] = stepAt(i, at, "step."+kind+"."+strconv.Itoa(i+1))
	}
	return out
}

// Back reports whether it can be asked back.
func (t TransferView) Back() bool {
	return !t.Cancelled && (t.Stage == trem.StageSent || t.Stage == trem.StageLent)
}

// CanBeLost reports whether saying that the other side is lost settles it.
func (t TransferView) CanBeLost() bool { return t.Stage == trem.StageSent && t.HoldUntil != 0 }

// transfers are those of the house's server that are not closed.
func (s *server) transfers(r *http.Request) ([]TransferView, error) {
	list, err := s.Home.Transfers(r.Context())
	if err != nil {
		return nil, err
	}
	out := []TransferView{}
	for _, t := range list {
		v := TransferView{Transfer: t, PeerName: s.Home.NameOf(t.Peer), TitleName: say("unknown-title")}
		v.Words = TransferWords(t, v.PeerName)
		if title, err := s.Home.Title(t.Content); err == nil {
			v.TitleName = title.Title
		}
		if t.Until != 0 {
			v.UntilWords = near(t.Until, s.Home.Now())
		}
		out = append(out, v)
	}
	return out, nil
}

type transfersPage struct {
	formed
	Out, In, Moving []TransferView
	Playing         []SessionView
}

// sorted are the open transfers by what they are.
func (s *server) sorted(w http.ResponseWriter, r *http.Request) (v transfersPage, err error) {
	list, err := s.transfers(r)
	if err != nil {
		return v, err
	}
	v.formed, v.Playing, v.Moving = s.formed(w, r), s.sessionViews(), list
	for _, t := range list {
		switch {
		case t.Stage == trem.StageLent, t.Op == trem.OpLend.String() && t.Stage == trem.StageSent:
			v.Out = append(v.Out, t)
		case t.Stage == trem.StageBorrowed:
			v.In = append(v.In, t)
		}
	}
	return v, nil
}

func (s *server) pageTransfers(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := s.sorted(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.render(w, r, http.StatusOK, name, say("nav."+name), v)
	}
}

// openTransfer finds the open transfer that a form names.
func (s *server) openTransfer(r *http.Request) (ident.Transfer, error) {
	list, err := s.Home.Transfers(r.Context())
	if err != nil {
		return ident.Transfer{}, err
	}
	for _, t := range list {
		if t.ID.String() == field(r, "transfer") {
			return t.ID, nil
		}
	}
	return ident.Transfer{}, home.ErrUnknown
}

// transferForms are what both pages' forms do about one open transfer.
func (s *server) transferForms(m *http.ServeMux) {
	about := func(path, key string, do func(r *http.Request, id ident.Transfer) error) {
		m.HandleFunc("POST "+path, s.form(func(r *http.Request) (string, string, error) {
			id, err := s.openTransfer(r)
			if err != nil {
				return "", "", err
			}
			to := "/activity"
			if field(r, "after") == "lending" {
				to = "/lending"
			}
			return to, key, do(r, id)
		}))
	}
	about("/transfers/cancel", "cancel", func(r *http.Request, id ident.Transfer) error { return s.Home.CancelTransfer(r.Context(), id) })
	about("/transfers/lost", "lost", func(r *http.Request, id ident.Transfer) error { return s.Home.LostTransfer(r.Context(), id) })
	about("/transfers/renew", "renew", func(r *http.Request, id ident.Transfer) error {
		days, err := strconv.Atoi(field(r, "days"))
		if err != nil || days < 1 || days > maxLoan {
			return errIncomplete
		}
		return s.Home.RenewLoan(r.Context(), trem.Renewal{Transfer: id, ForMS: int64(days) * msPerDay})
	})
	m.HandleFunc("POST /activity/stop", s.form(func(r *http.Request) (string, string, error) {
		return "/activity", "stopped", s.Home.Stop(r.Context(), field(r, "session"), home.StopOwner)
	}))
}
