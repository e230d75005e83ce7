package trem

import (
	"sync/atomic"
	"time"
)

// Patience says how a read of a module's stream waits: whether it looks for bytes
// some hundred times before it sleeps. A processor that slept takes longer to wake
// up than a module takes for most commands, or a host for the next one; where the
// last wait was long, as for a segment, looking would only take time from others.
// Source: local, `lares bench trem`. The zero value looks.
//
// One reads at a time; Wrote may be called by another.
type Patience struct {
	long bool        // the last wait for a message was
	came atomic.Bool // some of the message did, so the rest is not waited for
}

const (
	// looks is how often a read looks: some tens of microseconds.
	looks = 400
	// short is the longest wait that was worth looking through.
	short = 100 * time.Microsecond
)

// Looks is how often the next read looks before it sleeps.
func (p *Patience) Looks() int {
	if p.long || p.came.Load() {
		return 0
	}
	return looks
}

// Waited is told how long a read took.
func (p *Patience) Waited(d time.Duration) {
	if !p.came.Swap(true) {
		p.long = d > short
	}
}

// Wrote is told that something was written: the next read waits for a message. Who
// sends a file with a command (Client.DecryptFile) does not say so, since a segment
// is not worth looking for.
func (p *Patience) Wrote() { p.came.Store(false) }
