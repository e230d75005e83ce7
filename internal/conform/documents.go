package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

func statusChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"status.md 1", "the status of a license that nobody has is a problem 404", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, s.statusPath(ident.NewDomain(), ident.NewLicense(), ""), "", nil)
			if err == nil {
				err = wantProblem("a random license", a, http.StatusNotFound, "not_found")
			}
			return err
		}},
		{"status.md 3", "it is not renewed and not returned either", at, func(ctx context.Context, s *subject) error {
			d, l := ident.NewDomain(), ident.NewLicense()
			a, err := s.ask(ctx, http.MethodPost, s.statusPath(d, l, "/renew"), typeJSON, []byte("{}"))
			if err == nil {
				err = wantProblem("renew", a, http.StatusNotFound, "not_found")
			}
			b, err2 := s.ask(ctx, http.MethodPost, s.statusPath(d, l, "/return"), typeJSON, []byte(`{"object": "AA==", "chain": []}`))
			if err2 == nil && (b.status < 400 || b.status >= 500) {
				err2 = fmt.Errorf("return: expected a refusal, seen HTTP status %d", b.status)
			}
			return errors.Join(err, err2)
		}},
		{"status.md 2, 3, 4", "the documents of what was issued have a state, and only the links that are allowed in it", at, checkDocuments},
		{"status.md 2, 3", "the status document of a counted license that was fetched is active, without links", at, checkFetched},
		{"status.md 3", "a loan's document has the link to renew while nobody waits, and only then", at, checkRenewLink},
	}
}

// statusPath is where a status document is, by what the issuer says.
func (s *subject) statusPath(d ident.Domain, l ident.License, more string) string {
	return pathOf(strings.NewReplacer("{domain}", d.String(), "{license}", l.String()).Replace(s.about.Status)) + more
}

// statusDocument is what a status document must have.
type statusDocument struct {
	ID      ident.License `json:"id"`
	Status  string        `json:"status"`
	Message string        `json:"message"`
	Version uint64        `json:"version"`
	Updated struct {
		License time.Time `json:"license"`
		Status  time.Time `json:"status"`
	} `json:"updated"`
	Links []struct {
		Rel    string `json:"rel"`
		Href   string `json:"href"`
		Method string `json:"method"`
	} `json:"links"`
	Rights *struct {
		End time.Time `json:"end"`
	} `json:"potential_rights"`
}

// has reports whether something is allowed now.
func (d *statusDocument) has(rel string) bool {
	for _, l := range d.Links {
		if l.Rel == rel {
			return true
		}
	}
	return false
}

// links are the links that a state allows. Source: docs/spec/status.md sections 2 and 3.
func links(status string) (rels []string, known bool) {
	rels, known = map[string][]string{
		"ready": {"license", "renew"}, "active": {"license", "renew"}, "expired": {"license", "renew"}, "cancelled": {"license"}, "revoked": {}, "returned": {},
	}[status]
	return rels, known
}

// document reads a license's status document, and holds it against its page.
func (s *subject) document(ctx context.Context, domain ident.Domain, license ident.License) (d statusDocument, err error) {
	a, err := s.ask(ctx, http.MethodGet, s.statusPath(domain, license, ""), "", nil)
	if err != nil {
		return d, err
	}
	if a.status != http.StatusOK || a.typ != typeJSON || decode(a, &d) != nil {
		return d, fmt.Errorf("a license's status: expected HTTP status 200 and JSON, seen %d, %q", a.status, a.typ)
	}
	rels, known := links(d.Status)
	switch {
	case !known:
		return d, fmt.Errorf("expected a state of the page, seen %.40q", d.Status)
	case d.ID != license || d.Version == 0 || d.Message == "" || d.Updated.License.IsZero() || d.Links == nil:
		return d, fmt.Errorf("expected id, message, version, updated.license and links, seen %.120q", a.body)
	case d.has("renew") != (d.Rights != nil):
		return d, fmt.Errorf("%s: expected potential_rights beside a link to renew, and only there", d.Status)
	}
	for _, l := range d.Links {
		path := pathOf(l.Href)
		switch {
		case !slices.Contains(rels, l.Rel):
			return d, fmt.Errorf("%s: expected links of %q at most, seen %.40q", d.Status, rels, l.Rel)
		case l.Method != http.MethodPost || l.Href == "":
			return d, fmt.Errorf("link %s: expected POST and an address, seen %.40q, %.80q", l.Rel, l.Method, l.Href)
		case l.Rel == "renew" && path != s.statusPath(domain, license, "/renew"):
			return d, fmt.Errorf("link renew: expected the document's own address with /renew, seen %.120q", path)
		}
	}
	return d, nil
}

// licenseRow is a license as operators see it.
type licenseRow struct {
	ID    ident.License `json:"id"`
	Grant string        `json:"grant"`
}

