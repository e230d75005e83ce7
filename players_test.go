package lares_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// plays is a row of testdata/players.json, which the tests that play write (with
// LARES_RECORD=1) and hold.
type plays struct{ Player, Path, Result, Reason string }

// shownPlayers and shownPaths are what a reader of the README asks about, in its order;
// a pair that means nothing is no row.
var (
	shownPlayers = []string{"Chromium", "Firefox", "WebKitGTK", "mpv", "VLC"}
	shownPaths   = []string{"page, localhost", "page, network", "address of a session, localhost", "address of a session, network", "lares device play"}
)

// notTested are the pairs of which no test says anything, and why.
var notTested = []plays{
	{"WebKitGTK", "page, network", "not tested", "no test gives its browser the house's certificate"},
	{"Safari", "page", "not tested", "there is none for Linux"},
}

// The README says of every player and path what the tests saw, or that none looked.
func TestDocs_WhatPlaysWhere(t *testing.T) {
	var rows []plays
	if err := json.Unmarshal([]byte(read(t, "testdata/players.json")), &rows); err != nil {
		t.Fatal(err)
	}
	rows = append(rows, notTested...)
	var want strings.Builder
	want.WriteString("| Player | By | Plays | Why not, or what else |\n|---|---|---|---|\n")
	said := 0
	for _, player := range append(slices.Clone(shownPlayers), "Safari") {
		for _, path := range append(slices.Clone(shownPaths), "page") {
			i := slices.IndexFunc(rows, func(r plays) bool { return r.Player == player && r.Path == path })
			if i < 0 {
				if page := strings.HasPrefix(path, "page"); player != "Safari" && path != "page" && page == (player != "mpv" && player != "VLC") {
					t.Errorf("no test says how %s plays by %s", player, path)
				}
				continue
			}
			said++
			fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", player, path, rows[i].Result, rows[i].Reason)
		}
	}
	if said != len(rows) {
		t.Errorf("%d rows are in the record, and %d are shown", len(rows), said)
	}
	const from, to = "<!-- testdata/players.json -->\n", "<!-- end -->\n"
	text := read(t, "README.md")
	before, rest, ok := strings.Cut(text, from)
	got, after, ends := strings.Cut(rest, to)
	if !ok || !ends {
		t.Fatal("README.md has no place for the table")
	}
	if got == want.String() {
		return
	}
	if os.Getenv("LARES_RECORD") == "" {
		t.Fatalf("README.md differs from the record; LARES_RECORD=1 writes\n%s", want.String())
	}
	if err := os.WriteFile("README.md", []byte(before+from+want.String()+to+after), 0o644); err != nil { //nolint:gosec // of the repository
		t.Fatal(err)
	}
}
