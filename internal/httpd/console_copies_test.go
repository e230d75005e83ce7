package httpd_test

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const lentPage = "copies?content=the-general"

func about(reader ident.Domain) url.Values {
	return url.Values{"content": {"the-general"}, "domain": {reader.String()}}
}

// A librarian's day: who has the copy, who waits where, a copy that comes back goes to who
// is next, an offer that is ended goes on, and everything by the API's rules.
func TestConsole_Copies(t *testing.T) {
	c := newCounter(t)
	b := c.browser(c.key("Lia", operator.Support))
	_, list := c.get(b, "copies")
	if row := rowOf(t, list, "the-general"); row != "the-general 1 1 0 0 2 21 days" {
		t.Errorf("in the list: %q", row)
	}
	_, page := c.get(b, lentPage)
	if row := rowOf(t, page, readers[0].String()); !strings.Contains(row, time.Now().AddDate(0, 0, 21).UTC().Format("2006")) || !strings.Contains(row, "Take back") {
		t.Errorf("the loan: %q", row)
	}
	if first, second := rowOf(t, page, readers[1].String()), rowOf(t, page, readers[2].String()); !strings.HasPrefix(first, "1 ") || !strings.HasPrefix(second, "2 ") || !strings.Contains(first, "Waits") {
		t.Errorf("the queue: %q, %q", first, second)
	}
	if strings.Contains(page, `action="/console/do/renew-copy"`) || !strings.Contains(page, "no loan is renewed") {
		t.Error("a loan that others wait for can be renewed")
	}
	if status, text := c.post(b, "do/renew-copy", about(readers[0])); status != 409 || !strings.Contains(text, "awaited") {
		t.Errorf("renewed though others wait: %d", status)
	}
	if status, text := c.post(b, "do/lend", about(readers[2])); status != 409 || !strings.Contains(text, "no_copy") {
		t.Errorf("lent twice: %d", status)
	}
	_, page = c.post(b, "do/return-copy", about(readers[0]))
	if row := rowOf(t, page, readers[1].String()); !strings.Contains(row, "A copy is kept until") || !strings.Contains(page, "Nobody has one now") {
		t.Errorf("it came back: %q", row)
	}
	_, page = c.post(b, "do/cancel-hold", about(readers[1]))
	if row := rowOf(t, page, readers[2].String()); !strings.HasPrefix(row, "1 ") || !strings.Contains(row, "A copy is kept until") || !strings.Contains(row, "End the offer") {
		t.Errorf("the offer went on: %q", row)
	}
	_, page = c.post(b, "do/lend", about(readers[2]))
	if !strings.Contains(page, "Nobody waits.") || !strings.Contains(rowOf(t, page, readers[2].String()), "Renew") {
		t.Errorf("lent to who waited: %s", page)
	}
	if _, text := c.post(b, "do/renew-copy", about(readers[2])); !strings.Contains(text, "Done.") {
		t.Error("a loan that nobody waits for is not renewed")
	}
	if _, text := c.post(b, "do/hold", about(readers[1])); !strings.HasPrefix(rowOf(t, text, readers[1].String()), "1 ") {
		t.Errorf("a new hold: %s", text)
	}
}

