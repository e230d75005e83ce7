package httpd_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// ownRunning is own with the stand-in module, of a house that runs.
func ownRunning(t *testing.T, name string) (at string, h *home.Home, f *home.Film, m *hometest.Module) {
	t.Helper()
	srv, h, m := house(t, cenc.SchemeCENC)
	if _, err := h.Watch(t.Context(), hometest.OwnFilm(t, name)); err != nil || len(h.Films()) != 1 {
		t.Fatalf("own films: %v, %v", h.Films(), err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv.URL, h, h.Films()[0], m
}

// TestHTTP_4_ProtectedOnItsPage: a button protects a film; the library has one entry for
// it then, its page says in words what became of the file, that nobody at home plays it
// while it is lent, and until when that is; a button takes it back.
func TestHTTP_4_ProtectedOnItsPage(t *testing.T) {
	at, h, f, m := ownRunning(t, "Grandmother <at> eighty.mp4")
	orders := make(chan trem.HandOver, 1)
	m.OnHandOver = func(o trem.HandOver) (trem.Handed, error) { orders <- o; return trem.Handed{}, nil }
	v := visit(t, at)
	film, title := "/film/"+f.ID.String(), "/title/"+f.ID.String()
	if _, body := v.open(film); !strings.Contains(body, "stays where it is, unprotected") || !strings.Contains(body, `action="`+film+`/protect"`) {
		t.Errorf("its page offers nothing: %s", pageText([]byte(body)))
	}
	if status, body := v.send(film, film+"/protect", url.Values{}); status != http.StatusOK || !strings.Contains(body, "is being protected") && !strings.Contains(body, "You protected this film yourself") {
		t.Fatalf("protect: %d %s", status, pageText([]byte(body)))
	}
	for end := time.Now().Add(10 * time.Second); len(h.Films()) > 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, body := v.open(film); internalWords.MatchString(pageText([]byte(body))) {
			t.Fatalf("its page while it is packed: %s", pageText([]byte(body)))
		}
	}
	if _, body := v.open("/"); strings.Count(body, "<h2><a href") != 2 || !strings.Contains(body, title) || strings.Contains(body, film) || !strings.Contains(body, "Your own film, protected") {
		t.Errorf("the library: %s", pageText([]byte(body)))
	}
	status, body := v.open(film) // leads to the title
	for _, want := range []string{"You protected this film yourself", "stays where it is, unprotected", html.EscapeString(f.Path), "nobody at home can play it meanwhile", "Address of the other house", "from your house"} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("its page lacks %q: %d %s", want, status, pageText([]byte(body)))
		}
	}
	if text := pageText([]byte(body)); internalWords.MatchString(text) {
		t.Errorf("internal words: %s", text)
	}
	other, _, theirs := house(t, cenc.SchemeCENC)
	if status, body := v.send(title, title+"/lend", url.Values{"house": {other.URL}, "days": {"3"}}); status != http.StatusOK || !strings.Contains(body, "It is lent.") {
		t.Errorf("lent to another house: %d %s", status, pageText([]byte(body)))
	} else if o := <-orders; o.Op != trem.OpLend || o.Content != f.ID || o.ForMS != 3*86_400_000 || theirs.State.Device == m.State.Device {
		t.Errorf("lent as %+v", o)
	}
	until := time.Now().Add(72 * time.Hour).UnixMilli()
	m.Decide = func(a trem.Ask) license.Decision {
		if a.Content != f.ID || a.Action != permission.Play {
			return license.Decision{Allow: true}
		}
		return license.Decision{Reasons: []license.Reason{{Code: license.LentOut, Constraint: "PHASE", Closed: true, Earliest: until, Remedy: license.WaitUntil}}}
	}
	m.Lock()
	m.Held[0].Phase = license.Lent.String()
	m.Unlock()
	if _, body := v.open(title); !strings.Contains(body, "It is lent. <em>It works again from ") || !strings.Contains(body, time.UnixMilli(until).Format(" 15:04")) {
		t.Errorf("while it is lent: %s", pageText([]byte(body)))
	}
	if status, body := v.send(title, title+"/unprotect", url.Values{}); status != http.StatusForbidden || !strings.Contains(body, "It is lent.") {
		t.Errorf("taken back while it is lent: %d %s", status, pageText([]byte(body)))
	}
	m.Decide = nil
	m.Lock()
	m.Held[0].Phase = license.Held.String()
	m.Unlock()
	if status, body := v.send(title, title+"/unprotect", url.Values{}); status != http.StatusOK || !strings.Contains(body, "It is not protected any more.") || !strings.Contains(body, `<video`) {
		t.Errorf("taken back: %d %s", status, pageText([]byte(body)))
	}
}

