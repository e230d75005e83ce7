package httpd

import (
	"net/http"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// deviceView is a device of the house with what it is known to have.
type deviceView struct {
	home.Listed
	SeenWords string         // when the house last met it
	Holds     []string       // what is set aside there, lent to it, or on its way
	Lost      []string       // what happens if it is lost
	Moving    []TransferView // what would be settled by saying so
}

type devicesPage struct {
	formed
	Pairings []PairingView
	Devices  []deviceView
	Address  string // of the house, for new devices; empty: this machine's only
	Asking   []home.WaitingBrowser
	Browsers []browserView
	Narrow   []home.Person // whose a device may be: children and guests
}

func (s *server) pageDevices(w http.ResponseWriter, r *http.Request) {
	v := devicesPage{formed: s.formed(w, r), Pairings: s.pairingViews(), Address: s.address(""), Asking: s.Home.WaitingBrowsers(), Browsers: s.browserViews()}
	v.Narrow = slices.DeleteFunc(s.Home.People(), func(p home.Person) bool { return p.Kind == home.Adult })
	list, err := s.Home.Roll(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	moving, err := s.transfers(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, d := range list {
		v.Devices = append(v.Devices, s.viewDevice(d, moving))
	}
	s.render(w, r, http.StatusOK, "devices", say("nav.devices"), v)
}

func (s *server) viewDevice(d home.Listed, moving []TransferView) deviceView {
	v := deviceView{Listed: d}
	switch {
	case d.Lapsed:
		v.SeenWords = say("device.lapsed", stamp(d.Seen))
	case d.Seen.IsZero():
		v.SeenWords = say("device.new")
	default:
		v.SeenWords = say("device.seen", near(d.Seen.UnixMilli(), s.Home.Now()))
	}
	for _, a := range d.Aside {
		v.Holds = append(v.Holds, AsideWords(a, d.Lapsed))
	}
	v.Lost = []string{say("lost.remove")}
	if len(d.Aside) > 0 {
		v.Lost = append(v.Lost, say("lost.aside"))
	}
	lent, sent := false, false
	for _, t := range moving {
		if t.Peer != d.ID {
			continue
		}
		v.Holds, v.Moving = append(v.Holds, t.TitleName+": "+t.Words), append(v.Moving, t)
		lent, sent = lent || t.Stage == trem.StageLent, sent || t.Stage == trem.StageSent
	}
	if lent {
		v.Lost = append(v.Lost, say("lost.lent"))
	}
	if sent {
		v.Lost = append(v.Lost, say("lost.sent"))
	}
	v.Lost = append(v.Lost, say("lost.moved"))
	return v
}

// deviceForms are what the page's forms do.
func (s *server) deviceForms(m *http.ServeMux) {
	m.HandleFunc("POST /devices/approve", s.form(func(r *http.Request) (string, string, error) {
		approve := s.Home.Approve
		if field(r, "idle") != "" {
			approve = s.Home.ApproveInPlace
		}
		_, err := approve(r.Context(), field(r, "pairing"), field(r, "code"))
		return s.after(r, "/devices"), "approved", err
	}))
	m.HandleFunc("POST /devices/refuse", s.form(func(r *http.Request) (string, string, error) {
		return s.after(r, "/devices"), "refused", s.Home.RefusePairing(field(r, "pairing"))
	}))
	m.HandleFunc("POST /devices/{id}/rename", s.form(func(r *http.Request) (string, string, error) {
		id, err := deviceID(r)
		if err == nil {
			err = s.Home.RenameDevice(id, field(r, "name"))
		}
		return "/devices", "renamed", err
	}))
	m.HandleFunc("POST /devices/{id}/remove", s.form(func(r *http.Request) (string, string, error) {
		id, err := deviceID(r)
		if err == nil {
			err = s.Home.RemoveDevice(r.Context(), id)
		}
		return "/devices", "removed", err
	}))
	m.HandleFunc("GET /devices/qr.png", func(w http.ResponseWriter, r *http.Request) { s.qr(w, r, "") })
}

// after is the page that a form came from, where it is one of ours that shares it.
func (s *server) after(r *http.Request, usual string) string {
	if field(r, "after") == setupDevice {
		return setupDevice
	}
	return usual
}

func deviceID(r *http.Request) (id ident.Device, err error) {
	if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
		return id, home.ErrUnknown
	}
	return id, nil
}
