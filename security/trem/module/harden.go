package module

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/secret"
)

// step puts up one wall. It returns what stands now, or the reason why it does
// not. A step that must hold ends the module otherwise.
type step struct {
	name string
	up   func() (detail string, err error)
	must bool
}

// put puts walls up in their order. Each is best effort and reported, but for
// those that must hold.
func put(steps []step) ([]trem.Wall, error) {
	var walls []trem.Wall
	for _, s := range steps {
		detail, err := s.up()
		if err != nil && s.must {
			return nil, err
		}
		w := trem.Wall{Name: s.name, Stands: err == nil, Detail: detail}
		if err != nil {
			w.Detail = err.Error()
		}
		walls = append(walls, w)
	}
	return walls, nil
}

// early are the walls that stand before any key is read: who the host is, and
// that nothing else reads this memory. The arena that mem is set to keeps the keys.
func early(cfg Config, mem **secret.Arena) []step {
	return []step{
		{name: "process", must: true, up: func() (string, error) { return host(cfg.Conn) }},
		{name: "no dump", up: noDump},
		{name: "no core file", up: noCore},
		{name: "memory locked", up: lockMemory},
		{name: "secret memory", up: func() (string, error) { return secretMemory(mem) }},
	}
}

// late are the walls that close what the start needed to open. They are built
// when files and sockets are open, the filter of system calls last.
// The module writes in its folder, and in more, which its keys are kept with.
func late(dir string, more []string, level uint8) []step {
	return []step{
		{name: "folder", up: func() (string, error) { return private(dir) }},
		{name: "landlock", up: func() (string, error) { return restrict(append(more, dir)...) }},
		{name: "seccomp", up: seccomp},
		{name: "hardware", up: func() (string, error) { return hardware(level) }},
	}
}

// noDump closes this process to ptrace, /proc/PID/mem and process_vm_readv of
// everyone but the administrator.
func noDump() (string, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return "", fmt.Errorf("make the memory unreadable for others: %w", err)
	}
	got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err == nil && got != 0 {
		err = fmt.Errorf("the kernel says %d", got)
	}
	return "other processes, of this user too, cannot trace it or read its memory", err
}

// noCore lets no crash write memory to disk. The hard limit goes, too, so that
// nothing inside can raise it.
func noCore() (string, error) {
	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	return "a crash writes no memory to disk", err
}

// lockMemory keeps all memory of the process out of swap, also what is mapped
// later, page by page as it is used. Under a limit that would end the process
// when it has grown to it, so then only the keys are locked (secretMemory).
func lockMemory() (string, error) {
	all := uint64(unix.RLIM_INFINITY)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return "", err
	}
	if lim.Cur != all && !unlimited() && unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: all, Max: all}) != nil {
		return "", fmt.Errorf("%d KiB may be locked, which is less than the process: encrypt the swap, or start it without that limit (LimitMEMLOCK=infinity)", lim.Cur>>10)
	}
	const onFault = 4 // MCL_ONFAULT, Linux 4.4
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | onFault); err != nil {
		return "", fmt.Errorf("lock the memory: %w", err)
	}
	return "nothing of it is written to swap, now or later", nil
}

// unlimited reports whether the limit does not hold for this process: it has
// CAP_IPC_LOCK, and in the first user namespace, which is the one that counts.
func unlimited() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil || data[0].Effective&(1<<unix.CAP_IPC_LOCK) == 0 {
		return false
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}

// secretMemory makes the arena for title keys. Without its better kind the wall
// does not stand: keys are locked then, and the administrator reads them.
func secretMemory(mem **secret.Arena) (string, error) {
	a, err := secret.New()
	if err != nil {
		return "", fmt.Errorf("keys are in ordinary memory: %w", err)
	}
	*mem = a
	if kind, why := a.Kind(); kind != secret.Secret {
		return "", fmt.Errorf("title keys are in memory that is locked and not dumped, and no better: %w", why)
	}
	return "title keys at rest are in pages that the kernel has no map of", nil
}

// private looks at the module's folder: its keys at level SL1 are files there.
func private(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", fmt.Errorf("look at the folder: %w", err)
	}
	if uint32(unix.Geteuid()) != st.Uid { //nolint:gosec // a user ID
		return "", fmt.Errorf("the folder belongs to user %d, and the module runs as user %d: give it to that user", st.Uid, unix.Geteuid())
	}
	if st.Mode&0o077 != 0 {
		return "", fmt.Errorf("the folder is open to other users (mode %03o): chmod 700", st.Mode&0o777)
	}
	return "no other user opens the folder", nil
}

// restrict closes all files but the module's folders, TCP, and other processes'
// sockets and signals, as far as this kernel's Landlock goes.
func restrict(dirs ...string) (string, error) {
	err := landlock.V10.BestEffort().Restrict(
		landlock.RWDirs(dirs...),
		landlock.ROFiles("/proc/sys/kernel/random/boot_id"),
	)
	if err != nil {
		return "", err
	}
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	if errno != 0 || int(abi) < 1 { // best effort is silent where there is nothing
		return "", errors.New("this kernel has no Landlock: the module can open what its user can")
	}
	what := []string{"files outside of the module's folder"}
	if int(abi) >= 4 {
		what = append(what, "TCP")
	}
	if int(abi) >= 6 {
		what = append(what, "signals and abstract sockets of others")
	}
	return fmt.Sprintf("%s are closed to it (version %d)", strings.Join(what, ", "), abi), nil
}

// hardware is the fourth wall: whether the identity keys are in something that
// does not give them out.
func hardware(level uint8) (string, error) {
	switch level {
	case 2:
		return "a token holds the identity keys (SL2)", nil
	case 3:
		return "a TPM or secure element holds the identity keys (SL3)", nil
	}
	return "", errors.New("the identity keys are files (SL1): the administrator, and this user's other programs, can copy them")
}
