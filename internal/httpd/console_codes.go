package httpd

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/lares-drm/lares/internal/operator"
)

// rowsShown is how many rows of a list that the API gives whole stand on one page.
const rowsShown = 100

// codeDeeds are what forms do with claim codes. Void of one code and of all are two deeds,
// so that a place that was not understood never withdraws a batch.
func (c *console) codeDeeds() map[string]deed {
	one := func(f func(string) string) (asked, error) {
		n, err := strconv.ParseUint(f("index"), 10, 32)
		if err != nil {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.codes.which")}
		}
		return asked{"index": n}, nil
	}
	again := "/api/v1/claims/{batch}/resend"
	return map[string]deed{
		"codes": {path: "/api/v1/claims", body: func(f func(string) string) (asked, error) {
			n, err := strconv.ParseUint(f("codes"), 10, 16)
			if err != nil {
				return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: say("console.how-many")}
			}
			in := asked{"offer": f("offer"), "codes": n}
			if f("until") != "" {
				in["expires_at"], err = endOfDay(f("until"))
			}
			return in, err
		}, show: c.given("codes")},
		"void":        {path: "/api/v1/claims/{batch}/void", back: "/console/codes/{batch}"},
		"void-code":   {path: "/api/v1/claims/{batch}/void", body: one, back: "/console/codes/{batch}"},
		"resend":      {path: again, show: c.given("again")},
		"resend-code": {path: again, body: one, show: c.given("again")},
		"codes-csv":   {path: again, show: c.codesCSV},
		"codes-sheet": {path: again, show: func(w http.ResponseWriter, r *http.Request, who *operator.Operator, out asked) {
			c.render(w, r, http.StatusOK, consolePage{Name: "sheet", Title: say("console.sheet"), Who: who, Data: out})
		}},
	}
}

// given shows codes that were made, or are given again: this once, and in no address.
func (c *console) given(word string) func(http.ResponseWriter, *http.Request, *operator.Operator, asked) {
	return func(w http.ResponseWriter, r *http.Request, who *operator.Operator, out asked) {
		c.render(w, r, http.StatusOK, consolePage{Name: "given", Title: titleOf("codes"), Who: who, Said: say("console.said." + word), Data: out})
	}
}

// codesCSV writes the table that lares issuer claim writes.
func (c *console) codesCSV(w http.ResponseWriter, r *http.Request, _ *operator.Operator, out asked) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="codes.csv"`)
	rows := [][]string{{"code", "url", "batch", "index", "expires"}}
	for _, x := range rowsOf(asked{"made": out}, "made", "claims") {
		expires := ""
		if ms, _ := x["expires_at"].(float64); ms != 0 {
			expires = time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{fmt.Sprint(x["code"]), fmt.Sprint(x["url"]), fmt.Sprint(x["batch"]), fmt.Sprint(x["index"]), expires})
	}
	if err := csv.NewWriter(w).WriteAll(rows); err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelInfo, "codes not written to the browser", slog.Any("error", err))
	}
}

// over reports whether the end of codes has come.
func (c *console) over(row asked) bool {
	end, _ := row["expires_at"].(float64)
	return end != 0 && int64(end) <= c.Now().UnixMilli()
}

// codes lists the batches, the newest of a page first: IDs, which order the API's pages,
// are random.
func (c *console) codes(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	d, err := c.many(r, map[string]string{"list": paged(r, "/api/v1/claims"), "offers": "/api/v1/offers"})
	if err != nil {
		c.fail(w, r, who, err)
		return
	}
	rows := rowsOf(d, "list", "batches")
	slices.SortStableFunc(rows, func(a, b asked) int {
		x, _ := a["created_at"].(float64)
		y, _ := b["created_at"].(float64)
		return cmp.Compare(y, x)
	})
	for _, row := range rows {
		row["expired"] = 0.
		if c.over(row) {
			row["expired"], row["open"] = row["open"], 0.
		}
	}
	d["rows"] = rows
	list, _ := d["list"].(asked)
	c.render(w, r, http.StatusOK, consolePage{Name: "codes", Title: titleOf("codes"), Who: who, Data: d, Next: next(r, list), Said: said(r)})
}

// batch is the page of one batch: what became of each code, and never a code.
func (c *console) batch(w http.ResponseWriter, r *http.Request, who *operator.Operator) {
	var d asked
	if err := c.call(r.Context(), http.MethodGet, "/api/v1/claims/"+url.PathEscape(r.PathValue("batch")), nil, &d); err != nil {
		c.fail(w, r, who, err)
		return
	}
	rows := rowsOf(asked{"batch": d}, "batch", "claims")
	counts := map[string]int{}
	for _, row := range rows {
		if row["state"] == "open" && c.over(row) {
			row["state"] = "expired"
		}
		counts[fmt.Sprint(row["state"])]++
	}
	p := consolePage{Name: "batch", Title: titleOf("codes"), Who: who, Said: said(r)}
	shown, from, to := shownRows(r, "from", rows)
	if to > 0 {
		p.Next = r.URL.Path + "?from=" + strconv.Itoa(to)
	}
	p.Data = asked{"batch": d, "rows": shown, "counts": counts, "from": from + 1, "to": from + len(shown), "all": len(rows)}
	c.render(w, r, http.StatusOK, p)
}

// shownRows is the page of a list that a parameter of the address names by its first row's
// number, where it begins, and where the next one does; 0 = nowhere.
func shownRows(r *http.Request, param string, rows []asked) (shown []asked, from, to int) {
	n, err := strconv.ParseUint(r.URL.Query().Get(param), 10, 31)
	if from = int(n); err != nil || from >= len(rows) {
		from = 0
	}
	if end := from + rowsShown; end < len(rows) {
		return rows[from:end], from, end
	}
	return rows[from:], from, 0
}
