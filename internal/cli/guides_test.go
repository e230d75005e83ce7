package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// guide runs the commands of a guide as a person would type them: the lines of its
// console blocks that begin with "$ ", in order, by bash, with the example's
// addresses, codes and vouchers replaced by real ones.
type guide struct {
	*demo
	t       *testing.T
	replace []string // pairs, as of strings.NewReplacer
	played  string   // what the player was started with
}

const metropolis = ident.Content("metropolis")

// newGuide is an authority, and a home folder in which a guide is followed.
func newGuide(t *testing.T) *guide {
	t.Helper()
	needs.Tool(t, "bash")
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	g := &guide{demo: &demo{house: h, listen: "127.0.0.1:0"}, t: t, played: h.path("played")}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	g.ok(g.makeCA(t.Context()))
	for _, dir := range []string{"user/films", "tools"} {
		g.ok(os.MkdirAll(g.path(dir), 0o700))
	}
	mpv := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >%s\n", g.played)
	g.ok(os.WriteFile(g.path("tools", "mpv"), []byte(mpv), 0o700)) //nolint:gosec // a program
	source, err := film.Files.ReadFile(film.SD)
	g.ok(err)
	g.ok(os.WriteFile(g.path("user", "metropolis.mp4"), source, 0o600))
	g.with("http://ca.example:7700", g.caURL)
	return g
}

func (g *guide) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *guide) with(pairs ...string) { g.replace = append(g.replace, pairs...) }

func (g *guide) newVoucher(args ...string) string {
	g.t.Helper()
	v, err := g.voucher(g.t.Context(), args...)
	g.ok(err)
	return v
}

// freePort is an address that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // it was only looked for
	return ln.Addr().String()
}

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
	wantStatus   = regexp.MustCompile(`# status (\d)`)
)

// guidePrelude is what a person does between the commands.
const guidePrelude = `set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
say() { echo; echo "\$ $*"; }
# served FOLDER: until its server answers
served() { for _ in $(seq 200); do [ -e "$1/url" ] && return; sleep 0.1; done; echo "nothing serves $1"; exit 1; }
# answers HOST/PORT: until somebody does
answers() { for _ in $(seq 200); do (exec 3<>"/dev/tcp/$1") 2>/dev/null && return; sleep 0.1; done; echo "nothing answers at $1"; exit 1; }
# compares the codes, at the house
code() { for _ in $(seq 200); do c=$(lares home pair | grep -oE '^[A-Z0-9]{4}-[A-Z0-9]{4}' || true); [ -n "$c" ] && { echo "$c"; return; }; sleep 0.1; done; exit 1; }
`

// script makes a shell script of a guide's commands. A server goes on beside the
// others, and so does a pairing until it is approved.
func (g *guide) script(page string) string {
	g.t.Helper()
	text, err := os.ReadFile("../../docs/guide/" + page)
	g.ok(err)
	var b strings.Builder
	b.WriteString(guidePrelude)
	lines := 0
	for _, block := range consoleBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			line, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			if !ok {
				continue
			}
			lines++
			status := wantStatus.FindStringSubmatch(line)
			line = strings.NewReplacer(g.replace...).Replace(line)
			fmt.Fprintf(&b, "say %s\n", quote(line))
			kind := ""
			if f := strings.Fields(line); len(f) > 2 && f[0] == "lares" {
				kind = f[1] + " " + f[2]
			}
			switch {
			case kind == "ca serve": // leaves no address in its folder
				fmt.Fprintf(&b, "%s &\nanswers %s\n", line, strings.Replace(line[strings.LastIndex(line, " ")+1:], ":", "/", 1))
			case strings.HasSuffix(kind, " serve"):
				fmt.Fprintf(&b, "%s &\nserved ~/.local/share/lares/%s\n", line, strings.TrimSuffix(kind, " serve"))
			case kind == "device pair":
				fmt.Fprintf(&b, "%s & pairing=$!\ncode >/dev/null\n", line)
			case strings.Contains(line, "$(code)"):
				fmt.Fprintf(&b, "%s\nwait $pairing\n", line)
			case status != nil:
				fmt.Fprintf(&b, "rc=0; %s || rc=$?\n[ $rc = %s ] || { echo \"status $rc\"; exit 1; }\n", strings.Split(line, "#")[0], status[1])
			default:
				b.WriteString(line + "\n")
			}
		}
	}
	if lines < 4 {
		g.t.Fatalf("%s has %d commands", page, lines)
	}
	return b.String()
}

