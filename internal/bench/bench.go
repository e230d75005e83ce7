package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lares-drm/lares/security/trem"
)

// A Bench measures one part of the system.
type Bench struct {
	Name  string   // what stands behind `lares bench`
	Short string   // one line, without a full stop
	Peers []string // other implementations that it compares with, by name
	Run   func(ctx context.Context, cfg Config) ([]Row, error)

	Files  []File   // that it can be given
	Stores []string // databases that it can be run on, the default first; nil: it needs none
}

// All is the table of all benches, and the one place that knows them.
func All() []Bench {
	return []Bench{
		licenseBench(),
		sltpBench(),
		transferBench(),
		revocationBench(),
		tremBench(),
		contentBench(),
		issuerBench(),
		homeBench(),
		capacityBench(),
	}
}

// File is one that a bench can be given by a flag.
type File struct{ Name, Usage string }

// Config says how long to measure. The zero Config is the form whose figures
// are quoted.
type Config struct {
	Quick bool              // every row, but too short for a figure: to see that it runs
	Full  bool              // the long form
	Peers map[string]string // where peers are, by name; the others are looked for

	Program string            // where the program lares is; needed by the benches content and issuer
	Files   map[string]string // by name; one that is not given is not there
	Store   string            // one of the bench's Stores; empty = the first

	Say io.Writer // what a run takes of the machine is said here before it begins; nil: nowhere

	Start func(dir string) (*Module, error) // starts the trusted module of a folder; needed by the bench trem
}

// Module is a running module: a process of its own.
type Module struct {
	*trem.Client
	PID  int
	Stop func() error // ends it and waits for its end
}

// Peer finds another implementation: where the caller says, in ./node_modules,
// or in PATH.
func (c Config) Peer(name string) (path string, ok bool) {
	if p := c.Peers[name]; p != "" {
		return p, true
	}
	for _, p := range []string{filepath.Join("node_modules", ".bin", name), filepath.Join("node_modules", name)} {
		if _, err := os.Stat(p); err == nil {
			return p, true
		}
	}
	p, err := exec.LookPath(name)
	return p, err == nil
}

// Row is one figure.
type Row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bar   string  `json:"bar,omitempty"`  // "<= 2", ">= 2" or "910 ± 60", in Unit
	Holds bool    `json:"holds"`          // true without a bar
	Note  string  `json:"note,omitempty"` // why there is no value
}

// Plain is a row without a bar.
func Plain(name string, value float64, unit string) Row {
	return Row{Name: name, Value: value, Unit: unit, Holds: true}
}

// AtMost is a row that holds up to a bar.
func AtMost(name string, value float64, unit string, bar float64) Row {
	return Row{Name: name, Value: value, Unit: unit, Bar: fmt.Sprintf("<= %v", bar), Holds: value <= bar}
}

// AtLeast is a row that holds from a bar on.
func AtLeast(name string, value float64, unit string, bar float64) Row {
	return Row{Name: name, Value: value, Unit: unit, Bar: fmt.Sprintf(">= %v", bar), Holds: value >= bar}
}

// Absent is a row that could not be measured, for example because a peer is not
// installed. It does not hold: a gate must not pass on what nobody saw.
func Absent(name, unit, why string) Row { return Row{Name: name, Unit: unit, Note: why} }

// Units of rows.
const (
	unitBytes  = "bytes"
	unitAllocs = "allocs"
	unitMicros = "µs"
)

// micros gives a time its unit: µs, to the ns.
func micros(ns float64) float64 { return math.Round(ns) / 1000 }
