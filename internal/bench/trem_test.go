package bench

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// moduleDir names the folder of a module: this program is then that module.
const moduleDir = "LARES_BENCH_MODULE"

func TestMain(m *testing.M) {
	dir := os.Getenv(moduleDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	err := module.Run(module.Config{Dir: dir, Conn: os.NewFile(3, "host"), Clock: module.System, Harden: true, BuildMS: module.BuildTime()})
	if err != nil {
		os.Exit(1)
	}
}

// start runs the module of a folder in a process of its own.
func start(dir string) (*Module, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "module")
	defer theirs.Close()            //nolint:errcheck // the child has its own
	cmd := exec.Command(os.Args[0]) //nolint:noctx // it ends with its socket
	cmd.Env, cmd.ExtraFiles, cmd.Stderr = append(os.Environ(), moduleDir+"="+dir), []*os.File{theirs}, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := trem.NewClient(ours)
	return &Module{Client: c, PID: cmd.Process.Pid, Stop: func() error { return errors.Join(c.Close(), cmd.Wait()) }}, nil
}

func TestTREM_RowsAreStable(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := runTREM(t.Context(), Config{Quick: true, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"an hour of a rental: fsyncs", "syncs", "<= 365"},
		{"an hour of a rental: anchor writes", "writes", "<= 4"},
		{"an hour of a purchase: fsyncs", "syncs", ""},
		{"an hour of a purchase: anchor writes", "writes", ""},
		{"start, to the first answer", "ms", "<= 150"},
		{"STATUS: round trip, median", "µs", "<= 60"},
		{"STATUS: round trip, 99 of 100", "µs", ""},
		{"EVALUATE: round trip, median", "µs", "<= 60"},
		{"EVALUATE: round trip, 99 of 100", "µs", ""},
	}
	for _, reel := range []string{"UHD, segments of 8 MB", "HD, segments of 2.5 MB", "small, segments of 0.15 MB"} {
		bar := ">= 0.85"
		if reel[0] == 's' {
			bar = ""
		}
		want = append(want, []row{
			{reel + ": in this process", "GB/s", ""},
			{reel + ": through the module", "GB/s", ""},
			{reel + ": through the module against this process", "times", bar},
			{reel + ": the same by the clock", "times", ""},
			{reel + ": the same, read by the host", "times", ""},
			{reel + ": the same, in the stream", "times", ""},
		}...)
	}
	want = append(want, row{"resident memory after that, the most", "MB", "<= 40"})
	var names []row
	for _, r := range got {
		names = append(names, row{r.Name, r.Unit, r.Bar})
		if r.Value <= 0 && r.Name != "an hour of a purchase: anchor writes" || r.Bar == "" && !r.Holds || (r.Unit == unitSyncs || r.Unit == "writes") && !r.Holds {
			t.Errorf("%s: %v %s, holds %v", r.Name, r.Value, r.Unit, r.Holds)
		}
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left in the folder, %v", len(left), err)
	}
}

func TestTREM_NoModuleIsNoFigure(t *testing.T) {
	t.Chdir(t.TempDir())
	if rows, err := runTREM(t.Context(), Config{Quick: true}); err == nil || rows != nil {
		t.Errorf("%d rows of nothing", len(rows))
	}
	gone := errors.New("not installed")
	if rows, err := runTREM(t.Context(), Config{Quick: true, Start: func(string) (*Module, error) { return nil, gone }}); !errors.Is(err, gone) || rows != nil {
		t.Errorf("%d rows of a module that does not start, %v", len(rows), err)
	}
}
