package httpd

import (
	"net/http"
	"net/url"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// wanted is a purchase or loan that waits to be fetched.
type wanted struct {
	Name string // of the title, where its film is here
	Shop string // its address
}

// shopSeen is a shop or library that something came from.
type shopSeen struct {
	Shop   string
	Titles []string
}

type shopPage struct {
	formed
	Claims  bool // links can be redeemed here
	Waiting []wanted
	Shops   []shopSeen
}

func (s *server) pageShop(w http.ResponseWriter, r *http.Request) {
	v := shopPage{formed: s.formed(w, r), Claims: s.Claim != nil}
	for _, x := range s.Home.Waiting() {
		v.Waiting = append(v.Waiting, wanted{s.nameOf(x.Content), hostOf(x.URL)})
	}
	at := map[string]int{}
	for _, x := range s.Home.Sources() {
		host := hostOf(x.URL)
		i, ok := at[host]
		if !ok {
			i, at[host] = len(v.Shops), len(v.Shops)
			v.Shops = append(v.Shops, shopSeen{Shop: host})
		}
		v.Shops[i].Titles = append(v.Shops[i].Titles, s.nameOf(x.Content))
	}
	s.render(w, r, http.StatusOK, "shop", say("nav.shop"), v)
}

func (s *server) nameOf(id ident.Content) string {
	if t, err := s.Home.Title(id); err == nil {
		return t.Title
	}
	return say("unknown-title")
}

// hostOf is the part of an address that people know a shop by.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}

// shopForms redeem a link, and ask again what waits.
func (s *server) shopForms(m *http.ServeMux) {
	m.HandleFunc("POST /shop/claim", s.form(func(r *http.Request) (string, string, error) {
		if s.Claim == nil {
			return "", "", home.ErrUnknown
		}
		_, err := s.Claim(r.Context(), field(r, "link"))
		return "/shop", "claimed", err
	}))
	m.HandleFunc("POST /shop/ask", s.form(func(r *http.Request) (string, string, error) {
		s.Home.AskAgain(r.Context())
		return "/shop", "asked", nil
	}))
}
