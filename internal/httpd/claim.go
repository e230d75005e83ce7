package httpd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/service/issuer"
)

// ClaimConfig is what an issuer's claim pages are made of.
type ClaimConfig struct {
	Issuer *issuer.Issuer   // required
	Name   string           // of the shop or library
	URL    string           // where households reach it
	Now    func() time.Time // required
	Log    *slog.Logger     // nil: no log
}

type claimPages struct {
	ClaimConfig
	page *template.Template
}

// NewClaimPages returns the pages on which people read what a claim code is
// for. They work without scripts, change nothing (a mail program that follows a
// link redeems no code) and write no code into a log.
func NewClaimPages(cfg ClaimConfig) (http.Handler, error) {
	if cfg.Issuer == nil || cfg.Now == nil {
		return nil, errors.New("httpd: ClaimConfig needs Issuer and Now")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	page, err := template.New("claim.html").Funcs(pageFuncs()).ParseFS(templateFiles, "templates/claim.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	c := &claimPages{cfg, page}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /c", c.ask)
	mux.HandleFunc("GET "+issuer.ClaimPath+"{code}", c.show)
	for _, name := range []string{"style.css", "icon.svg"} {
		mux.HandleFunc("GET /static/"+name, serveStatic)
	}
	return claimHeaders(mux), nil
}

// claimHeaders: the picture of the link is in the page itself, nothing else is
// loaded from anywhere, and no other site learns the address, which has the code.
func claimHeaders(next http.Handler) http.Handler {
	return secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Robots-Tag", "noindex")
		next.ServeHTTP(w, r)
	}))
}

// claimView is a claim page.
type claimView struct {
	Shop, Title string
	Problem     string // instead of an offer
	Code, URL   string
	QR          template.URL
	Offer       *issuer.Offer
	Words       OfferWords
	State       string // what became of the code, "" = it waits
	Until       string
}

// ask is the page for a code that came on paper.
func (c *claimPages) ask(w http.ResponseWriter, r *http.Request) {
	typed := r.URL.Query().Get("code")
	if typed == "" {
		c.render(w, r, http.StatusOK, claimView{Title: say("claim.redeem")})
		return
	}
	c.code(w, r, typed)
}

func (c *claimPages) show(w http.ResponseWriter, r *http.Request) { c.code(w, r, r.PathValue("code")) }

func (c *claimPages) code(w http.ResponseWriter, r *http.Request, typed string) {
	code, err := issuer.ParseClaimCode(typed)
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	b, row, err := c.Issuer.LookUp(r.Context(), caller.Of(r), code)
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	v := claimView{Title: b.Offer.Name, Code: code.Grouped(), URL: strings.TrimSuffix(c.URL, "/") + issuer.ClaimPath + code.Text(), Offer: &b.Offer}
	end, err := c.Issuer.SunsetOf(&b.Offer)
	if err == nil {
		v.Words, err = WordsOfOffer(&b.Offer, end)
	}
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	switch {
	case row.State == issuer.CodeRedeemed:
		v.State = say("claim.code.redeemed")
	case row.State == issuer.CodeVoid:
		v.State = say("claim.code.void")
	case row.Expires != 0 && row.Expires <= c.Now().UnixMilli():
		v.State = say("claim.code.expired")
	case row.Expires != 0:
		v.Until = utc(row.Expires)
	}
	if v.State == "" {
		png, err := QR(v.URL)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		v.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)) //nolint:gosec // our own picture
	}
	c.render(w, r, http.StatusOK, v)
}

func (c *claimPages) refuse(w http.ResponseWriter, r *http.Request, err error) {
	v, status := claimView{Title: say("problem"), Problem: say("claim.code.failed")}, http.StatusInternalServerError
	switch {
	case errors.Is(err, issuer.ErrMistyped):
		v.Problem, status = say("claim.code.mistyped"), http.StatusNotFound
	case errors.Is(err, issuer.ErrCodeUnknown):
		v.Problem, status = say("claim.code.unknown"), http.StatusNotFound
	case errors.Is(err, issuer.ErrGuessing):
		v.Problem, status = say("claim.code.guessing"), http.StatusTooManyRequests
		w.Header().Set("Retry-After", "60")
	default:
		c.Log.LogAttrs(r.Context(), slog.LevelError, "claim page failed", slog.Any("error", err))
	}
	c.render(w, r, status, v)
}

func (c *claimPages) render(w http.ResponseWriter, r *http.Request, status int, v claimView) {
	v.Shop = c.Name
	var b bytes.Buffer
	if err := c.page.Execute(&b, v); err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelError, "claim page failed", slog.Any("error", err))
		http.Error(w, say("claim.code.failed"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser is gone
}