// How many copies, and for how long: a time that is not whole days stays exact.
func TestConsole_CopiesAreSet(t *testing.T) {
	c := newCounter(t)
	b := c.browser(c.key("Cleo", operator.Issuing))
	set := url.Values{"content": {"the-general"}, "offer": {"lend"}, "copies": {"3"}, "period": {"90"}, "period_unit": {"minutes"}, "window": {"36"}, "window_unit": {"hours"}}
	_, page := c.post(b, "do/copies", set)
	for _, want := range []string{"Copies: 3, out: 1, free: 0, waiting: 0", "A loan is for 90 minutes; a copy is kept for who waited for 36 hours", `name="period" value="90"`, `<option value="minutes" selected>`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	for field, bad := range map[string][]string{
		"copies": {"", "-1", "2", "10001", "99999999", "many"}, "period": {"0", "-3", "1.5", "100001", "9223372036854775807", ""}, "window": {"x"},
		"period_unit": {"", "years"}, "offer": {"buy", "nothing", "<b>x</b>"}, "content": {"nosferatu", "", "<b>x</b>"},
	} {
		for _, v := range bad {
			form := maps.Clone(set)
			form.Set(field, v)
			if status, text := c.post(b, "do/copies", form); status < 400 || status >= 500 || strings.Contains(text, "<b>x") {
				t.Errorf("%s %q: %d", field, v, status)
			}
		}
	}
	if v, err := c.issuer.Copies(t.Context(), "the-general"); err != nil || v.Copies != 3 || v.Period != 90*60_000 || v.Window != 36*3600_000 {
		t.Errorf("%+v, %v", v.Stock, err)
	}
}

// A title with a loan offer and no copies has the form alone; another one says what is missing.
func TestConsole_CopiesEmpty(t *testing.T) {
	c := newCounter(t)
	b := c.browser(ownerToken)
	content := ident.Content(`a&b=c "d"/e`)
	if _, err := c.issuer.RegisterContent(t.Context(), []byte(content)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.issuer.PutOffer(t.Context(), issuer.Offer{ID: "odd", Content: content, Kind: issuer.Loan, Terms: "PLAY"}); err != nil {
		t.Fatal(err)
	}
	at := "copies?content=" + url.QueryEscape(content.String())
	if status, text := c.get(b, at); status != 200 || !strings.Contains(text, "no copies of this title yet") || !strings.Contains(text, `value="21"`) {
		t.Errorf("%d %s", status, text)
	}
	form := url.Values{"content": {content.String()}, "offer": {"odd"}, "copies": {"2"}, "period": {"1"}, "period_unit": {"days"}, "window": {"1"}, "window_unit": {"days"}}
	if _, text := c.post(b, "do/copies", form); !strings.Contains(text, "Copies: 2, out: 0, free: 2") || !strings.Contains(text, "A loan is for 1 day;") {
		t.Errorf("its copies: %s", text)
	}
	if _, text := c.get(b, "copies"); !strings.Contains(text, `href="/console/`+at+`"`) && !strings.Contains(text, url.QueryEscape(`"d"`)) && !strings.Contains(text, "%22d%22") {
		t.Errorf("the list does not lead there: %s", text)
	}
	if status, text := c.get(b, "copies?content=nosferatu"); status != 404 || !strings.Contains(text, "this needs one first") {
		t.Errorf("a title that is not lent: %d %s", status, text)
	}
}

// A long queue is shown a hundred at a time, with its places.
func TestConsole_ManyWait(t *testing.T) {
	c := newCounter(t)
	for n := range 120 {
		if _, err := c.issuer.PlaceHold(t.Context(), "the-general", ident.Domain{0x60, byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	b := c.browser(c.key("Vera", operator.Viewer))
	_, text := c.get(b, lentPage)
	if !strings.Contains(text, "<td>100</td>") || strings.Contains(text, "<td>101</td>") || !strings.Contains(text, "holds=100") {
		t.Errorf("the first hundred: %s", text)
	}
	if _, text := c.get(b, lentPage+"&holds=100"); !strings.Contains(text, "<td>101</td>") || !strings.Contains(text, "<td>122</td>") || strings.Contains(text, "<td>100</td>") {
		t.Errorf("the rest: %s", text)
	}
}

// Who may not is offered nothing, and changes nothing.
func TestConsole_CopiesByRole(t *testing.T) {
	c := newCounter(t)
	forms := map[string]url.Values{
		"copies": {"content": {"the-general"}, "offer": {"lend"}, "copies": {"1"}, "period": {"1"}, "period_unit": {"days"}, "window": {"1"}, "window_unit": {"days"}},
		"lend":   about(readers[1]), "renew-copy": about(readers[0]), "return-copy": about(readers[0]), "hold": about(customer), "cancel-hold": about(readers[1]),
	}
	before, err := c.issuer.Copies(t.Context(), "the-general")
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []operator.Role{operator.Viewer, operator.Security} {
		b := c.browser(c.key(string(role), role))
		_, page := c.get(b, lentPage)
		if strings.Contains(page, "/console/do/") || !strings.Contains(page, "Who waits") {
			t.Errorf("%s is offered a form", role)
		}
		for action, form := range forms {
			if status, _ := c.post(b, "do/"+action, form); status != 403 {
				t.Errorf("%s and %s: %d", role, action, status)
			}
		}
	}
	if status, _ := c.post(c.browser(c.key("support", operator.Support)), "do/copies", forms["copies"]); status != 403 {
		t.Errorf("support sets copies: %d", status)
	}
	after, err := c.issuer.Copies(t.Context(), "the-general")
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v is %v now, %v", before, after, err)
	}
	owner := c.browser(ownerToken)
	for _, domain := range []string{"", "x", "..", "<b>x</b>", strings.Repeat("0", 32), strings.Repeat("f", 4000)} {
		for _, action := range []string{"lend", "hold", "return-copy", "renew-copy"} {
			form := url.Values{"content": {"the-general"}, "domain": {domain}}
			if status, text := c.post(owner, "do/"+action, form); status < 400 || status >= 500 || strings.Contains(text, "<b>x") {
				t.Errorf("%s for household %.40q: %d", action, domain, status)
			}
		}
	}
}