// TestHTTP_4_ProtectByTheAPI: it answers when the film is protected, and says why not.
func TestHTTP_4_ProtectByTheAPI(t *testing.T) {
	at, h, f, m := ownRunning(t, "Holidays.mp4")
	address := at + "/api/v1/library/" + f.ID.String() + "/protect"
	m.OnProtect = func() error { return &trem.Error{Code: trem.CodeRejected, Text: "no"} }
	if res, data := get(t, "POST", address, struct{}{}); res.StatusCode != http.StatusUnprocessableEntity || code(t, data) != "rejected" {
		t.Errorf("the module says no: %d %s", res.StatusCode, data)
	}
	if _, page := get(t, "GET", at+"/film/"+f.ID.String(), nil); !strings.Contains(string(page), "It is not protected. The secure player does not accept this") {
		t.Errorf("its page does not say so: %s", pageText(page))
	}
	m.OnProtect = nil
	m.Lock()
	m.Held = append(m.Held, trem.Held{Content: f.ID, House: true, Kind: uint64(license.KindLoan)})
	m.Unlock()
	if res, data := get(t, "POST", address, struct{}{}); res.StatusCode != http.StatusUnprocessableEntity || code(t, data) != "borrowed" {
		t.Errorf("it is lent to the house: %d %s", res.StatusCode, data)
	}
	m.Lock()
	m.Held = m.Held[:len(m.Held)-1]
	m.Unlock()
	var got home.Protected
	res, data := get(t, "POST", address, struct{}{})
	if err := json.Unmarshal(data, &got); err != nil || res.StatusCode != http.StatusCreated || got.Content != f.ID || got.Clear != f.Path || !home.IsPacked(got.Folder) {
		t.Fatalf("protect: %d %s", res.StatusCode, data)
	}
	twin := filepath.Join(t.TempDir(), "twin")
	if err := os.CopyFS(twin, os.DirFS(got.Folder)); err != nil {
		t.Fatal(err)
	}
	if res, data := get(t, "POST", at+"/api/v1/library", httpd.AddRequest{Folder: twin}); res.StatusCode != http.StatusUnprocessableEntity || code(t, data) != "twin" {
		t.Errorf("another house's copy: %d %s", res.StatusCode, data)
	}
	for _, tc := range []struct {
		method, address string
		status          int
		code            string
	}{
		{"POST", address, http.StatusUnprocessableEntity, "protected"},
		{"POST", at + "/api/v1/library/" + filmPath + "/protect", http.StatusNotFound, "not_found"},
		{"DELETE", at + "/api/v1/library/" + filmPath + "/protect", http.StatusUnprocessableEntity, "not_protected"},
		{"GET", at + home.PathFilms + "/" + f.ID.String(), http.StatusNotFound, "not_found"},
	} {
		if res, data := get(t, tc.method, tc.address, struct{}{}); res.StatusCode != tc.status || code(t, data) != tc.code {
			t.Errorf("%s %s: %d %s", tc.method, tc.address, res.StatusCode, data)
		}
	}
	if res, data := get(t, "DELETE", address, nil); res.StatusCode != http.StatusNoContent || len(h.Films()) != 1 {
		t.Errorf("taken back: %d %s", res.StatusCode, data)
	}
}

// TestHTTP_4_ProtectedIsNoMoreForChildren: a child or a guest learns of a protected film
// neither by the library, the API nor its pages, until an adult has rated it, and takes no
// protection back.
func TestHTTP_4_ProtectedIsNoMoreForChildren(t *testing.T) {
	f := newFamily(t)
	f.moveIn(t)
	f.now = time.Now().AddDate(0, 0, 1)
	f.now = time.Date(f.now.Year(), f.now.Month(), f.now.Day(), 12, 0, 0, 0, time.Local) // a child's hour, and the file is old by then
	adult, child, guest := visit(t, f.URL), visit(t, f.URL), visit(t, f.URL)
	f.sit(t, adult, f.ada, "1111", "")
	f.sit(t, child, f.ben, "", "")
	f.sit(t, guest, f.guest, "1111", f.ada.ID)
	done := make(chan error, 1)
	go func() { done <- f.h.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := f.h.Watch(t.Context(), hometest.OwnFilm(t, "Holidays.mp4")); err != nil || len(f.h.Films()) != 1 {
		t.Fatal(err, f.h.Films())
	}
	id := f.h.Films()[0].ID
	film, title, api := "/film/"+id.String(), "/title/"+id.String(), "/api/v1/library/"+id.String()
	for _, v := range []*visitor{child, guest} {
		if _, body := v.send("/who", film+"/protect", url.Values{}); !strings.Contains(body, "adults of the house") {
			t.Errorf("protected by who may not: %s", pageText([]byte(body)))
		}
	}
	if _, asked := f.h.ProtectingOf(id); asked {
		t.Error("it is being protected")
	}
	if _, err := f.h.Protect(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	see := func(who string, v *visitor, want bool) {
		t.Helper()
		for _, place := range []string{"/", "/?q=holi", "/api/v1/library"} {
			if status, body := v.open(place); status != http.StatusOK || strings.Contains(body, "Holidays") != want {
				t.Errorf("%s: %s: %d, want it there: %v", who, place, status, want)
			}
		}
		for _, place := range []string{film, title, api} {
			status, body := v.open(place)
			if (status == http.StatusOK) != want || strings.Contains(body, "Holidays") != want || !want && !strings.Contains(body, "adults of the house") {
				t.Errorf("%s: %s: %d %s, want it there: %v", who, place, status, pageText([]byte(body)), want)
			}
		}
	}
	see("Ada", adult, true)
	see("Ben", child, false)
	see("the guest", guest, false)
	for _, v := range []*visitor{child, guest} {
		v.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/title/") {
				t.Errorf("led to %s, so it is there", r.URL)
			}
			return nil
		}
		v.open(film)
		v.CheckRedirect = nil
		for _, do := range []string{"/unprotect", "/lend", "/once"} {
			if _, body := v.send("/who", title+do, url.Values{"by": {f.ada.ID}, "pin": {"1111"}}); !strings.Contains(body, "adults of the house") || strings.Contains(body, "Holidays") {
				t.Errorf("%s by who may not: %s", do, pageText([]byte(body)))
			}
		}
	}
	six := uint8(6)
	if err := f.h.Rate(id, &six); err != nil {
		t.Fatal(err)
	}
	see("Ben, rated from 6", child, true)
	see("the guest, rated from 6", guest, true)
}
