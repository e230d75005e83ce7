package core

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/soft"
)

const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
	start  = int64(1_790_000_000_000) // 2026-09-21
)

func at(rtc, boot int64, id byte) Reading {
	return Reading{RTC: rtc, Boot: boot, BootID: [16]byte{id}}
}

// synced is a clock that got a token at start, one minute into boot 1.
func synced(t *testing.T) clock {
	t.Helper()
	c := clock{Lo: start - 30*day, Boot: 0, BootID: [16]byte{1}}
	if err := c.learnTime(start, minute, at(start, minute, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEvaluator_E1_ScriptedKernel is what the owner of a machine can do to its
// clocks, a row each.
// A machine whose clock does not run without power goes on, at each start, from where
// the last one was written down: what it noted then is not in its future.
func TestEvaluator_E1_StartsWithoutAnRTC(t *testing.T) {
	start := int64(1_790_000_000_000)
	c := clock{Lo: start, Signed: true}
	for boot := byte(1); boot < 50; boot++ {
		began := Reading{Boot: 60_000, BootID: [16]byte{boot}}
		noted := c.judge(began)
		c.settle(began)
		if next := c.judge(Reading{Boot: 30_000, BootID: [16]byte{boot + 100}}); noted.Q != license.Free || next.Est < noted.Est || next.Est > start+int64(boot+1)*60_000 || next.Lo != start {
			t.Fatalf("start %d: noted %+v, at the next start it is %+v", boot, noted, next)
		}
	}
}

func TestEvaluator_E1_ScriptedKernel(t *testing.T) {
	for _, tc := range []struct {
		name     string
		r        Reading
		q        license.Quality
		lo, est  int64
		unsynced int64
		behind   bool
	}{
		{"same instant", at(start, minute, 1), license.Secure, start, start, 0, false},
		{"an hour later", at(start+hour, minute+hour, 1), license.Secure, start + hour - 1800, start + hour, hour, false},
		{"RTC set back, same boot", at(start-400*day, minute+hour, 1), license.Secure, start + hour - 1800, start + hour, hour, false},
		{"RTC set ahead, same boot", at(start+9999*day, minute+hour, 1), license.Secure, start + hour - 1800, start + hour, hour, false},
		{"rebooted, RTC right", at(start+2*hour, minute, 2), license.Anchored, start, start + 2*hour, minute, false},
		{"rebooted, RTC 400 days ahead", at(start+400*day, minute, 2), license.Anchored, start, start + 400*day, minute, false},
		{"rebooted, RTC further ahead", at(start+400*day+1, minute, 2), license.Free, start, start + minute, minute, false},
		{"rebooted, RTC a second behind", at(start-1000, minute, 2), license.Free, start, start + minute, minute, false},
		{"rebooted, RTC 3 days behind", at(start-3*day, minute, 2), license.Free, start, start + minute, minute, true},
		{"rebooted, no RTC", at(0, 25*hour, 2), license.Free, start, start + 25*hour, 25 * hour, true},
		{"boot clock turned back in one boot", at(start, 0, 1), license.Secure, start, start, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := synced(t)
			got := c.judge(tc.r)
			want := license.Clock{Lo: tc.lo, Est: tc.est, Q: tc.q, Unsynced: tc.unsynced, Behind: tc.behind}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			c.settle(tc.r)
			if again := c.judge(tc.r); again.Lo < got.Lo || again.Est < got.Lo || again.Unsynced != got.Unsynced {
				t.Errorf("after settling %+v, before %+v", again, got)
			}
		})
	}
}

func TestEvaluator_E1_NeverSynced(t *testing.T) {
	c := clock{Lo: start, Boot: 0, BootID: [16]byte{1}}
	if got := c.judge(at(start+day, hour, 1)); got.Q != license.Unset || got.Est != got.Lo || got.Est < start {
		t.Errorf("an RTC that nobody proved: %+v", got)
	}
	if err := c.learnFloor(start+500*day, at(start, hour, 1)); err != nil {
		t.Fatal(err)
	}
	if got := c.judge(at(start, hour, 1)); got.Lo != start+500*day || got.Q == license.Secure {
		t.Errorf("a head proves only not-before: %+v", got)
	}
}

// TestEvaluator_E1_LoNeverFalls walks through reboots and lies.
func TestEvaluator_E1_LoNeverFalls(t *testing.T) {
	c := synced(t)
	last := c.Lo
	for i, r := range []Reading{
		at(start+hour, hour, 1), at(0, 10, 2), at(start+9000*day, hour, 2), at(start-day, 5*hour, 2), at(start+day, 1, 3), at(0, 0, 4),
	} {
		c.settle(r)
		if c.Lo < last {
			t.Errorf("step %d: lo fell from %d to %d", i, last, c.Lo)
		}
		last = c.Lo
		if err := c.learnTime(start-10*day, r.Boot, r); err != nil || c.Lo < last {
			t.Errorf("step %d: an old token moved lo to %d (%v)", i, c.Lo, err)
		}
	}
}

func TestEvaluator_E1_Tokens(t *testing.T) {
	c := synced(t)
	r := at(start, 2*minute, 1)
	if err := c.learnTime(start+401*day, r.Boot, r); !errors.Is(err, errTime) {
		t.Errorf("a jump of 401 days by one signer: %v", err)
	}
	slow := clock{Lo: start - day, BootID: [16]byte{1}}
	late := at(start, 2*hour, 1)
	if err := slow.learnTime(start, hour, late); err != nil {
		t.Fatal(err)
	}
	if got := slow.judge(late); got.Q == license.Secure || got.Lo != start {
		t.Errorf("a token that took an hour: %+v", got)
	}
	if got := c.judge(at(start, 2*minute, 2)); got.Q == license.Secure {
		t.Errorf("SECURE survives a reboot: %+v", got)
	}
}

// chip is a keystore with a clock that runs while its machine is on.
type chip struct {
	keystore.Keystore
	ms uint64
}

func (c *chip) Clock() (keystore.Reading, error) { return keystore.Reading{MS: c.ms, Safe: true}, nil }

// A machine that is switched off before anything is written down shortens the time
// since its last sync, but not where the keystore has a clock.
func TestEvaluator_E1_AClockThatOutlivesReboots(t *testing.T) {
	for _, hardware := range []bool{false, true} {
		dir := t.TempDir()
		soft, err := soft.Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		k := &chip{Keystore: soft, ms: 5}
		cfg := Config{Dir: dir, Keystore: soft, BuildMS: start - day}
		if hardware {
			cfg.Keystore = k
		}
		c, err := Open(cfg, at(start, minute, 1))
		if err != nil {
			t.Fatal(err)
		}
		next := c.clock
		if err := next.learnTime(start, minute, at(start, minute, 1)); err != nil {
			t.Fatal(err)
		}
		if next.Hardware, err = c.hardwareClock(); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(kindClock, next); err != nil {
			t.Fatal(err)
		}
		for boot := range 6 {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			k.ms += uint64(9 * minute)
			if c, err = Open(cfg, at(0, minute, byte(2+boot))); err != nil {
				t.Fatal(err)
			}
		}
		got := c.clock.judge(at(0, minute, 7)).Unsynced
		if want := map[bool]int64{false: minute, true: 54 * minute}[hardware]; got != want {
			t.Errorf("hardware clock %v: %d ms since the last sync, want %d", hardware, got, want)
		}
		k.ms = 1 // another chip, or one that was cleared
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err = Open(cfg, at(0, minute, 9)); err != nil {
			t.Fatal(err)
		}
		if got := c.clock.judge(at(0, minute, 9)).Unsynced; got < 0 || got > minute {
			t.Errorf("a clock that fell: %d", got)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
