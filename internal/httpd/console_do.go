package httpd

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/operator"
)

// deed is what a form asks the API to do.
type deed struct {
	path string // of the API, with {field} for what the form says
	body func(f func(string) string) (asked, error)
	back string // page that is shown then, with {field}
}

// deeds are all that forms can do.
func (c *console) deeds() map[string]deed {
	reason := func(f func(string) string) (asked, error) { return asked{"reason": f("reason")}, nil }
	return map[string]deed{
		"offer": {"/api/v1/offers", func(f func(string) string) (asked, error) {
			return without(asked{"id": f("id"), "content": f("content"), "kind": f("kind"), "name": f("name"), "words": f("words"), "terms": f("terms")}), nil
		}, "/console/offers"},
		"grant": {"/api/v1/grants", func(f func(string) string) (asked, error) {
			return asked{"domain": f("domain"), "offer": f("offer")}, nil
		}, "/console/households/{domain}"},
		"renew": {"/api/v1/grants/{domain}/{grant}/renew", func(f func(string) string) (asked, error) {
			at, err := endOfDay(f("until"))
			return asked{"until": at}, err
		}, "/console/households/{domain}"},
		"revoke-grant":     {"/api/v1/grants/{domain}/{grant}/revoke", reason, "/console/households/{domain}"},
		"revoke-household": {"/api/v1/households/{domain}/revoke", reason, "/console/households/{domain}"},
		"rebind": {"/api/v1/licenses/{domain}/{license}/rebind", func(f func(string) string) (asked, error) {
			return asked{"to": f("to"), "reason": f("reason")}, nil
		}, "/console/licenses?domain={domain}&license={license}"},
		"codes": {"/api/v1/claims", func(f func(string) string) (asked, error) {
			n, err := strconv.ParseUint(f("codes"), 10, 16)
			if err != nil {
				err = &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.how-many")}
			}
			return asked{"offer": f("offer"), "codes": n}, err
		}, "/console/codes"},
		"void":       {"/api/v1/claims/{batch}/void", nil, "/console/codes"},
		"approve":    {"/api/v1/proposals/{proposal}/approve", nil, "/console/revocations"},
		"withdraw":   {"/api/v1/proposals/{proposal}/withdraw", nil, "/console/revocations"},
		"revoke-key": {"/api/v1/keys/{key}/revoke", nil, "/console/keys"},
	}
}

// without leaves out what was not filled in.
func without(d asked) asked {
	for k, v := range d {
		if v == "" {
			delete(d, k)
		}
	}
	return d
}

// endOfDay is the end of a day that a date field names, in UTC.
func endOfDay(s string) (int64, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.until-when")}
	}
	return t.AddDate(0, 0, 1).UnixMilli(), nil
}

// filled puts the form's words into an address, escaped.
func filled(pattern string, f func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(pattern, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		b.WriteString(url.PathEscape(f(name)))
		pattern = after
	}
}

// do does what a form asks for, and shows the page that it stands on.
func (c *console) do(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	d, ok := c.deeds()[r.PathValue("action")]
	if !ok {
		c.fail(w, r, who, &Problem{Status: http.StatusNotFound, Detail: say("console.nothing-here")})
		return
	}
	f := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	in := asked{}
	if d.body != nil {
		var err error
		if in, err = d.body(f); err != nil {
			c.fail(w, r, who, err)
			return
		}
	}
	var out asked
	if err := c.call(r.Context(), http.MethodPost, filled(d.path, f), in, &out); err != nil {
		c.fail(w, r, who, err)
		return
	}
	if r.PathValue("action") == "codes" { // shown once, and not kept in an address
		c.render(w, r, http.StatusOK, consolePage{Name: "codes", Title: titleOf("codes"), Who: who, Said: say("console.said.codes"), Data: asked{"made": out}})
		return
	}
	word := "done"
	if done, known := out["done"].(bool); known && !done {
		word = "waits"
	}
	back := filled(d.back, f)
	if strings.Contains(back, "?") {
		back += "&said=" + word
	} else {
		back += "?said=" + word
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
