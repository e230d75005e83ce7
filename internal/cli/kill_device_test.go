package cli

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// heldAtHome lists the licenses of a title that the house holds, with the plays left.
func (d *demo) heldAtHome(t *testing.T, id ident.Content) map[string]uint64 {
	t.Helper()
	lib, err := d.library(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	for _, title := range lib {
		if title.Content != string(id) {
			continue
		}
		for _, h := range title.Held {
			out[h.License] = plays(h.Counters)
		}
	}
	return out
}

func (d *demo) heldBy(t *testing.T, device string) map[string]uint64 {
	t.Helper()
	var held []struct {
		License  string           `json:"license"`
		Counters license.Counters `json:"counters"`
	}
	if err := d.query(t.Context(), &held, "device", "list", "--dir", d.path(device)); err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	for _, h := range held {
		out[h.License] = plays(h.Counters)
	}
	return out
}

func plays(c license.Counters) uint64 {
	if c.PlaysLeft == nil {
		return 0
	}
	return *c.PlaysLeft
}

func sum(held map[string]uint64) (n uint64) {
	for _, left := range held {
		n += left
	}
	return n
}

// killSetAside kills the home server, its module and the asking command while
// plays are set aside for a device. After each, the same command is repeated
// until it says that it is done; then no play is lost and none is doubled.
func killSetAside(t *testing.T, d *demo, house string) {
	const n = 40
	d.buy(t, house, bought, n)
	get := []string{"device", "get", string(bought), "--plays", "1", "--dir", d.path("tablet"), "--json"}
	doubled := 0
	for round := range 16 {
		cmd := d.command(t.Context(), get)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon()
		modules := children(t, cmd.Process.Pid)
		switch {
		case round == 3:
			d.crashModule(t, "home")
		case round%4 == 1:
			kill9(t, cmd.Process.Pid)
		case round%4 == 2:
			for _, m := range modules {
				kill9(t, m)
			}
		default:
			d.crash(t, "home")
		}
		acked := cmd.Wait() == nil
		gone(t, modules...)
		for range 20 {
			if acked {
				break
			}
			var got gotten
			acked = d.say(t, &got, get[:len(get)-1]...).code == statusDone
		}
		if !acked {
			t.Fatalf("round %d: the device gets nothing any more", round)
		}
		home, device := d.heldAtHome(t, bought), d.heldBy(t, "tablet")
		if sum(home)+sum(device) != n {
			t.Fatalf("round %d: %d plays at home and %d on the device, want %d in all", round, sum(home), sum(device), n)
		}
		if sum(device) != uint64(len(device)) {
			t.Fatalf("round %d: %d plays in %d copies of one each", round, sum(device), len(device))
		}
		// A command that is killed when all is done, before it says so, is repeated as a new one.
		doubled = len(device) - round - 1
		if doubled < 0 || doubled > (round+2)/2 {
			t.Fatalf("round %d: the device holds %d copies", round, len(device))
		}
	}
	t.Logf("16 gets; %d were killed between the end and its word", doubled)
}

// buy gets the house a counted license of a title.
func (d *demo) buy(t *testing.T, house string, id ident.Content, n int) {
	t.Helper()
	if _, err := d.must(t.Context(), d.grant(house, id, fmt.Sprintf("PLAY; PLAY_COUNT=%d; EXPORT=clearkey; MIN_ANCHOR=0", n))...); err != nil {
		t.Fatal(err)
	}
	if acked := d.fetched(t, id); len(acked) != 1 {
		t.Fatalf("%d licenses came, want 1", len(acked))
	}
}

// killPlay kills `device play` and its module in the middle of a play. The play
// goes on afterwards and costs one, however often it was killed; one that had
// been seen to the end stays used.
func killPlay(t *testing.T, d *demo, house string) {
	d.buy(t, house, boughtCBCS, 6)
	if _, err := d.must(t.Context(), "device", "get", string(boughtCBCS), "--plays", "6", "--dir", d.path("phone")); err != nil {
		t.Fatal(err)
	}
	play := []string{"device", "play", string(boughtCBCS), "--dir", d.path("phone"), "--tier", "HD"}
	whole := append(slices.Clone(play), "--out", d.path("whole.mp4"))
	size := int64(0)
	for _, tc := range []struct {
		name   string
		cuts   []float64 // shares of the stream that were seen before a kill
		module bool      // the module is killed, else the command
		left   uint64    // plays on the device after the next play to the end
	}{
		{"never killed", nil, false, 5},
		{"the command, twice in one play", []float64{0.3, 0.6}, false, 4},
		{"the module, at a moment of its choice", []float64{0.8 * rand.Float64()}, true, 3},
		{"the command, behind the end", []float64{1}, false, 1},
	} {
		for _, share := range tc.cuts {
			d.cut(t, play, int64(share*float64(size-pipeSize-4096)), tc.module)
		}
		if _, err := d.must(t.Context(), whole...); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		info, err := os.Stat(d.path("whole.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		size = info.Size()
		if left := sum(d.heldBy(t, "phone")); left != tc.left {
			t.Fatalf("%s: %d plays are left, want %d", tc.name, left, tc.left)
		}
	}
	if _, err := d.must(t.Context(), whole...); err != nil {
		t.Fatal(err)
	}
	if a := d.say(t, nil, whole...); a.code != statusRefused || !strings.Contains(a.stdout, string(license.CountExhausted)) {
		t.Errorf("a play beyond the last: status %d, %s", a.code, a.stdout)
	}
	if left := sum(d.heldAtHome(t, boughtCBCS)); left != 0 {
		t.Errorf("%d plays are left at home, all were set aside", left)
	}
	if files, err := filepath.Glob(d.path(".whole.mp4-*")); err != nil || len(files) > 0 {
		t.Errorf("left beside the film: %v, %v", files, err)
	}
}

// pipeSize is how much a pipe holds that nobody reads. Source: pipe(7).
const pipeSize = 64 << 10

// cut starts a play, takes n bytes of its stream, kills it and waits
// for its end.
func (d *demo) cut(t *testing.T, play []string, n int64, module bool) {
	t.Helper()
	cmd := d.command(t.Context(), append(slices.Clone(play), "--out", "-"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, bufio.NewReaderSize(out, 4096), n); err != nil {
		t.Fatalf("the stream ends before %d bytes: %v", n, err)
	}
	modules := children(t, cmd.Process.Pid)
	if len(modules) != 1 {
		t.Fatalf("the command has %d modules", len(modules))
	}
	if module {
		kill9(t, modules[0])
		gone(t, modules...)
		_, _ = io.Copy(io.Discard, out) // what the command had already
	} else {
		kill9(t, cmd.Process.Pid)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a play whose process was killed says that it is done")
	}
	gone(t, modules...)
}
