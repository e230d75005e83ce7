package spread

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func simulate(t testing.TB, edit func(*Parameters)) *Result {
	t.Helper()
	p := Example()
	p.Devices = 20_000
	edit(&p)
	r, err := Run(p, nil)
	must(t, err)
	return r
}

// TestPKI_2_Distribution is what the design says will be found: direct download
// alone never reaches nine tenths, the home server is the big step, visits close
// the tail, and content issued after the revocation is never used by a device
// that does not have the state.
func TestPKI_2_Distribution(t *testing.T) {
	for seed := range uint64(3) {
		r := simulate(t, func(p *Parameters) { p.Seed = seed })
		direct, relay, visits, content := r.Strategies[0], r.Strategies[1], r.Strategies[2], r.Strategies[3]
		if direct.Days90 != nil || direct.Reached > 0.8 {
			t.Errorf("direct download alone reaches %v", direct.Reached)
		}
		if relay.Days90 == nil || relay.Reached-direct.Reached < 0.2 || relay.Days99 != nil {
			t.Errorf("home servers: %v after %v", relay.Reached, direct.Reached)
		}
		if visits.Days99 == nil || *visits.Days90 >= *relay.Days90 {
			t.Errorf("visits: %v", visits.Reached)
		}
		if content.Days99 == nil || *content.Days99 >= *visits.Days99 || content.Refused != 0 {
			t.Errorf("with content: %+v", content)
		}
		for i, o := range r.Strategies {
			if o.PostUses != 0 {
				t.Errorf("%v: %d uses of content issued after the revocation", o.Strategy, o.PostUses)
			}
			if i < 3 && o.Refused == 0 {
				t.Errorf("%v: nobody tried", o.Strategy)
			}
			if i > 0 && (o.StaleUses >= r.Strategies[i-1].StaleUses || o.Reached < r.Strategies[i-1].Reached) {
				t.Errorf("%v is worse than what it adds to", o.Strategy)
			}
		}
	}
}

func TestSpread_SameSeedSameBytes(t *testing.T) {
	text := func(seed uint64) (string, string) {
		r := simulate(t, func(p *Parameters) { p.Seed = seed })
		out, err := json.Marshal(r)
		must(t, err)
		return string(out), r.SVG()
	}
	a, pic := text(7)
	if b, again := text(7); a != b || pic != again {
		t.Error("the same seed gives other bytes")
	}
	if b, _ := text(8); a == b {
		t.Error("another seed gives the same bytes")
	}
}

// near fails when a share is off by more than four standard deviations of n draws.
func near(t *testing.T, what string, got, want float64, n int) {
	t.Helper()
	if tolerance := 4 * math.Sqrt(want*(1-want)/float64(n)); math.Abs(got-want) > tolerance+1e-9 {
		t.Errorf("%s: %.4f, want %.4f ± %.4f", what, got, want, tolerance)
	}
}

// TestSpread_DirectIsExponential holds the simplest case against its formula:
// online · (1 - e^(-rate · days)).
func TestSpread_DirectIsExponential(t *testing.T) {
	r := simulate(t, func(p *Parameters) {
		p.Kinds = []Kind{{Name: "all", Weight: 1, Online: 0.7, Direct: 0.25}}
	})
	for _, day := range []int{1, 4, 10, 30} {
		near(t, fmt.Sprintf("day %d", day), r.Strategies[0].Curve[day-1], 0.7*(1-math.Exp(-0.25*float64(day))), r.Parameters.Devices)
	}
}

// TestSpread_RelayIsPollThenHome: with every server online and up, and one
// device a household, the time is a uniform one, of the poll, and an exponential one.
func TestSpread_RelayIsPollThenHome(t *testing.T) {
	r := simulate(t, func(p *Parameters) {
		p.Servers, p.ServersOnline, p.ServerUp, p.HouseholdSizes, p.PollHours = 1, 1, 1, []float64{1}, 48
		p.Kinds = []Kind{{Name: "all", Weight: 1, Home: 0.5}}
	})
	// Contacts are of whole hours, and one within the poll's hour counts: about
	// half an hour earlier than the formula, which the tolerance has room for.
	for _, day := range []int{3, 5, 8} {
		// P(U + E <= t), U uniform on [0,2), E exponential with rate 1/2, t >= 2
		want := 1 - math.Exp(-float64(day)/2)*(math.Exp(1)-1)
		near(t, fmt.Sprintf("day %d", day), r.Strategies[1].Curve[day-1], want, r.Parameters.Devices/6)
	}
	if direct := r.Strategies[0].Reached; direct != 0 {
		t.Errorf("nobody asks, and %v have it", direct)
	}
}

