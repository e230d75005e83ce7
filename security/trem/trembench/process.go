package trembench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPUOf is the processor time that another process has used so far, all of its
// threads. Source: Linux, Documentation/scheduler/sched-stats, whose first figure
// is that of a thread in ns.
func CPUOf(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(tasks) == 0 {
		err = fmt.Errorf("process %d does not run, or this kernel counts no time of threads", pid)
	}
	var sum time.Duration
	for _, name := range tasks {
		data, failed := os.ReadFile(name)
		if failed != nil {
			return 0, failed
		}
		first, _, _ := strings.Cut(string(data), " ")
		ns, failed := strconv.ParseInt(first, 10, 64)
		if failed != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, failed)
		}
		sum += time.Duration(ns)
	}
	return sum, err
}

// PeakOf is the most memory that a process has had resident so far, in bytes,
// what it shares with others included. Source: proc(5), VmHWM.
func PeakOf(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d does not say how much memory it had", pid)
}
