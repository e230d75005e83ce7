package httpd_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
)

// A page reads a thousand of a list of offers or titles, and not all of a longer one:
// then a field takes what would have been chosen.
func TestConsole_LongListsAreBounded(t *testing.T) {
	c := newCounter(t)
	asked, pages := 0, 0
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := ""
		if r.URL.Path == "/api/v1/offers" || r.URL.Path == "/api/v1/contents" {
			if asked++; asked < pages {
				next = "on"
			}
		}
		fmt.Fprintf(w, `{"offers": [{"id": "o%d", "name": "o", "kind": "loan", "content": "c%d"}], "contents": [{"content": "c"}], "batches": [], "copies": [], "next": %q}`, asked, asked, next)
	})
	console, err := httpd.NewConsole(httpd.ConsoleConfig{API: api, Desk: c.desk, Name: "Shop", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	owner := c.browser(ownerToken)
	c.Server.Config.Handler = console
	for path, name := range map[string]string{"codes": "offer", "copies": "content", "copies?content=c0": "offer"} {
		for _, tc := range []struct {
			pages, asked int
			field        bool
		}{{1, 1, false}, {10, 10, false}, {11, 10, true}, {5000, 10, true}} {
			asked, pages = 0, tc.pages
			status, text := c.get(owner, path)
			if status != http.StatusOK && path != "copies?content=c0" {
				t.Fatalf("%s: %d %s", path, status, text)
			}
			if asked != tc.asked {
				t.Errorf("%s, of %d pages %d were read, want %d", path, tc.pages, asked, tc.asked)
			}
			field, choice := strings.Contains(text, `<input name="`+name+`" required`), strings.Contains(text, `<select name="`+name+`" required>`)
			if status == http.StatusOK && (field != tc.field || choice == tc.field) || status != http.StatusOK && tc.field {
				t.Errorf("%s, %d pages: a field %v, a choice %v (%d)", path, tc.pages, field, choice, status)
			}
		}
	}
}
