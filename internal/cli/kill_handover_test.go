package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// handedPlays are the plays of the license that is handed about.
const handedPlays = 40

// killHandOver kills the command that hands a title over, its module, the home
// server and the home server's module, at a random moment of each kind of
// hand-over. The owner says it again until it is done. Then the title is in one
// place, with all its plays, and nothing is open.
func killHandOver(t *testing.T, d *demo, house string) {
	terms := fmt.Sprintf("PLAY; PLAY_COUNT=%d; MOVE=DOMAIN; LEND; EXPORT=clearkey; MIN_ANCHOR=0", handedPlays)
	if _, err := d.must(t.Context(), d.grant(house, shared, terms)...); err != nil {
		t.Fatal(err)
	}
	if acked := d.fetched(t, shared); len(acked) != 1 {
		t.Fatalf("%d licenses came, want 1", len(acked))
	}
	x := &handing{demo: d, t: t}
	end := time.Now().Add(12 * time.Second)
	for x.round = 0; x.round < 2*len(victims) && (x.round < 4 || time.Now().Before(end)); x.round++ {
		victim := victims[x.round%len(victims)]
		x.until("tablet", victim, "device", "move", string(shared), "--here", "--dir", d.path("tablet"))
		x.until("phone", victim, "device", "move", string(shared), "--to", "phone", "--dir", d.path("tablet"))
		x.until("home", victim, "device", "move", string(shared), "--to", "house", "--dir", d.path("phone"))
		x.until("loan", victim, "home", "lend", string(shared), "--to", "tablet", "--for", "1h", "--dir", d.path("home"))
		x.until("home", victim, "device", "return", string(shared), "--dir", d.path("tablet"))
	}
	t.Logf("%d rounds of 5 hand-overs; said again %d times", x.round, x.again)
}

// victims are what is killed.
var victims = []string{"command", "its module", "home", "home's module"}

// handing is a title that is handed about.
type handing struct {
	*demo
	t            *testing.T
	round, again int
}

// until hands the title over with a kill in the middle, lets everything come to
// rest, and says it again until the title is where it belongs.
func (x *handing) until(want, victim string, args ...string) {
	x.t.Helper()
	x.meddle(victim, args)
	for range 8 {
		if x.rest(); x.where() == want {
			return
		}
		x.again++ // it may be refused: what was killed goes on by itself
		if _, err := x.run(x.t.Context(), args...); err != nil {
			x.t.Fatal(err)
		}
	}
	x.t.Fatalf("round %d, %s killed: %v: the title is at %q", x.round, victim, args, x.where())
}

// meddle runs a command and kills something while it runs.
func (x *handing) meddle(victim string, args []string) {
	x.t.Helper()
	cmd := x.command(x.t.Context(), args)
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond)
	modules := children(x.t, cmd.Process.Pid)
	switch victim {
	case "command":
		kill9(x.t, cmd.Process.Pid)
	case "its module":
		for _, m := range modules {
			kill9(x.t, m)
		}
	case "home":
		x.crash(x.t, "home")
	case "home's module":
		x.crashModule(x.t, "home")
	}
	_ = cmd.Wait()
	gone(x.t, modules...)
}

// rest lets each device and the house send and fetch until nothing is open but
// a loan that both know.
func (x *handing) rest() {
	x.t.Helper()
	var open []trem.Transfer
	for range 8 {
		var home homeTransfers
		var tablet, phone struct {
			Transfers []trem.Transfer `json:"transfers"`
		}
		for _, ask := range []struct {
			v    any
			args []string
		}{{&tablet, []string{"device", "transfers", "--dir", x.path("tablet")}}, {&phone, []string{"device", "transfers", "--dir", x.path("phone")}}, {&home, []string{"home", "transfers", "--dir", x.path("home")}}} {
			if err := x.query(x.t.Context(), ask.v, ask.args...); err != nil {
				x.t.Fatal(err)
			}
		}
		open = append(tablet.Transfers, phone.Transfers...)
		for _, v := range home.Transfers {
			open = append(open, v.Transfer)
		}
		loan := func(s trem.Stage) func(trem.Transfer) bool {
			return func(v trem.Transfer) bool { return v.Stage == s }
		}
		if len(open) == 0 || len(open) == 2 && slices.ContainsFunc(open, loan(trem.StageLent)) && slices.ContainsFunc(open, loan(trem.StageBorrowed)) {
			return
		}
	}
	x.t.Fatalf("round %d: it does not come to rest: %+v", x.round, open)
}

// where is the one place that plays the title: "home", a device, or "loan" for
// the tablet that has borrowed it. Anything else is lost or doubled.
func (x *handing) where() string {
	x.t.Helper()
	place, plays, found := "", uint64(0), 0
	note := func(at, phase string, c license.Counters) {
		if plays += *c.PlaysLeft; phase == license.Held.String() {
			place, found = at, found+1
		}
	}
	lib, err := x.library(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	lent := false
	for _, v := range lib {
		for _, h := range v.Held {
			if v.Content == string(shared) {
				note("home", h.Phase, h.Counters)
				lent = lent || h.Phase == license.Lent.String()
			}
		}
	}
	for _, device := range []string{"tablet", "phone"} {
		for _, h := range x.holds(x.t.Context(), device) {
			note(device, h.Phase, h.Counters)
		}
	}
	if found != 1 || plays != handedPlays {
		x.t.Fatalf("round %d: it is of use in %d places, with %d plays in all, want 1 and %d", x.round, found, plays, handedPlays)
	}
	if lent && place == "tablet" {
		return "loan"
	}
	return place
}

// holds are the licenses of the title that a device has.
func (x *handing) holds(ctx context.Context, device string) []trem.Held {
	x.t.Helper()
	var held []trem.Held
	if err := x.query(ctx, &held, "device", "list", "--dir", x.path(device)); err != nil {
		x.t.Fatal(err)
	}
	return slices.DeleteFunc(held, func(h trem.Held) bool { return h.Content != ident.Content(shared) })
}
