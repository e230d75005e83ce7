package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// children lists the processes that a process has started and that still run.
func children(t *testing.T, pid int) []int {
	t.Helper()
	out, err := childrenOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// gone waits until processes have ended.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		for end := time.Now().Add(startGrace); ; time.Sleep(5 * time.Millisecond) {
			if _, _, runs := readStat(fmt.Sprintf("/proc/%d/stat", pid)); !runs {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

func kill9(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill() // it may have ended by itself
}

// crash kills a service, its module ends with it, and starts it again.
func (d *demo) crash(t *testing.T, name string) {
	t.Helper()
	modules := children(t, d.procs[name].cmd.Process.Pid)
	if err := d.kill(name); err != nil {
		t.Fatal(err)
	}
	gone(t, modules...)
	if err := d.again(name); err != nil {
		t.Fatal(err)
	}
}

// crashModule kills the module of a service. The service ends by itself, so
// that whoever keeps it running starts both again.
func (d *demo) crashModule(t *testing.T, name string) {
	t.Helper()
	p := d.procs[name]
	modules := children(t, p.cmd.Process.Pid)
	if len(modules) != 1 {
		t.Fatalf("%s has %d modules", name, len(modules))
	}
	kill9(t, modules[0])
	select {
	case <-p.done:
	case <-time.After(startGrace):
		t.Fatalf("%s goes on without its module", name)
	}
	if err := d.again(name); err != nil {
		t.Fatal(err)
	}
}

func soon() { time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) }

// say runs a command that may fail and returns what it said; v is its answer
// when it succeeded.
func (d *demo) say(t *testing.T, v any, args ...string) answer {
	t.Helper()
	a, err := d.run(t.Context(), append(slices.Clone(args), "--json")...)
	if err == nil && a.code == statusDone {
		err = json.Unmarshal([]byte(a.stdout), v)
	}
	if err != nil {
		t.Errorf("lares %v: %v: %q", args, err, a.stdout)
		a.code = statusError
	}
	return a
}

// grant is the command that sells something to the house.
func (d *demo) grant(house string, id ident.Content, terms string, more ...string) []string {
	return append([]string{"issuer", "grant", "--dir", d.path("shop"), "--domain", house, "--content", string(id), "--terms", terms}, more...)
}

// granted is a grant as `issuer grant` and `issuer grants` print it.
type granted struct {
	ID        string        `json:"id"`
	Content   ident.Content `json:"content"`
	Remaining uint64        `json:"remaining"`
}

// granted lists the shop's grants of a title.
func (d *demo) granted(t *testing.T, id ident.Content) map[string]granted {
	t.Helper()
	var list struct {
		Grants []granted `json:"grants"`
	}
	if err := d.query(t.Context(), &list, "issuer", "grants", "--dir", d.path("shop")); err != nil {
		t.Fatal(err)
	}
	out := map[string]granted{}
	for _, g := range list.Grants {
		if g.Content == id {
			out[g.ID] = g
		}
	}
	return out
}

// fetched repeats `home fetch` until the shop has nothing more, and returns
// the licenses that it acknowledged.
func (d *demo) fetched(t *testing.T, id ident.Content) (acked []string) {
	t.Helper()
	for range 200 {
		var got struct {
			License string `json:"license"`
		}
		switch a := d.say(t, &got, "home", "fetch", string(id), "--dir", d.path("home"), "--issuer", d.shopURL); a.code {
		case statusDone:
			acked = append(acked, got.License)
		case statusRefused:
			return acked
		default: // killed, or the shop is away: again
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Error("the shop neither gives nor refuses")
	return acked
}

// TestStory_9_KillProcesses kills each process of a house, at random moments
// of what it does. What was acknowledged is there, and every count adds up.
func TestStory_9_KillProcesses(t *testing.T) {
	d := killHouse(t)
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *demo, string)
	}{
		{"Shop", killShop}, {"HomeFetch", killHomeFetch}, {"HomeSetAside", killSetAside}, {"DevicePlay", killPlay}, {"Authority", killAuthority}, {"HandOver", killHandOver}, {"GiveBack", killGiveBack},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, d, house.ID) })
	}
}

