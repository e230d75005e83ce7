package module_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/internal/needs"
)

// Environment of this test binary when it plays somebody else: a role (act), or
// a module without some walls.
const (
	childRole    = "LARES_TEST_ROLE"
	childArgs    = "LARES_TEST_ARGS"
	childWithout = "LARES_TEST_WITHOUT"
)

// missing are the walls that a child does not put up.
func missing() []string {
	names := strings.FieldsFunc(os.Getenv(childWithout), func(r rune) bool { return r == ',' })
	for _, name := range names {
		switch name {
		case "no dump": // Yama may forbid what the wall forbids: here it may not
			_ = unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0)
		case "no core file":
			_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30})
		}
	}
	return names
}

// act plays a role and returns the exit status.
func act(role string) int {
	roles := map[string]func(args []string) error{
		"ptrace": attackPtrace, "mem": attackMem, "readv": attackReadv, "getfd": attackGetFD, "open": attackOpen, "signal": attackSignal,
		"connect": attackConnect, "inside": attackInside, "host": playHost,
	}
	if err := roles[role](strings.Split(os.Getenv(childArgs), "\n")); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	return 0
}

// user is one of the two that have no privileges. Its ID is of nobody else.
type user struct{ id uint32 }

// The users of the attacks. Root is neither.
const (
	tremUser     = 65531
	attackerUser = 65532
)

// users gives them, where processes may be started as them.
func users(t *testing.T) (trem, attacker *user) {
	t.Helper()
	if os.Geteuid() != 0 {
		needs.NotRun(t, "the attacks start processes as two other users, which only root may")
	}
	return &user{tremUser}, &user{attackerUser}
}

// command is this test binary as the user.
func (u *user) command(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	name := os.Args[0]
	if u != nil {
		name = everyonesBinary(t)
	}
	cmd := exec.CommandContext(context.Background(), name) //nolint:gosec // this test binary
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0")
	if u != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.id, Gid: u.id}}
	}
	return cmd
}

// attack plays a role as the user, and gives what it found: nil is a success of
// the attacker.
func (u *user) attack(t *testing.T, role string, args ...any) error {
	t.Helper()
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = fmt.Sprint(a)
	}
	cmd := u.command(t, childRole+"="+role, childArgs+"="+strings.Join(words, "\n"))
	out, err := cmd.Output()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("%s: %v, and no word", role, err)
	}
	return errors.New(strings.TrimSpace(string(out)))
}

// shared is where everyone's folder is, once it is made.
var shared string

// everyone is the one folder of a test run that all users reach.
var everyone = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lares-walls-")
	if err != nil {
		return "", err
	}
	shared = dir
	return dir, os.Chmod(dir, 0o711)
})

// sweep removes it at the end of the run.
func sweep() {
	if shared != "" {
		_ = os.RemoveAll(shared)
	}
}

var testBinary = sync.OnceValues(func() (string, error) {
	dir, err := everyone()
	if err != nil {
		return "", err
	}
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer from.Close()
	name := filepath.Join(dir, "module.test")
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return name, errors.Join(err, to.Chmod(0o755), to.Close())
})

// everyonesBinary is a copy of this test binary that every user may run.
func everyonesBinary(t *testing.T) string {
	t.Helper()
	name, err := testBinary()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// folder makes a folder of the user's own, in one that all users reach.
func (u *user) folder(t *testing.T) string {
	t.Helper()
	all, err := everyone()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(all, "dir-") //nolint:usetesting // that of the test is open to this user only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, int(u.id), int(u.id)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bare starts a module of the user without certificates, as the shipped program
// would, but for the walls that are left out.
func (u *user) bare(t *testing.T, without ...string) (*box, *exec.Cmd) {
	t.Helper()
	b := &box{t: t, dir: u.folder(t), as: u, without: without}
	cmd := b.spawn()
	t.Cleanup(func() { _ = b.Close(); _ = b.wait() })
	if _, err := b.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, cmd
}

// takes makes a folder and what is in it the user's own.
func (u *user) takes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && d.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chown(p, int(u.id), int(u.id)), os.Chmod(p, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// settle moves a stopped module's folder to the user and runs it there.
func (b *box) settle(u *user, without ...string) *exec.Cmd {
	b.t.Helper()
	b.shut()
	dir := u.folder(b.t)
	if err := os.CopyFS(dir, os.DirFS(b.dir)); err != nil {
		b.t.Fatal(err)
	}
	u.takes(b.t, dir)
	b.dir, b.as, b.without = dir, u, without
	return b.spawn()
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// scan counts patterns in all memory of a process that can be read. What cannot
// be read is counted, too.
func scan(t *testing.T, pid int, patterns map[string][]byte) (found map[string]int, unread int) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	found = map[string]int{}
	buf := make([]byte, 1<<20)
	seen := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || strings.Contains(line, "[v") {
			continue
		}
		const overlap = 31
		for at := from; at < to; at += int64(len(buf)) - overlap {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if err != nil && n == 0 {
				unread++
				break
			}
			seen += n
			for name, p := range patterns {
				found[name] += bytes.Count(buf[:n], p)
			}
			if to-at <= int64(len(buf)) {
				break
			}
		}
	}
	if seen < 1<<20 {
		t.Fatalf("only %d bytes of process %d could be read: the scan sees nothing", seen, pid)
	}
	return found, unread
}