// quote makes one word of a text for bash.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// follow runs a guide to its end and gives what was on the screen.
func (g *guide) follow(page string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*startGrace)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", g.script(page))
	cmd.Dir = g.path("user")
	bin := filepath.Dir(g.program)
	cmd.Env = []string{"HOME=" + g.path("user"), "PATH=" + g.path("tools") + ":" + bin + ":" + os.Getenv("PATH"), "LARES_TREM=" + filepath.Join(bin, "lares-trem"), "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", page, err, out)
	}
	return string(out)
}

// stock makes a shop with one film, packed into a folder of the guide's user.
func (g *guide) stock() {
	g.t.Helper()
	ctx := g.t.Context()
	g.ok(g.makeShop(ctx))
	for _, args := range [][]string{
		{"pack", g.path("user", "metropolis.mp4"), "--title", "Metropolis", "--content", string(metropolis), "--to", g.path("shop", "delivery.der"), "--out", g.path("user", "films", "metropolis")},
		{"issuer", "content", "add", "--dir", g.path("shop"), "--keys", g.path("user", "films", "metropolis", "keys.lkd")},
		{"issuer", "offer", "add", "buy", "--dir", g.path("shop"), "--kind", "purchase", "--content", string(metropolis), "--terms", "PLAY; EXPORT=clearkey; BACKUP=household"},
	} {
		_, err := g.must(ctx, args...)
		g.ok(err)
	}
}

// TestGuide_Household types the household's guide.
func TestGuide_Household(t *testing.T) {
	g := newGuide(t)
	g.stock()
	g.ok(os.Link(g.path("user", "metropolis.mp4"), g.path("user", "films", "Grandmother.mp4")))
	g.ok(os.Chtimes(g.path("user", "metropolis.mp4"), time.Time{}, time.Now().Add(-time.Hour))) // it has lain there for a while
	out, err := g.must(t.Context(), "issuer", "claim", "new", "--dir", g.path("shop"), "--offer", "buy", "--csv")
	g.ok(err)
	claim := strings.Split(strings.Split(out, "\n")[1], ",")[1]
	at := freePort(t)
	g.with("home serve --ca", "home serve --listen "+at+" --ca", "http://127.0.0.1:7710", "http://"+at, "http://shop.example/c/7KQ2M4XD9T3V", claim,
		"3F9K-22QX", g.newVoucher("--role", "home-server"), "8WQ4-71ZK", g.newVoucher("--role", "device"), "5T1N-90RC", g.newVoucher("--role", "home-server"),
		"7KQ2-M4XD", "$(code)", "backup --out house.backup", `backup --out house.backup 2>paper; grep -oE '[0-9]+ [a-z]+' paper | grep -v words | sed 's/.* //' >words.txt`)
	for _, line := range []string{"device renderers", `device render metropolis --to "Living room TV"`} { // no television is here
		g.with(line, line+" || test $? -eq 4")
	}
	g.ok(os.WriteFile(g.path("user", "pin.txt"), []byte("2468\n"), 0o600))
	said := g.follow("household.md")
	for _, want := range []string{"Your house is founded", "In the library: Metropolis", "Grandmother is protected: urn:lares:own:", "It is not protected any more.", "tablet belongs to your house now", "metropolis is on this device", "It plays here", "Ben: child, 9 years old, 07:00-19:30, no PIN.", "Metropolis is from 12.", "tablet is Ben's", "It is for people from 12, and you are 9.", "Only an adult of the house may do that.", "tablet is everybody's", "The house of "} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
	if args, err := os.ReadFile(g.played); err != nil || !strings.HasPrefix(string(args), "http://127.0.0.1:") {
		t.Errorf("the player was started with %q: %v", args, err)
	}
}

