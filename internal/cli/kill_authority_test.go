package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// place is where an authority's list has a party.
type place struct{ class, index uint32 }

// killAuthority kills `lares ca voucher`, and `lares ca serve` while devices
// enroll. A voucher that was printed holds, a device that was enrolled is
// listed, and no two have one place.
func killAuthority(t *testing.T, d *demo, _ string) {
	codes := d.killedVouchers(t, 8)
	places := map[place]string{}
	again := 0
	for i, code := range codes {
		dir := fmt.Sprintf("player-%d", i)
		at, device, ok := d.enrollWhile(t, dir, code, i%2 == 1)
		if !ok { // the voucher may have gone with the answer that was lost
			again++
			code, err := d.voucher(t.Context(), "--role", "device")
			if err != nil {
				t.Fatal(err)
			}
			if at, device, ok = d.enrollWhile(t, dir, code, false); !ok {
				t.Fatalf("%s cannot be enrolled any more", dir)
			}
		}
		if other, taken := places[at]; taken {
			t.Errorf("devices %s and %s have place %v", other, device, at)
		}
		places[at] = device
	}
	var shown struct {
		Classes []struct {
			Class   uint32 `json:"class"`
			Members uint32 `json:"members"`
		} `json:"classes"`
	}
	if err := d.query(t.Context(), &shown, "ca", "show", "--dir", d.path("ca")); err != nil {
		t.Fatal(err)
	}
	members := map[uint32]uint32{}
	for _, c := range shown.Classes {
		members[c.Class] = c.Members
	}
	for at, device := range places {
		if at.index >= members[at.class] {
			t.Errorf("device %s has place %d of %d of its class", device, at.index, members[at.class])
		}
	}
	if len(places) != len(codes) {
		t.Errorf("%d devices of %d vouchers", len(places), len(codes))
	}
	t.Logf("%d devices, %d of them enrolled again after the authority was killed", len(places), again)
}

// killedVouchers makes vouchers while every second command is killed. It
// returns those that were printed.
func (d *demo) killedVouchers(t *testing.T, n int) (codes []string) {
	t.Helper()
	for i := 0; len(codes) < n; i++ {
		cmd := d.command(t.Context(), []string{"ca", "voucher", "--dir", d.path("ca"), "--json"})
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			kill9(t, cmd.Process.Pid)
		}
		if err := cmd.Wait(); err != nil {
			if i%2 == 1 {
				t.Fatalf("a voucher that nobody disturbed: %v", err)
			}
			continue
		}
		var v struct {
			Voucher string `json:"voucher"`
		}
		if err := json.Unmarshal(out.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		codes = append(codes, v.Voucher)
	}
	return codes
}

// enrollWhile enrolls a device, and kills the authority meanwhile when struck
// is set. Otherwise it has to succeed.
func (d *demo) enrollWhile(t *testing.T, dir, code string, struck bool) (at place, device string, ok bool) {
	t.Helper()
	var st struct {
		Device       string `json:"device"`
		Class, Index uint32
	}
	done := make(chan answer, 1)
	go func() {
		done <- d.say(t, &st, "device", "init", "--dir", d.path(dir), "--ca", d.caURL, "--voucher", code)
	}()
	if struck {
		soon()
		d.crash(t, "ca")
	}
	a := <-done
	if a.code != statusDone && !struck {
		t.Errorf("nothing was killed, and: %s", a.stderr)
	}
	return place{st.Class, st.Index}, st.Device, a.code == statusDone
}
