package bench

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store/storebench"
)

// programsAt builds the two programs into a folder.
func programsAt(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if msg, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../../cmd/lares", "../../cmd/lares-trem").CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v, %s", err, msg)
	}
	return filepath.Join(dir, "lares")
}

// TestIssuer_RowsAreStable runs every part on both stores, too short for a figure.
func TestIssuer_RowsAreStable(t *testing.T) {
	needs.Long(t)
	program := programsAt(t)
	t.Chdir(t.TempDir())
	for _, kind := range []string{sqliteStore, postgresStore} {
		t.Run(kind, func(t *testing.T) {
			got, err := runIssuer(t.Context(), Config{Quick: true, Program: program, Store: kind, Start: start})
			if errors.Is(err, storebench.ErrNoPostgres) {
				needs.NotRun(t, err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range got {
				names = append(names, r.Name+"|"+r.Unit+"|"+r.Bar)
				if r.Value <= 0 && !strings.Contains(r.Name, "more than") && !strings.Contains(r.Name, "CPU") && r.Unit != unitMillis {
					t.Errorf("%s: %v %s was not measured", r.Name, r.Value, r.Unit)
				}
			}
			for _, want := range []string{
				"durable flush of this disk, 4 KiB|µs|",
				"stateful license, live session, 2 clients|a second|>= 2000",
				"stateful license, live session, 2 clients: wait, 99 of 100|ms|<= 60",
				"stateless license, live session, 2 clients|a second|>= 4000",
				"stateful license: share of the ceiling, 2 clients|times|>= 0.7",
				"stateful license, 2 clients: CPU, service|µs|",
				"stateful license, 2 clients: CPU, module|µs|",
				"stateful license, 2 clients: CPU, database|µs|",
				"stateful license, 2 clients: CPU, client|µs|",
				"stateful license, 2 clients: on the wire|bytes|",
				"stateful license, with handshake, 2 clients: CPU, module|µs|",
				"stateful license: in the database|bytes|",
				"half-open handshakes: wait of others, 99 of 100, against without|times|<= 2",
				"stateful license, 2 clients: a database of 1000 licenses against an empty one|times|<= 1.3",
				"memory after 200 licenses: more than after a tenth of them|MB|<= 16",
			} {
				if !slices.Contains(names, want) {
					t.Errorf("no row %q among\n%s", want, strings.Join(names, "\n"))
				}
			}
		})
	}
}
