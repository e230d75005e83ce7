package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/conform"
	"github.com/lares-drm/lares/security/trem/tremtest"
)

// listen serves the module of a folder on a Unix socket: for each connection a
// process that has it for its stream, one after the other.
func listen(t *testing.T, dir string) string {
	t.Helper()
	module := filepath.Join(filepath.Dir(program(t)), "lares-trem")
	path := filepath.Join(t.TempDir(), "trem.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				done <- nil
				return
			}
			f, err := c.File()
			if err = errors.Join(err, c.Close()); err != nil {
				done <- err
				return
			}
			cmd := exec.CommandContext(context.WithoutCancel(t.Context()), module, "--dir", dir)
			cmd.ExtraFiles = []*os.File{f}
			err = cmd.Start()
			if err = errors.Join(err, f.Close()); err != nil {
				done <- err
				return
			}
			_ = cmd.Wait() // a stream that a check broke is its error
		}
	}()
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return path
}

// TestTREM_Conformance_OfTheProcess judges the program as it is shipped, with its
// walls, by both doors.
func TestTREM_Conformance_OfTheProcess(t *testing.T) {
	path := listen(t, t.TempDir())
	tremtest.Run(t, dialUnix(path))
}

// conformed runs a command by the clock of the modules: the judge's house has
// memberships that lapse.
func conformed(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now})
	return out.String(), errs.String(), code
}

// TestTREMConform_Command: one line a check, and a status.
func TestTREMConform_Command(t *testing.T) {
	t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(program(t)), "lares-trem"))
	dir := filepath.Join(t.TempDir(), "new")
	out, errs, code := conformed(t, "trem", "conform", "--dir", dir)
	if n := strings.Count(out, "holds          "); code != statusDone || n != len(conform.Checks()) || strings.Contains(out, "DOES NOT") {
		t.Errorf("status %d, %d checks hold: %s%s", code, n, out, errs)
	}
	if _, errs, code := conformed(t, "trem", "conform", "--dir", dir); code != statusUsage || !strings.Contains(errs, "name a new folder") {
		t.Errorf("a folder that was used: status %d, %s", code, errs)
	}
	if _, _, code := conformed(t, "trem", "conform"); code != statusUsage {
		t.Errorf("without a module: status %d", code)
	}
	if _, errs, code := conformed(t, "trem", "conform", "--socket", filepath.Join(dir, "none")); code != statusError || !strings.Contains(errs, "reach the module") {
		t.Errorf("nobody there: status %d, %s", code, errs)
	}
	// The same module, used before, by its socket: it does not hold that it is new.
	out, errs, code = conformed(t, "trem", "conform", "--json", "--socket", listen(t, dir))
	var got struct {
		Checks []judged `json:"checks"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if code != statusCheck || len(got.Checks) != len(conform.Checks()) || !got.Checks[0].Holds || got.Checks[1].Holds || !strings.Contains(got.Checks[1].Failed, "never enrolled") || got.Checks[20].Holds {
		t.Errorf("status %d, %s: %+v", code, errs, got.Checks)
	}
}

// TestTREM_PlayerInC compiles the example and plays a title with it, through the
// module of a device: what comes out is what `device play` writes.
func TestTREM_PlayerInC(t *testing.T) {
	gcc := needs.Tool(t, "gcc")
	d := killHouse(t)
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	d.buy(t, house.ID, boughtCBCS, 3)
	if _, err := d.must(t.Context(), "device", "get", string(boughtCBCS), "--plays", "3", "--dir", d.path("tablet")); err != nil {
		t.Fatal(err)
	}
	player := filepath.Join(t.TempDir(), "play")
	out, err := exec.CommandContext(t.Context(), gcc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-fsanitize=address,undefined", "-o", player, "../../examples/c/play.c").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	if _, err := d.must(t.Context(), "device", "play", string(boughtCBCS), "--dir", d.path("tablet"), "--tier", "HD", "--out", d.path("want.mp4")); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(d.path("want.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	film, dir := d.hdFiles(t), d.path("tablet", "trem")
	socket := listen(t, dir)
	for _, door := range [][]string{{"--dir", dir}, {"--socket", socket}} {
		got, errs, code := d.playInC(t, player, append(append(door, string(boughtCBCS), "3"), film...))
		if code != 0 || !bytes.Equal(got, want) || len(want) < 1e5 {
			t.Errorf("%s: status %d, %d bytes of %d, %s", door[0], code, len(got), len(want), errs)
		}
	}
	for _, tc := range []struct {
		name string
		args []string
		says string
		code int
	}{
		{"the fourth play", append([]string{"--socket", socket, string(boughtCBCS), "3"}, film...), string(license.CountExhausted) + ", have 3 used, need fewer than 3, remedy BUY", statusRefused},
		{"a title that is not there", append([]string{"--dir", dir, "nothing", "3"}, film...), string(license.NoGrant), statusRefused},
		{"no film", []string{"--dir", dir, string(boughtCBCS), "3"}, "usage", statusUsage},
		{"nobody listens", append([]string{"--socket", d.path("none"), string(boughtCBCS), "3"}, film...), "nobody answers", statusError},
	} {
		if got, errs, code := d.playInC(t, player, tc.args); code != tc.code || len(got) > 0 || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: status %d, %d bytes, %q; want %d and %q", tc.name, code, len(got), errs, tc.code, tc.says)
		}
	}
}

func (d *demo) playInC(t *testing.T, player string, args []string) (out []byte, errs string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), player, args...)
	cmd.Env = append(os.Environ(), "LARES_TREM="+filepath.Join(filepath.Dir(d.program), "lares-trem"), "ASAN_OPTIONS=detect_leaks=0") // a program that ends gives nothing back
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		code = e.ExitCode()
	}
	return stdout.Bytes(), stderr.String(), code
}

// hdFiles are the initialization segment of the HD track and its segments.
func (d *demo) hdFiles(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.packed(boughtCBCS), content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	track, err := trackOf(m, content.HD)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{filepath.Join(d.packed(boughtCBCS), filepath.FromSlash(track.Init.Name))}
	for _, s := range track.Segments {
		out = append(out, filepath.Join(d.packed(boughtCBCS), filepath.FromSlash(s.Name)))
	}
	return out
}

// TestTREM_SocketEndsAReadThatWaits: the host's end of a stream blocks in the
// kernel, and closing it ends that.
func TestTREM_SocketEndsAReadThatWaits(t *testing.T) {
	t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(program(t)), "lares-trem"))
	conn, cmd, err := connectTREM(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := trem.NewClient(conn)
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(conn, make([]byte, 1))
		ended <- err
	}()
	if err := errors.Join(conn.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a byte came from nowhere")
	}
}