// TestSpread_WhoCanReachWhom: each way alone.
func TestSpread_WhoCanReachWhom(t *testing.T) {
	one := func(k Kind) []Kind { k.Name, k.Weight = "all", 1; return []Kind{k} }
	for name, tc := range map[string]struct {
		edit func(*Parameters)
		want [4]bool // whether nearly everybody is reached, by strategy
	}{
		"nobody meets anybody": {func(p *Parameters) { p.Kinds, p.NewLicenses = one(Kind{}), 0 }, [4]bool{}},
		"a device brings it to a server without a line": {func(p *Parameters) {
			p.Servers, p.ServersOnline, p.NewLicenses = 1, 0, 0
			p.HouseholdSizes = []float64{0, 0, 0, 0, 0, 1}
			p.Kinds = one(Kind{Online: 0.5, Direct: 1, Home: 1})
		}, [4]bool{false, true, true, true}},
		"only visits": {func(p *Parameters) {
			p.Servers, p.NewLicenses = 0, 0
			p.Kinds = one(Kind{Online: 0.1, Direct: 1, Visits: 1})
		}, [4]bool{false, false, true, true}},
		"only licenses": {func(p *Parameters) { p.Kinds, p.NewLicenses = one(Kind{}), 1 }, [4]bool{false, false, false, true}},
	} {
		r := simulate(t, tc.edit)
		for i, o := range r.Strategies {
			if got := o.Reached > 0.97; got != tc.want[i] {
				t.Errorf("%s, %v: %v reached", name, o.Strategy, o.Reached)
			}
		}
	}
}

// TestSpread_BytesOfAQuietHouse counts a case that can be counted by hand.
func TestSpread_BytesOfAQuietHouse(t *testing.T) {
	r := simulate(t, func(p *Parameters) {
		p.Servers, p.ServersOnline, p.ServerUp, p.HouseholdSizes, p.PollHours = 1, 1, 1, []float64{1}, 24
		p.Kinds = []Kind{{Name: "all", Weight: 1, Home: 10}}
		p.Days, p.NewLicenses, p.DeltaBytes, p.HelloBytes = 30, 0, 834, 10
	})
	relay := r.Strategies[1]
	// 300 contacts of 10 bytes, and head (166) and delta once.
	if want := 3000.0 + 1000; relay.BytesPerDevice != want {
		t.Errorf("%v bytes a device, want %v", relay.BytesPerDevice, want)
	}
	// 30 polls of 166, the state once from the authority and once to the device.
	if want := 3000.0 + 30*166 + 2000; relay.BytesPerServer != want {
		t.Errorf("%v bytes a server, want %v", relay.BytesPerServer, want)
	}
}

func TestSpread_StaleUses(t *testing.T) {
	r := simulate(t, func(p *Parameters) {
		p.Kinds, p.NewLicenses, p.Plays, p.Days = []Kind{{Name: "all", Weight: 1}}, 2, 3, 40
		p.MaxAgeShare, p.MaxAgeDays = 0.5, 10
	})
	o := r.Strategies[0]
	if want := uint64(20_000 * 3 * (0.5*10 + 0.5*40)); o.StaleUses != want {
		t.Errorf("%d stale uses, want %d", o.StaleUses, want)
	}
	if mean := 20_000.0 * 2 * 40; math.Abs(float64(o.Refused)-mean) > 5*math.Sqrt(mean) {
		t.Errorf("%d refused, want about %.0f", o.Refused, mean)
	}
}

// TestSpread_AnyParameters: curves never fall, nobody plays what they must not,
// and every share is one.
func TestSpread_AnyParameters(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		share := rapid.Float64Range(0, 1)
		rate := rapid.SampledFrom([]float64{0, 0.01, 1, 50})
		p := Example()
		p.Devices, p.Days, p.Seed = rapid.IntRange(1, 400).Draw(rt, "devices"), rapid.IntRange(1, 20).Draw(rt, "days"), rapid.Uint64().Draw(rt, "seed")
		p.Servers, p.ServersOnline, p.ServerUp = share.Draw(rt, "servers"), share.Draw(rt, "online"), rapid.Float64Range(0.01, 1).Draw(rt, "up")
		p.Circle, p.FarVisits, p.PollHours = rapid.IntRange(1, 1000).Draw(rt, "circle"), share.Draw(rt, "far"), rapid.IntRange(1, 100).Draw(rt, "poll")
		p.NewLicenses = rate.Draw(rt, "licenses")
		for i := range p.Kinds {
			k := &p.Kinds[i]
			k.Online, k.Direct, k.Home, k.Visits = share.Draw(rt, "share"), rate.Draw(rt, "direct"), rate.Draw(rt, "home"), rate.Draw(rt, "visits")
		}
		r, err := Run(p, nil)
		if err != nil {
			rt.Fatal(err)
		}
		for _, o := range r.Strategies {
			if o.PostUses != 0 || !slices.IsSorted(o.Curve) || len(o.Curve) != p.Days || o.Reached != o.Curve[p.Days-1] || o.Reached > 1 {
				rt.Fatalf("%+v", o)
			}
		}
		if !strings.HasSuffix(r.SVG(), "</svg>\n") {
			rt.Fatal("no picture")
		}
	})
}

