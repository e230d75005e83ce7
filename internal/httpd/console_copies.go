package httpd

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lares-drm/lares/internal/operator"
)

// timeUnits are the units in which the console says how long a loan is, the longest first.
var timeUnits = []struct {
	name string
	long time.Duration
}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}}

// maxTimes bounds the number of units, so that their product is a time.
const maxTimes = 100_000

// copyDeeds are what forms do with a library's copies.
func copyDeeds() map[string]deed {
	back := "/console/copies?content={content}"
	about := func(f func(string) string) (asked, error) {
		return asked{"content": f("content"), "domain": f("domain")}, nil
	}
	return map[string]deed{
		"copies":      {path: "/api/v1/copies", body: stockForm, back: back},
		"lend":        {path: "/api/v1/copies/lend", body: about, back: back},
		"renew-copy":  {path: "/api/v1/copies/renew", body: about, back: back},
		"return-copy": {path: "/api/v1/copies/return", body: about, back: back},
		"hold":        {path: "/api/v1/holds", body: about, back: back},
		"cancel-hold": {path: "/api/v1/holds/cancel", body: about, back: back},
	}
}

func stockForm(f func(string) string) (asked, error) {
	n, err := strconv.ParseUint(f("copies"), 10, 16)
	if err != nil {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.copies.how-many")}
	}
	period, err := timesOf(f("period"), f("period_unit"))
	window, err2 := timesOf(f("window"), f("window_unit"))
	return asked{"content": f("content"), "offer": f("offer"), "copies": n, "period_ms": period, "window_ms": window}, errors.Join(err, err2)
}

// timesOf reads a number of units as milliseconds.
func timesOf(n, unit string) (int64, error) {
	for _, u := range timeUnits {
		if u.name == unit {
			if n, err := strconv.ParseInt(n, 10, 64); err == nil && n > 0 && n <= maxTimes {
				return n * u.long.Milliseconds(), nil
			}
		}
	}
	return 0, &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.copies.how-long")}
}

// timeSpan is a time as a form has it: a number of units, the longest that says it exactly.
type timeSpan struct {
	N    int64
	Unit string
}

func spanOf(v any, otherwise timeSpan) timeSpan {
	ms, _ := v.(float64)
	for _, u := range timeUnits {
		if unit := u.long.Milliseconds(); ms > 0 && int64(ms)%unit == 0 {
			return timeSpan{int64(ms) / unit, u.name}
		}
	}
	return otherwise
}

// timesText says how long a time of the API is; one that no unit fits, in Go's way.
func timesText(v any) string {
	if s := spanOf(v, timeSpan{}); s.N != 0 {
		return many("console.times."+s.Unit, uint64(s.N)) //nolint:gosec // positive
	}
	ms, _ := v.(float64)
	return (time.Duration(ms) * time.Millisecond).String()
}

// copies lists the titles that a library has copies of, or is the page of one.
func (c *console) copies(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	if content := r.URL.Query().Get("content"); content != "" {
		c.copiesOf(w, r, who, content)
		return
	}
	d, err := c.many(r, map[string]string{"list": paged(r, "/api/v1/copies"), "offers": "/api/v1/offers"})
	if err != nil {
		c.fail(w, r, who, err)
		return
	}
	rows := rowsOf(d, "list", "copies")
	for _, row := range rows {
		loans, _ := row["loans"].([]any)
		holds, _ := row["holds"].([]any)
		waiting, _ := row["waiting"].(float64)
		row["out"], row["kept"] = len(loans), len(holds)-int(waiting)
	}
	var titles []any // that can be lent, each once
	known := map[any]bool{}
	for _, o := range rowsOf(d, "offers", "offers") {
		if o["kind"] == "loan" && !known[o["content"]] {
			known[o["content"]] = true
			titles = append(titles, o["content"])
		}
	}
	d["rows"], d["titles"] = rows, titles
	list, _ := d["list"].(asked)
	c.render(w, r, http.StatusOK, consolePage{Name: "copies", Title: titleOf("copies"), Who: who, Data: d, Next: next(r, list), Said: said(r)})
}

// copiesOf is the page of one title's copies: who has one until when, who waits in which
// place. A title that has none yet has the form alone.
func (c *console) copiesOf(w http.ResponseWriter, r *http.Request, who *operator.Operator, content string) {
	d, err := c.many(r, map[string]string{"offers": "/api/v1/offers"})
	var list asked
	if err == nil {
		err = c.call(r.Context(), http.MethodGet, "/api/v1/copies?content="+url.QueryEscape(content), nil, &list)
	}
	var p *Problem
	if none := errors.As(err, &p) && p.Status == http.StatusNotFound; err != nil && !none {
		c.fail(w, r, who, err)
		return
	}
	var loans []asked
	for _, o := range rowsOf(d, "offers", "offers") {
		if o["kind"] == "loan" && o["content"] == content {
			loans = append(loans, o)
		}
	}
	stock := asked{}
	if rows := rowsOf(asked{"list": list}, "list", "copies"); len(rows) > 0 {
		stock = rows[0]
	} else if offers, _ := d["offers"].(asked); len(loans) == 0 && offers["more"] == nil {
		c.fail(w, r, who, &Problem{Status: http.StatusNotFound, Detail: say("console.copies.no-offer")})
		return
	}
	d["content"], d["stock"], d["loanOffers"] = content, stock, loans
	d["period"], d["window"] = spanOf(stock["period_ms"], timeSpan{21, "days"}), spanOf(stock["window_ms"], timeSpan{3, "days"})
	out, holds := rowsOf(asked{"stock": stock}, "stock", "loans"), rowsOf(asked{"stock": stock}, "stock", "holds")
	d["out"] = len(out)
	for i, h := range holds {
		h["place"] = i + 1
	}
	at := "/console/copies?content=" + url.QueryEscape(content)
	for name, rows := range map[string][]asked{"loans": out, "holds": holds} {
		shown, _, to := shownRows(r, name, rows)
		d[name] = shown
		if to > 0 {
			d[name+"Next"] = fmt.Sprintf("%s&%s=%d", at, name, to)
		}
	}
	c.render(w, r, http.StatusOK, consolePage{Name: "copy", Title: say("console.copies.title", content), Who: who, Data: d, Said: said(r)})
}
