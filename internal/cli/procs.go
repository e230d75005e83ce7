package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// childrenOf lists the processes that a process has started and that still run.
func childrenOf(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, name := range stats {
		if id, parent, ok := readStat(name); ok && parent == pid {
			out = append(out, id)
		}
	}
	return out, nil
}

// killTree kills a process and those it has started, as a power cut would.
func killTree(pid int) error {
	list, err := childrenOf(pid)
	if err != nil {
		return err
	}
	for _, p := range append([]int{pid}, list...) {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill %d: %w", p, err)
		}
	}
	return nil
}

// readStat reads a process's ID and its parent's; ok is false when it has ended.
// Source: proc(5), /proc/PID/stat.
func readStat(name string) (pid, parent int, ok bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, 0, false
	}
	i := bytes.LastIndexByte(data, ')') // the program's name may hold anything
	f := strings.Fields(string(data[i+1:]))
	if i < 0 || len(f) < 2 || f[0] == "Z" || f[0] == "X" {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(f[1])
	pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
	return pid, parent, err == nil && perr == nil
}
