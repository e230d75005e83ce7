package module_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem/module"
)

// attempt is one of them.
type attempt struct {
	do   func(dir string) error
	wall []string // without these it succeeds
	abi  int      // version of Landlock that has the wall; 0 = the first
}

func (a attempt) landlock() int { return max(a.abi, 1) }

// landlockVersion is what this kernel has.
func landlockVersion() int {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// inside is what code that took over a module tries: each must fail behind the
// walls, and by a wall, and succeed without them.
var inside = map[string]attempt{
	"socket of the network": {do: func(string) error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }, wall: []string{"seccomp"}},
	"socket of the machine": {do: func(string) error { return opened(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)) }, wall: []string{"seccomp"}},
	"socket of the kernel":  {do: func(string) error { return opened(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) }, wall: []string{"seccomp"}},
	"pair of sockets": {do: func(string) error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	}, wall: []string{"seccomp"}},
	"pass a descriptor elsewhere": {do: func(string) error {
		other, err := unix.Dup(3)
		if err != nil {
			return err
		}
		return unix.Sendmsg(other, []byte{0}, unix.UnixRights(0), nil, 0)
	}, wall: []string{"seccomp"}},
	"read a file":           {do: func(string) error { return attackOpen([]string{"/etc/passwd"}) }, wall: []string{"landlock"}},
	"read another's folder": {do: func(dir string) error { return attackOpen([]string{filepath.Dir(dir) + "/module.test"}) }, wall: []string{"landlock"}},
	"write a file": {do: func(string) error {
		f, err := os.CreateTemp("/tmp", "lares-walls-")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}, wall: []string{"landlock"}},
	"run a program":          {do: func(string) error { return exec.Command("/bin/true").Run() }, wall: []string{"seccomp", "landlock"}},
	"become another program": {do: func(string) error { return becomes() }, wall: []string{"seccomp"}},
	"make a process":         {do: forks, wall: []string{"seccomp"}},
	"make a process, new call": {do: func(string) error {
		return number3(unix.SYS_CLONE3, 0, 0) // 0 bytes of arguments: EINVAL where it is there
	}, wall: []string{"seccomp"}},
	"ring of system calls": {do: func(string) error {
		params := make([]byte, 120) // struct io_uring_params
		return number3(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])))
	}, wall: []string{"seccomp"}},
	"trace":               {do: func(string) error { return number3(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0) }, wall: []string{"seccomp"}},
	"read another memory": {do: func(string) error { return attackReadv([]string{fmt.Sprint(os.Getpid()), where()}) }, wall: []string{"seccomp"}},
	"take a descriptor": {do: func(string) error {
		fd, err := unix.PidfdOpen(os.Getpid(), 0)
		return opened(fd, err)
	}, wall: []string{"seccomp"}},
	"view of its own":   {do: func(string) error { return number3(unix.SYS_UNSHARE, unix.CLONE_FS, 0) }, wall: []string{"seccomp"}},
	"key of the kernel": {do: func(string) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err }, wall: []string{"seccomp"}},
	"x32":               {do: func(string) error { return number3(unix.SYS_GETPID|0x40000000, 0, 0) }},
	"signal to another": {do: func(string) error { return unix.Kill(number(os.Getenv(childOther)), 0) }, wall: []string{"landlock"}, abi: 6},
	"raise the core limit": {do: func(string) error {
		return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	}, wall: []string{"no core file"}},
}

// childOther is the process of somebody else, for who attacks one.
const childOther = "LARES_TEST_OTHER"

func where() string { return fmt.Sprint(uintptr(unsafe.Pointer(unsafe.StringData(landmark)))) }

func opened(fd int, err error) error {
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func number3(nr, a, b uintptr) error {
	if _, _, errno := unix.RawSyscall(nr, a, b, 0); errno != 0 {
		return errno
	}
	return nil
}

// becomes executes a program that is not there: the filter answers before the
// kernel looks.
func becomes() error {
	err := unix.Exec("/no/such/program", nil, nil)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// forks makes a child that ends at once.
func forks(string) error {
	runtime.LockOSThread()
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

// attackInside puts the walls up, as a module does, and tries one thing.
func attackInside(args []string) error {
	dir, what := args[0], args[1]
	var found error
	err := module.Behind(module.Config{Dir: dir, Conn: os.NewFile(3, "host")}, missing(), func() { found = inside[what].do(dir) })
	if err != nil {
		return fmt.Errorf("walls: %w", err)
	}
	if what == "make a process, new call" && errors.Is(found, unix.EINVAL) {
		return nil // it is there
	}
	return found
}

// fromInside tries one thing behind the walls and without those that forbid it.
func fromInside(t *testing.T, what string) {
	own, _ := users(t)
	_, other := own.bare(t) // a process of the same user, outside of the walls
	try := func(without []string) error {
		ours, theirs := pair(t)
		defer ours.Close()
		cmd := own.command(t, childRole+"=inside", childArgs+"="+own.folder(t)+"\n"+what, childWithout+"="+strings.Join(without, ","), childOther+"="+fmt.Sprint(other.Process.Pid))
		cmd.ExtraFiles = []*os.File{theirs}
		out, err := cmd.Output()
		_ = theirs.Close()
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s", strings.TrimSpace(string(out)))
	}
	err := try(nil)
	t.Logf("behind the walls: %v", err)
	if err == nil {
		t.Error("it succeeds behind the walls")
	} else if !strings.Contains(err.Error(), "not permitted") && !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "not implemented") {
		t.Errorf("it fails for another reason than a wall: %v", err)
	}
	if err := try(inside[what].wall); err != nil {
		t.Errorf("it fails without %v, too: the test cannot fail (%v)", inside[what].wall, err)
	}
}

func TestAttack_FromInside(t *testing.T) {
	for what, a := range inside {
		if a.wall == nil {
			continue // a test of its own
		}
		t.Run(what, func(t *testing.T) {
			if version := landlockVersion(); slices.Contains(a.wall, "landlock") && version < a.landlock() {
				needs.NotRun(t, fmt.Sprintf("this kernel's Landlock has version %d, and this needs %d", version, a.landlock()))
			}
			fromInside(t, what)
		})
	}
}

// TestAttack_FromInside_X32 is on amd64 a second set of numbers for the same calls.
func TestAttack_FromInside_X32(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		return // no other architecture has it
	}
	own, _ := users(t)
	for without, want := range map[string]string{"": "operation not permitted", "seccomp": "function not implemented"} {
		ours, theirs := pair(t)
		cmd := own.command(t, childRole+"=inside", childArgs+"="+own.folder(t)+"\nx32", childWithout+"="+without)
		cmd.ExtraFiles = []*os.File{theirs}
		out, err := cmd.Output()
		_, _ = ours.Close(), theirs.Close()
		if err == nil && without != "" {
			continue // a kernel with x32: the call succeeds
		}
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("without %q: %v %s, want %s", without, err, out, want)
		}
	}
}
