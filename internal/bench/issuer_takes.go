package bench

import (
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/lares-drm/lares/internal/store/storebench"
)

// What a run leaves on the disk and how long it takes, for who decides whether to begin
// it: more than what was measured, on the machine that the bars are for. Source: local
// (docs/performance.md).
const (
	filledBytes = 900    // of a license that the old database begins with, in either engine
	issuedBytes = 4_000  // of one that is issued: its rows, its sealed body, its lines of the log
	loggedBytes = 1_000  // of these, what is not the database's
	spareBytes  = 1e9    // logs of the databases, modules, and room to breathe
	fillRate    = 25_000 // licenses a second
	startTime   = time.Minute
)

// takes is what a run takes of the machine.
type takes struct {
	time time.Duration
	disk []room
}

// room is what a run takes of the disk of a folder, in bytes.
type room struct {
	dir   string
	bytes float64
}

// takesOf adds up what a run of a scale takes.
func takesOf(s issuerScale, store string) takes {
	turn := float64(s.turn) / 1e3 // s
	turns := turn * float64(len(s.clients)*(s.rounds+1)*len(issuerKinds))
	turns += turn * float64(2*(2*s.rounds+1))                 // age
	turns += turn * float64(4*len(hostiles())*(2*s.rounds-1)) // two turns of twice the length
	long := float64(s.long) * 1.1
	issued := turns*minStateful + long
	out := takes{time: startTime + time.Duration((turns+long/minStateful+float64(s.aged)/fillRate)*1e9)}
	database, rest := float64(s.aged)*filledBytes+issued*(issuedBytes-loggedBytes)+spareBytes, issued*loggedBytes
	if store == postgresStore {
		out.disk = []room{{".", rest}, {storebench.Folder, database}}
	} else {
		out.disk = []room{{".", database + rest}}
	}
	return out
}

// say tells what a run takes, before it begins.
func (n takes) say(w io.Writer) error {
	for _, r := range n.disk {
		if _, err := fmt.Fprintf(w, "This takes up to %.0f GB of the disk of %s, which are free again afterwards.\n", math.Ceil(r.bytes/1e9), r.dir); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "It takes about %d minutes on two cores that nothing else uses.\n", int(math.Ceil(n.time.Minutes())))
	return err
}

// met refuses a run for which a disk has too little room. Two folders may be of one disk.
func (n takes) met(free func(dir string) (device uint64, bytes float64, err error)) error {
	need := map[uint64]float64{}
	for _, r := range n.disk {
		device, has, err := free(r.dir)
		if err != nil {
			return err
		}
		if need[device] += r.bytes; need[device] > has {
			return fmt.Errorf("the disk of %s has %.1f GB free, and %.1f are needed: make room, or run it in a folder of another disk", r.dir, has/1e9, need[device]/1e9)
		}
	}
	return nil
}

// freeSpace is what a user may still write on the disk that a folder is on.
func freeSpace(dir string) (device uint64, bytes float64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	about, err := os.Stat(dir)
	if err != nil {
		return 0, 0, err
	}
	if st, ok := about.Sys().(*syscall.Stat_t); ok {
		device = uint64(st.Dev) //nolint:unconvert // another type on other platforms
	}
	return device, float64(fs.Bavail) * float64(fs.Bsize), nil
}
