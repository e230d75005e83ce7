package httpd_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// noWords are what stands on pages and is the same in every language: addresses, codes,
// numbers, commands.
var noWords = regexp.MustCompile(`(?s)<code[ >].*?</code>|<pre>.*?</pre>|<script.*?</script>|<template.*?</template>|https?://[^\s"<]+|&[a-z]+;|[0-9A-Z]{4}-[0-9A-Z]{4}(?:-[0-9A-Z]{4})?|\b[0-9A-F]{2}(?::[0-9A-F]{2})+|\b[0-9a-f]{32}\b|lares_[a-z_]+`)

// spokenOn is what a page says by itself: neither its messages nor what it tells of.
func spokenOn(body string, told ...string) []string {
	body = noWords.ReplaceAllString(body, " ")
	for _, x := range told {
		body = strings.ReplaceAll(body, x, " ")
	}
	out := httpd.Untranslated(pageText([]byte(body)))
	slices.Sort(out)
	return slices.Compact(out)
}

// TestMessages_HouseInAnotherLanguage: with other files of messages, a house that is lived
// in has no English word left on any page.
func TestMessages_HouseInAnotherLanguage(t *testing.T) {
	l := livedHouse(t)
	httpd.Translated(t)
	told := []string{"Lares", "shop.example", "Living room", "Phone", "Tablet", "Kitchen"}
	for _, x := range livedTitles {
		told = append(told, x.title)
	}
	for _, d := range doctored() {
		told = append(told, d.Name, d.Found, d.Do)
	}
	for _, place := range places {
		res, body := get(t, http.MethodGet, l.URL+place, nil)
		if left := spokenOn(string(body), told...); len(left) > 0 {
			t.Errorf("%s says %q", place, left)
		}
		if !strings.Contains(string(body), `<html lang="en-XA">`) {
			t.Errorf("%s: %d, in no language", place, res.StatusCode)
		}
	}
}

// TestMessages_ClaimPagesInAnotherLanguage: likewise a shop's.
func TestMessages_ClaimPagesInAnotherLanguage(t *testing.T) {
	i, h := claimShop(t, issuer.Offer{
		ID: "x", Name: "Metropolis", Words: "Film", Kind: issuer.Purchase, Licenses: 2,
		Terms: "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2030-01-01T00:00:00Z; PLAY_COUNT=2; INTERVAL=48h; RESOLUTION<=2073600; OUTPUT_PROTECTION=HDCP_1; COPY=COUNTED; COPY_COUNT=2; MOVE=DOMAIN; TRANSFER=1; LEND; EXPORT=clearkey",
	})
	_, codes, err := i.NewCodes(t.Context(), issuer.NewCodes{Offer: "x", Codes: 1, Expires: time.Now().Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	httpd.Translated(t)
	for path, want := range map[string]int{"/c": 200, "/c/" + codes[0].Code.Text(): 200, "/c/xyz": 404, "/c/" + guess(t, 1): 404} {
		w := shown(t, h, path)
		if left := spokenOn(w.Body.String(), "Metropolis", "Film", "Corner", "Video", "HDCP", "UTC"); w.Code != want || len(left) > 0 {
			t.Errorf("%s: %d, says %q", path, w.Code, left)
		}
	}
}

// TestMessages_ConsoleInAnotherLanguage: likewise an issuer's console, but for what the
// API answers and the log tells.
func TestMessages_ConsoleInAnotherLanguage(t *testing.T) {
	c := newCounter(t)
	b := c.browser(ownerToken)
	stranger := &http.Client{}
	httpd.Translated(t)
	for _, path := range []string{"", "titles", "offers", "codes", "codes/" + c.batch, "copies", "copies?content=the-general", "copies?content=nothing", "households", "households/" + customer.String(), "licenses", "revocations", "keys", "log", "log?verify", "figures", "signin", "nothing"} {
		_, text := c.get(b, path)
		if path == "signin" {
			_, text = c.get(stranger, path)
		}
		log := regexp.MustCompile(`(?s)<tbody>.*?</tbody>`)
		if path == "" || strings.HasPrefix(path, "log") || path == "figures" {
			text = log.ReplaceAllString(text, "")
		}
		if left := spokenOn(text, "The little cinema", "Metropolis, 48 hours", "Nosferatu, for good", "(the-general)", "metropolis", "nosferatu", ">the-general<", "the-general", "Three weeks at home", "owner"); len(left) > 0 {
			t.Errorf("/console/%s says %q", path, left)
		}
	}
}

// TestMessages_StoriesInAnotherLanguage: likewise what the simulator says of each story;
// its days are written as the story writes them.
func TestMessages_StoriesInAnotherLanguage(t *testing.T) {
	files, err := filepath.Glob("stories/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	httpd.Translated(t)
	for _, name := range files {
		story, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, said := range httpd.StoryWords(t, string(story)) {
			if left := spokenOn(said, "day", "CH", "FR"); len(left) > 0 {
				t.Errorf("%s: %q says %q", name, said, left)
			}
		}
	}
}

// TestMessages_AgentInAnotherLanguage: likewise a device's page, in each of its states.
func TestMessages_AgentInAnotherLanguage(t *testing.T) {
	httpd.Translated(t)
	for name, v := range map[string]httpd.AgentView{
		"new":     {Name: "TV"},
		"asking":  {Name: "TV", Code: "7KQ2-M4XD", Asked: "http://192.168.7.9", Busy: "…"},
		"found":   {Name: "TV", Found: []string{"http://192.168.7.9"}},
		"empty":   {Name: "TV", Home: "http://house"},
		"playing": {Name: "TV", Home: "http://house", Playing: "Metropolis", Ask: "film", Said: "…"},
		"full":    {Name: "TV", Home: "http://house", Titles: []httpd.AgentTitle{{Content: ident.Content("film"), Title: "Metropolis", Kind: "1", Left: "2"}}},
	} {
		w := httptest.NewRecorder()
		httpd.AgentPage(t, v).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:7730/", nil))
		if left := spokenOn(w.Body.String(), "TV", "Metropolis", "Lares"); w.Code != http.StatusOK || len(left) > 0 {
			t.Errorf("%s: %d, says %q", name, w.Code, left)
		}
	}
}
