package module_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
)

// TestWalls_Stand looks at the real process from outside: what the module says
// of its walls is what the kernel says.
func TestWalls_Stand(t *testing.T) {
	b := &box{t: t, dir: t.TempDir()}
	if err := os.Chmod(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := b.spawn()
	t.Cleanup(func() { _ = b.Close(); _ = b.wait() })
	st, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stands := map[string]bool{}
	var order []string
	for _, w := range st.Walls {
		order = append(order, w.Name)
		stands[w.Name] = w.Stands
		t.Logf("%s: %v (%s)", w.Name, w.Stands, w.Detail)
		if w.Detail == "" {
			t.Errorf("%s: no reason", w.Name)
		}
	}
	want := []string{"process", "no dump", "no core file", "memory locked", "secret memory", "folder", "landlock", "seccomp", "hardware"}
	if strings.Join(order, ",") != strings.Join(want, ",") {
		t.Errorf("walls %v, want %v", order, want)
	}
	for _, name := range []string{"process", "no dump", "no core file", "folder", "seccomp"} { // every kernel has these
		if !stands[name] {
			t.Errorf("%s does not stand", name)
		}
	}
	if stands["hardware"] {
		t.Error("a software module claims hardware")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Seccomp:\t2\n", "NoNewPrivs:\t1\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("the kernel says otherwise: no %q in\n%s", line, status)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("core files are not limited: %v\n%s", err, limits)
	}
	var locked int // KiB; the keys' own pages are some
	if _, after, ok := strings.Cut(string(status), "VmLck:"); ok {
		_, err = fmt.Sscan(after, &locked)
	}
	if err != nil || locked > 1024 != stands["memory locked"] {
		t.Errorf("memory locked: said %v, and the kernel %d KiB, %v", stands["memory locked"], locked, err)
	}
	for _, task := range tasks(t, cmd.Process.Pid) { // TSYNC: not one thread is left out
		if s, err := os.ReadFile(task + "/status"); err == nil && !strings.Contains(string(s), "Seccomp:\t2\n") {
			t.Errorf("%s has no filter", task)
		}
	}
}

// TestWalls_LetTheBufferThrough plays by a buffer from a module behind all of
// its walls: the one descriptor that it may send is sent to its host.
func TestWalls_LetTheBufferThrough(t *testing.T) {
	own, _ := users(t)
	th := newTheater(t)
	th.tablet.settle(own)
	t.Cleanup(func() { _ = th.tablet.Close(); _ = th.tablet.wait() })
	ctx := t.Context()
	th.must(th.learnTime(th.tablet))
	ses, err := th.tablet.Begin(ctx, playAsk(content.HD))
	th.must(err)
	track := &th.s.m.Tracks[slices.IndexFunc(th.s.m.Tracks, func(tr content.TrackFiles) bool { return tr.Tier == content.HD })]
	n, _, err := th.tablet.Track(ctx, ses.Handle, th.s.read(t, track.Init))
	th.must(err)
	mem, err := th.tablet.Buffer(ctx, 4<<20)
	th.must(err)
	data := th.s.read(t, track.Segments[0].File)
	want, err := th.tablet.Decrypt(ctx, ses.Handle, n, data)
	th.must(err)
	copy(mem, data)
	th.must(th.tablet.DecryptBuffer(ctx, ses.Handle, n, 0, len(data)))
	if !bytes.Equal(mem[:len(data)], want) || bytes.Equal(want, data) {
		t.Error("the buffer does not hold what the stream gives")
	}
}

func tasks(t *testing.T, pid int) []string {
	t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(all) < 2 {
		t.Fatalf("%d threads, %v", len(all), err)
	}
	return all
}

// ways are the ways into another process's memory and descriptors.
var ways = map[string]string{"ptrace": "no dump", "mem": "no dump", "readv": "no dump", "getfd": "no dump"}

// outside does one attack as another user and as the module's own user, with
// the wall and without it. Another user never succeeds; the own user does where
// the wall is not, which shows that the attack is one.
func outside(t *testing.T, way string) {
	trem, attacker := users(t)
	_, walled := trem.bare(t)
	_, open := trem.bare(t, ways[way])
	// An address that every process has: the test binary is not relocated.
	where := fmt.Sprint(uintptr(unsafe.Pointer(unsafe.StringData(landmark))))
	for _, tc := range []struct {
		name string
		as   *user
		pid  int
		want bool
	}{
		{"another user, walls up", attacker, walled.Process.Pid, false},
		{"another user, wall down", attacker, open.Process.Pid, false},
		{"its own user, walls up", trem, walled.Process.Pid, false},
		{"its own user, wall down", trem, open.Process.Pid, true},
	} {
		err := tc.as.attack(t, way, tc.pid, where)
		t.Logf("%s: %v", tc.name, err)
		if (err == nil) != tc.want {
			t.Errorf("%s: %s succeeds: %v, want %v (%v)", tc.name, way, err == nil, tc.want, err)
		}
		if err != nil && !strings.Contains(err.Error(), "operation not permitted") && !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %s fails for another reason than a wall: %v", tc.name, way, err)
		}
	}
}

func TestAttack_Ptrace(t *testing.T)         { outside(t, "ptrace") }
func TestAttack_ProcPIDMem(t *testing.T)     { outside(t, "mem") }
func TestAttack_ProcessVMReadv(t *testing.T) { outside(t, "readv") }
func TestAttack_StealTheSocket(t *testing.T) { outside(t, "getfd") }

// landmark stands at the same address in each process of this binary, so that
// an attacker can say whether it read anything.
const landmark = "what an attacker of this test reads in the memory of a module"

