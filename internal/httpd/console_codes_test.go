package httpd_test

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/service/issuer"
)

// aCode is a claim code as it is written.
var aCode = regexp.MustCompile(`[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}|https://shop\.example/c/`)

// rowOf is the row of a table that has some text.
func rowOf(t *testing.T, page, text string) string {
	t.Helper()
	for row := range strings.SplitSeq(page, "<tr>") {
		if row, _, _ = strings.Cut(row, "</tr>"); strings.Contains(row, text) {
			return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(row, " ")), " ")
		}
	}
	t.Fatalf("no row with %q in %s", text, page)
	return ""
}

// A batch's page says what became of each code and never shows one; codes are withdrawn
// one by one and all at once, and what was redeemed stays.
func TestConsole_Codes(t *testing.T) {
	c := newCounter(t)
	b := c.browser(c.key("Cleo", operator.Issuing))
	_, list := c.get(b, "codes")
	if row := rowOf(t, list, c.batch); !strings.Contains(row, " 20 19 1 0 0 ") {
		t.Errorf("the batch in the list: %q", row)
	}
	_, page := c.get(b, "codes/"+c.batch)
	if row := rowOf(t, page, customer.String()); !strings.HasPrefix(row, "3 redeemed") {
		t.Errorf("the redeemed one: %q", row)
	}
	if aCode.MatchString(page) || aCode.MatchString(list) {
		t.Error("a page shows a code without being asked for it")
	}
	one := url.Values{"batch": {c.batch}, "index": {"7"}}
	if _, text := c.post(b, "do/resend-code", one); len(aCode.FindAllString(text, -1)) != 2 || !strings.Contains(text, "These are the codes again") {
		t.Errorf("one again: %s", text)
	}
	if _, text := c.post(b, "do/void-code", one); !strings.Contains(text, "Done.") || !strings.HasPrefix(rowOf(t, text, "<td>7</td>"), "7 withdrawn") {
		t.Errorf("one withdrawn: %s", text)
	}
	for _, form := range []url.Values{one, {"batch": {c.batch}, "index": {"3"}}} {
		if status, text := c.post(b, "do/resend-code", form); status < 400 || aCode.MatchString(text) {
			t.Errorf("code %v, which is open no more, is given again: %d", form["index"], status)
		}
	}
	if _, text := c.post(b, "do/void-code", url.Values{"batch": {c.batch}, "index": {"3"}}); !strings.Contains(text, "none was withdrawn") || !strings.HasPrefix(rowOf(t, text, "<td>3</td>"), "3 redeemed") {
		t.Errorf("a redeemed one withdrawn: %s", text)
	}
	if _, text := c.post(b, "do/resend", url.Values{"batch": {c.batch}}); len(aCode.FindAllString(text, -1)) != 2*18 {
		t.Errorf("all again: %d", len(aCode.FindAllString(text, -1)))
	}
	if _, text := c.post(b, "do/void", url.Values{"batch": {c.batch}}); !strings.Contains(text, "20 made: 0 open, 1 redeemed, 19 withdrawn, 0 expired") {
		t.Errorf("all withdrawn: %s", text)
	}
	if _, text := c.get(b, "codes/"+c.batch); strings.Contains(text, "Give codes again") || strings.Contains(text, "Withdraw what waits") {
		t.Error("a batch in which nothing waits has forms")
	}
}

// The table is that of the command, and the sheet has a picture for each code.
func TestConsole_CodesOnPaper(t *testing.T) {
	c := newCounter(t)
	b := c.browser(c.key("Hal", operator.Support))
	_, text := c.post(b, "do/codes-csv", url.Values{"batch": {c.batch}})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 20 || strings.Join(rows[0], " ") != "code url batch index expires" {
		t.Fatalf("%d rows, %v: %s", len(rows), err, text)
	}
	for i, row := range rows[1:] {
		code, err := issuer.ParseClaimCode(row[0])
		if err != nil || row[1] != "https://shop.example/c/"+code.Text() || row[2] != c.batch || row[4] != "" {
			t.Errorf("row %d: %q, %v", i, row, err)
		}
	}
	_, sheet := c.post(b, "do/codes-sheet", url.Values{"batch": {c.batch}})
	if n := strings.Count(sheet, "<svg "); n != 19 || strings.Count(sheet, `aria-label="QR code of the address of `+rows[1][0]) != 1 {
		t.Errorf("%d pictures", n)
	}
}

// An end is the end of a day, and what is not redeemed by then has expired.
func TestConsole_CodesEnd(t *testing.T) {
	c := newCounter(t)
	b := c.browser(ownerToken)
	today := time.Now().UTC().Format(time.DateOnly)
	_, made := c.post(b, "do/codes", url.Values{"offer": {"buy"}, "codes": {"2"}, "until": {today}})
	m := regexp.MustCompile(`/console/codes/([0-9a-f]{32})`).FindStringSubmatch(made)
	if m == nil || strings.Count(made, "https://shop.example/c/") != 2 {
		t.Fatalf("made: %s", made)
	}
	tomorrow := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	if _, text := c.get(b, "codes/"+m[1]); !strings.Contains(text, "2 open") || !strings.Contains(text, tomorrow.Format("2006")) {
		t.Errorf("before its end: %s", text)
	}
	c.ahead.Store(int64(time.Until(tomorrow) + time.Second))
	if _, text := c.get(b, "codes/"+m[1]); !strings.Contains(text, "0 open, 0 redeemed, 0 withdrawn, 2 expired") || strings.Contains(text, "Show again") {
		t.Errorf("after its end: %s", text)
	}
	_, list := c.get(b, "codes")
	if row := rowOf(t, list, m[1]); !strings.Contains(row, " 2 0 0 0 2 ") {
		t.Errorf("in the list: %q", row)
	}
	if status, _ := c.post(b, "do/codes", url.Values{"offer": {"buy"}, "codes": {"2"}, "until": {"2020-01-01"}}); status != 422 {
		t.Errorf("codes that end before they are made: %d", status)
	}
}

