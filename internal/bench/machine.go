package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Report is what a run prints as JSON.
type Report struct {
	Machine string `json:"machine"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // RFC 3339, UTC
	Rows    []Row  `json:"rows"`
}

// Fails counts the rows that do not hold.
func (r *Report) Fails() int {
	n := 0
	for i := range r.Rows {
		if !r.Rows[i].Holds {
			n++
		}
	}
	return n
}

// Machine describes where the figures come from: processor, cores that Go may
// use, platform, Go version.
func Machine() string {
	cores := "cores"
	n := runtime.GOMAXPROCS(0)
	if n == 1 {
		cores = "core"
	}
	return fmt.Sprintf("%s, %d %s, %s/%s, %s", processor(), n, cores, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// processor is the model that Linux tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	return modelName(string(info))
}

func modelName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "unknown processor"
}