func attackPtrace(args []string) error {
	runtime.LockOSThread()
	if err := unix.PtraceAttach(number(args[0])); err != nil {
		return err
	}
	_, _ = unix.Wait4(number(args[0]), nil, 0, nil)
	return unix.PtraceDetach(number(args[0]))
}

func attackMem(args []string) error {
	f, err := os.Open("/proc/" + args[0] + "/mem")
	if err != nil {
		return err
	}
	defer f.Close()
	got := make([]byte, len(landmark))
	if _, err := f.ReadAt(got, int64(number(args[1]))); err != nil {
		return err
	}
	return read(got)
}

func attackReadv(args []string) error {
	got := make([]byte, len(landmark))
	local := []unix.Iovec{{Base: &got[0]}}
	local[0].SetLen(len(got))
	_, err := unix.ProcessVMReadv(number(args[0]), local, []unix.RemoteIovec{{Base: uintptr(number(args[1])), Len: len(got)}}, 0)
	if err != nil {
		return err
	}
	return read(got)
}

func read(got []byte) error {
	if !bytes.Equal(got, []byte(landmark)) {
		return fmt.Errorf("read %q", got)
	}
	return nil
}

// attackGetFD takes the module's end of the stream: whoever has it is the host.
func attackGetFD(args []string) error {
	p, err := unix.PidfdOpen(number(args[0]), 0)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdGetfd(p, 3, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func attackOpen(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	return f.Close()
}

func attackSignal(args []string) error {
	return unix.Kill(number(args[0]), unix.Signal(number(args[1])))
}

// TestAttack_CoreDump lets a module crash, with the environment that makes a Go
// program dump core, by the signal of somebody who may send it one.
func TestAttack_CoreDump(t *testing.T) {
	trem, attacker := users(t)
	if pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || strings.TrimSpace(string(pattern)) == "" {
		needs.NotRun(t, "this kernel writes no core files")
	}
	t.Setenv("GOTRACEBACK", "crash") // the host chooses the environment
	crash := func(without ...string) (dumped bool) {
		b := &box{t: t, dir: trem.folder(t), as: trem, without: without, stderr: new(bytes.Buffer)}
		cmd := b.spawn()
		if _, err := b.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := attacker.attack(t, "signal", cmd.Process.Pid, int(unix.SIGABRT)); err == nil {
			t.Error("another user sends the module signals")
		}
		if err := trem.attack(t, "signal", cmd.Process.Pid, int(unix.SIGABRT)); err != nil {
			t.Fatal(err)
		}
		_ = b.wait()
		_ = b.Close()
		ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !ws.Signaled() {
			t.Fatalf("the module did not crash: %v", cmd.ProcessState)
		}
		return ws.CoreDump()
	}
	if crash() {
		t.Error("a core was dumped")
	}
	if crash("no dump") || crash("no core file") {
		t.Error("one of the two walls alone does not hold")
	}
	if !crash("no dump", "no core file") {
		t.Error("without both walls there is no core either: the test cannot fail")
	}
}

// TestAttack_AnotherUsersSocket gives a module a stream that another user made:
// it serves nobody. Without the wall it does.
func TestAttack_AnotherUsersSocket(t *testing.T) {
	own, attacker := users(t)
	for _, tc := range []struct {
		name    string
		by      *user
		without []string
		serves  bool
	}{
		{"its own user", own, nil, true},
		{"another user", attacker, nil, false},
		{"another user, wall down", attacker, []string{"process"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all, err := everyone()
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(all, strings.ReplaceAll(tc.name, " ", "-"))
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := os.Chmod(name, 0o777); err != nil {
				t.Fatal(err)
			}
			cmd := tc.by.command(t, childRole+"=connect", childArgs+"="+name)
			out := new(bytes.Buffer)
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if err := l.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			conn, err := l.AcceptUnix()
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := conn.File()
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			said := new(bytes.Buffer)
			b := &box{t: t, dir: own.folder(t), as: own, without: tc.without, stderr: said}
			b.launch(theirs)
			hostErr := cmd.Wait()
			moduleErr := b.wait()
			if (hostErr == nil) != tc.serves || (moduleErr == nil) != tc.serves {
				t.Errorf("served: %v (%s), module: %v %s; want %v", hostErr, out, moduleErr, said, tc.serves)
			}
			if !tc.serves && !strings.Contains(said.String(), "was made by user 65532") {
				t.Errorf("the refusal does not say why: %s", said)
			}
		})
	}
}

// attackConnect is a host that asks the module what it is.
func attackConnect(args []string) error {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", args[0])
	if err != nil {
		return err
	}
	c := trem.NewClient(conn)
	_, err = c.Status(context.Background())
	return errors.Join(err, c.Close())
}

// TestAttack_OpenTheFolder is another user at the module's files: its keys, its
// log, its descriptors.
func TestAttack_OpenTheFolder(t *testing.T) {
	own, attacker := users(t)
	b, cmd := own.bare(t)
	names := []string{b.dir, filepath.Join(b.dir, "device.secret"), filepath.Join(b.dir, "keystore.lks"), filepath.Join(b.dir, "vault")}
	for _, name := range names {
		if err := attacker.attack(t, "open", name); err == nil {
			t.Errorf("another user opens %s", filepath.Base(name))
		}
		if err := own.attack(t, "open", name); err != nil {
			t.Errorf("its own user does not open %s, so the test cannot fail: %v", filepath.Base(name), err)
		}
	}
	for _, u := range []*user{own, attacker} {
		if err := u.attack(t, "open", fmt.Sprintf("/proc/%d/fd/3", cmd.Process.Pid)); err == nil {
			t.Errorf("user %d opens the module's socket", u.id)
		}
	}
}
