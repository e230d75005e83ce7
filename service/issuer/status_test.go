package issuer_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// document asks for the status of a house's n-th license.
func document(t *testing.T, s *shop, h http.Handler, n int) (out map[string]any, rels string) {
	t.Helper()
	status, out := call(t, h, "GET", "/status/v1/"+house.String()+"/"+s.licenses()[n].ID.String(), nil, "Authorization", "")
	if status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	var all []string
	for _, l := range out["links"].([]any) {
		all = append(all, l.(map[string]any)["rel"].(string))
	}
	return out, strings.Join(all, " ")
}

func want(t *testing.T, s *shop, h http.Handler, when, state, rels string) {
	t.Helper()
	out, got := document(t, s, h, 0)
	if out["status"] != state || got != rels || out["message"] == "" {
		t.Errorf("%s: %v with links %q, want %s with %q", when, out["status"], got, state, rels)
	}
}

func TestStatus_Spec2_ACountedRental(t *testing.T) {
	s := newShop(t)
	h := api(s)
	g := s.grant("PLAY; PLAY_COUNT=2; END_TIME=2027-01-01T00:00:00Z", 1)
	sealed := s.send(request(1))
	want(t, s, h, "made", "ready", "license")
	s.send(receipt(1, sealed, true))
	want(t, s, h, "confirmed", "active", "")
	if err := s.Revoke(t.Context(), issuer.GrantKey{Domain: house, Grant: g.ID}); err != nil {
		t.Fatal(err)
	}
	want(t, s, h, "its grant was ended", "revoked", "")
}

func TestStatus_Spec2_ItsEndHasCome(t *testing.T) {
	s := newShop(t)
	h := api(s)
	s.grant("PLAY; END_TIME=2027-01-01T00:00:00Z", 1)
	s.send(request(1))
	want(t, s, h, "given", "active", "license")
	s.now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want(t, s, h, "at its end", "expired", "")
}

// When a rental runs from the first play its issuer never learns its end.
func TestStatus_Spec2_TheFirstPlayIsNotKnown(t *testing.T) {
	s := newShop(t)
	h := api(s)
	s.grant("PLAY; INTERVAL=48h", 1)
	s.send(receipt(1, s.send(request(1)), true))
	s.now = s.now.Add(1000 * time.Hour)
	want(t, s, h, "long after", "active", "")
}

func TestStatus_Spec2_ARefusedTransfer(t *testing.T) {
	s := newShop(t)
	h := api(s)
	s.grant(rental, 1)
	s.send(receipt(1, s.send(request(1)), false))
	want(t, s, h, "the house's module refused it", "cancelled", "license")
	if got := s.send(request(2)); !strings.HasPrefix(got, "license ") {
		t.Errorf("what the link promises: %q", got)
	}
	l := newShop(t)
	if _, err := l.Grant(t.Context(), issuer.Grant{Domain: house, Content: film, Kind: issuer.Loan, Terms: "PLAY; PLAY_COUNT=1; CHARGE=LOAN"}); err != nil {
		t.Fatal(err)
	}
	l.send(receipt(1, l.send(request(1)), false))
	want(t, l, api(l), "a loan was refused", "returned", "")
}

// A renew link stands there when, and only when, following it gives more time.
func TestStatus_Spec3_OnlyTheLinksThatAreAllowedNow(t *testing.T) {
	s := library(t, 1)
	h := api(s)
	if _, err := s.Lend(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	s.fetch(house, 1)
	follow := func() (int, map[string]any) {
		return call(t, h, "POST", "/status/v1/"+house.String()+"/"+s.licenses()[0].ID.String()+"/renew", nil, "Authorization", "")
	}
	want(t, s, h, "just borrowed", "active", "license")
	s.now = s.now.Add(time.Hour)
	want(t, s, h, "an hour later", "active", "license renew")
	before, _ := document(t, s, h, 0)
	end := before["potential_rights"].(map[string]any)["end"]
	status, after := follow()
	if status != 200 || after["status"] != "ready" {
		t.Fatalf("renew: %d %v", status, after)
	}
	want(t, s, h, "renewed, not fetched", "ready", "license")
	s.fetch(house, 2)
	want(t, s, h, "fetched", "active", "license")
	v, err := s.Copies(t.Context(), film)
	if err != nil || time.UnixMilli(v.Loans[0].Until).UTC().Format(time.RFC3339) != end {
		t.Errorf("it promised %v and gave %v, %v", end, v.Loans, err)
	}
	s.now = s.now.Add(time.Hour)
	if _, err := s.PlaceHold(t.Context(), film, other); err != nil {
		t.Fatal(err)
	}
	want(t, s, h, "somebody waits", "active", "license")
	if status, out := follow(); status != 409 || out["code"] != "awaited" {
		t.Errorf("renew while somebody waits: %d %v", status, out)
	}
	s.now = time.UnixMilli(v.Loans[0].Until)
	want(t, s, h, "at its end", "expired", "")
	s.now = s.now.Add(loanGuard)
	if status, out := follow(); status != 409 || out["code"] != "not_renewed" {
		t.Errorf("renew what is back: %d %v", status, out)
	}
	if _, err := s.Lend(t.Context(), film, other); err != nil {
		t.Fatal(err)
	}
	want(t, s, h, "another house has it", "expired", "")
}

func TestStatus_Spec1_WhoDoesNotHaveTheLicense(t *testing.T) {
	s := newShop(t)
	h := api(s)
	s.grant(rental, 1)
	s.send(request(1))
	id := s.licenses()[0].ID.String()
	for path, code := range map[string]int{
		"/status/v1/" + other.String() + "/" + id: 404, "/status/v1/" + house.String() + "/" + house.String(): 404, "/status/v1/" + house.String() + "/1": 422,
	} {
		if status, out := call(t, h, "GET", path, nil); status != code {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
	if _, out := call(t, h, "GET", "/api/v1/about", nil); out["status"] != "https://shop.example/status/v1/{domain}/{license}" {
		t.Errorf("about: %v", out)
	}
}

func TestStatus_Spec4_WorkedExample(t *testing.T) {
	s := library(t, 1)
	if _, err := s.Lend(t.Context(), film, house); err != nil {
		t.Fatal(err)
	}
	s.fetch(house, 1)
	s.now = s.now.Add(time.Hour)
	out, _ := document(t, s, api(s), 0)
	page, err := os.ReadFile("../../docs/spec/status.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "### Worked example")
	parts := strings.Split(after, "```")
	if !ok || len(parts) < 3 {
		t.Fatal("docs/spec/status.md has no worked example")
	}
	got, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	// The license ID is made of a random grant ID.
	got = bytes.ReplaceAll(got, []byte(s.licenses()[0].ID.String()), []byte(ident.License{1}.String()))
	var example, mine any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(parts[1], "json")), &example); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &mine); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(example)
	b, _ := json.Marshal(mine)
	if !bytes.Equal(a, b) {
		t.Errorf("the page's example is\n%s\nthis issuer answers\n%s", a, got)
	}
}
