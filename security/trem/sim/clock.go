package sim

// A second and a day, in ms.
const (
	second = int64(1000)
	day    = 86400 * second
)

// start is the true time at which a world begins, in Unix ms.
const start = 1772366400 * second // 2026-03-01T12:00:00Z

// clock is a box's clock, as its owner and the power supply treat it.
type clock struct {
	ahead  int64 // of the true time, ms; negative: behind
	secure bool  // set by proven time, and not touched since
}

// powerCut: the battery is empty, too.
func (c *clock) powerCut() { *c = clock{ahead: -start} }

// now is what the box holds for the time, and whether that is proven.
func (c *clock) now(truth int64) (at int64, secure bool) { return truth + c.ahead, c.secure }

// holdGuard is how long before hold_until a right is no longer installed, in
// ms. Source: local, docs/spec/transfer.md.
const holdGuard = 300 * second

// mayInstall judges hold_until.
func (c *clock) mayInstall(hold, truth int64) (yes, later bool) {
	at, secure := c.now(truth)
	if !secure {
		return false, true
	}
	return at+holdGuard < hold, false
}
