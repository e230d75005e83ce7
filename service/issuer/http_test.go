package issuer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const token = "the admin token"

func api(s *shop) http.Handler { return apiOn(s, s.store, s.store.Operators()) }

func apiOn(s *shop, st issuer.Store, ops operator.Store) http.Handler {
	s.t.Helper()
	return apiWith(s, st, ops, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
}

func apiWith(s *shop, st issuer.Store, ops operator.Store, frames http.Handler) http.Handler {
	s.t.Helper()
	now := func() time.Time { return s.now }
	desk, err := operator.NewDesk(operator.Config{Store: ops, Now: now, OwnerHash: sha256.Sum256([]byte(token))})
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := issuerapi.New(issuerapi.Config{
		Issuer: s.Issuer, Store: st, Desk: desk, TREM: s.trem, Now: now, FramesPath: "/lrp/v1/frames",
		Frames: frames,
		About:  issuerapi.About{Name: "A shop", Issuer: "shop", Device: s.Device()}, URL: "https://shop.example/",
		QR: func(url string) ([]byte, error) { return []byte("picture of " + url), nil },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// call makes a request with the admin token and decodes a JSON answer.
func call(t *testing.T, h http.Handler, method, path string, in any, header ...string) (status int, out map[string]any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Body.Len() > 0 && strings.Contains(w.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w.Code, out
}

func TestHTTP_Spec6_OnlyTheTokenOpens(t *testing.T) {
	s := newShop(t)
	h := api(s)
	for _, path := range []string{
		"GET /api/v1/contents", "POST /api/v1/contents", "GET /api/v1/grants", "POST /api/v1/grants", "GET /api/v1/offers", "GET /api/v1/offers/x", "POST /api/v1/offers", "GET /api/v1/licenses/" + house.String(),
		"GET /api/v1/copies", "POST /api/v1/copies", "POST /api/v1/copies/lend", "POST /api/v1/copies/renew", "POST /api/v1/copies/return", "POST /api/v1/holds", "POST /api/v1/holds/cancel",
		"POST /api/v1/grants/" + house.String() + "/" + house.String() + "/renew", "GET /api/v1/claims", "POST /api/v1/claims", "GET /api/v1/claims/" + house.String(), "POST /api/v1/claims/" + house.String() + "/resend", "POST /api/v1/claims/" + house.String() + "/void",
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, auth := range []string{"", "Bearer ", "Bearer wrong", "Basic " + token, token} {
			if status, out := call(t, h, method, path, nil, "Authorization", auth); status != 401 || out["code"] != "unauthorized" {
				t.Errorf("%s %s with %q: %d %v", method, path, auth, status, out)
			}
		}
	}
	for path, want := range map[string]int{"/healthz": 204, "/readyz": 200, "/api/v1/about": 200, "/lrp/v1/frames": http.StatusTeapot, "/api/v1/nothing": 404} {
		if status, _ := call(t, h, "GET", path, nil, "Authorization", ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if _, out := call(t, h, "GET", "/api/v1/about", nil); out["device"] != s.Device().String() || out["issuer"] != "shop" {
		t.Errorf("about: %v", out)
	}
}

func TestHTTP_Spec6_FromKeysToALicense(t *testing.T) {
	s := newShop(t)
	h := api(s)
	if status, out := call(t, h, "POST", "/api/v1/contents", map[string]any{"keys": []byte("keys of urn:two")}); status != 200 || out["content"] != "urn:two" {
		t.Fatalf("%d %v", status, out)
	}
	ask := map[string]any{"domain": house.String(), "content": "urn:two", "terms": rental, "licenses": 3}
	status, first := call(t, h, "POST", "/api/v1/grants", ask, "Idempotency-Key", "order 17")
	if status != 200 || first["remaining"] != 3.0 {
		t.Fatalf("%d %v", status, first)
	}
	if status, again := call(t, h, "POST", "/api/v1/grants", ask, "Idempotency-Key", "order 17"); status != 200 || again["id"] != first["id"] {
		t.Errorf("the same key again: %d %v", status, again)
	}
	ask["terms"] = purchase
	if status, out := call(t, h, "POST", "/api/v1/grants", ask, "Idempotency-Key", "order 17"); status != 409 || out["code"] != "conflict" {
		t.Errorf("the same key, other terms: %d %v", status, out)
	}
	ev := request(1)
	ev.Content = "urn:two"
	if got := s.send(ev); !strings.HasSuffix(got, "plays 2") {
		t.Errorf("%q", got)
	}
	_, out := call(t, h, "GET", "/api/v1/licenses/"+house.String(), nil)
	if rows, ok := out["licenses"].([]any); !ok || len(rows) != 1 {
		t.Errorf("licenses: %v", out)
	}
	id, _ := first["id"].(string)
	if status, _ := call(t, h, "POST", "/api/v1/grants/"+house.String()+"/"+id+"/revoke", struct{}{}); status != 200 {
		t.Errorf("revoke: %d", status)
	}
	ev.Request = ident.Request{2}
	if got := s.send(ev); got != "refused NO_GRANT" {
		t.Errorf("after the revocation: %q", got)
	}
}

func TestHTTP_Spec6_OffersAndPages(t *testing.T) {
	s := newShop(t)
	h := api(s)
	if status, out := call(t, h, "POST", "/api/v1/offers", issuer.Offer{ID: "rent", Content: film, Terms: rental, Licenses: 2}); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	if _, out := call(t, h, "GET", "/api/v1/offers", nil); len(out["offers"].([]any)) != 1 {
		t.Errorf("%v", out)
	}
	if status, out := call(t, h, "GET", "/api/v1/offers/rent", nil); status != 200 || out["name"] != "rent" || out["kind"] != "rental" {
		t.Errorf("one offer: %d %v", status, out)
	}
	if status, out := call(t, h, "GET", "/api/v1/offers/none", nil); status != 404 || out["code"] != "not_found" {
		t.Errorf("no offer: %d %v", status, out)
	}
	const n = 205
	for range n {
		if status, out := call(t, h, "POST", "/api/v1/grants", map[string]any{"domain": house, "offer": "rent"}); status != 200 {
			t.Fatalf("%d %v", status, out)
		}
	}
	seen, path := map[any]bool{}, "/api/v1/grants"
	for path != "" {
		status, out := call(t, h, "GET", path, nil)
		if status != 200 {
			t.Fatalf("%d %v", status, out)
		}
		for _, g := range out["grants"].([]any) {
			seen[g.(map[string]any)["id"]] = true
		}
		path = ""
		if next, ok := out["next"].(string); ok {
			path = "/api/v1/grants?after=" + next
		}
	}
	if len(seen) != n {
		t.Errorf("%d grants on all pages, want %d", len(seen), n)
	}
}

func TestHTTP_Spec6_Problems(t *testing.T) {
	s := newShop(t)
	h := api(s)
	for _, tc := range []struct {
		name, path string
		in         any
		status     int
		code       string
	}{
		{"unknown field", "/api/v1/grants", map[string]any{"domain": house, "colour": 1}, 422, "invalid"},
		{"bad household", "/api/v1/grants", map[string]any{"domain": "xx"}, 422, "invalid"},
		{"bad terms", "/api/v1/grants", map[string]any{"domain": house, "content": film, "terms": "PLAY; NO"}, 422, "invalid"},
		{"unknown content", "/api/v1/grants", map[string]any{"domain": house, "content": "urn:x", "terms": rental}, 404, "not_found"},
		{"unknown offer", "/api/v1/grants", map[string]any{"domain": house, "offer": "x"}, 404, "not_found"},
		{"offer and terms", "/api/v1/grants", map[string]any{"domain": house, "offer": "x", "terms": rental}, 422, "invalid"},
		{"foreign keys", "/api/v1/contents", map[string]any{"keys": []byte("zzz")}, 422, "rejected"},
		{"too large", "/api/v1/contents", map[string]any{"keys": make([]byte, 300<<10)}, 413, "too_large"},
		{"unknown grant", "/api/v1/grants/" + house.String() + "/" + house.String() + "/revoke", struct{}{}, 404, "not_found"},
		{"bad grant ID", "/api/v1/grants/" + house.String() + "/1/revoke", struct{}{}, 422, "invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, out := call(t, h, "POST", tc.path, tc.in); status != tc.status || out["code"] != tc.code {
				t.Errorf("%d %v, want %d %s", status, out, tc.status, tc.code)
			}
		})
	}
	if status, _ := call(t, h, "POST", "/api/v1/grants", nil, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("a form: %d", status)
	}
	s.trem.epoch = 0
	if status, out := call(t, h, "POST", "/api/v1/grants", map[string]any{"domain": house, "content": film, "terms": rental}); status != 503 || out["code"] != "not_ready" {
		t.Errorf("not ready: %d %v", status, out)
	}
	if status, out := call(t, h, "GET", "/readyz", nil); status != 503 || out["trem"] != "failed" || out["store"] != "ok" {
		t.Errorf("readyz: %d %v", status, out)
	}
}

// A store that fails must not show its errors to the outside.
func TestHTTP_Spec6_InternalErrorsStayInside(t *testing.T) {
	s := newShop(t)
	i, err := issuer.New(t.Context(), issuer.Config{TREM: s.trem, Store: brokenStore{}, Now: s.Issuer.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s.Issuer = i
	status, out := call(t, apiOn(s, brokenStore{}, s.store.Operators()), "GET", "/api/v1/grants", nil)
	if status != 500 || strings.Contains(out["detail"].(string), "disk") {
		t.Errorf("%d %v", status, out)
	}
}

type brokenStore struct{}

func (brokenStore) Update(context.Context, func(context.Context, issuer.Tx) error) error {
	return errors.New("disk /dev/x")
}

func (brokenStore) View(context.Context, func(context.Context, issuer.Reader) error) error {
	return errors.New("disk /dev/x")
}

func (brokenStore) Ahead(context.Context, issuer.Asked) (issuer.Ahead, error) {
	return issuer.Ahead{}, errors.New("disk /dev/x")
}

func (brokenStore) License(context.Context, ident.Domain, ident.License) (issuer.License, error) {
	return issuer.License{}, errors.New("disk /dev/x")
}

func (brokenStore) Issue(context.Context, issuer.Issue) (bool, error) {
	return false, errors.New("disk /dev/x")
}
