package profile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/license/profile"
)

// The table of docs/spec/profile.md is the data.
func TestEvaluator_E18_ProfilesAreThePage(t *testing.T) {
	md, err := os.ReadFile("../../docs/spec/profile.md")
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, p := range profile.All() {
		households := fmt.Sprint(p.Households)
		if p.Households == 0 {
			households = "any"
		}
		got = append(got, []string{
			p.Name, fmt.Sprintf("%d h", p.Offline/3600_000), fmt.Sprintf("SL%d", p.Level), fmt.Sprintf("A%d", p.Anchor),
			fmt.Sprintf("%d h", p.Grace[permission.ChargeSubscription]/3600_000), fmt.Sprintf("%d h", p.Grace[permission.ChargeRental]/3600_000),
			fmt.Sprint(p.RTC), fmt.Sprint(p.PowerCut), string(p.Region), households, string(p.Sale),
		})
	}
	var want [][]string
	for _, m := range regexp.MustCompile(`(?m)^\| ((?:home|mobile|automotive|cloud) \|.*) \|$`).FindAllStringSubmatch(string(md), -1) {
		want = append(want, strings.Split(m[1], " | "))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	grace, err := json.Marshal(profile.Home().Grace)
	if err != nil || !strings.Contains(string(md), "`"+string(grace)+"`") {
		t.Errorf("the page does not show %s (%v)", grace, err)
	}
}

func TestEvaluator_E18_ProfilesHoldTogether(t *testing.T) {
	classes := map[string]bool{"INTERNAL": true, "DIGITAL": true, "ANALOG": true, "WIRELESS": true, "LINK": true}
	for _, p := range profile.All() {
		same, err := profile.Named(p.Name)
		if err != nil || cmp.Diff(p, same) != "" {
			t.Errorf("%s: %v", p.Name, err)
		}
		for connector, class := range p.Outputs {
			if !classes[class] {
				t.Errorf("%s: %s is of class %q", p.Name, connector, class)
			}
		}
		if p.Level < 1 || p.Level > 3 || p.Anchor > 2 || len(p.Outputs) == 0 || p.For == "" {
			t.Errorf("%+v", p)
		}
		for _, c := range []permission.Charge{permission.ChargeLoan, permission.ChargePurchase} {
			if _, there := p.Grace[c]; there {
				t.Errorf("%s sets a grace for charge model %d", p.Name, c)
			}
		}
	}
	if _, err := profile.Named("toaster"); !errors.Is(err, profile.ErrUnknown) {
		t.Errorf("toaster: %v", err)
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
	// Output:
	// cars false FIRST_USE DEVICE
	// 24 hours
}