func (s *subject) licensesOf(ctx context.Context, domain ident.Domain) ([]licenseRow, error) {
	var rows struct {
		Licenses []licenseRow `json:"licenses"`
	}
	err := s.get(ctx, "/api/v1/licenses/"+domain.String(), &rows)
	return rows.Licenses, err
}

// maxDocuments is how many status documents are read of what an issuer issued. Source: local.
const maxDocuments = 32

func checkDocuments(ctx context.Context, s *subject) error {
	if err := s.allowed("read"); err != nil {
		return err
	}
	var page struct {
		Households []struct {
			Domain ident.Domain `json:"domain"`
		} `json:"households"`
	}
	if err := s.get(ctx, "/api/v1/households", &page); err != nil {
		return err
	}
	read := 0
	for _, h := range page.Households {
		rows, err := s.licensesOf(ctx, h.Domain)
		if err != nil {
			return err
		}
		for _, l := range rows {
			if read++; read > maxDocuments {
				return nil
			}
			if _, err := s.document(ctx, h.Domain, l.ID); err != nil {
				return fmt.Errorf("license %v: %w", l.ID, err)
			}
			a, err := s.ask(ctx, http.MethodGet, s.statusPath(ident.NewDomain(), l.ID, ""), "", nil)
			if err == nil {
				err = wantProblem("the same license, of another household", a, http.StatusNotFound, "not_found")
			}
			if err != nil {
				return err
			}
		}
	}
	if read == 0 {
		return lacking("nothing was issued here yet: give --ca, --voucher and --title, too, or come again")
	}
	return nil
}

// held is the license that the judge's house has of a grant.
func (s *subject) held(ctx context.Context, domain ident.Domain, grant string) (ident.License, error) {
	rows, err := s.licensesOf(ctx, domain)
	if err != nil {
		return ident.License{}, err
	}
	for _, l := range rows {
		if l.Grant == grant {
			return l.ID, nil
		}
	}
	return ident.License{}, errors.New("the household's licenses: expected one of the grant, seen none")
}

func checkFetched(ctx context.Context, s *subject) error {
	if err := s.means(); err != nil {
		return err
	}
	g, err := s.granted(ctx)
	if err != nil {
		return err
	}
	license, err := s.held(ctx, g.Domain, g.ID)
	if err != nil {
		return err
	}
	d, err := s.document(ctx, g.Domain, license)
	if err == nil && (d.Status != "active" || len(d.Links) != 0 || d.Version != 1) {
		err = fmt.Errorf("expected version 1, active, without links, seen %d, %s, with %d", d.Version, d.Status, len(d.Links))
	}
	return err
}

func checkRenewLink(ctx context.Context, s *subject) error {
	if err := s.means(); err != nil {
		return err
	}
	lib, err := s.library(ctx, 1)
	if err != nil {
		return err
	}
	defer lib.close(ctx)
	g, err := s.granted(ctx)
	if err != nil {
		return err
	}
	if _, err := s.fetch(ctx, s.cfg.Title, requestOf("once")); err != nil { // so that the loan is what comes next
		return err
	}
	l, err := lib.lend(ctx, g.Domain)
	if err != nil {
		return err
	}
	if _, err := s.fetch(ctx, s.cfg.Title, requestOf("loan")); err != nil {
		return err
	}
	license, err := s.held(ctx, g.Domain, l.Grant)
	if err != nil {
		return err
	}
	select { // a renewal ends later only then
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(1100 * time.Millisecond):
	}
	for _, waits := range []bool{false, true} {
		if waits {
			if _, err := lib.do(ctx, "holds", lib.house(0)); err != nil {
				return err
			}
		}
		d, err := s.document(ctx, g.Domain, license)
		if err == nil && (d.Status != "active" || d.has("renew") == waits) {
			err = fmt.Errorf("somebody waits: %v: expected active, a link to renew %v, seen %s, %v", waits, !waits, d.Status, d.has("renew"))
		}
		if err != nil {
			return err
		}
	}
	path := s.statusPath(g.Domain, license, "/renew")
	a, err := s.ask(ctx, http.MethodPost, path, "", nil)
	if err == nil {
		err = wantProblem("renewed while somebody waits", a, http.StatusConflict, "awaited")
	}
	if err == nil {
		_, err = lib.do(ctx, "holds/cancel", lib.house(0))
	}
	if err != nil {
		return err
	}
	var d statusDocument
	if a, err = s.ask(ctx, http.MethodPost, path, "", nil); err == nil && (a.status != http.StatusOK || decode(a, &d) != nil || d.ID != license) {
		err = fmt.Errorf("renewed: expected HTTP status 200 and the document, seen %d, %.120q", a.status, a.body)
	}
	return err
}
