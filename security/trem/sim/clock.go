package sim

import "github.com/lares-drm/lares/security/sltp/transfer"

// A second and a day, in ms.
const (
	second = int64(1000)
	day    = 86400 * second
)

// start is the true time at which a world begins, in Unix ms.
const start = 1772366400 * second // 2026-03-01T12:00:00Z

// maxError is how far a secure clock is behind the true time, in ms: what an
// exchange with the time signer leaves. It must be less than the guard of a loan.
const maxError = 60 * second

// clock is a box's clock, as its owner, the power supply and the time signer
// treat it.
type clock struct {
	ahead  int64 // of the true time, ms; negative: behind
	secure bool  // set by an answer to a question of its own, and not touched since
	proven int64 // newest signed statement of the time that it has seen, Unix ms
}

// powerCut: the battery is empty, too. What was signed stays true.
func (c *clock) powerCut() { c.ahead, c.secure = -start, false }

// now is what the box holds for the time.
func (c *clock) now(truth int64) int64 { return truth + c.ahead }

// mayInstall judges hold_until.
func (c *clock) mayInstall(hold, truth int64) (yes, later bool) {
	if !c.secure {
		return false, true
	}
	return c.now(truth)+transfer.HoldMargin < hold, false
}

// alive reports whether a loan that ends at until may be used: only on proven time.
func (c *clock) alive(until, truth int64, m Mutant) bool {
	return (c.secure || m == AnyClock) && c.now(truth) < until
}
