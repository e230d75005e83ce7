package profile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/license/profile"
)

const hour = 3600_000 // ms

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rows finds the rows of a page's tables that begin with a profile and have so
// many cells.
func rows(text string, cells int) [][]string {
	var out [][]string
	for _, m := range regexp.MustCompile(`(?m)^\| ((?:home|mobile|automotive|cloud) \|.*) \|$`).FindAllStringSubmatch(text, -1) {
		if r := strings.Split(m[1], " | "); len(r) == cells {
			out = append(out, r)
		}
	}
	return out
}

// The table of docs/spec/profile.md is the data.
func TestEvaluator_E18_ProfilesAreThePage(t *testing.T) {
	md := read(t, "docs/spec/profile.md")
	var got [][]string
	for _, p := range profile.All() {
		households := fmt.Sprint(p.Households)
		if p.Households == 0 {
			households = "any"
		}
		got = append(got, []string{
			p.Name, fmt.Sprintf("%d h", p.Offline/hour), fmt.Sprintf("SL%d", p.Level), fmt.Sprintf("A%d", p.Anchor),
			fmt.Sprintf("%d h", p.Grace[permission.ChargeSubscription]/hour), fmt.Sprintf("%d h", p.Grace[permission.ChargeRental]/hour),
			fmt.Sprint(p.RTC), fmt.Sprint(p.PowerCut), string(p.Region), households, string(p.Sale), fmt.Sprint(p.Alone),
		})
	}
	if d := cmp.Diff(rows(md, 12), got); d != "" {
		t.Error(d)
	}
	grace, err := json.Marshal(profile.Home().Grace)
	if err != nil || !strings.Contains(md, "`"+string(grace)+"`") {
		t.Errorf("the page does not show %s (%v)", grace, err)
	}
}

// So is the table of connectors, and Output reads it.
func TestEvaluator_E18_ConnectorsAreThePage(t *testing.T) {
	classes := []license.OutputClass{license.OutputInternal, license.OutputDigital, license.OutputAnalog, license.OutputWireless, license.OutputLink}
	table := rows(read(t, "docs/spec/profile.md"), 1+len(classes))
	if len(table) != len(profile.All()) {
		t.Fatalf("%d rows of connectors", len(table))
	}
	for i, p := range profile.All() {
		n := 0
		for j, class := range classes {
			cell := table[i][j+1]
			if cell == "–" {
				continue
			}
			for connector := range strings.FieldsSeq(cell) {
				if n++; p.Output(connector) != string(class) {
					t.Errorf("%s: %s is of class %s, the page says %s", p.Name, connector, p.Output(connector), class)
				}
			}
		}
		if n != len(p.Outputs) || table[i][0] != p.Name {
			t.Errorf("%s: the page has %d connectors of %d", p.Name, n, len(p.Outputs))
		}
		if got := p.Output("telepathy"); got != profile.UnknownOutput || slices.Contains(classes, license.OutputClass(got)) {
			t.Errorf("%s: telepathy is of class %q", p.Name, got)
		}
	}
}

func TestEvaluator_E18_ProfilesHoldTogether(t *testing.T) {
	for _, p := range profile.All() {
		same, err := profile.Named(p.Name)
		if err != nil || cmp.Diff(p, same) != "" {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Level < 1 || p.Level > 3 || p.Anchor > 2 || len(p.Outputs) == 0 || p.For == "" {
			t.Errorf("%+v", p)
		}
		for _, c := range []permission.Charge{permission.ChargeLoan, permission.ChargePurchase} {
			if _, there := p.Grace[c]; there {
				t.Errorf("%s sets a grace for charge model %d", p.Name, c)
			}
		}
		// Nobody is to plan for longer than the clock's grace of what is subscribed to, where nobody is near.
		if g := p.Grace[permission.ChargeSubscription]; p.Alone && p.RTC && g < p.Offline || g < p.Grace[permission.ChargeRental] {
			t.Errorf("%s: a grace of %d h for %d h offline", p.Name, g/hour, p.Offline/hour)
		}
	}
	if _, err := profile.Named("toaster"); !errors.Is(err, profile.ErrUnknown) {
		t.Errorf("toaster: %v", err)
	}
}

// The grace of a profile is what the evaluator uses.
func TestEvaluator_E18_GraceIsUsed(t *testing.T) {
	for _, p := range profile.All() {
		for _, charge := range []permission.Charge{permission.ChargeSubscription, permission.ChargeRental} {
			lic := timed(t, charge)
			in := license.Input{
				Clock:   license.Clock{Lo: 1, Est: 1, Q: license.Anchored, Unsynced: p.Grace[charge]},
				Env:     license.Env{Accepted: true, Level: p.Level, Anchor: p.Anchor, Offline: p.Alone, Grace: p.Grace},
				Request: license.Request{Action: permission.Play},
			}
			if d := lic.Evaluate(in); d.Has(license.ClockStale) {
				t.Errorf("%s, charge %d: stale within its grace", p.Name, charge)
			}
			in.Clock.Unsynced++
			if d := lic.Evaluate(in); !d.Has(license.ClockStale) {
				t.Errorf("%s, charge %d: not stale behind its grace", p.Name, charge)
			}
		}
	}
}

// A car has no clock that runs without power: its profile says so.
func Example() {
	car, err := profile.Named("automotive")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(car.For, car.RTC, car.Region, car.Sale)
	fmt.Println(car.Grace[permission.ChargeRental]/3600_000, "hours")
	fmt.Println(car.Output("dashboard"), car.Output("fax"))
	// Output:
	// cars false FIRST_USE DEVICE
	// 24 hours
	// INTERNAL UNKNOWN
}
