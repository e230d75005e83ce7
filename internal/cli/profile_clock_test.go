package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem/module"
)

// scriptEnv makes this test binary lares or lares-trem, whichever it is called, on a
// machine whose clocks a test sets: its value is the file of a machine. The shipped
// programs know nothing of it.
const scriptEnv = "LARES_TEST_MACHINE"

// machine is a machine of its own with the programs of this test binary. Its clocks
// lie in a file that all its processes have mapped, so that time passes for those that
// run, too.
type machine struct {
	*house
	t      *testing.T
	clocks []byte // mapped: see below
	script string // its lares
}

// What the file holds, each 8 bytes, little endian.
const (
	atOffset = 0  // ms that its time is ahead of the kernel's
	atBoot   = 8  // ms since its boot, beyond the kernel's
	atBoots  = 16 // how often it was started
	atDead   = 24 // 1: it has no clock that runs without power
	fileSize = 32
)

func mapClocks(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // mapped
	return syscall.Mmap(int(f.Fd()), 0, fileSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func clockAt(clocks []byte, at int) int64 { return int64(binary.LittleEndian.Uint64(clocks[at:])) } //nolint:gosec // two's complement

// scripted runs one process of such a machine.
func scripted(name string) int {
	clocks, err := mapClocks(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return statusError
	}
	if filepath.Base(os.Args[0]) == "lares-trem" {
		runtime.LockOSThread() // what it syncs is one thread's: see killing
		read := func() (module.Reading, error) {
			r, err := module.System()
			r.RTC += clockAt(clocks, atOffset)
			r.Boot += clockAt(clocks, atBoot)
			r.BootID[0] ^= byte(clockAt(clocks, atBoots)) //nolint:gosec // few
			if clockAt(clocks, atDead) != 0 {
				r.RTC = r.Boot
			}
			return r, err
		}
		err := module.Run(module.Config{Dir: os.Args[2], Conn: os.NewFile(3, "host"), Clock: read, Harden: true, BuildMS: module.BuildTime()})
		if err != nil {
			fmt.Fprintln(os.Stderr, "lares-trem:", err)
			return statusError
		}
		return statusDone
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	now := func() time.Time { return time.Now().Add(time.Duration(clockAt(clocks, atOffset)) * time.Millisecond) }
	return Main(ctx, os.Args[1:], &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: now})
}

// newMachine is a machine whose processes keep what they have below the folder of a
// house.
func newMachine(t *testing.T, of *house, name string) *machine {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), name)
	script := fmt.Sprintf("#!/bin/sh\nexport %s='%s' LARES_TREM='%s'\nexec '%s' \"$@\"\n", scriptEnv, file, filepath.Join(dir, "lares-trem"), filepath.Join(dir, "bin", "lares"))
	err = errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700), os.Symlink(self, filepath.Join(dir, "bin", "lares")), os.Symlink(self, filepath.Join(dir, "lares-trem")),
		os.WriteFile(file, make([]byte, fileSize), 0o600), os.WriteFile(filepath.Join(dir, "lares"), []byte(script), 0o700)) //nolint:gosec // it is run
	m := &machine{t: t, house: &house{dir: of.dir, program: filepath.Join(dir, "lares"), log: of.log, procs: map[string]*proc{}}}
	if err == nil {
		m.clocks, err = mapClocks(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.script = script
	return m
}

func (m *machine) set(at int, to int64) { binary.LittleEndian.PutUint64(m.clocks[at:], uint64(to)) } //nolint:gosec // two's complement

// pass lets time go by, with the machine on or asleep.
func (m *machine) pass(d time.Duration) {
	m.set(atOffset, clockAt(m.clocks, atOffset)+d.Milliseconds())
	m.set(atBoot, clockAt(m.clocks, atBoot)+d.Milliseconds())
}

// off lets time go by with the machine switched off, then starts it.
func (m *machine) off(d time.Duration) {
	m.t.Helper()
	up, err := module.System()
	if err != nil {
		m.t.Fatal(err)
	}
	m.set(atOffset, clockAt(m.clocks, atOffset)+d.Milliseconds())
	m.set(atBoot, time.Minute.Milliseconds()-up.Boot) // it has been starting for a minute
	m.set(atBoots, clockAt(m.clocks, atBoots)+1)
}

// now is the machine's time.
func (m *machine) now() time.Time {
	return time.Now().Add(time.Duration(clockAt(m.clocks, atOffset)) * time.Millisecond)
}

// do runs a command that has to succeed.
func (m *machine) do(args ...string) string {
	m.t.Helper()
	out, err := m.must(m.t.Context(), args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// refuses runs a command that has to end with a status, and to say so.
func (m *machine) refuses(code int, word string, args ...string) {
	m.t.Helper()
	a, err := m.run(m.t.Context(), args...)
	if err != nil {
		m.t.Fatal(err)
	}
	if said := a.stdout + a.stderr; a.code != code || !strings.Contains(said, word) {
		m.t.Errorf("lares %v: status %d, want %d and %q: %s", args, a.code, code, word, said)
	}
}

// killing is the machine with a module that is killed when it is about to make its
// nth system call of a kind. strace counts the calls of each thread and each kind apart.
func (m *machine) killing(call string, n int) *machine {
	m.t.Helper()
	dir := m.t.TempDir()
	trem := filepath.Join(filepath.Dir(m.program), "lares-trem")
	wrapped := fmt.Sprintf("#!/bin/sh\nexec strace -f -qq -o /dev/null -e trace=%[1]s -e inject=%[1]s:signal=SIGKILL:when=%[2]d '%[3]s' \"$@\"\n", call, n, trem)
	script := strings.Replace(m.script, "LARES_TREM='"+trem+"'", "LARES_TREM='"+filepath.Join(dir, "lares-trem")+"'", 1)
	k := &machine{t: m.t, clocks: m.clocks, house: &house{dir: m.dir, program: filepath.Join(dir, "lares"), log: m.log, procs: map[string]*proc{}}}
	for name, text := range map[string]string{"lares-trem": wrapped, "lares": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // it is run
			m.t.Fatal(err)
		}
	}
	return k
}

// needsTracing is for tests that kill at a system call.
func needsTracing(t *testing.T) {
	t.Helper()
	needs.Tool(t, "strace")
	if out, err := exec.CommandContext(t.Context(), "strace", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		needs.NotRun(t, fmt.Sprintf("processes cannot be traced here: %s", out))
	}
}