// TestGuide_LibraryLending types the library's guide, with two readers' houses.
func TestGuide_LibraryLending(t *testing.T) {
	g := newGuide(t)
	at := freePort(t)
	g.with("issuer serve", "issuer serve --listen "+at, "http://library.example:7720", "http://"+at,
		"3F9K-22QX", g.newVoucher("--role", "license-issuer", "--issuer", "library.example"))
	for name, dir := range map[string]string{"9c1f…e2": g.path("user", ".local", "share", "lares", "home"), "07aa…31": g.path("other")} {
		_, err := g.must(t.Context(), "home", "init", "--dir", dir, "--ca", g.caURL, "--voucher", g.newVoucher("--role", "home-server"))
		g.ok(err)
		_, err = g.serve(name, "home", "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--ca", g.caURL)
		g.ok(err)
		var v houseView
		g.ok(g.query(t.Context(), &v, "home", "show", "--dir", dir, "--issuer", "library.example"))
		g.with(name, v.Domain.String())
	}
	g.with("rm -f ~", "kill %1; wait %1 || true; rm -f ~")
	said := g.follow("library-lending.md")
	for _, want := range []string{"library.example", "Accepted: the issuer serves", "The house has a copy until", "It is in your house now.", "all copies are out", "The house waits for its turn.", "The database is whole"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
}

// TestGuide_DeviceMaker types the device maker's guide, with a compiler and openssl.
func TestGuide_DeviceMaker(t *testing.T) {
	needs.Tool(t, "cc")
	needs.Tool(t, "openssl")
	g := newGuide(t)
	source, err := os.ReadFile("../../examples/c/play.c")
	g.ok(err)
	g.ok(os.WriteFile(g.path("user", "play.c"), source, 0o600))
	said := g.follow("device-maker.md")
	for _, want := range []string{
		"keystore    soft", "holds          after END a session is gone", "Device class 4098", "10 devices, 10 of them in this run", "10 devices, 0 of them in this run", "SVN >= 2  Device Class 4098 CA: player 2026",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
	data, err := os.ReadFile(g.path("user", "certificates.jsonl"))
	if err != nil || strings.Count(string(data), "\n") != 11 {
		t.Errorf("%d lines of certificates, %v", strings.Count(string(data), "\n"), err)
	}
}

// TestGuide_Festival types the festival's guide; a juror's house stands ready.
func TestGuide_Festival(t *testing.T) {
	g := newGuide(t)
	at := freePort(t)
	day := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.RFC3339) }
	g.with("issuer serve", "issuer serve --listen "+at, "3F9K-22QX", g.newVoucher("--role", "license-issuer", "--issuer", "festival.example"),
		"2027-05-06T08:00:00Z", day(-1), "2027-05-16T20:00:00Z", day(10), "http://festival.example/c/7KQ2M4XD9T3V", "$(sed -n 2p codes.csv | cut -d, -f2)",
		"7d0c5a5fd1b2", "$(sed -n 2p week.csv | cut -d, -f3)")
	_, err := g.must(t.Context(), "home", "init", "--dir", g.path("user", ".local", "share", "lares", "home"), "--ca", g.caURL, "--voucher", g.newVoucher("--role", "home-server"))
	g.ok(err)
	_, err = g.serve("juror", "home", "serve", "--dir", g.path("user", ".local", "share", "lares", "home"), "--listen", "127.0.0.1:0", "--ca", g.caURL)
	g.ok(err)
	said := g.follow("festival.md")
	for _, want := range []string{"2 times", "300 codes withdrawn."} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
}

