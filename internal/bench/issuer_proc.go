package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lares-drm/lares/security/trem/trembench"
)

// childrenOf lists the processes that a process has started and that still run.
// Source: proc(5), /proc/PID/task/TID/children.
func childrenOf(pid int) (out []int, err error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(lists) == 0 {
		return nil, errors.Join(fmt.Errorf("process %d does not run, or this kernel lists no children", pid), err)
	}
	for _, name := range lists {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // that thread has ended
		}
		for f := range strings.FieldsSeq(string(data)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				return nil, err
			}
			out = append(out, child)
		}
	}
	return out, nil
}

// cpuOf is the CPU time in s that processes have used so far. One that has ended
// since it was listed, such as a worker of a database, counts nothing.
func cpuOf(pids ...int) (float64, error) {
	var sum time.Duration
	for _, pid := range pids {
		d, err := trembench.CPUOf(pid)
		if err != nil && syscall.Kill(pid, 0) != syscall.ESRCH {
			return 0, err
		}
		sum += d
	}
	return sum.Seconds(), nil
}

// residentOf is the memory of a process in bytes, what it shares with others
// included. Source: proc(5), /proc/PID/statm.
func residentOf(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(data))
	if len(f) < 2 {
		return 0, fmt.Errorf("memory of process %d: %q", pid, data)
	}
	pages, err := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()), err
}

// flushTime is what one caller waits, in µs, for 4 KiB at the end of a file to be
// on the disk that a folder is on: the median.
func flushTime(dir string, rounds int) (float64, error) {
	f, err := os.CreateTemp(dir, "flush")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // what is left is in the bench's folder
	defer f.Close()           //nolint:errcheck // it is of no use
	var took []float64
	for range rounds {
		from := time.Now() //nolint:forbidigo // who waits for a disk reads the clock on the wall
		_, err := f.Write(make([]byte, 4096))
		if err := errors.Join(err, f.Sync()); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(from))) //nolint:forbidigo // as above
	}
	return micros(median(took)), nil
}

// player is the process that plays households.
type player struct {
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
	end io.Closer
}

func newPlayer(ctx context.Context, program string, setup loadSetup) (*player, error) {
	cmd := exec.CommandContext(ctx, program, "bench", "issuer-load")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &player{cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out), end: in}
	return p, p.in.Encode(setup)
}

// play has an order carried out.
func (p *player) play(o loadOrder) (r loadResult, err error) {
	if err := p.in.Encode(o); err != nil {
		return r, fmt.Errorf("the households' process has ended: %w", err)
	}
	if err := p.out.Decode(&r); err != nil {
		return r, fmt.Errorf("the households' process has ended: %w", err)
	}
	if r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func (p *player) stop() error { return errors.Join(p.end.Close(), p.cmd.Wait()) }

// medianOf is the median of what a figure is in several turns.
func medianOf[T any](all []T, figure func(T) float64) float64 {
	x := make([]float64, 0, len(all))
	for _, r := range all {
		x = append(x, figure(r))
	}
	slices.Sort(x)
	return median(x)
}
