package storebench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoPostgres is returned where PostgreSQL is not installed or may not run.
var ErrNoPostgres = errors.New("PostgreSQL is not installed (make setup installs postgresql)")

// startPatience bounds each of PostgreSQL's own programs. Source: local.
const startPatience = time.Minute

// Cluster is a PostgreSQL server of one run or test, as Debian sets it up but for its
// folder, and reached by a socket that only this run knows.
type Cluster struct {
	Dir  string // where it keeps its data: on a disk, of the user that it runs as
	bin  string
	cred *syscall.Credential // nil: this user's
}

// Folder is where a Cluster keeps its data: for files that outlast a start of the machine
// (FHS 3.0, 5.15), so a disk, which the folder for other temporary files may not be. It
// also leaves room for a socket's name, whose path is at most 107 bytes long.
const Folder = "/var/tmp"

// StartCluster makes a server and starts it. PostgreSQL does not run as root, so
// root runs it as the user postgres, or as nobody.
func StartCluster(ctx context.Context) (c *Cluster, err error) {
	c = new(Cluster)
	if c.bin, err = programs(); err != nil {
		return nil, err
	}
	if c.Dir, err = os.MkdirTemp(Folder, "lares-pg-"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if c.cred = unprivileged(); c.cred == nil {
			return nil, errors.Join(fmt.Errorf("%w: it does not run as root, and there is no user postgres or nobody", ErrNoPostgres), os.Remove(c.Dir))
		}
		if err := os.Chown(c.Dir, int(c.cred.Uid), int(c.cred.Gid)); err != nil {
			return nil, err
		}
	}
	// Its files end with this run, and a power cut ends both.
	err = c.Run(ctx, "initdb", "--no-sync", "-D", c.data(), "-U", "lares", "--auth=trust", "--encoding=UTF8", "--no-locale")
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Dir))
	}
	return c, nil
}

// Start starts a server that was stopped or killed.
func (c *Cluster) Start(ctx context.Context) error {
	return c.Run(ctx, "pg_ctl", "-D", c.data(), "-w", "-l", filepath.Join(c.Dir, "log"), "-o", "-c listen_addresses='' -c unix_socket_directories="+c.Dir, "start")
}

func (c *Cluster) data() string { return filepath.Join(c.Dir, "data") }

// Create makes an empty database.
func (c *Cluster) Create(ctx context.Context, name string) error {
	return c.Run(ctx, "createdb", "-h", c.Dir, "-U", "lares", name)
}

// DSN is the connection string of a database.
func (c *Cluster) DSN(name string) string {
	return fmt.Sprintf("host=%s user=lares dbname=%s", c.Dir, name)
}

// PID is the process that all others of the server are children of.
func (c *Cluster) PID() (int, error) {
	data, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	return strconv.Atoi(strings.TrimSpace(string(first)))
}

// Crash ends the server as a power cut would, as far as a process can.
func (c *Cluster) Crash(ctx context.Context) error {
	return c.Run(ctx, "pg_ctl", "-D", c.data(), "-m", "immediate", "-w", "stop")
}

// Stop ends the server and removes what it has kept.
func (c *Cluster) Stop(ctx context.Context) error {
	return errors.Join(c.Crash(ctx), os.RemoveAll(c.Dir))
}

// Run runs one of PostgreSQL's own programs, as the user of the server.
func (c *Cluster) Run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...) //nolint:gosec // a program of PostgreSQL
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	log, err := os.CreateTemp("", "lares-pg-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())       //nolint:errcheck // what is left is small
	defer log.Close()                 //nolint:errcheck // it is read back below
	cmd.Stdout, cmd.Stderr = log, log // a file: the server inherits it and would hold a pipe open
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said))
	}
	return nil
}

func programs() (string, error) {
	if p, err := exec.LookPath("pg_ctl"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p), nil
		}
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	if err != nil || len(all) == 0 {
		return "", ErrNoPostgres
	}
	return filepath.Dir(all[len(all)-1]), nil
}

func unprivileged() *syscall.Credential {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}
