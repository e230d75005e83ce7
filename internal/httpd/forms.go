package httpd

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
)

// formCookie holds a browser's half of what a form must show. Source: local,
// docs/spec/home-api.md, "Forms".
const formCookie = "lares_form"

const (
	maxForm   = 8 << 10 // bytes of a form
	tokenSize = 16      // bytes
)

// formKey makes form tokens; it lives as long as the process.
type formKey [32]byte

func newFormKey() (k formKey) {
	rand.Read(k[:]) // never returns an error
	return k
}

// token is what the forms of a browser with this cookie carry.
func (k *formKey) token(cookie string) string {
	m := hmac.New(sha256.New, k[:])
	m.Write([]byte(cookie))
	return hex.EncodeToString(m.Sum(nil)[:tokenSize])
}

// give returns the token for a page's forms, and gives the browser its half.
func (k *formKey) give(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(formCookie)
	if err != nil || len(c.Value) != 2*tokenSize {
		var b [tokenSize]byte
		rand.Read(b[:])
		c = &http.Cookie{Name: formCookie, Value: hex.EncodeToString(b[:]), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil} //nolint:gosec // loopback is HTTP
		http.SetCookie(w, c)
		r.AddCookie(c) // a page may have several forms
	}
	return k.token(c.Value)
}

// fits reads a bounded form and reports whether it comes from a page of this house.
func (k *formKey) fits(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return false
	}
	c, err := r.Cookie(formCookie)
	if err != nil || len(c.Value) != 2*tokenSize {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(k.token(c.Value))) == 1
}

// formed is embedded by what a page with forms shows.
type formed struct{ Token string }

func (s *server) formed(w http.ResponseWriter, r *http.Request) formed {
	return formed{s.forms.give(w, r)}
}

// field is a field of a form, without the spaces around it.
func field(r *http.Request, name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }

// form does what a form asks, and goes on to a page, which says the message
// "said."+key.
func (s *server) form(do func(r *http.Request) (to, key string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.forms.fits(w, r) {
			p := Problem{Status: http.StatusForbidden, Code: "form", Detail: say("form.stale")}
			s.render(w, r, p.Status, "problem", say("problem"), p)
			return
		}
		to, key, err := do(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if key != "" {
			to += "?said=" + url.QueryEscape(key)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}
