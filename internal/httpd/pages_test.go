package httpd_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home/hometest"
)

// places are the pages of a house that people live in.
var places = []string{
	"/", "/title/bought", "/title/fresh", "/title/lent", "/title/over", "/title/library", "/lending", "/activity", "/devices", "/shop", "/health", "/settings", "/people",
	"/setup/films", "/setup/device", "/trust", "/simulator", "/nothing",
}

// tour are the pages that docs/guide/tour shows.
var tour = map[string]string{
	"/": "library", "/title/fresh": "title", "/title/over": "why-not", "/lending": "lending", "/activity": "activity", "/devices": "devices",
	"/shop": "shops", "/health": "health", "/settings": "settings", "/trust": "trust",
}

// maxPicture bounds a picture of the tour, in bytes. Source: local.
const maxPicture = 80 << 10

// TestTour_PicturesAreSmallAndShown: each picture is on the page, and loads quickly.
func TestTour_PicturesAreSmallAndShown(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "guide", "tour")
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil || len(files) < len(tour) {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil || info.Size() > maxPicture || !strings.Contains(string(text), "("+filepath.Base(name)+")") {
			t.Errorf("%s: %d bytes (%v), at most %d and on the page", name, info.Size(), err, maxPicture)
		}
	}
	for _, name := range tour {
		if !strings.Contains(string(text), "("+name+".jpg)") {
			t.Errorf("the tour does not show %s", name)
		}
	}
}

// TestPages_InBothBrowsers: every page in light and dark, on a desktop's and on a phone's
// screen. axe-core finds nothing with everything opened; a title is lent with the
// keyboard alone; a device that asks appears by itself. Firefox shows every page, too.
func TestPages_InBothBrowsers(t *testing.T) {
	needs.Long(t)
	t.Parallel() // see TestLose_InABrowser
	l := livedHouse(t)
	if _, err := l.h.Watch(t.Context(), hometest.OwnFilm(t, "Grandmother at eighty.mp4")); err != nil {
		t.Fatal(err)
	}
	own := l.h.Films()
	if len(own) != 1 {
		t.Fatalf("own films: %v", own)
	}
	places := append(slices.Clone(places), "/film/"+url.PathEscape(string(own[0].ID)))
	for _, b := range browsertest.Browsers {
		t.Run(b.Name, func(t *testing.T) {
			p := browsertest.Pages{Browser: b.Name, URL: l.URL, Places: places, Folder: os.Getenv("LARES_PICTURES")}
			if b.Name == "chromium" {
				p.Tour = browsertest.Tour(t, tour)
				p.Axe, p.Keys, p.Pair = true, []string{"Metropolis", "Phone"}, filepath.Join(t.TempDir(), "pair")
				go func() {
					for ; t.Context().Err() == nil; time.Sleep(20 * time.Millisecond) {
						if _, err := os.Stat(p.Pair); err == nil {
							joinAs(t, l.URL, "Attic")
							return
						}
					}
				}()
			}
			got := p.Run(t)
			if len(got.Violations) > 0 || len(got.Wide) > 0 || len(got.Titles) != len(places) {
				t.Errorf("axe-core finds %s\ntoo wide: %q; %d pages", strings.Join(got.Violations, "\n"), got.Wide, len(got.Titles))
			}
			for _, c := range got.Console {
				if !strings.Contains(c, "404") || !strings.HasSuffix(c, "/nothing") { // which is not there
					t.Errorf("the browser complains: %s", c)
				}
			}
			if !p.Axe {
				return
			}
			if got.Checked != 2*len(places) {
				t.Errorf("axe-core looked %d times", got.Checked)
			}
			select {
			case o := <-l.orders:
				if o.Op != trem.OpLend || o.Content != "bought" || o.ForMS != 14*86_400_000 {
					t.Errorf("the module is asked for %+v", o)
				}
			default:
				t.Error("nothing was lent")
			}
			if got.Asked != "Lend Metropolis? It does not play here until it is back." || !strings.HasPrefix(got.Said, "It is lent.") || got.Came != "Attic" {
				t.Errorf("asked %q, said %q, came %q", got.Asked, got.Said, got.Came)
			}
			if got.Kept != "3F9K-22 ticked" {
				t.Errorf("when it appeared, %q was left of what was typed", got.Kept)
			}
			if got.Focus[0] != "Skip to content" {
				t.Errorf("Tab reaches %q first", got.Focus)
			}
		})
	}
}
