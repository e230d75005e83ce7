package storetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketName is what a PostgreSQL server calls its socket (PostgreSQL 15, 20.3).
const socketName = ".s.PGSQL.5432"

// Network stands between a store and its PostgreSQL server, and does its worst.
type Network struct {
	Dir    string // of its socket: the host in a connection string
	to     string // the server's socket
	cut    atomic.Int64
	frozen atomic.Bool
	mu     sync.Mutex
	thaw   *sync.Cond
}

// NewNetwork stands before the server whose socket is in a folder, until the test ends.
func NewNetwork(t *testing.T, server string) *Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "lares-net-") //nolint:usetesting // a socket's path is at most 107 bytes long
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Dir: dir, to: filepath.Join(server, socketName)}
	n.thaw = sync.NewCond(&n.mu)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); n.Freeze(false); os.RemoveAll(dir) }) //nolint:errcheck // the test is over
	go n.serve(l)
	return n
}

func (n *Network) serve(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", n.to) //nolint:noctx // it is there, or it is not
		if err != nil {
			near.Close() //nolint:errcheck // the server is away
			continue
		}
		silent := new(atomic.Bool)
		go n.carry(far, near, func(data []byte) bool {
			// What ends a transaction arrives; what the database says to it does not.
			if bytes.Contains(data, []byte("COMMIT")) && n.cut.Add(-1) >= 0 {
				silent.Store(true)
			}
			return true
		})
		go n.carry(near, far, func([]byte) bool { return !silent.Load() })
	}
}

// carry brings bytes over as long as pass says so, and then cuts the connection.
func (n *Network) carry(to, from net.Conn, pass func([]byte) bool) {
	defer to.Close()   //nolint:errcheck // cut
	defer from.Close() //nolint:errcheck // cut
	buf := make([]byte, 64<<10)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		for n.frozen.Load() {
			n.thaw.Wait()
		}
		n.mu.Unlock()
		if !pass(buf[:k]) {
			return
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}

// Cut loses the answers to the next so many commits, with their connections.
func (n *Network) Cut(commits int64) { n.cut.Store(commits) }

// Freeze holds everything back, or lets it go on.
func (n *Network) Freeze(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen.Store(on)
	n.thaw.Broadcast()
}

// FailCalls has system calls of every thread of this process fail from now on: a list
// of their numbers, pwrite64 with ENOSPC, others with EIO.
func FailCalls(list string) error {
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for f := range strings.FieldsSeq(list) {
		nr, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return fmt.Errorf("system call %q: %w", f, err)
		}
		errno := unix.EIO
		if nr == unix.SYS_PWRITE64 {
			errno = unix.ENOSPC
		}
		prog = append(prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(nr)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	prog = append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]} //nolint:gosec // a few
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog))); errno != 0 {
		return errno
	}
	runtime.KeepAlive(prog)
	return nil
}