// Ten thousand codes: the list counts them, and a batch's page has a hundred at a time.
func TestConsole_ManyCodes(t *testing.T) {
	c := newCounter(t)
	b := c.browser(c.key("Vera", operator.Viewer))
	id := ""
	for range 10 {
		made, _, err := c.issuer.NewCodes(t.Context(), issuer.NewCodes{Offer: "rental-48h", Codes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		id = made.ID.String()
	}
	if _, text := c.get(b, "codes"); strings.Count(text, `<td class="num">1000</td><td class="num">1000</td>`) != 10 {
		t.Errorf("the list: %s", text)
	}
	seen, path := 0, "codes/"+id
	for pages := 0; path != "" && pages < 20; pages++ {
		_, text := c.get(b, path)
		n := strings.Count(text, `<span class="state is-open">`)
		if seen += n; n != 100 || !strings.Contains(text, fmt.Sprintf("%d to %d of 1000", seen-99, seen)) {
			t.Fatalf("%s: %d codes after %d", path, n, seen)
		}
		path = ""
		if m := regexp.MustCompile(`href="/console/(codes/[^"]*\?from=\d+)"`).FindStringSubmatch(text); m != nil {
			path = m[1]
		}
	}
	if seen != 1000 {
		t.Errorf("%d codes on all pages", seen)
	}
}

// Who may not is offered nothing and gets nothing, whatever they send.
func TestConsole_CodesByRole(t *testing.T) {
	c := newCounter(t)
	forms := map[string]url.Values{
		"codes": {"offer": {"buy"}, "codes": {"1"}}, "void": {"batch": {c.batch}}, "void-code": {"batch": {c.batch}, "index": {"1"}},
		"resend": {"batch": {c.batch}}, "resend-code": {"batch": {c.batch}, "index": {"1"}}, "codes-csv": {"batch": {c.batch}}, "codes-sheet": {"batch": {c.batch}},
	}
	for role, may := range map[operator.Role][]string{
		operator.Viewer: nil, operator.Security: nil, operator.Support: {"resend", "resend-code", "codes-csv", "codes-sheet"},
	} {
		b := c.browser(c.key(string(role), role))
		_, page := c.get(b, "codes/"+c.batch)
		_, list := c.get(b, "codes")
		for action, form := range forms {
			allowed := strings.Contains(" "+strings.Join(may, " ")+" ", " "+action+" ")
			if offered := strings.Contains(page+list, `action="/console/do/`+action+`"`); offered != allowed {
				t.Errorf("%s is offered %s: %v", role, action, offered)
			}
			status, text := c.post(b, "do/"+action, form)
			if (status == 200) != allowed || !allowed && aCode.MatchString(text) {
				t.Errorf("%s and %s: %d", role, action, status)
			}
		}
	}
}

// Whatever a form or an address says, nothing is withdrawn by mistake and nothing that was
// sent is repeated.
func TestConsole_CodesHostile(t *testing.T) {
	c := newCounter(t)
	b := c.browser(ownerToken)
	for _, index := range []string{"", "-1", "all", "1e3", "99999999999999999999", "0x1", "<script>"} {
		for _, action := range []string{"void-code", "resend-code"} {
			if status, text := c.post(b, "do/"+action, url.Values{"batch": {c.batch}, "index": {index}}); status != 422 || aCode.MatchString(text) || strings.Contains(text, "<script>") {
				t.Errorf("%s of place %q: %d", action, index, status)
			}
		}
	}
	for _, batch := range []string{"", "..", "../..", "<b>x</b>", strings.Repeat("f", 32), strings.Repeat("0", 4000), "%00", "a?x=1"} {
		for _, action := range []string{"void", "resend", "codes-csv", "codes-sheet"} {
			if status, text := c.post(b, "do/"+action, url.Values{"batch": {batch}}); status < 400 || status >= 500 || strings.Contains(text, "<b>x") {
				t.Errorf("%s of batch %.40q: %d", action, batch, status)
			}
		}
		if status, text := c.get(b, "codes/"+url.PathEscape(batch)); batch != "" && !strings.HasPrefix(batch, "..") && (status < 400 || status >= 500 || strings.Contains(text, "<b>x")) {
			t.Errorf("page of batch %.40q: %d", batch, status)
		}
	}
	for _, from := range []string{"-1", "20", "999999999999", "x", "100"} {
		if status, text := c.get(b, "codes/"+c.batch+"?from="+from); status != 200 || !strings.Contains(text, "1 to 20 of 20") {
			t.Errorf("from %s: %d", from, status)
		}
	}
	if _, text := c.get(b, "codes/"+c.batch); !strings.Contains(text, "20 made: 19 open, 1 redeemed, 0 withdrawn") {
		t.Errorf("something was withdrawn: %s", text)
	}
}
