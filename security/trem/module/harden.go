package module

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem"
)

// harden puts up the walls that this kernel has, in the order of
// shared state: no dump, no core, Landlock on the module's own folder and
// what its keys are kept with, and the seccomp filter last. Each is best effort and reported.
func harden(dirs ...string) []trem.Wall {
	walls := []trem.Wall{
		wall("no dump", "the memory cannot be read by other processes of this user", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)),
		wall("no core file", "a crash writes no memory to disk", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})),
		wall("memory locked", "secrets are not written to swap", unix.Mlockall(unix.MCL_CURRENT)),
	}
	err := landlock.V4.BestEffort().RestrictPaths(
		landlock.RWDirs(dirs...),
		landlock.ROFiles("/proc/sys/kernel/random/boot_id"),
	)
	walls = append(walls, wall("landlock", "files outside the module's folder are closed to it", landlockStands(err)))
	return append(walls, wall("seccomp", "no new program, no socket, no tracing", seccomp()))
}

func wall(name, detail string, err error) trem.Wall {
	if err != nil {
		return trem.Wall{Name: name, Detail: err.Error()}
	}
	return trem.Wall{Name: name, Stands: true, Detail: detail}
}

// landlockStands asks the kernel, because best effort is silent where there is nothing.
func landlockStands(err error) error {
	if err != nil {
		return err
	}
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	if errno != 0 || int(abi) < 1 {
		return fmt.Errorf("this kernel has no Landlock")
	}
	return nil
}

// denied are the system calls that a module never makes after its start.
func denied() []uint32 {
	return []uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
		unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_BPF,
	}
}

// seccomp installs a deny list on all threads (TSYNC). The filter first checks
// the architecture, then compares the system call's number with each of denied.
func seccomp() error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "arm": unix.AUDIT_ARCH_ARM}[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	prog := filter(arch, denied())
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}                                                                            //nolint:gosec // some twenty instructions
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog))) //nolint:gosec // the system call takes a pointer
	runtime.KeepAlive(prog)
	if errno != 0 {
		return errno
	}
	return nil
}

// filter builds the BPF program over struct seccomp_data (number at 0, architecture at 4).
func filter(arch uint32, calls []uint32) []unix.SockFilter {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	prog := []unix.SockFilter{
		{Code: load, K: 4},
		{Code: equal, Jt: 1, K: arch},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: 0},
	}
	for _, nr := range calls {
		prog = append(prog,
			unix.SockFilter{Code: equal, Jf: 1, K: nr},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		)
	}
	return append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}
