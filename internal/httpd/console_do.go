package httpd

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/operator"
)

// deed is what a form asks the API to do.
type deed struct {
	path string // of the API, with {field} for what the form says
	body func(f func(string) string) (asked, error)
	back string // page that is shown then, with {field}
	// show, if any, shows the answer instead: codes stand in no address.
	show func(w http.ResponseWriter, r *http.Request, who *operator.Operator, out asked)
}

// deeds are all that forms can do.
func (c *console) deeds() map[string]deed {
	reason := func(f func(string) string) (asked, error) { return asked{"reason": f("reason")}, nil }
	out := map[string]deed{
		"offer": {path: "/api/v1/offers", body: func(f func(string) string) (asked, error) {
			return without(asked{"id": f("id"), "content": f("content"), "kind": f("kind"), "name": f("name"), "words": f("words"), "terms": f("terms")}), nil
		}, back: "/console/offers"},
		"grant": {path: "/api/v1/grants", body: func(f func(string) string) (asked, error) {
			return asked{"domain": f("domain"), "offer": f("offer")}, nil
		}, back: "/console/households/{domain}"},
		"renew": {path: "/api/v1/grants/{domain}/{grant}/renew", body: func(f func(string) string) (asked, error) {
			at, err := endOfDay(f("until"))
			return asked{"until": at}, err
		}, back: "/console/households/{domain}"},
		"revoke-grant":     {path: "/api/v1/grants/{domain}/{grant}/revoke", body: reason, back: "/console/households/{domain}"},
		"revoke-household": {path: "/api/v1/households/{domain}/revoke", body: reason, back: "/console/households/{domain}"},
		"rebind": {path: "/api/v1/licenses/{domain}/{license}/rebind", body: func(f func(string) string) (asked, error) {
			return asked{"to": f("to"), "reason": f("reason")}, nil
		}, back: "/console/licenses?domain={domain}&license={license}"},
		"approve":    {path: "/api/v1/proposals/{proposal}/approve", back: "/console/revocations"},
		"withdraw":   {path: "/api/v1/proposals/{proposal}/withdraw", back: "/console/revocations"},
		"revoke-key": {path: "/api/v1/keys/{key}/revoke", back: "/console/keys"},
	}
	maps.Copy(out, c.codeDeeds())
	maps.Copy(out, copyDeeds())
	return out
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
	escape := url.PathEscape
	for {
		before, rest, ok := strings.Cut(pattern, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		if strings.Contains(before, "?") {
			escape = url.QueryEscape
		}
		name, after, _ := strings.Cut(rest, "}")
		b.WriteString(escape(f(name)))
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
	if d.show != nil {
		d.show(w, r, who, out)
		return
	}
	word := "done"
	if done, known := out["done"].(bool); known && !done {
		word = "waits"
	}
	if n, known := out["void"].(float64); known && n == 0 {
		word = "none-waited"
	}
	back := filled(d.back, f)
	if strings.Contains(back, "?") {
		back += "&said=" + word
	} else {
		back += "?said=" + word
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
