package module

import (
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem/internal/core"
)

// Reading is what the clocks of a kernel say at one instant.
type Reading = core.Reading

// System reads the kernel's clocks: the RTC's time, the suspend-counting
// CLOCK_BOOTTIME and the boot's random ID.
func System() (core.Reading, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return core.Reading{}, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	id, err := bootID()
	return core.Reading{RTC: time.Now().UnixMilli(), Boot: ts.Nano() / 1e6, BootID: id}, err //nolint:forbidigo // the one reader of the clock
}

// bootID is read once: no process outlives its boot, and a command would wait
// longer for the file than for all else that it needs of the clocks.
var bootID = sync.OnceValues(func() (id [16]byte, err error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("read boot_id: %w", err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(raw)), "-", ""))
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("boot_id is not a UUID")
	}
	return [16]byte(b), nil
})

// leastTime is a time that had passed when this source was written, in Unix
// milliseconds: 2026-11-01. It is the first floor of a module whose build
// carries no time of its own.
const leastTime = 1793491200000

// BuildTime is the first clock floor: the commit time that the Go tool put
// into the program, or the time this source was written where there is none.
func BuildTime() int64 {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return max(at.UnixMilli(), leastTime)
			}
		}
	}
	return leastTime
}