// killShop kills the shop while it records grants and issues licenses.
func killShop(t *testing.T, d *demo, house string) {
	terms := rentalTerms(time.Now())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	acked, tried := map[string]bool{}, 0
	wg.Go(func() { // an order has a key: repeated until it is acknowledged, it is one grant
		for order := 0; ; order++ {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var got granted
				tried = order + 1
				if d.say(t, &got, d.grant(house, rented, terms, "--key", fmt.Sprintf("order-%d", order))...).code == statusDone {
					acked[got.ID] = true
					break
				}
			}
		}
	})
	var licenses []string
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var got struct {
				License string `json:"license"`
			}
			if d.say(t, &got, "home", "fetch", string(rented), "--dir", d.path("home"), "--issuer", d.shopURL).code == statusDone {
				licenses = append(licenses, got.License)
			}
		}
	})
	for range 6 {
		time.Sleep(100 * time.Millisecond)
		soon()
		d.crash(t, "shop")
	}
	close(stop)
	wg.Wait()
	listed := d.granted(t, rented)
	for id := range acked {
		if _, ok := listed[id]; !ok {
			t.Errorf("grant %s was acknowledged and is lost", id)
		}
	}
	if len(listed) < len(acked) || len(listed) > tried {
		t.Errorf("%d grants are listed, %d were acknowledged, %d orders were placed", len(listed), len(acked), tried)
	}
	d.checkFetched(t, rented, append(licenses, d.fetched(t, rented)...), house)
	t.Logf("%d orders, %d acknowledged, %d grants and as many licenses", tried, len(acked), len(listed))
}

// checkFetched compares what the house holds of a title with what was granted,
// issued and acknowledged.
func (d *demo) checkFetched(t *testing.T, id ident.Content, acked []string, house string) {
	t.Helper()
	held, grants := d.heldAtHome(t, id), d.granted(t, id)
	for _, l := range acked {
		if _, ok := held[l]; !ok {
			t.Errorf("license %s was acknowledged and is lost", l)
		}
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(acked))); len(distinct) != len(acked) {
		t.Errorf("%d answers name %d licenses", len(acked), len(distinct))
	}
	for g, row := range grants {
		if row.Remaining != 0 {
			t.Errorf("of grant %s %d licenses remain after all were fetched", g, row.Remaining)
		}
	}
	var issued struct {
		Licenses []struct {
			ID    string `json:"id"`
			Grant string `json:"grant"`
		} `json:"licenses"`
	}
	if err := d.query(t.Context(), &issued, "issuer", "licenses", "--dir", d.path("shop"), "--domain", house); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range issued.Licenses {
		if _, ok := grants[l.Grant]; !ok {
			continue // of another title
		}
		n++
		if _, ok := held[l.ID]; !ok {
			t.Errorf("license %s was issued and is not held", l.ID)
		}
	}
	if len(held) != len(grants) || n != len(grants) {
		t.Errorf("%d grants became %d licenses, of which the house holds %d", len(grants), n, len(held))
	}
}

// killHomeFetch kills the home server and its module while it fetches.
func killHomeFetch(t *testing.T, d *demo, house string) {
	for range 8 {
		if _, err := d.must(t.Context(), d.grant(house, rented, rentalTerms(time.Now()))...); err != nil {
			t.Fatal(err)
		}
	}
	before := d.heldAtHome(t, rented)
	done := make(chan []string)
	go func() { done <- d.fetched(t, rented) }()
	for round := range 6 {
		soon()
		if round == 3 {
			d.crashModule(t, "home")
			continue
		}
		d.crash(t, "home")
	}
	acked := <-done
	for l := range before { // held before, held after, and not acknowledged twice
		acked = append(acked, l)
	}
	d.checkFetched(t, rented, acked, house)
	t.Logf("8 licenses, %d acknowledged", len(acked)-len(before))
}
