package license

import (
	"math"

	"github.com/lares-drm/lares/license/permission"
)

// Defaults of evaluator E1 to E7, in ms.
const (
	defaultSlice            = 10_000
	defaultResume           = 12 * 3600_000
	defaultFirstUse         = 30_000
	defaultCount            = 60_000
	maxFinishTail           = 4 * 3600_000
	startSkew               = 300_000 // START_TIME holds this much early
	graceSubscription       = 72 * 3600_000
	graceRental             = 24 * 3600_000
	never             int64 = math.MaxInt64 // a time that does not come
)

// terms is a usage unit with the policy that belongs to it: the reading of
// evaluator E3 and E4 with every default filled in.
type terms struct {
	info   *Info
	usage  *permission.UsageUnit
	charge permission.Charge
	live   bool
	noSkip bool
	denied bool // the issuer refused to renew, or renewal is not looked at: no recovery
}

func termsOf(i *Info, u *permission.Units, x *permission.UsageUnit) terms {
	t := terms{info: i, usage: x}
	if c := u.Classification; c != nil {
		t.charge, t.live = c.Charge, c.UsageClass == permission.UsageClassLive
	}
	t.noSkip = u.Management != nil && u.Management.Timeline == permission.TimelineNoSkip
	return t
}

// burn orders licenses, and alternatives in one, by what a use costs (evaluator
// E13).
type burn int

// The classes, cheapest first.
const (
	burnsNothing     burn = 1
	burnsWindow      burn = 2 // a window that runs already
	burnsAccumulated burn = 4
	burnsCount       burn = 5
	burnsInterval    burn = 6 // it would start a window
)

func (t *terms) burns(s *State) burn {
	switch {
	case t.usage.Interval != 0 && s.FirstUse == 0:
		return burnsInterval
	case t.usage.PlayCount != 0:
		return burnsCount
	case t.usage.Accumulated != 0:
		return burnsAccumulated
	case t.usage.Interval != 0:
		return burnsWindow
	}
	return burnsNothing
}

// orNever gives the absent time 0 its meaning as an end.
func orNever(ms int64) int64 {
	if ms == 0 {
		return never
	}
	return ms
}

// plus is saturating.
func plus(a, b int64) int64 {
	if a > never-b {
		return never
	}
	return a + b
}

// timed reports whether any constraint depends on the clock.
func (t *terms) timed() bool {
	p, x := &t.info.Policy, t.usage
	return x.StartTime != 0 || x.EndTime != 0 || x.Interval != 0 || p.StorageDuration != 0 || p.HardEnd != 0
}

// counted reports whether use is charged against a number or a total.
func (t *terms) counted() bool { return t.usage.PlayCount != 0 || t.usage.Accumulated != 0 }

// stateful reports whether use is paid for in slices that must be durable.
func (t *terms) stateful() bool { return t.counted() || t.usage.Interval != 0 }

// sold is min(END_TIME, issued_at + STORAGE_DURATION).
func (t *terms) sold() int64 {
	end := orNever(t.usage.EndTime)
	if d := t.info.Policy.StorageDuration; d != 0 {
		end = min(end, plus(t.info.IssuedAt, d))
	}
	return end
}

// storeEnd is what was sold, and the recovery behind it while a renewal is not
// answered (evaluator E3, E5).
func (t *terms) storeEnd() int64 {
	end := t.sold()
	if r := t.info.Policy.Renew; r != nil && !t.denied && end != never {
		end = plus(end, t.recovery(r, end))
	}
	return end
}

// Defaults of renew.recovery, in ms. Source: evaluator E5.
const (
	recoveryStreaming    = 15 * 60_000
	recoverySubscription = 72 * 3600_000
)

func (t *terms) recovery(r *RenewRule, end int64) int64 {
	switch {
	case r.Recovery != 0:
		return r.Recovery
	case t.charge == permission.ChargeSubscription:
		return recoverySubscription
	}
	return max(min(end-t.info.IssuedAt, recoveryStreaming), 0)
}

// end is win.end of evaluator E3 for a first use at the given time; 0 = unused.
func (t *terms) end(firstUse int64) int64 {
	e := t.storeEnd()
	if firstUse != 0 && t.usage.Interval != 0 {
		p := plus(firstUse, t.usage.Interval)
		if t.info.Policy.OnFirstUse == OnFirstCap {
			e = min(e, p)
		} else {
			e = p
		}
	}
	return min(e, orNever(t.info.Policy.HardEnd))
}

// latestEnd is the latest end that any first use can lead to (evaluator E12).
func (t *terms) latestEnd() int64 {
	e := t.storeEnd()
	if t.usage.Interval != 0 && t.info.Policy.OnFirstUse != OnFirstCap && e != never {
		e = plus(e-1, t.usage.Interval) // the last first use is 1 ms before
	}
	return min(e, orNever(t.info.Policy.HardEnd))
}

func (t *terms) finish() bool {
	if m := t.info.Policy.ExpiryMode; m != 0 {
		return m == ExpiryFinish
	}
	return !t.live && t.charge != permission.ChargeSubscription
}

// tail is finish_tail for a session at media position at.
func (t *terms) tail(at int64) int64 {
	if p := t.info.Policy.FinishTail; p != nil {
		return *p
	}
	d := t.info.Policy.Duration
	if d == 0 {
		return maxFinishTail
	}
	return min(max(d-at, 0)*3/2, maxFinishTail)
}

// grace is clock_grace; profile holds a device's own defaults by charge model.
func (t *terms) grace(profile map[permission.Charge]int64) int64 {
	if p := t.info.Policy.ClockGrace; p != nil {
		return *p
	}
	if t.loan() || t.live {
		return 0
	}
	if g, ok := profile[t.charge]; ok {
		return g
	}
	if t.charge == permission.ChargeSubscription {
		return graceSubscription
	}
	return graceRental
}

func (t *terms) loan() bool {
	return t.charge == permission.ChargeLoan || t.info.Parent != nil && t.info.Parent.Kind == KindLoan
}

func (t *terms) slice() int64 {
	if s := t.info.Policy.Slice; s != 0 {
		return s
	}
	return defaultSlice
}

func (t *terms) firstUseThreshold() int64 {
	if p := t.info.Policy.FirstUseThreshold; p != nil {
		return *p
	}
	return defaultFirstUse
}

func (t *terms) countThreshold() int64 {
	c := t.info.Policy.CountThreshold
	if c == 0 {
		c = defaultCount
		if d := t.info.Policy.Duration; d != 0 {
			c = min(c, d/20)
		}
	}
	return max(c, t.slice())
}

func (t *terms) resumeWindow() int64 {
	if w := t.info.Policy.ResumeWindow; w != 0 {
		return w
	}
	return defaultResume
}

func (t *terms) minAnchor() uint64 {
	if p := t.info.Policy.MinAnchor; p != nil {
		return *p
	}
	if t.counted() || t.loan() {
		return 1
	}
	return 0
}