// TestSpread_NobodyIsOverlooked: what is skipped because nothing is due changes
// nothing: a run that looks at everybody every hour comes to the same.
func TestSpread_NobodyIsOverlooked(t *testing.T) {
	p := Example()
	p.Devices = 3000
	w := newPopulation(&p)
	for _, s := range Strategies() {
		fast, slow := newRun(w, s), newRun(w, s)
		fast.all(nil)
		for slow.now = 0; slow.now < slow.hours; slow.now++ {
			for h := range slow.households() {
				if s > Direct && (slow.served[h] == never || slow.server[h] == noServer) {
					slow.house(h)
				}
			}
			for d := range uint32(p.Devices) { //nolint:gosec // small
				slow.meet(d)
			}
			slow.curve = append(slow.curve, slow.learned)
		}
		// Their chances are not the same ones, so the curves are compared as such.
		for hour := 24; hour < len(fast.curve); hour += 24 {
			a, b := float64(fast.curve[hour])/3000, float64(slow.curve[hour])/3000
			if math.Abs(a-b) > 0.05 {
				t.Errorf("%v, hour %d: %.3f and %.3f", s, hour, a, b)
			}
		}
	}
}

func TestSpread_BadParametersAreRefused(t *testing.T) {
	if err := func() error { _, err := Parse(example); return err }(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Parameters){
		"no devices":     func(p *Parameters) { p.Devices = 0 },
		"too many":       func(p *Parameters) { p.Devices = MaxDevices + 1 },
		"no days":        func(p *Parameters) { p.Days = 0 },
		"too long":       func(p *Parameters) { p.Days = MaxDays + 1 },
		"poll":           func(p *Parameters) { p.PollHours = 0 },
		"circle":         func(p *Parameters) { p.Circle = 0 },
		"delta":          func(p *Parameters) { p.DeltaBytes = -1 },
		"sizes":          func(p *Parameters) { p.HouseholdSizes = nil },
		"weights":        func(p *Parameters) { p.HouseholdSizes = []float64{0, 0} },
		"negative":       func(p *Parameters) { p.HouseholdSizes = []float64{1, -1} },
		"kinds":          func(p *Parameters) { p.Kinds = nil },
		"kind":           func(p *Parameters) { p.Kinds = []Kind{{Name: "x", Weight: 1, Home: -1}} },
		"nameless":       func(p *Parameters) { p.Kinds = []Kind{{Weight: 1}} },
		"kinds' weights": func(p *Parameters) { p.Kinds = []Kind{{Name: "x"}} },
		"share":          func(p *Parameters) { p.Servers = 1.5 },
		"never up":       func(p *Parameters) { p.ServerUp = 0 },
		"not a number":   func(p *Parameters) { p.Plays = math.NaN() },
		"infinite":       func(p *Parameters) { p.Kinds[0].Visits = math.Inf(1) },
	} {
		p := Example()
		p.Kinds = slices.Clone(p.Kinds)
		edit(&p)
		if _, err := Run(p, nil); !errors.Is(err, ErrParameters) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{}", string(example) + "{}", strings.Replace(string(example), `"seed"`, `"sead"`, 1), "[1]"} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrParameters) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// TestSpread_PageHasTheFile holds docs/spec/spread.md against the file of
// parameters and its keys.
func TestSpread_PageHasTheFile(t *testing.T) {
	md, err := os.ReadFile("../../../docs/spec/spread.md")
	must(t, err)
	if !strings.Contains(string(md), "```json\n"+string(example)+"```") {
		t.Error("the page shows other parameters")
	}
	for _, key := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(string(example), -1) {
		if !strings.Contains(string(md), "| `"+key[1]+"` |") {
			t.Errorf("the page does not say what %s is", key[1])
		}
	}
}

// TestSpread_PictureOfTheReadme: docs/img/spread.svg is what these parameters give.
func TestSpread_PictureOfTheReadme(t *testing.T) {
	r, err := Run(Example(), nil)
	must(t, err)
	want, err := os.ReadFile("../../../docs/img/spread.svg")
	must(t, err)
	if r.SVG() != string(want) {
		t.Error("lares ca simulate --svg docs/img/spread.svg draws another picture")
	}
}

// FuzzParse: parameters that are read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(p)
		must(t, err)
		if _, err := Parse(out); err != nil {
			t.Fatal(err)
		}
		if p.Devices > 200 || p.Days > 10 || p.Circle > 1000 {
			return
		}
		if _, err := Run(p, nil); err != nil {
			t.Fatal(err)
		}
	})
}
