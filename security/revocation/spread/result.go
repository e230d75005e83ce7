package spread

import (
	"math"
	"math/rand/v2"

	"github.com/lares-drm/lares/security/revocation"
)

// Result is what all strategies came to.
type Result struct {
	Parameters Parameters `json:"parameters"`
	Households int        `json:"households"`
	Servers    int        `json:"servers"`
	Strategies []Outcome  `json:"strategies"`
}

// Outcome is one strategy. Times are days since the publication; nil: not within
// the days that were simulated.
type Outcome struct {
	Strategy Strategy `json:"strategy"`
	Days50   *float64 `json:"days_50"` // until half of the devices have the state
	Days90   *float64 `json:"days_90"`
	Days99   *float64 `json:"days_99"`
	Reached  float64  `json:"reached"` // share of the devices that have it in the end
	// StaleUses are plays, by devices that do not have the state, of licenses
	// issued before it, of which the rev_max_age has not ended: what a revocation
	// cannot reach at once.
	StaleUses uint64 `json:"stale_uses"`
	// PostUses are plays by such devices of licenses issued after it. Each of those
	// names the epoch that it needs, so there are none.
	PostUses uint64 `json:"post_revocation_stale_uses"`
	// Refused are attempts at that: plays that wait until the device has the state.
	Refused        uint64    `json:"refused_uses"`
	BytesPerDevice float64   `json:"bytes_per_device"`
	BytesPerServer float64   `json:"bytes_per_server"`
	Curve          []float64 `json:"curve"` // share of the devices at the end of each day
	hourly         []int
}

// Run simulates every strategy on one population. watch, when it is not nil, is
// told which day of which strategy begins.
func Run(p Parameters, watch func(s Strategy, day int)) (*Result, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	w := newPopulation(&p)
	out := &Result{Parameters: p, Households: len(w.server)}
	for _, k := range w.server {
		if k != noServer {
			out.Servers++
		}
	}
	for _, s := range Strategies() {
		r := newRun(w, s)
		r.all(watch)
		out.Strategies = append(out.Strategies, r.outcome(out.Servers))
	}
	return out, nil
}

func (r *run) outcome(servers int) Outcome {
	o := Outcome{Strategy: r.strategy, hourly: r.curve, Reached: float64(r.learned) / float64(len(r.device))}
	for at, into := range map[float64]**float64{0.5: &o.Days50, 0.9: &o.Days90, 0.99: &o.Days99} {
		*into = r.until(at)
	}
	for hour := 23; hour < len(r.curve); hour += 24 {
		o.Curve = append(o.Curve, float64(r.curve[hour])/float64(len(r.device)))
	}
	r.uses(&o)
	r.bytes(&o, servers)
	return o
}

// until is the days until a share of the devices has the state.
func (r *run) until(share float64) *float64 {
	want := int(math.Ceil(share * float64(len(r.device))))
	for hour, n := range r.curve {
		if n >= want {
			days := float64(hour+1) / 24
			return &days
		}
	}
	return nil
}

// license epochs: before the publication, and the one that it made.
const (
	oldEpoch = 1
	newEpoch = 2
)

// mayPlay is the rule: a module plays what needs no newer epoch than it knows.
func mayPlay(needs, knows int) bool { return knows >= needs }

// uses counts what devices are used for until they have the state. Attempts at
// licenses issued after it are drawn one by one and held against the rule; plays
// of older ones are so many that their mean is as good.
func (r *run) uses(o *Outcome) {
	draw := rand.New(rand.NewPCG(r.p.Seed, 1<<32+uint64(r.strategy))) //nolint:gosec // a simulation
	var mean float64
	for _, at := range r.device {
		hours := float64(min(at, r.hours))
		aged := min(hours, 24*r.p.MaxAgeDays)
		mean += r.p.Plays / 24 * (r.p.MaxAgeShare*aged + (1-r.p.MaxAgeShare)*hours)
		if r.p.NewLicenses == 0 {
			continue
		}
		for t := draw.ExpFloat64() * 24 / r.p.NewLicenses; t < hours; t += draw.ExpFloat64() * 24 / r.p.NewLicenses {
			knows := oldEpoch
			if r.strategy >= Content {
				knows = newEpoch // it came with the license
			}
			switch stale := knows < newEpoch; {
			case !mayPlay(newEpoch, knows):
				o.Refused++
			case stale:
				o.PostUses++
			}
		}
	}
	o.StaleUses = uint64(math.Round(mean))
}

// bytes is what the state costs on the wire: its epoch in the first flight of
// each contact, heads that servers poll for, and head and delta for each party
// that takes it, counted at both ends. Contacts are as many as their rates say.
func (r *run) bytes(o *Outcome, servers int) {
	state := float64(revocation.HeadLen + r.p.DeltaBytes)
	days, hello := float64(r.p.Days), float64(r.p.HelloBytes)
	var device, server float64
	for d := range uint32(len(r.device)) { //nolint:gosec // at most MaxDevices
		k := r.of(d)
		var contacts float64
		if r.direct[d] != never {
			contacts += k.Direct * days
		}
		if r.strategy >= Relay && r.server[r.home[d]] != noServer {
			contacts += k.Home * days
			server += k.Home * days * hello
		}
		if r.strategy >= Visits {
			contacts += 2 * k.Visits * days // one goes, and others come
		}
		device += contacts * hello
		if r.fresh(d) {
			device += state
		}
	}
	if r.strategy >= Relay {
		polls := days * 24 / float64(r.p.PollHours)
		for h, k := range r.server {
			if k == online {
				server += polls * revocation.HeadLen
			}
			if r.served[h] != never {
				server += state
			}
		}
		server += float64(r.handed) * state
	}
	o.BytesPerDevice = round(device / float64(len(r.device)))
	if servers > 0 {
		o.BytesPerServer = round(server / float64(servers))
	}
}

// round keeps one digit behind the point, so that results are read the same.
func round(x float64) float64 { return math.Round(10*x) / 10 }
