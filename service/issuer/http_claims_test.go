package issuer_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/service/issuer"
)

// claimsIn are the claims of an answer.
func claimsIn(t *testing.T, out map[string]any) (all []map[string]any) {
	t.Helper()
	rows, ok := out["claims"].([]any)
	if !ok {
		t.Fatalf("no claims in %v", out)
	}
	for _, r := range rows {
		all = append(all, r.(map[string]any))
	}
	return all
}

func TestHTTP_Spec5_FromAPaymentToAGrant(t *testing.T) {
	s := selling(t)
	h := api(s)
	ask := map[string]any{"offer": "rental-48h", "codes": 2, "qr": true}
	status, first := call(t, h, "POST", "/api/v1/claims", ask, "Idempotency-Key", "payment 1")
	if status != 200 {
		t.Fatalf("%d %v", status, first)
	}
	if status, again := call(t, h, "POST", "/api/v1/claims", ask, "Idempotency-Key", "payment 1"); status != 200 || claimsIn(t, again)[1]["code"] != claimsIn(t, first)[1]["code"] {
		t.Errorf("the same payment again: %d %v", status, again)
	}
	ask["codes"] = 3
	if status, out := call(t, h, "POST", "/api/v1/claims", ask, "Idempotency-Key", "payment 1"); status != 409 || out["code"] != "conflict" {
		t.Errorf("the same payment for more: %d %v", status, out)
	}
	one := claimsIn(t, first)[0]
	code, url := one["code"].(string), one["url"].(string)
	if want := "https://shop.example/c/" + strings.ReplaceAll(code, "-", ""); url != want {
		t.Errorf("URL %s, want %s", url, want)
	}
	if picture, err := base64.StdEncoding.DecodeString(one["qr"].(string)); err != nil || string(picture) != "picture of "+url {
		t.Errorf("the picture is %q, %v", picture, err)
	}
	// The house shows the URL itself, without the operator's token.
	status, got := call(t, h, "POST", "/api/v1/claims/redeem", map[string]any{"code": url, "domain": house}, "Authorization", "")
	if status != 200 || got["content"] != string(film) || got["offer"] != "rental-48h" {
		t.Fatalf("redeem: %d %v", status, got)
	}
	batch, _ := first["batch"].(string)
	_, out := call(t, h, "GET", "/api/v1/claims/"+batch, nil)
	rows := claimsIn(t, out)
	if rows[0]["state"] != "redeemed" || rows[0]["domain"] != house.String() || rows[0]["grant"] != got["grant"] || rows[1]["state"] != "open" {
		t.Errorf("the batch: %v", rows)
	}
	if rows[0]["code"] != nil || strings.Contains(strings.ToUpper(out["batch"].(string)), strings.ReplaceAll(code, "-", "")) {
		t.Error("reading a batch gives its codes away")
	}
	if status, out := call(t, h, "POST", "/api/v1/claims/"+batch+"/resend", map[string]any{}); status != 200 || len(claimsIn(t, out)) != 1 || claimsIn(t, out)[0]["code"] != claimsIn(t, first)[1]["code"] {
		t.Errorf("resend: %d %v", status, out)
	}
	if status, out := call(t, h, "POST", "/api/v1/claims/"+batch+"/resend", map[string]any{"index": 0}); status != 409 || out["code"] != "code_taken" {
		t.Errorf("resend what was redeemed: %d %v", status, out)
	}
	if status, out := call(t, h, "POST", "/api/v1/claims/"+batch+"/void", map[string]any{"index": 1}); status != 200 || out["void"] != 1.0 {
		t.Errorf("void: %d %v", status, out)
	}
	if _, out := call(t, h, "GET", "/api/v1/claims", nil); len(out["batches"].([]any)) != 1 {
		t.Errorf("batches: %v", out)
	}
}

func TestHTTP_Spec5_RefusalsOfCodesHaveNames(t *testing.T) {
	s := selling(t)
	h := api(s)
	_, coded := s.codes(issuer.NewCodes{Codes: 3, Expires: s.now.Add(time.Hour).UnixMilli()})
	one := uint64(1)
	if _, err := s.Void(t.Context(), coded[0].Batch, &one); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), customer, coded[0].Code, other); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour)
	for _, tc := range []struct {
		name, code string
		status     int
		want       string
	}{
		{"mistyped", "ABCD-EFGH-JKMN", 422, "code_mistyped"},
		{"unknown", issuer.CodeOf(claimKey(t, 2), issuer.BatchID{}, 0).Text(), 404, "code_unknown"},
		{"taken", coded[0].Code.Text(), 409, "code_taken"},
		{"void", coded[1].Code.Text(), 410, "code_void"},
		{"expired", coded[2].Code.Text(), 410, "code_expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, out := call(t, h, "POST", "/api/v1/claims/redeem", map[string]any{"code": tc.code, "domain": house}); status != tc.status || out["code"] != tc.want {
				t.Errorf("%d %v, want %d %s", status, out, tc.status, tc.want)
			}
		})
	}
	for n := range uint64(11) {
		wrong := issuer.CodeOf(claimKey(t, 2), issuer.BatchID{}, n).Text()
		status, out := call(t, h, "POST", "/api/v1/claims/redeem", map[string]any{"code": wrong, "domain": house})
		if n == 10 && (status != 429 || out["code"] != "code_guessing") {
			t.Errorf("after ten wrong codes: %d %v", status, out)
		}
	}
}
