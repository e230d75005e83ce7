package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// putBack replaces a folder by an older copy of it.
func putBack(t *testing.T, dir, image string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(image)); err != nil {
		t.Fatal(err)
	}
}

func (d *demo) imageOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestWitness_4_FoldersPutBack puts the folders of a device and of the house back
// to older copies, as a restored disk does. Both find out and are whole again by
// what others keep; plays that were used stay used.
func TestWitness_4_FoldersPutBack(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(ctx, &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	d.buy(t, house.ID, bought, 9)
	run := func(args ...string) {
		t.Helper()
		if _, err := d.must(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	play := []string{"device", "play", string(bought), "--dir", d.path("tablet"), "--tier", "SD", "--out", d.path("film.mp4")}
	run("device", "get", string(bought), "--plays", "4", "--dir", d.path("tablet"))
	image := d.imageOf(t, d.path("tablet"))
	run(play...)
	run("device", "transfers", "--dir", d.path("tablet")) // the house hears of it, and keeps a copy
	run("device", "get", string(bought), "--plays", "1", "--dir", d.path("tablet"))

	putBack(t, d.path("tablet"), image)
	if left := sum(d.heldBy(t, "tablet")); left != 4 {
		t.Fatalf("%d plays are in the older copy, want 4", left)
	}
	a, err := d.run(ctx, play...)
	if err != nil || a.code != statusDone || !strings.Contains(a.stderr, "set back") {
		t.Fatalf("a play of a device that was put back: status %d, %q %q %v", a.code, a.stdout, a.stderr, err)
	}
	if left := sum(d.heldBy(t, "tablet")); left != 3 {
		t.Errorf("%d plays are left, want 3: of 5 one was used before and one after", left)
	}
	var got healed
	if err := d.query(ctx, &got, "device", "heal", "--dir", d.path("tablet")); err != nil || got.SetBack || got.Healed {
		t.Errorf("healed again: %+v %v", got, err)
	}

	atHome := sum(d.heldAtHome(t, bought))
	image = d.imageOf(t, d.path("home", "trem"))
	run("device", "get", string(bought), "--plays", "2", "--dir", d.path("tablet"))
	run("device", "transfers", "--dir", d.path("phone")) // the phone keeps a copy, too
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	putBack(t, d.path("home", "trem"), image)
	if err := d.again("home"); err != nil {
		t.Fatal(err)
	}
	if left := sum(d.heldAtHome(t, bought)); left != atHome {
		t.Fatalf("%d plays are in the house's older copy, want %d", left, atHome)
	}
	_, _ = d.run(ctx, "device", "get", string(bought), "--plays", "1", "--dir", d.path("tablet")) // may be told to wait
	for range 3 {
		run("device", "transfers", "--dir", d.path("tablet"))
	}
	if left := sum(d.heldAtHome(t, bought)); left > atHome-2 {
		t.Errorf("%d plays at home, want %d at most: 2 were set aside before the folder was put back", left, atHome-2)
	}
	if all := sum(d.heldAtHome(t, bought)) + sum(d.heldBy(t, "tablet")); all != 7 {
		t.Errorf("%d plays in all, want 7: of 9 two were used", all)
	}
}

// TestWitness_4_UsedSinceItWasPutBack plays on a device that was put back, without
// its house: no copy knows of that, so it says why it waits.
func TestWitness_4_UsedSinceItWasPutBack(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(ctx, &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	d.buy(t, house.ID, bought, 9)
	for _, args := range [][]string{
		{"device", "get", string(bought), "--plays", "4", "--dir", d.path("tablet")},
		{"device", "download", string(bought), "--dir", d.path("tablet")},
	} {
		if _, err := d.must(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	play := []string{"device", "play", string(bought), "--dir", d.path("tablet"), "--tier", "SD", "--out", d.path("film.mp4")}
	image := d.imageOf(t, d.path("tablet", "trem"))
	for range 2 {
		if _, err := d.must(ctx, play...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.must(ctx, "device", "get", string(bought), "--plays", "1", "--dir", d.path("tablet")); err != nil {
		t.Fatal(err)
	}
	putBack(t, d.path("tablet", "trem"), image)
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(ctx, play...); err != nil {
		t.Fatalf("without its house: %v", err)
	}
	if err := d.again("home"); err != nil {
		t.Fatal(err)
	}
	a, err := d.run(ctx, "device", "heal", "--dir", d.path("tablet"))
	if err != nil || a.code != statusRefused || !strings.Contains(a.stderr+a.stdout, "has done what counts") {
		t.Errorf("status %d, %q %q %v", a.code, a.stdout, a.stderr, err)
	}
	if a, err := d.run(ctx, play...); err != nil || a.code != statusRefused {
		t.Errorf("it plays on: status %d %v", a.code, err)
	}
}