// TestGuide_Operator types the operator's guide.
func TestGuide_Operator(t *testing.T) {
	g := newGuide(t)
	at, shop := freePort(t), freePort(t)
	g.with("ca serve", "ca serve --listen "+at, "http://127.0.0.1:7700", "http://"+at, "issuer serve", "issuer serve --listen "+shop,
		"3F9K-22QX", "$(lares ca voucher --role license-issuer --issuer demo-shop --json | grep -oE '[A-Z0-9]{4}(-[A-Z0-9]{4})+' | head -n1)")
	g.with("rm -f ~", "kill %2; wait %2 || true; rm -f ~") // the issuer is the second that was started
	said := g.follow("operator.md")
	for _, want := range []string{"Accepted: the issuer serves", "Device Class 4097 CA", "authority ", "The database is whole", "bundle.tar.gz"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
	if lists, err := filepath.Glob(g.path("user", "lists", "*.crl")); err != nil || len(lists) < 4 {
		t.Errorf("%v, %v", lists, err)
	}
}

// TestGuide_SmallShopAndDoctor types the commands of the shop's guide, with a house that
// redeems a code and a device without one (its program is held in service/issuer); then
// those of the doctor's, for the same three.
func TestGuide_SmallShopAndDoctor(t *testing.T) {
	g := newGuide(t)
	g.stock()
	dirs := g.path("user", ".local", "share", "lares")
	g.ok(os.MkdirAll(dirs, 0o700))
	g.ok(os.Symlink(g.path("shop"), filepath.Join(dirs, "issuer")))
	for kind, role := range map[string]string{"home": "home-server", "device": "device"} {
		_, err := g.must(t.Context(), kind, "init", "--dir", filepath.Join(dirs, kind), "--ca", g.caURL, "--voucher", g.newVoucher("--role", role))
		g.ok(err)
	}
	_, err := g.serve("house", "home", "serve", "--dir", filepath.Join(dirs, "home"), "--listen", "127.0.0.1:0", "--ca", g.caURL)
	g.ok(err)
	g.with("https://shop.example/c/7KQ2M4XD9T3V", "$(sed -n 2p codes.csv | cut -d, -f2)", "https://shop.example", g.shopURL,
		"domain create --devices 5 ", "domain create --devices 5 | tee household ", "7Q3K-M2XR-9HT4", "$(grep -oE '([0-9A-Z]{4}-){2}[0-9A-Z]{4}' household)",
		"9c1f…e2", "$(grep -oE '[0-9a-f]{16,}' household)", "07aa…31", "$(lares home show --issuer demo-shop --json | grep -oE '\"pairwise\": *\"[^\"]*' | grep -oE '[0-9a-f]{16,}')")
	said := g.follow("small-shop.md")
	for _, want := range []string{"48 hours", "It is in your house now: metropolis", "This device belongs to a house", "metropolis is on this device", "The house has a copy until"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing said %q:\n%s", want, said)
		}
	}
	g.ok(os.WriteFile(g.path("user", "journal"), []byte("2026-11-28T23:00:00Z INFO ready\n"), 0o600))
	g.with("/var/lib/lares/home", filepath.Join(dirs, "home"), "journalctl -u lares-home -o cat", "rm bundle.tar.gz; cat journal")
	said = g.follow("doctor.md")
	if n := strings.Count(said, "bundle.tar.gz"); n < 4 || !strings.Contains(said, "clock") {
		t.Errorf("the doctor said:\n%s", said)
	}
}

// held says which test holds each guide: it types the commands, or builds and runs what
// the guide shows.
var held = map[string]string{
	"adapter.md": "interconnect/adapt/example TestExample_TheGuideHasThisCode", "device-maker.md": "internal/cli TestGuide_DeviceMaker",
	"doctor.md": "internal/cli TestGuide_SmallShopAndDoctor", "festival.md": "internal/cli TestGuide_Festival", "household.md": "internal/cli TestGuide_Household",
	"library-lending.md": "internal/cli TestGuide_LibraryLending", "operator.md": "internal/cli TestGuide_Operator", "profiles.md": "license/profile Test",
	"small-shop.md": "internal/cli TestGuide_SmallShopAndDoctor", "test-issuer.md": "internal/testissuer TestTest_EveryParameter",
	// What these two show needs root, an installed package or several machines; the
	// tests play the same by other commands, and TestGuide_CommandsAreThere reads them.
	"packages.md": "internal/release TestRelease_SameBytesTwice", "handing-over.md": "internal/cli TestTransferCommands_OfTheHouse",
}

// TestGuide_EachIsHeld: no guide is without a test that reads it.
func TestGuide_EachIsHeld(t *testing.T) {
	pages, err := filepath.Glob("../../docs/guide/*.md")
	if err != nil || len(pages) != len(held) {
		t.Errorf("%d guides, %d of them held (%v)", len(pages), len(held), err)
	}
	for _, page := range pages {
		dir, name, ok := strings.Cut(held[filepath.Base(page)], " ")
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(text), "\nfunc "+name)
		}
		if !ok || !found {
			t.Errorf("%s is held by no test (%q)", filepath.Base(page), held[filepath.Base(page)])
		}
	}
}

// TestGuide_AWrongCommandFails: following a guide finds what does not work.
func TestGuide_AWrongCommandFails(t *testing.T) {
	needs.Tool(t, "bash")
	for _, line := range []string{"false", "cat nothing | wc -l"} {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", guidePrelude+line+"\n") //nolint:gosec // of the test
		if err := cmd.Run(); err == nil {
			t.Errorf("%q is passed over", line)
		}
	}
}
