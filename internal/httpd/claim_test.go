package httpd_test

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// shopTREM is what claim pages need of an issuer's module.
type shopTREM struct{ issuer.TREM }

func (shopTREM) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: ident.Device{1}, Issuer: "shop", Epoch: 1}, nil
}

func (shopTREM) RegisterKeys(context.Context, []byte) (ident.Content, error) { return "urn:film", nil }

// claimShop is an issuer with one offer, and its pages.
func claimShop(t *testing.T, o issuer.Offer) (*issuer.Issuer, http.Handler) {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "issuer.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	key, err := issuer.NewClaimKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	i, err := issuer.New(t.Context(), issuer.Config{TREM: shopTREM{}, Store: db, Now: time.Now, ClaimKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.RegisterContent(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	o.Content = "urn:film"
	if _, err := i.PutOffer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	h, err := httpd.NewClaimPages(httpd.ClaimConfig{Issuer: i, Name: "Corner <Video>", URL: "https://shop.example", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return i, h
}

func shown(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	return w
}

func TestClaimPage_Spec6_SaysWhatIsBought(t *testing.T) {
	o := issuer.Offer{ID: "rental-48h", Name: "Metropolis & more, 48 hours", Words: "A <film> of 1927.", Terms: "PLAY; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey"}
	i, h := claimShop(t, o)
	_, coded, err := i.NewCodes(t.Context(), issuer.NewCodes{Offer: "rental-48h", Codes: 3, Expires: time.Now().Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	code := coded[0].Code
	for _, path := range []string{"/c/" + code.Text(), "/c/" + strings.ToLower(code.Grouped()), "/c?code=" + code.Grouped()} {
		w := shown(t, h, path)
		page := w.Body.String()
		text := pageText(w.Body.Bytes())
		if w.Code != 200 || strings.Contains(page, "<script") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Fatalf("%d, with a script: %v", w.Code, strings.Contains(page, "<script"))
		}
		for _, want := range []string{
			"Metropolis &amp; more, 48 hours", "A &lt;film&gt; of 1927.", "Corner &lt;Video&gt;", "for 48 hours from the first start, 2 times", "plays to its end as promised",
			"Nobody sees what you watch", code.Grouped(), "Redeem it before",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q:\n%s", want, text)
			}
		}
		for _, want := range []string{"lares home claim https://shop.example/c/" + code.Text(), `src="data:image/png;base64,iVBOR`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if bad := internalWords.FindString(text); bad != "" {
			t.Errorf("the page says %q", bad)
		}
	}
	// Reading is not redeeming: whoever opened the page first, the next can have it.
	if _, err := i.Redeem(t.Context(), netip.MustParseAddr("192.0.2.1"), code, ident.Domain{7}); err != nil {
		t.Fatal(err)
	}
	if text := pageText(shown(t, h, "/c/"+code.Text()).Body.Bytes()); !strings.Contains(text, "has been redeemed") || strings.Contains(text, code.Grouped()) {
		t.Errorf("a redeemed code: %s", text)
	}
	one := uint64(1)
	if _, err := i.Void(t.Context(), coded[1].Batch, &one); err != nil {
		t.Fatal(err)
	}
	if text := pageText(shown(t, h, "/c/"+coded[1].Code.Text()).Body.Bytes()); !strings.Contains(text, "withdrawn") {
		t.Errorf("a withdrawn code: %s", text)
	}
}

func TestClaimPage_Spec6_WhatIsNoCode(t *testing.T) {
	_, h := claimShop(t, issuer.Offer{ID: "x", Terms: "PLAY"})
	if w := shown(t, h, "/c"); w.Code != 200 || !strings.Contains(w.Body.String(), `<form method="get" action="/c">`) {
		t.Errorf("%d: no form", w.Code)
	}
	for path, want := range map[string]int{"/c/xyz": 404, "/c/%3Cscript%3E": 404, "/c?code=%00": 404, "/static/style.css": 200, "/static/player.js": 404, "/": 404} {
		w := shown(t, h, path)
		if w.Code != want || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	status := 0
	for n := range 20 { // right in form, and nobody's
		status = shown(t, h, "/c/"+guess(t, n)).Code
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("twenty wrong codes: %d", status)
	}
}

func TestQR_Spec5_IsAPicture(t *testing.T) {
	data, err := httpd.QR("https://shop.example/c/DFKKB0FR9E2G")
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(data)); err != nil || img.Bounds().Dx() < 100 {
		t.Errorf("%v", err)
	}
	if _, err := httpd.QR(strings.Repeat("x", 5000)); err == nil {
		t.Error("more than a QR code holds was drawn")
	}
}

// guess is a code of the right form that no shop gave out: the check symbol is
// found by trying.
func guess(t *testing.T, n int) string {
	t.Helper()
	for _, s := range "0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
		text := fmt.Sprintf("%011d%c", n, s)
		if _, err := issuer.ParseClaimCode(text); err == nil {
			return text
		}
	}
	t.Fatal("no symbol fits")
	return ""
}
