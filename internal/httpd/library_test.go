package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestLibrary_ThePageSaysThatTheHouseLooks, until it has looked through all of it: a
// library that was not looked at is not an empty one.
func TestLibrary_ThePageSaysThatTheHouseLooks(t *testing.T) {
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	cfg := home.Config{Dir: t.TempDir(), Module: hometest.New(t, keys), Now: time.Now}
	h, err := home.New(cfg)
	if err == nil {
		_, err = h.Add(folder)
	}
	if err == nil {
		h, err = home.New(cfg) // as after a restart
	}
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, h)
	const looks, empty = "Your house is looking through your library: 0 titles of 1 folders so far.", "Nothing here yet"
	if _, page := get(t, http.MethodGet, srv.URL, nil); !strings.Contains(string(page), looks) || strings.Contains(string(page), empty) {
		t.Errorf("while the house looks, the page says:\n%s", page)
	}
	h.Titles()
	if _, page := get(t, http.MethodGet, srv.URL, nil); strings.Contains(string(page), "is looking") || !strings.Contains(string(page), m.Title) {
		t.Errorf("when it has looked, the page says:\n%s", page)
	}
}
