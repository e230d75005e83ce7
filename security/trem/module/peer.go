package module

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// errHost is why a module serves nobody at the other end of its stream.
var errHost = errors.New("the host is not of this user")

// host looks at who made the other end of the stream: the kernel says it, and
// a host cannot lie about it (SO_PEERCRED). The module serves its own user, and
// the administrator, who may start it as another user.
func host(conn any) (string, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return "", fmt.Errorf("%w: the stream is no file of the system, so nobody says whose it is", errHost)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errHost, err)
	}
	var peer *unix.Ucred
	var cause error
	err = raw.Control(func(fd uintptr) { peer, cause = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, cause); err != nil {
		return "", fmt.Errorf("%w: descriptor 3 is no socket of this machine: %w", errHost, err)
	}
	return fmt.Sprintf("of its own, and one socket, whose other end user %d made", peer.Uid), own(peer.Uid, unix.Geteuid())
}

// own reports whether a module of user self serves a host of user peer.
func own(peer uint32, self int) error {
	if peer == 0 || int64(peer) == int64(self) {
		return nil
	}
	return fmt.Errorf("%w: the socket was made by user %d, and this module runs as user %d; start it from a program of its own user", errHost, peer, self)
}
