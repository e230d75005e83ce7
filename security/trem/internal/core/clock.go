package core

import (
	"errors"
	"fmt"
	"math"

	"github.com/lares-drm/lares/license"
)

// Reading is what the kernel's clocks say at one instant. The host's owner can
// set RTC at will, and cannot turn Boot back without a new BootID.
type Reading struct {
	RTC    int64    // wall-clock time, Unix ms
	Boot   int64    // ms since boot, suspend included (CLOCK_BOOTTIME)
	BootID [16]byte // random per boot
}

// Bounds of trusted time, in ms. Source: shared evaluator clause E1, docs/spec/time.md.
const (
	driftPPM = 500              // a monotonic clock may run this much too fast
	behind   = 5 * 60_000       // an RTC further behind lo than this is named CLOCK_BEHIND
	maxJump  = 400 * 86_400_000 // est follows the RTC, and lo one signer, no further than this
	maxRound = 60_000           // a time token that took longer proves only "not before"
)

// clock is the durable part of secure clock management: the CLOCK record.
type clock struct {
	_        struct{} `cbor:",toarray"`
	Lo       int64    // proven: true time was at least this at Boot of BootID
	Boot     int64
	BootID   [16]byte
	Signed   bool   // lo was ever moved by a signed statement
	Secure   bool   // est was authenticated in the boot BootID, at Boot
	Est      int64  // best estimate at Boot without the RTC; in a later boot time is not before it
	Unsynced int64  // powered-on ms since the last SECURE sync of this module's own, settled at Boot
	Relayed  uint8  // Secure by the word of a household peer of this level; 0 = by this module's own sync
	Reset    uint64 // serial of the newest TIME-RESET that was obeyed
	Hardware uint64 // ms, of the keystore's clock at the last sync of this module's own; 0 = it has none
}

var (
	errTime = errors.New("time statement")
	errJump = fmt.Errorf("%w: too far ahead", errTime)
)

// elapsed is how long this boot has run since the record, or since the boot's
// start when the record is of another boot.
func (c *clock) elapsed(r Reading) int64 {
	if r.BootID != c.BootID {
		return max(r.Boot, 0)
	}
	return max(r.Boot-c.Boot, 0)
}

// judge turns readings into the evaluator's clock.
func (c *clock) judge(r Reading) license.Clock {
	e := c.elapsed(r)
	out := license.Clock{Lo: c.Lo, Unsynced: c.Unsynced + e}
	if r.BootID == c.BootID {
		out.Lo += e - e*driftPPM/1_000_000
	}
	switch {
	case !c.Signed:
		out.Est, out.Q = out.Lo, license.Unset
	case c.Secure && r.BootID == c.BootID:
		out.Est, out.Q, out.Relayed = max(c.Est+e, out.Lo), license.Secure, c.Relayed
	case r.RTC >= out.Lo && r.RTC-out.Lo <= maxJump:
		out.Est, out.Q = r.RTC, license.Anchored
	default:
		// No RTC, one that was set back, or one far ahead: time goes on from
		// the floor by what this boot has run. It is not before the estimate of
		// an earlier boot, by which a license may have noted something.
		out.Est, out.Q = max(c.Lo+e, c.Est), license.Free
		if r.BootID == c.BootID {
			out.Est = max(c.Est, c.Lo) + e
		}
		out.Behind = out.Lo-r.RTC > behind
	}
	return out
}

// settle moves the record to the reading, so that the floor survives the boot.
func (c *clock) settle(r Reading) {
	now := c.judge(r)
	c.Lo, c.Unsynced = now.Lo, now.Unsynced
	c.Secure, c.Est = now.Q == license.Secure, now.Est
	if now.Q == license.Anchored {
		c.Est = now.Lo // an RTC leaves no trace
	}
	c.Boot, c.BootID = r.Boot, r.BootID
}

// learnFloor moves lo by a statement that proves only "not before": a
// revocation head. It never makes the clock SECURE.
func (c *clock) learnFloor(at int64, r Reading) error {
	c.settle(r)
	if err := c.plausible(at, r); err != nil {
		return err
	}
	c.Lo, c.Signed = max(c.Lo, at), true
	return nil
}

// learnTime moves lo and est by a token whose nonce left this module at the
// boot time sent, in this boot.
func (c *clock) learnTime(at, sent int64, r Reading) error {
	c.settle(r)
	if err := c.plausible(at, r); err != nil {
		return err
	}
	c.Lo, c.Signed = max(c.Lo, at), true
	round := r.Boot - sent
	if round < 0 || round > maxRound {
		return nil
	}
	c.Secure, c.Est, c.Unsynced, c.Relayed = true, max(c.Lo, at+round/2), 0, 0
	return nil
}

// learnRelayed moves lo by a token that a household peer of a level passes on,
// and est by what has passed since by that peer's word. It is no sync of this
// module's own: where this boot had one, that stays.
func (c *clock) learnRelayed(at, elapsed, sent int64, level uint8, r Reading) error {
	c.settle(r)
	if err := c.plausible(at, r); err != nil {
		return err
	}
	c.Lo, c.Signed = max(c.Lo, at), true
	round := r.Boot - sent
	if round < 0 || round > maxRound || c.Secure && (c.Relayed == 0 || c.Relayed > level) {
		c.Est = max(c.Est, c.Lo)
		return nil
	}
	c.Secure, c.Est, c.Relayed = true, max(c.Lo, at+elapsed+round/2), max(level, 1)
	return nil
}

// allow moves the best estimate so far ahead that a statement of at is plausible:
// a second signer has said so, too.
func (c *clock) allow(at int64, r Reading) {
	c.settle(r)
	c.Est, c.Lo = max(c.Est, at), max(c.Lo, at)
}

// powered raises the time since the last sync to what the keystore's clock says,
// which runs while the machine is on and outlives a reboot: a machine that is cut
// off before anything is written down gains nothing by it.
func (c *clock) powered(now uint64, r Reading) {
	if c.Hardware == 0 || now < c.Hardware {
		return
	}
	c.settle(r)
	c.Unsynced = max(c.Unsynced, int64(min(now-c.Hardware, math.MaxInt64)))
}

// reset obeys a TIME-RESET: no floor stays above most.
func (c *clock) reset(most int64, serial uint64, r Reading) {
	c.settle(r)
	c.Lo, c.Est, c.Secure, c.Relayed, c.Reset = min(c.Lo, most), min(c.Est, most), false, 0, serial
}

// join takes over the floor of another clock record of this module.
func (c *clock) join(o clock, r Reading) {
	c.settle(r)
	o.settle(r)
	if o.Secure || !c.Secure && o.Lo > c.Lo {
		o.Lo, o.Signed, o.Reset = max(o.Lo, c.Lo), o.Signed || c.Signed, max(o.Reset, c.Reset)
		o.Est = max(o.Est, o.Lo)
		*c = o
		return
	}
	c.Lo, c.Signed, c.Reset = max(c.Lo, o.Lo), c.Signed || o.Signed, max(c.Reset, o.Reset)
	c.Est = max(c.Est, c.Lo)
}

// plausible refuses a jump that one signer alone may not cause.
func (c *clock) plausible(at int64, r Reading) error {
	if now := c.judge(r); c.Signed && at-now.Est > maxJump {
		return fmt.Errorf("%w: %d days ahead of the best estimate needs a second signer", errJump, (at-now.Est)/86_400_000)
	}
	return nil
}
