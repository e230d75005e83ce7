package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/recovery"
)

// backedUp is a house of real programs with one bought and one rented title, a
// tablet that has both, and a backup.
func backedUp(t *testing.T) (d *demo, words, file string) {
	t.Helper()
	d = killHouse(t)
	var house struct {
		Domain ident.Domain `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	for id, terms := range map[ident.Content]string{
		bought:     "PLAY; CHARGE=PURCHASE; EXPORT=clearkey",
		boughtCBCS: "PLAY; CHARGE=PURCHASE; EXPORT=clearkey; BACKUP=household",
		rented:     "PLAY; PLAY_COUNT=2; CHARGE=RENTAL; MIN_ANCHOR=0",
	} {
		if _, err := d.must(t.Context(), "issuer", "grant", "--dir", d.path("shop"), "--domain", house.Domain.String(), "--content", string(id),
			"--terms", terms, "--kind", map[bool]string{true: "rental", false: "purchase"}[id == rented]); err != nil {
			t.Fatal(err)
		}
		if err := d.fetchTitle(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	file = d.path("house.backup")
	var said backupSaid
	if err := d.query(t.Context(), &said, "home", "backup", "--dir", d.path("home"), "--out", file); err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(said.Words)); n != recovery.Words || len(said.Titles) != 3 {
		t.Fatalf("%d words for %d titles", n, len(said.Titles))
	}
	if _, err := d.must(t.Context(), "device", "get", string(bought), "--dir", d.path("tablet")); err != nil { // and learns of the words
		t.Fatal(err)
	}
	return d, said.Words, file
}

// newHomeServer enrolls a further home server in a folder.
func (d *demo) newHomeServer(t *testing.T, name string) {
	t.Helper()
	v, err := d.voucher(t.Context(), "--role", "home-server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(t.Context(), "home", "init", "--dir", d.path(name), "--ca", d.caURL, "--voucher", v); err != nil {
		t.Fatal(err)
	}
}

// TestBackup_ARestoredHouseGoesOn loses the home server's folder. A new one is
// restored at the same address: it asks the shop for what the shop gives again,
// the tablet goes on by itself, and what is counted waits.
func TestBackup_ARestoredHouseGoesOn(t *testing.T) {
	d, words, file := backedUp(t)
	ctx := t.Context()
	if a, err := d.run(ctx, "home", "backup", "--dir", d.path("home"), "--out", file); err != nil || a.code != statusDone || strings.Contains(a.stdout+a.stderr, "24 words") {
		t.Errorf("a later backup: %+v %v; it shows no words", a, err)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if a, err := d.run(ctx, "home", "backup", "--dir", d.path("home"), "--out", d.path("quiet.backup")); err != nil || a.code != statusDone {
		t.Errorf("a backup of a house that does not run: %+v %v", a, err)
	}
	if err := os.RemoveAll(d.path("home")); err != nil {
		t.Fatal(err)
	}
	d.newHomeServer(t, "home")
	other, err := recovery.NewCode().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"home", "restore", file, "--dir", d.path("home"), "--code", other}, "another code"},
		{[]string{"home", "restore", file, "--dir", d.path("home"), "--code", words + " zoo"}, "25 words"},
		{[]string{"home", "restore", d.path("log"), "--dir", d.path("home"), "--code", words}, "not a backup"},
	} {
		if a, err := d.run(ctx, tc.args...); err != nil || a.code != statusRefused || !strings.Contains(a.stderr, tc.want) {
			t.Errorf("%v: %+v %v, want %q", tc.args[2], a, err, tc.want)
		}
	}
	if err := os.WriteFile(d.path("words"), []byte(words+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said restoreSaid
	if err := d.query(ctx, &said, "home", "restore", file, "--dir", d.path("home"), "--code-file", d.path("words")); err != nil {
		t.Fatal(err)
	}
	if len(said.Members) != 2 || len(said.Asked) != 1 || said.Asked[0].Content != bought {
		t.Errorf("restored with %d devices, asked for %+v; want 2 and the bought title", len(said.Members), said.Asked)
	}
	if err := d.again("home"); err != nil {
		t.Fatal(err)
	}
	if n := len(d.heldAtHome(t, boughtCBCS)); n != 1 {
		t.Errorf("%d copies of the title whose keys are in the backup", n)
	}
	d.waitForTitle(t, bought)
	if n := len(d.heldAtHome(t, rented)); n != 0 {
		t.Errorf("%d rented copies came back", n)
	}
	if _, err := d.must(ctx, "device", "get", string(boughtCBCS), "--dir", d.path("tablet")); err != nil {
		t.Fatalf("the tablet does not go on: %v", err)
	}
	if _, err := d.must(ctx, "device", "play", string(boughtCBCS), "--dir", d.path("tablet"), "--out", d.path("after.mp4")); err != nil {
		t.Error(err)
	}
	if a := d.say(t, nil, "device", "get", string(rented), "--dir", d.path("tablet")); a.code != statusRefused {
		t.Errorf("the rented title after the restore: %+v", a)
	}
}

// waitForTitle waits until the house holds a title that it asked for by itself.
func (d *demo) waitForTitle(t *testing.T, id ident.Content) {
	t.Helper()
	for end := time.Now().Add(startGrace); len(d.heldAtHome(t, id)) == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the restored house does not get %v again", id)
		}
	}
}

// TestBackup_RestoredTwice restores one backup on two new home servers. The
// tablet, which meets both, stops; the second hears of the first by it; restored
// again it stands above the first, and the tablet goes on there.
func TestBackup_RestoredTwice(t *testing.T) {
	d, words, file := backedUp(t)
	ctx := t.Context()
	if err := os.WriteFile(d.path("words"), []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	restore := func(dir string) (said restoreSaid) {
		t.Helper()
		if err := d.query(ctx, &said, "home", "restore", file, "--dir", d.path(dir), "--code-file", d.path("words")); err != nil {
			t.Fatal(err)
		}
		return said
	}
	get := []string{"device", "get", string(boughtCBCS), "--dir", d.path("tablet")}
	serve := func(name string) {
		t.Helper()
		if _, err := d.serve(name, "home", "serve", "--dir", d.path(name), "--listen", strings.TrimPrefix(d.homeURL, "http://"), "--ca", d.caURL); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one", "two"} {
		d.newHomeServer(t, name)
		if said := restore(name); said.Generation != 2 {
			t.Fatalf("%s is restored with number %d", name, said.Generation)
		}
	}
	serve("one")
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatal(err)
	}
	if err := d.stop("one"); err != nil {
		t.Fatal(err)
	}
	serve("two")
	if a := d.say(t, nil, get...); a.code != statusLater || !strings.Contains(a.stderr, "restored twice") {
		t.Fatalf("the tablet at the second home server: %+v", a)
	}
	if err := d.stop("two"); err != nil {
		t.Fatal(err)
	}
	if said := restore("two"); said.Generation != 3 {
		t.Fatalf("the second home server was not told: it is restored again with number %d", said.Generation)
	}
	serve("two")
	if _, err := d.must(ctx, get...); err != nil {
		t.Fatalf("after the decision: %v", err)
	}
}

// TestBackup_KilledWhileWriting kills `home backup` at many moments: under the
// name there is an old or a new backup, whole.
func TestBackup_KilledWhileWriting(t *testing.T) {
	d, words, file := backedUp(t)
	code, err := recovery.ParseCode(words)
	if err != nil {
		t.Fatal(err)
	}
	made := int64(0)
	changed := 0
	for round := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := d.command(ctx, []string{"home", "backup", "--dir", d.path("home"), "--out", file})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(round) * 8 * time.Millisecond)
		kill9(t, cmd.Process.Pid)
		_ = cmd.Wait()
		cancel()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := recovery.Parse(data)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := f.Open(code); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if f.Header.Made != made {
			made = f.Header.Made
			changed++
		}
	}
	if changed < 2 {
		t.Errorf("the file was never replaced in 12 rounds")
	}
	t.Logf("replaced in %d of 12 rounds", changed-1)
}

// The steps of saveFile leave the old file whole until the new one is.
func TestBackup_SaveFileReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, text := range []string{"old", "new and longer"} {
		if err := saveFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%q %v", got, err)
		}
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if os.Geteuid() != 0 {
		if err := saveFile(name, []byte("never")); err == nil {
			t.Error("written into a folder that cannot be written")
		}
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 {
		t.Errorf("%d files left: %v", len(all), err)
	}
}

func TestBackup_WordsAreReadFromWhereTheyStand(t *testing.T) {
	text, err := recovery.NewCode().Text()
	if err != nil {
		t.Fatal(err)
	}
	want, err := codeBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "words")
	w := strings.Fields(text)
	if err := os.WriteFile(file, []byte(strings.Join(w[:12], "\n")+"\n"+strings.Join(w[12:], " ")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		f  restoreFlags
		in string
	}{
		"flag":         {restoreFlags{code: text}, ""},
		"file":         {restoreFlags{codeFile: file}, ""},
		"input":        {restoreFlags{}, strings.ToUpper(text) + "\n\nmore"},
		"named input":  {restoreFlags{codeFile: "-"}, text},
		"several rows": {restoreFlags{}, strings.Join(slices.Concat(w[:8], []string{"\n"}, w[8:]), " ") + "\n"},
	} {
		env := &Env{Stdin: strings.NewReader(tc.in), Stderr: new(bytes.Buffer)}
		if got, err := askWords(env, tc.f); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x %v", name, got, err)
		}
	}
}
