package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
)

// A library asks who its reader is before it answers: the house shows its card,
// sealed to the key that the library's module has signed for. Who is in between
// reads no card, and a wrong one, or none, gets nothing.
func TestAuth_ALibraryAsksForTheCard(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	const card = "library card 4711-0815"
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return d.path(name)
	}
	if err := d.stop("shop"); err != nil {
		t.Fatal(err)
	}
	known := write("known", "# readers\ncard:another reader's\ncard:"+card+"\n")
	if _, err := d.serve("shop", "issuer", "serve", "--dir", d.path("shop"), "--listen", strings.TrimPrefix(d.shopURL, "http://"), "--accounts", known); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, d.grant(d.houseName(t), bought, "PLAY; PLAY_COUNT=2; EXPORT=clearkey; MIN_ANCHOR=0")...); err != nil {
		t.Fatal(err)
	}
	between, err := newRecorder(ctx, d.shopURL)
	if err != nil {
		t.Fatal(err)
	}
	defer between.close()
	fetch := func() answer {
		t.Helper()
		a, err := d.run(ctx, "home", "fetch", string(bought), "--dir", d.path("home"), "--issuer", between.url)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	account := func(text string) {
		t.Helper()
		if _, err := d.must(ctx, "home", "account", "--dir", d.path("home"), "--issuer", between.url, "--kind", "card", "--file", write("card", text)); err != nil {
			t.Fatal(err)
		}
	}
	if a := fetch(); a.code != statusRefused || !strings.Contains(a.stderr, "lares home account") {
		t.Errorf("without a card: status %d: %s", a.code, a.stderr)
	}
	account("somebody's card of 2019")
	if a := fetch(); a.code != statusRefused || !strings.Contains(a.stderr, "does not know the account") {
		t.Errorf("with a wrong card: status %d: %s", a.code, a.stderr)
	}
	a := fetch()
	for n := 0; a.code == statusRefused && n < 12; n++ { // five are answered at once, and the waits grow
		a = fetch()
	}
	if a.code != statusLater || !strings.Contains(a.stderr, "because wrong ones were shown") {
		t.Errorf("after guesses: status %d: %s", a.code, a.stderr)
	}
	account(card)
	for end := time.Now().Add(time.Minute); a.code == statusLater && time.Now().Before(end); time.Sleep(time.Second / 4) {
		a = fetch()
	}
	if a.code != statusDone {
		t.Fatalf("with the card: status %d: %s", a.code, a.stderr)
	}
	if got := sum(d.heldAtHome(t, bought)); got != 2 {
		t.Errorf("%d plays came, want 2", got)
	}
	if info, err := os.Stat(d.path("home", accountsFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", accountsFile, info, err)
	}
	between.mu.Lock()
	for _, b := range between.bodies {
		if bytes.Contains(b, []byte(card)) || bytes.Contains(b, []byte("card of 2019")) {
			t.Error("the card stands in what was carried")
		}
	}
	if len(between.bodies) < 6 {
		t.Errorf("only %d bodies were carried", len(between.bodies))
	}
	between.mu.Unlock()
	if err := d.stop("shop"); err != nil { // what it had seen is forgotten, and the card is shown again
		t.Fatal(err)
	}
	if err := d.again("shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, d.grant(d.houseName(t), boughtCBCS, "PLAY; PLAY_COUNT=2; EXPORT=clearkey; MIN_ANCHOR=0")...); err != nil {
		t.Fatal(err)
	}
	if acked := d.fetched(t, boughtCBCS); len(acked) != 1 {
		t.Errorf("after its restart %d licenses came", len(acked))
	}
	for _, bad := range []string{"card", "card:short", ":no kind at all here"} {
		if _, notes, code := run(t, "issuer", "serve", "--dir", d.path("shop"), "--listen", "127.0.0.1:0", "--accounts", write("bad", bad)); code != statusError || notes == "" {
			t.Errorf("accounts file %q: status %d: %s", bad, code, notes)
		}
	}
}
