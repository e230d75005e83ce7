package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd/browsertest"
)

// maxFirstRun is how long the first run may take, from the address on the terminal to a
// film that plays. Source: local, docs/spec/home-api.md, "First run".
const maxFirstRun = 2 * time.Minute

// setupLine is what a new house prints behind its address.
var setupLine = regexp.MustCompile(`^Setup code ([0-9A-Z]{4}-[0-9A-Z]{4}):`)

// newHome serves a house that is not founded yet, and returns its address and setup code.
func newHome(t *testing.T, d *demo, name string) (url, code string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), d.program, "home", "serve", "--dir", d.path(name), "--listen", ":0", "--announce=false")
	cmd.Stderr = d.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	in := bufio.NewReader(out)
	address, _ := in.ReadString('\n')
	line, err := in.ReadString('\n')
	m := setupLine.FindStringSubmatch(line)
	if err != nil || m == nil {
		t.Fatalf("a new house prints %q and %q (%v)", address, line, err)
	}
	return strings.TrimSpace(address), m[1]
}

// joins waits until the house's page asks for a device, and begins pairing at the address
// that the page says. It returns the code that the device shows.
func joins(t *testing.T, d *demo, asks, device string) <-chan string {
	t.Helper()
	shown := make(chan string, 1)
	go func() {
		defer close(shown)
		var house []byte
		for ; t.Context().Err() == nil && len(house) == 0; time.Sleep(20 * time.Millisecond) {
			house, _ = os.ReadFile(asks)
		}
		a, err := d.run(t.Context(), "device", "pair", "--dir", d.path(device), "--home", string(house), "--name", "tablet")
		if err != nil || a.code != 0 {
			return
		}
		_, code, _ := strings.Cut(a.stderr, "Code ")
		code, _, _ = strings.Cut(code, "\n")
		shown <- code
	}()
	return shown
}

// TestSetup_FirstRunInBothBrowsers begins a new house from nothing but what its owner has:
// the address and the code that the terminal shows, an invitation, a folder of films, a
// link of a shop, and a device. Three decisions, and the film plays.
func TestSetup_FirstRunInBothBrowsers(t *testing.T) {
	d := emptyHouse(t)
	ctx := t.Context()
	for _, step := range []func(context.Context) error{d.makeCA, d.makeShop, d.packOne} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var links []string
	out, err := d.must(ctx, "issuer", "claim", "new", "--dir", d.path("shop"), "--offer", "film", "--count", "4", "--csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("%v, %v", rows, err)
	}
	for _, r := range rows[1:] {
		links = append(links, r[1])
	}
	for _, b := range browsertest.Browsers {
		for _, size := range browsertest.Sizes {
			t.Run(b.Name+"/"+size.Name, func(t *testing.T) {
				link := links[0]
				links = links[1:]
				s := browsertest.Setup{Browser: b.Name, Width: size.Width, Height: size.Height, Link: link}
				if b.Name == "chromium" && size.Name == "desktop" {
					s.Tour = browsertest.Tour(t, map[string]string{"1-begin": "begin", "3-device": "device", "7-watch": "watch"})
				}
				if b.Name == "chromium" && size.Name == "phone" {
					s.Tour = browsertest.Tour(t, map[string]string{"4-code": "code-phone", "6-library": "library-phone"})
				}
				firstRun(t, d, b.Name+"-"+size.Name, s)
			})
		}
	}
}

// packOne packs one film for the shop, and offers it.
func (d *demo) packOne(ctx context.Context) error {
	titles := demoTitles(time.Now())[:1]
	if err := d.packTitles(ctx, titles); err != nil {
		return err
	}
	_, err := d.must(ctx, "issuer", "content", "add", "--dir", d.path("shop"), "--keys", filepath.Join(d.packed(bought), "keys.lkd"))
	if err == nil {
		_, err = d.must(ctx, "issuer", "offer", "add", "film", "--dir", d.path("shop"), "--content", string(bought), "--terms", titles[0].terms, "--name", "The film")
	}
	return err
}

func firstRun(t *testing.T, d *demo, name string, s browsertest.Setup) {
	ctx := t.Context()
	house, err := d.voucher(ctx, "--role", "home-server")
	if err != nil {
		t.Fatal(err)
	}
	device, err := d.voucher(ctx, "--role", "device")
	if err == nil {
		_, err = d.must(ctx, "device", "init", "--dir", d.path(name+"-tablet"), "--ca", d.caURL, "--voucher", device)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.URL, s.Code = newHome(t, d, name)
	s.Invitation, s.Folder = fmt.Sprintf("%s %s", d.caURL, house), d.path("packed")
	s.Asks, s.Pages = filepath.Join(t.TempDir(), "asks"), os.Getenv("LARES_PICTURES")
	shown := joins(t, d, s.Asks, name+"-tablet")
	got := s.Run(t)
	t.Logf("a film plays after %.1f s; steps: %q", got.Seconds, got.Headings)
	if got.Played < 1 || got.Seconds > maxFirstRun.Seconds() {
		t.Errorf("%.1f s of the film after %.1f s, want 1 s of it within two minutes", got.Played, got.Seconds)
	}
	if code := <-shown; code == "" || code != got.Seen {
		t.Errorf("the device shows %q, the page %q", code, got.Seen)
	}
	if len(got.Violations) > 0 || len(got.Wide) > 0 || len(got.Console) > 0 {
		t.Errorf("axe-core finds %q; too wide: %q; the browser complains: %q", got.Violations, got.Wide, got.Console)
	}
	peopleRead(t, name, got.Text)
	res, err := http.Get(s.URL + "/setup") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.Request.URL.Path == "/setup" {
		t.Error("a founded house can be founded again")
	}
}
