package httpd

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/lares-drm/lares/internal/operator"
)

// asked is a document of the API, as a page shows it.
type asked = map[string]any

// paged is the address of an API list at the place that a page's address names,
// and next the page's own next address.
func paged(r *http.Request, path string) string {
	if after := r.URL.Query().Get("after"); after != "" {
		return path + "?after=" + url.QueryEscape(after)
	}
	return path
}

func next(r *http.Request, d asked) string {
	if n, ok := d["next"].(string); ok && n != "" {
		return r.URL.Path + "?after=" + url.QueryEscape(n)
	}
	return ""
}

// list is a page that shows one list of the API.
func (c *console) list(name, path string) func(http.ResponseWriter, *http.Request, *operator.Operator) {
	return func(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
		var d asked
		if err := c.call(r.Context(), http.MethodGet, paged(r, path), nil, &d); err != nil {
			c.fail(w, r, who, err)
			return
		}
		c.render(w, r, http.StatusOK, consolePage{Name: name, Title: titleOf(name), Who: who, Data: d, Next: next(r, d), Said: said(r)})
	}
}

// said is what was done before the page was shown. The words are ours: the
// address only picks one.
func said(r *http.Request) string {
	return maybe("console.said." + r.URL.Query().Get("said"))
}

// maxWholePages bounds what a page reads of a list that it chooses from or counts: a
// thousand rows. Beyond it the document has "more", and a field takes what would be chosen.
// Source: local, docs/spec/operators.md.
const maxWholePages = 10

// wholeLists are lists of the API that pages choose from or count, and so read to the
// end, or to the bound, with what is in them.
var wholeLists = map[string]string{"offers": "offers", "contents": "contents", "keys": "keys"}

// many asks for several documents, by name.
func (c *console) many(r *http.Request, paths map[string]string) (asked, error) {
	out := asked{}
	for name, path := range paths {
		var d asked
		if err := c.call(r.Context(), http.MethodGet, path, nil, &d); err != nil {
			return nil, err
		}
		out[name] = d
		member, whole := wholeLists[name]
		after, _ := d["next"].(string)
		for pages := 1; whole && after != ""; pages++ {
			if pages == maxWholePages {
				d["more"] = true
				break
			}
			var more asked
			if err := c.call(r.Context(), http.MethodGet, path+"?after="+url.QueryEscape(after), nil, &more); err != nil {
				return nil, err
			}
			have, _ := d[member].([]any)
			rows, _ := more[member].([]any)
			d[member] = append(have, rows...)
			after, _ = more["next"].(string)
		}
	}
	return out, nil
}

func (c *console) page(w http.ResponseWriter, r *http.Request, who *operator.Operator, name, title string, paths map[string]string) {
	d, err := c.many(r, paths)
	if err != nil {
		c.fail(w, r, who, err)
		return
	}
	nameActors(d, "list", "entries", "actor")
	nameActors(d, "list", "proposals", "by", "decided_by")
	p := consolePage{Name: name, Title: title, Who: who, Data: d, Said: said(r)}
	if first, ok := d["list"].(asked); ok {
		p.Next = next(r, first)
	}
	c.render(w, r, http.StatusOK, p)
}

func (c *console) home(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	d, err := c.many(r, map[string]string{"proposals": "/api/v1/proposals", "audit": "/api/v1/audit", "about": "/api/v1/about", "contents": "/api/v1/contents", "offers": "/api/v1/offers", "keys": pathKeys})
	if err != nil {
		c.fail(w, r, who, err)
		return
	}
	waiting := 0
	for _, p := range rowsOf(d, "proposals", "proposals") {
		if p["state"] == "open" {
			waiting++
		}
	}
	d["waiting"] = waiting
	nameActors(d, "audit", "entries", "actor")
	entries := rowsOf(d, "audit", "entries")
	d["newest"] = entries[:min(8, len(entries))]
	d["events"] = c.events()
	c.render(w, r, http.StatusOK, consolePage{Name: "home", Title: titleOf("home"), Who: who, Data: d, Said: said(r)})
}

func rowsOf(d asked, name, member string) (out []asked) {
	doc, _ := d[name].(asked)
	list, _ := doc[member].([]any)
	for _, x := range list {
		if row, ok := x.(asked); ok {
			out = append(out, row)
		}
	}
	return out
}

// events are the figures of what happened since the start, which the first page
// shows: of those messages of the log that it has words for.
func (c *console) events() (out []Figure) {
	for _, f := range c.allFigures() {
		if words := maybe("console.counted." + strings.ReplaceAll(f.Label, " ", "-")); words != "" && f.Name == "lares_events_total" {
			f.Label = words
			out = append(out, f)
		}
	}
	return out
}

func (c *console) allFigures() []Figure {
	if c.Figures == nil {
		return nil
	}
	all, err := c.Figures()
	if err != nil {
		return nil
	}
	slices.SortFunc(all, func(a, b Figure) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Label, b.Label))
	})
	return all
}

func (c *console) figures(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	if !who.May(operator.Read) {
		c.fail(w, r, who, &Problem{Status: http.StatusForbidden, Detail: say("console.role")})
		return
	}
	groups := map[string][]Figure{}
	for _, f := range c.allFigures() {
		groups[f.Name] = append(groups[f.Name], f)
	}
	c.render(w, r, http.StatusOK, consolePage{Name: "figures", Title: titleOf("figures"), Who: who, Data: groups})
}

func (c *console) offers(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	c.page(w, r, who, "offers", titleOf("offers"), map[string]string{"list": paged(r, "/api/v1/offers"), "contents": "/api/v1/contents"})
}

func (c *console) revocations(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	c.page(w, r, who, "revocations", titleOf("revocations"), map[string]string{"list": paged(r, "/api/v1/proposals"), "keys": pathKeys})
}

func (c *console) household(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	c.page(w, r, who, "household", say("console.title.household", shortID(r.PathValue("domain"))), map[string]string{
		"house": "/api/v1/households/" + url.PathEscape(r.PathValue("domain")), "offers": "/api/v1/offers",
	})
}

// license is the page of one license, or the question for one.
func (c *console) license(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	q := r.URL.Query()
	domain, license := strings.TrimSpace(q.Get("domain")), strings.TrimSpace(q.Get("license"))
	d := asked{"domain": domain, "license": license}
	switch {
	case domain != "" && license != "":
		var doc asked
		if err := c.call(r.Context(), http.MethodGet, "/api/v1/licenses/"+url.PathEscape(domain)+"/"+url.PathEscape(license), nil, &doc); err != nil {
			c.fail(w, r, who, err)
			return
		}
		d["status"] = doc
	case domain != "":
		http.Redirect(w, r, "/console/households/"+url.PathEscape(domain), http.StatusSeeOther)
		return
	}
	c.render(w, r, http.StatusOK, consolePage{Name: "licenses", Title: titleOf("licenses"), Who: who, Data: d, Said: said(r)})
}

func (c *console) log(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	paths := map[string]string{"list": paged(r, "/api/v1/audit"), "keys": pathKeys}
	if r.URL.Query().Has("verify") {
		paths["report"] = "/api/v1/audit/verify"
	}
	c.page(w, r, who, "log", titleOf("log"), paths)
}

// export passes the log on as a file.
func (c *console) export(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	if !who.May(operator.Audit) {
		c.fail(w, r, who, &Problem{Status: http.StatusForbidden, Detail: say("console.role")})
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
	r2, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/api/v1/audit/export", http.NoBody)
	if err != nil {
		c.fail(w, r, who, err)
		return
	}
	c.API.ServeHTTP(w, r2)
}
