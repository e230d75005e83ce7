package httpd

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/service/home"
)

// TrustPath is the page that says how a device comes to know the house's HTTPS. It
// is for everyone in the network and says nothing of what is in the house.
const TrustPath = "/trust"

// platforms in the order of the page; each has a name and steps in the messages.
var platforms = []string{"android", "ios", "windows", "macos", "linux", "firefox"}

// platformOf guesses a platform by what a browser says of itself. A wrong guess
// opens the wrong steps, no more.
func platformOf(agent string) string {
	for _, p := range []struct{ mark, name string }{
		{"Android", "android"}, {"iPhone", "ios"}, {"iPad", "ios"}, {"Firefox", "firefox"}, {"Windows", "windows"}, {"Mac OS", "macos"}, {"Linux", "linux"},
	} {
		if strings.Contains(agent, p.mark) {
			return p.name
		}
	}
	return ""
}

// trustPlatform is how one platform is told to trust the house.
type trustPlatform struct {
	Name  string
	Steps []string
	Open  bool
}

type trustView struct {
	Open      string // where browsers open the house then
	Address   string // under which other devices read this page; empty: only this machine does
	Sum       string // SHA-256 of the certificate, as browsers show it
	Platforms []trustPlatform
}

func (s *server) trustRoutes(m *http.ServeMux) {
	if s.TLS == nil {
		return
	}
	m.HandleFunc("GET "+TrustPath, s.pageTrust)
	m.HandleFunc("GET "+TrustPath+"/lares-house.crt", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/x-x509-ca-cert") // opens the settings of Android and iOS
		h.Set("Content-Disposition", `attachment; filename="lares-house.crt"`)
		_, _ = w.Write(s.TLS.CA()) // the browser is gone
	})
	m.HandleFunc("GET "+TrustPath+"/qr.png", func(w http.ResponseWriter, r *http.Request) { s.qr(w, r, TrustPath) })
	m.HandleFunc("GET /static/style.css", serveStatic)
	m.HandleFunc("GET /static/icon.svg", serveStatic)
}

func (s *server) pageTrust(w http.ResponseWriter, r *http.Request) {
	v := trustView{Address: s.address(TrustPath)}
	if at, ok := strings.CutPrefix(s.address(""), "http://"); ok {
		v.Open = "https://" + at + "/"
	}
	sum := s.TLS.CASum()
	v.Sum = grouped(strings.ToUpper(hex.EncodeToString(sum[:])))
	mine := platformOf(r.UserAgent())
	for _, p := range platforms {
		x := trustPlatform{Name: say("trust." + p), Open: p == mine}
		for i := 1; ; i++ {
			step := maybe(fmt.Sprintf("trust.%s.%d", p, i))
			if step == "" {
				break
			}
			x.Steps = append(x.Steps, step)
		}
		v.Platforms = append(v.Platforms, x)
	}
	s.renderPlain(w, r, "trust", say("trust.title"), v)
}

// grouped sets a colon between bytes.
func grouped(digits string) string {
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i:min(i+2, len(digits))])
	}
	return b.String()
}

// address is where other devices of the network find a page of this house, or "".
func (s *server) address(path string) string {
	if s.Address == nil {
		return ""
	}
	base := s.Address()
	if base == "" {
		return ""
	}
	return base + path
}

// qr draws the address of a page.
func (s *server) qr(w http.ResponseWriter, r *http.Request, path string) {
	address := s.address(path)
	if address == "" {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	png, err := QR(address)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(png) // the browser is gone
}
