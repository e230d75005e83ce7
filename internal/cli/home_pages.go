package cli

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/care"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/issuer"
)

// What the house's pages do that this package knows how to do.

// pageWait is how long the doctor of the health page listens for the house in the
// network. Source: local.
const pageWait = time.Second

// claim redeems the link of a shop, and returns what it was for.
func (s *homeServer) claim(ctx context.Context, link string) (string, error) {
	base, _, ok := strings.Cut(link, issuer.ClaimPath)
	code, err := issuer.ParseClaimCode(link)
	if err != nil || !ok || !strings.Contains(base, "://") {
		return "", &httpd.OrderError{Status: http.StatusUnprocessableEntity, Code: "code", Text: "This is no link of a shop or library, or a letter of its code is wrong. It ends with twelve letters and digits."}
	}
	got, err := claim(ctx, s.dir, base, code)
	return got.Content.String(), pageError(err)
}

// giveBack gives a loan back to the library that it came from.
func (s *homeServer) giveBack(ctx context.Context, h *home.Home, id ident.Content) error {
	library := ""
	for _, from := range h.Sources() { // the newest last
		if from.Content == id {
			library = from.URL
		}
	}
	if library == "" {
		return &httpd.OrderError{Status: http.StatusUnprocessableEntity, Code: "no_library", Text: "It is not known which library it came from. Say it with: lares home return"}
	}
	_, err := giveLoanBack(ctx, s.dir, library, id)
	return pageError(err)
}

// pageError is what a command's error is to a page: its sentence.
func pageError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exitError](err); !ok {
		return err
	}
	return &httpd.OrderError{Status: http.StatusUnprocessableEntity, Code: "not_done", Text: sentence(err.Error())}
}

// sentence begins with a capital letter and ends with a stop.
func sentence(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[n:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// examine is what `lares doctor` says of the house, for its health page.
func (s *homeServer) examine(ctx context.Context) ([]httpd.Check, error) {
	doc := &doctor{env: s.env, wait: pageWait, find: dnssd.Find}
	f, err := doc.facts(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	var out []httpd.Check
	for _, row := range care.Judge(f) {
		out = append(out, httpd.Check{Name: strings.TrimSuffix(sentence(row.Check), "."), State: string(row.Mark), Found: sentence(row.Found), Do: row.Do})
	}
	return out, nil
}
