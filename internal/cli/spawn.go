package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lares-drm/lares/internal/bench"
	"github.com/lares-drm/lares/security/trem"
)

// tremProgram finds lares-trem: $LARES_TREM, beside this program, then PATH.
func tremProgram() (string, error) {
	if p := os.Getenv("LARES_TREM"); p != "" {
		return p, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "lares-trem")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	p, err := exec.LookPath("lares-trem")
	if err != nil {
		return "", errors.New("lares-trem is not installed beside lares, nor in PATH: `make build` puts both programs into bin/, or set LARES_TREM to its path")
	}
	return p, nil
}

// startTREM starts the trusted module that keeps its state in dir. stop closes
// the socket, upon which the module exits, and waits for it.
func startTREM(dir string) (client *trem.Client, stop func() error, err error) {
	m, err := spawnTREM(dir)
	if err != nil {
		return nil, nil, err
	}
	return m.Client, m.Stop, nil
}

// spawnTREM is startTREM for who looks at the module's process, too: a process
// of its own on an inherited socket.
func spawnTREM(dir string) (*bench.Module, error) {
	conn, cmd, err := connectTREM(dir)
	if err != nil {
		return nil, err
	}
	client := trem.NewClient(conn)
	return &bench.Module{Client: client, PID: cmd.Process.Pid, Stop: func() error { return errors.Join(client.Close(), cmd.Wait()) }}, nil
}

// connectTREM starts a module and gives its stream.
func connectTREM(dir string) (*tremSocket, *exec.Cmd, error) {
	program, err := tremProgram()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the module's folder: %w", err)
	}
	storage, err := trem.LoadKeyStorage(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := storage.Fits(dir); err != nil {
		return nil, nil, moved(err, storage.Kind)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the module's socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "trem")
	defer theirs.Close() //nolint:errcheck // the child has its own copy
	conn := &tremSocket{File: os.NewFile(uintptr(fds[0]), "host"), fd: fds[0]}
	cmd := exec.Command(program, "--dir", dir) //nolint:noctx // it ends with its socket; the path is the user's own
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	if storage.Kind == trem.StorageTPM {
		chip, err := openTPM(storage.TPM)
		if err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		defer chip.Close() //nolint:errcheck // as above
		cmd.Args, cmd.ExtraFiles = append(cmd.Args, "--tpm"), append(cmd.ExtraFiles, chip)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the host, which closes the socket in its own order
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start %s: %w", program, err), conn.Close())
	}
	return conn, cmd, nil
}

// tremSocket is the host's end of a module's stream. It blocks in the kernel: a
// host that waits for its module has nothing else to do, and the runtime's own
// way of waiting costs twice the time of a command.
type tremSocket struct {
	*os.File
	trem.Patience

	fd int
}

// Write writes a command.
func (s *tremSocket) Write(p []byte) (int, error) {
	s.Wrote()
	return s.File.Write(p)
}

// Read reads what the module answers.
func (s *tremSocket) Read(p []byte) (n int, err error) {
	from := time.Now()
	defer func() { s.Waited(time.Since(from)) }()
	for range s.Looks() {
		n, _, err := syscall.Recvfrom(s.fd, p, syscall.MSG_DONTWAIT)
		if err == nil && n > 0 {
			return n, nil
		}
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return s.File.Read(p)
}

// Close ends the stream, and with it a read that waits.
func (s *tremSocket) Close() error {
	return errors.Join(syscall.Shutdown(s.fd, syscall.SHUT_RDWR), s.File.Close())
}
