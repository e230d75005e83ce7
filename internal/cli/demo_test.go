package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
)

// scratch is the folder of what the tests of this binary share. TestMain removes it.
var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "lares-cli-") })

// programs builds lares and lares-trem once, as they are shipped: with the flags of
// `make build`, so that nothing is compiled for the tests alone.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "programs")
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "../../cmd/lares", "../../cmd/lares-trem")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if calls := os.Getenv(diskEnv); calls != "" {
		armDisk(calls)
	}
	if name := os.Getenv(scriptEnv); name != "" {
		os.Exit(scripted(name))
	}
	code := m.Run()
	if dir, err := scratch(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func program(t *testing.T) string {
	t.Helper()
	needs.Long(t)
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "lares")
}

// TestDemo_Check runs the story that `make demo-check` runs, as a program sees it.
func TestDemo_Check(t *testing.T) {
	t.Parallel() // it waits for a loan to end
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program(t), "demo", "--check", "--json")
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	var proofs []proof
	if err := json.Unmarshal(out.Bytes(), &proofs); err != nil {
		t.Fatalf("%v (%v): %s%s", err, runErr, out.String(), errs.String())
	}
	for _, p := range proofs {
		t.Logf("%d %s: %v %s%s", p.Step, p.Name, p.Holds, p.Proved, p.Failed)
	}
	if want := len((&demo{}).story()); runErr != nil || len(proofs) != want {
		t.Errorf("%d of %d steps, %v", len(proofs), want, runErr)
	}
}

// serving is a running `lares demo`, in a process group and a temporary folder of its own.
type serving struct {
	url, tmp string
	cmd      *exec.Cmd
}

func startDemo(t *testing.T) *serving {
	t.Helper()
	s := &serving{tmp: t.TempDir()}
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), program(t), "demo")
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.tmp)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Signal(os.Interrupt)
			_ = s.cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(line)
	return s
}

// TestStory_8_Browser opens the URL that a demo prints in real headless Chromium: the
// film plays, the picture is there, and stopping the session at the house stops it. Then
// the demo is stopped as Ctrl-C does, and leaves nothing behind.
func TestStory_8_Browser(t *testing.T) {
	t.Parallel() // it waits for the picture
	s := startDemo(t)
	t.Run("Plays", s.plays)
	t.Run("LeavesNothing", s.leavesNothing)
}

func (s *serving) plays(t *testing.T) {
	for _, title := range []string{string(bought), string(boughtCBCS)} {
		got := browsertest.Play(t, s.url, browsertest.Options{Title: title})
		if got.To-got.From < 2.5 || !got.Encrypted || got.Width == 0 {
			t.Errorf("%s: it played from %.1f s to %.1f s, encrypted %v, %d pixels wide; the page says %q", title, got.From, got.To, got.Encrypted, got.Width, got.Ended)
			continue
		}
		if colors, black := got.Colors(); colors < 64 || black > 0.9 {
			t.Errorf("%s: the picture has %d colors and is %.0f %% black", title, colors, 100*black)
		}
		if !got.After.Paused && got.After.Loaded != 0 || got.After.Reason == "" {
			t.Errorf("%s: after the stop: %+v", title, got.After)
		}
		if shot := os.Getenv("LARES_PICTURE"); shot != "" && title == string(bought) {
			f, err := os.Create(shot)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, got.Picture); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// leavesNothing: its processes end, its address answers no more, and its temporary
// folder is gone.
func (s *serving) leavesNothing(t *testing.T) {
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil { // the whole group, as a terminal does
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
	if left, err := os.ReadDir(s.tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	if res, err := request(t.Context(), http.MethodGet, s.url, nil); err == nil {
		t.Errorf("the house still answers: HTTP %d", res.status)
	}
	if ps, err := os.ReadDir("/proc"); err == nil {
		for _, p := range ps {
			if args, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline")); err == nil && bytes.Contains(args, []byte(s.tmp)) {
				t.Errorf("still running: %q", args)
			}
		}
	}
}

// A folder that is named is the owner's, and stays.
func TestDemo_KeepsAFolderThatIsNamed(t *testing.T) {
	want := filepath.Join(t.TempDir(), "house")
	dir, clean, err := demoDir(want)
	if err != nil || dir != want || clean() != nil {
		t.Errorf("%s, want %s (%v)", dir, want, err)
	}
	if _, err := os.Stat(want); err != nil {
		t.Error(err)
	}
}
