//go:build amd64 || arm64 || arm

package module

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that a module never makes after its start. Each
// kind is named in docs/threat-model.md. What reads and writes the stream and the
// log (read, write, fsync) is not among them, and nothing else leaves the process.
func denied() []uint32 {
	return slices.Concat(legacy(), []uint32{
		// a new program
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		// other processes
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL,
		// sockets of every family; for messages that carry descriptors see filter
		unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
		unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG,
		// a ring does system calls that no filter sees
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		// the kernel's own programs, keys and events
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_PERSONALITY,
		// another view of files, and files without a path
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_OPEN_BY_HANDLE_AT,
	})
}

// seccomp installs a deny list on all threads (TSYNC), and on all that come.
func seccomp() (string, error) {
	// no_new_privs is of a thread, and the filter goes from this thread to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	prog := filter(auditArch, denied())
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "", fmt.Errorf("give up new privileges: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}                                                                            //nolint:gosec // some hundred instructions
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog))) //nolint:gosec // the system call takes a pointer
	runtime.KeepAlive(prog)
	if errno != 0 {
		return "", fmt.Errorf("install the filter: %w", errno)
	}
	return "no new program or process, no socket, no tracing", nil
}

// Offsets in struct seccomp_data, in bytes; the low half of an argument comes
// first on all three architectures.
const (
	offNumber = 0
	offArch   = 4
	offFirst  = 16 // args[0]
)

// hostFD is the descriptor of the stream to the host. Source: docs/spec/trem.md.
const hostFD = 3

// x32Bit marks the system calls of the x32 interface, which are numbers of
// their own under the architecture of amd64. Other architectures have none.
const x32Bit = 0x40000000

// filter builds the BPF program. A call of another architecture, such as int
// 0x80 of a 64-bit program, ends the process; clone makes threads only; clone3,
// whose flags are behind a pointer, is not there; a message that may carry
// descriptors goes to the host and comes from it only, which is given its buffer
// so and gives files of segments so (share.go).
func filter(arch uint32, calls []uint32) []unix.SockFilter {
	const (
		load, equal, set = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret              = unix.BPF_RET | unix.BPF_K
		no, gone         = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM), unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	prog := []unix.SockFilter{
		{Code: load, K: offArch},
		{Code: equal, Jt: 1, K: arch},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: offNumber},
		{Code: set, Jf: 1, K: x32Bit},
		{Code: ret, K: no},
		{Code: equal, Jf: 1, K: unix.SYS_CLONE3},
		{Code: ret, K: gone},
		{Code: equal, Jf: 4, K: unix.SYS_CLONE},
		{Code: load, K: offFirst},
		{Code: set, Jt: 1, K: unix.CLONE_THREAD},
		{Code: ret, K: no},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: equal, Jt: 1, K: unix.SYS_RECVMSG},
		{Code: equal, Jf: 4, K: unix.SYS_SENDMSG},
		{Code: load, K: offFirst},
		{Code: equal, Jt: 1, K: hostFD},
		{Code: ret, K: no},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	for _, nr := range calls {
		prog = append(prog,
			unix.SockFilter{Code: equal, Jf: 1, K: nr},
			unix.SockFilter{Code: ret, K: no},
		)
	}
	return append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}
