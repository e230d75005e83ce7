package issuer_test

import (
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

func TestHTTP_Spec4_CopiesAndHolds(t *testing.T) {
	s := library(t, 1)
	h := api(s)
	ask := func(path string, d ident.Domain) (int, map[string]any) {
		return call(t, h, "POST", "/api/v1/"+path, map[string]any{"content": film, "domain": d})
	}
	status, loan := ask("copies/lend", house)
	if status != 200 || loan["domain"] != house.String() || loan["until"] != float64(s.now.Add(loanPeriod).UnixMilli()) {
		t.Fatalf("%d %v", status, loan)
	}
	for _, tc := range []struct {
		path   string
		d      ident.Domain
		status int
		code   string
	}{
		{"copies/lend", other, 409, "no_copy"},
		{"holds", house, 409, "conflict"},
		{"holds", ident.Domain{}, 422, "invalid"},
		{"copies/renew", other, 404, "not_found"},
		{"copies/return", other, 404, "not_found"},
		{"holds/cancel", other, 404, "not_found"},
	} {
		if status, out := ask(tc.path, tc.d); status != tc.status || out["code"] != tc.code {
			t.Errorf("%s: %d %v, want %d %s", tc.path, status, out, tc.status, tc.code)
		}
	}
	if status, out := ask("holds", other); status != 200 || out["offered_until"] != 0.0 {
		t.Errorf("hold: %d %v", status, out)
	}
	if status, out := ask("copies/renew", house); status != 409 || out["code"] != "awaited" {
		t.Errorf("renew while one waits: %d %v", status, out)
	}
	s.fetch(house, 1)
	if status, out := ask("copies/return", house); status != 409 || out["code"] != "still_out" {
		t.Errorf("return of what was fetched: %d %v", status, out)
	}
	for _, query := range []string{"", "?content=" + string(film), "?after=urn:a"} {
		status, out := call(t, h, "GET", "/api/v1/copies"+query, nil)
		rows, _ := out["copies"].([]any)
		if status != 200 || len(rows) != 1 {
			t.Fatalf("%s: %d %v", query, status, out)
		}
		if row := rows[0].(map[string]any); row["free"] != 0.0 || row["waiting"] != 1.0 || len(row["loans"].([]any)) != 1 || len(row["holds"].([]any)) != 1 {
			t.Errorf("%s: %v", query, row)
		}
	}
	if status, out := call(t, h, "GET", "/api/v1/copies?content=urn:none", nil); status != 404 {
		t.Errorf("copies of nothing: %d %v", status, out)
	}
	if status, out := call(t, h, "POST", "/api/v1/copies", map[string]any{"content": film, "copies": 0, "offer": "loan", "period_ms": 60000, "window_ms": 60000}); status != 409 || out["code"] != "conflict" {
		t.Errorf("fewer than are out: %d %v", status, out)
	}
	// Though nobody asks: whoever is next is offered the copy when it is back.
	s.now = s.now.Add(loanPeriod + loanGuard)
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, out := ask("copies/lend", other); status != 200 || out["domain"] != other.String() {
		t.Errorf("the next one: %d %v", status, out)
	}
}
