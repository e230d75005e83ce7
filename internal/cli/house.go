package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// house runs the programs of a whole household as child processes of this
// program, all on loopback, with their state below one folder.
type house struct {
	dir     string
	program string   // this executable
	log     *os.File // in dir: what the children say on standard error

	mu    sync.Mutex
	procs map[string]*proc
}

// proc is one serving child.
type proc struct {
	cmd  *exec.Cmd
	args []string
	url  string
	done chan struct{} // closed when it has exited
}

// stopGrace is how long a child may take to end by itself after SIGTERM.
const stopGrace = 5 * time.Second

// startGrace is how long a child may take to say that it serves: seconds on a busy
// machine, and longer only when it never will.
const startGrace = time.Minute

func newHouse(dir string) (*house, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &house{dir: dir, program: self, log: log, procs: map[string]*proc{}}, nil
}

func (h *house) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// answer is what a command that has ended said.
type answer struct {
	code           int
	stdout, stderr string
}

// run runs one command to its end. Only a command that cannot be run is an error.
func (h *house) run(ctx context.Context, args ...string) (answer, error) {
	var out, errs bytes.Buffer
	cmd := h.command(ctx, args)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return answer{}, fmt.Errorf("run lares %s: %w", strings.Join(args, " "), err)
	}
	return answer{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}, nil
}

// must is run for a command that has to succeed.
func (h *house) must(ctx context.Context, args ...string) (string, error) {
	a, err := h.run(ctx, args...)
	if err == nil && a.code != 0 {
		err = fmt.Errorf("lares %s: exit status %d: %s", strings.Join(args, " "), a.code, strings.TrimSpace(a.stderr+a.stdout))
	}
	return a.stdout, err
}

// query is must with --json, decoded into v.
func (h *house) query(ctx context.Context, v any, args ...string) error {
	out, err := h.must(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("lares %s: answer: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (h *house) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	return cmd
}

// serve starts a serving command, whose first line of output is its URL, and
// returns that. It goes on until stop, kill or close.
func (h *house) serve(name string, args ...string) (string, error) {
	cmd := h.command(context.Background(), args)
	cmd.Stderr = h.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start lares %s: %w", strings.Join(args, " "), err)
	}
	p := &proc{cmd: cmd, args: args, done: make(chan struct{})}
	h.mu.Lock()
	h.procs[name] = p
	h.mu.Unlock()
	first := make(chan string, 1)
	go func() {
		in := bufio.NewReader(out)
		line, _ := in.ReadString('\n')
		first <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, in)
		_ = cmd.Wait()
		close(p.done)
	}()
	select {
	case p.url = <-first:
	case <-time.After(startGrace):
	}
	if !strings.HasPrefix(p.url, "http") {
		return "", errors.Join(fmt.Errorf("lares %s did not start to serve: %q", strings.Join(args, " "), p.url), h.stop(name))
	}
	return p.url, nil
}

// again starts a stopped or killed child with the arguments it had, on the
// address it had.
func (h *house) again(name string) error {
	h.mu.Lock()
	p := h.procs[name]
	h.mu.Unlock()
	url, err := h.serve(name, p.back()...)
	if err == nil && url != p.url {
		err = fmt.Errorf("%s came back at %s instead of %s", name, url, p.url)
	}
	return err
}

// back are the arguments that bring a child back to the address it had.
func (p *proc) back() []string {
	args := slices.Clone(p.args)
	for i := 1; i < len(args); i++ {
		if args[i-1] == "--listen" {
			args[i], _, _ = strings.Cut(strings.TrimPrefix(p.url, "http://"), "#")
		}
	}
	return args
}

// kill ends a child as a crash would.
func (h *house) kill(name string) error { return h.end(name, syscall.SIGKILL) }

// stop ends a child as an operator would.
func (h *house) stop(name string) error { return h.end(name, syscall.SIGTERM) }

func (h *house) end(name string, sig syscall.Signal) error {
	h.mu.Lock()
	p := h.procs[name]
	h.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopGrace):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	<-p.done
	return nil
}

// close stops every child, all at once: each may wait a while for who is still connected
// to it.
func (h *house) close() error {
	h.mu.Lock()
	names := slices.Collect(maps.Keys(h.procs))
	h.mu.Unlock()
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { errs[i] = h.stop(name) })
	}
	wg.Wait()
	return errors.Join(append(errs, h.log.Close())...)
}

// tail is the last lines of the children's log.
func (h *house) tail(n int) string {
	data, err := os.ReadFile(h.log.Name())
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
