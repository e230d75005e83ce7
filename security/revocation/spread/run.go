package spread

import "math/rand/v2"

// Strategy is how a state may travel. Each has what those before it have.
type Strategy int

// The strategies, in the order in which they are added.
const (
	Direct  Strategy = iota // devices ask the authority
	Relay                   // and meet their home server, which polls the authority: whoever is older takes the newer state
	Visits                  // and meet other households
	Content                 // and get the state with each license that was issued after it
)

// Strategies are all of them.
func Strategies() []Strategy { return []Strategy{Direct, Relay, Visits, Content} }

func (s Strategy) String() string {
	return [...]string{"direct download", "+ home server relay", "+ visits between households", "+ state travels with content"}[s]
}

// MarshalText prints the strategy for JSON.
func (s Strategy) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// run is one strategy on its way.
type run struct {
	*population
	r        *rand.Rand
	strategy Strategy
	now      uint16
	device   []uint16 // hour at which each device has learned; never before
	served   []uint16 // likewise, the server of each household
	atHome   []uint16 // each device's next meeting with its home server
	out      []uint16 // each device's next visit to another household
	license  []uint16 // each device's next license issued after the publication
	due      []uint16 // the first of those that matter for each device: nothing else is read in most hours
	guest    []uint16 // of each household, when its next guest comes
	guests   float64  // a household has in a day
	learned  int
	handed   uint64 // states that servers handed to devices
	curve    []int  // devices that have learned by the end of each hour
}

func newRun(w *population, s Strategy) *run {
	n, m := len(w.kind), len(w.server)
	r := &run{
		population: w, r: rand.New(rand.NewPCG(w.p.Seed, uint64(s)+1)), strategy: s, //nolint:gosec // a simulation
		device: filled(n), served: filled(m), due: make([]uint16, n), curve: make([]int, 0, w.hours),
	}
	if s >= Relay {
		r.atHome = filled(n)
	}
	if s >= Visits {
		r.out, r.guest = filled(n), filled(m)
	}
	if s >= Content {
		r.license = filled(n)
	}
	for d := range uint32(n) { //nolint:gosec // at most MaxDevices
		k := w.of(d)
		if s >= Relay && w.server[w.home[d]] != noServer {
			r.atHome[d] = w.next(r.r, 0, k.Home)
		}
		if s >= Visits {
			r.out[d] = w.next(r.r, 0, k.Visits)
			r.guests += k.Visits / float64(m)
		}
		if s >= Content {
			r.license[d] = w.next(r.r, 0, w.p.NewLicenses)
		}
	}
	if s >= Visits {
		for h := range r.guest {
			r.guest[h] = w.next(r.r, 0, r.guests)
		}
	}
	return r
}

func filled(n int) []uint16 {
	out := make([]uint16, n)
	for i := range out {
		out[i] = never
	}
	return out
}

// all moves everybody hour by hour. Only those are looked at for whom something
// may still change: devices without the state, devices that may bring it to
// their server, households whose server, or some device, has not got it.
func (r *run) all(watch func(Strategy, int)) {
	devices := make([]uint32, len(r.kind))
	for i := range devices {
		devices[i] = uint32(i)
	}
	houses := make([]uint32, r.households())
	for i := range houses {
		houses[i] = uint32(i)
	}
	if r.strategy == Direct {
		houses = nil
	}
	for r.now = 0; r.now < r.hours; r.now++ {
		if watch != nil && r.now%24 == 0 {
			watch(r.strategy, int(r.now/24))
		}
		houses = keep(houses, r.house)
		devices = keep(devices, func(d uint32) bool { return r.due[d] > r.now || r.meet(d) })
		r.curve = append(r.curve, r.learned)
	}
}

// keep is those for whom f is true, in the same order and place.
func keep(list []uint32, f func(uint32) bool) []uint32 {
	n := 0
	for _, x := range list {
		if f(x) {
			list[n] = x
			n++
		}
	}
	return list[:n]
}

// house is one hour of a household: a poll of its server, and a guest who brings
// something. It reports whether either may still change anything.
func (r *run) house(h uint32) bool {
	if r.server[h] == online && r.poll[h] <= r.now {
		r.serve(h)
	}
	if r.strategy >= Visits && r.guest[h] <= r.now {
		r.guest[h] = r.next(r.r, r.now+1, r.guests)
		from, to := r.members(r.friend(h))
		if r.fresh(from + r.r.Uint32N(to-from)) {
			r.tell(h)
		}
	}
	if r.server[h] != noServer {
		return r.served[h] == never && (r.server[h] == online || r.strategy >= Visits)
	}
	if r.strategy < Visits {
		return false
	}
	from, to := r.members(h)
	for d := from; d < to; d++ {
		if !r.fresh(d) {
			return true
		}
	}
	return false
}

// friend is a household that one of this household meets: of its circle, or any.
func (r *run) friend(h uint32) uint32 {
	n := r.households()
	if r.r.Float64() < r.p.FarVisits {
		return r.r.Uint32N(n)
	}
	c := uint32(r.p.Circle) //nolint:gosec // checked
	step := r.r.Uint32N(2*c + 1)
	return uint32((uint64(h) + uint64(n)*(1+uint64(c)/uint64(n)) + uint64(step) - uint64(c)) % uint64(n)) //nolint:gosec // below n
}

// tell gives a household the state: its server, or one of its devices.
func (r *run) tell(h uint32) {
	if r.server[h] != noServer {
		r.serve(h)
		return
	}
	from, to := r.members(h)
	r.learn(from + r.r.Uint32N(to-from))
}

// knows reports whether someone who visits a household finds the state there.
func (r *run) knows(h uint32) bool {
	if r.server[h] != noServer {
		return r.served[h] != never
	}
	from, to := r.members(h)
	return r.fresh(from + r.r.Uint32N(to-from))
}

// meet is an hour of a device in which something is due. It reports whether the
// device still has to be looked at.
func (r *run) meet(d uint32) bool {
	h := r.home[d]
	if r.direct[d] <= r.now {
		r.learn(d)
	}
	if r.strategy >= Relay && r.atHome[d] <= r.now {
		r.atHome[d] = r.next(r.r, r.now+1, r.of(d).Home)
		switch fresh := r.fresh(d); {
		case fresh:
			r.serve(h)
		case r.served[h] != never:
			r.learn(d)
			r.handed++
		}
	}
	if r.strategy >= Visits && !r.fresh(d) && r.out[d] <= r.now {
		r.out[d] = r.next(r.r, r.now+1, r.of(d).Visits)
		if r.knows(r.friend(h)) {
			r.learn(d)
		}
	}
	if r.strategy >= Content && r.license[d] <= r.now {
		r.learn(d)
	}
	r.due[d] = r.nextDue(d)
	return r.due[d] != never
}

// nextDue is the next hour in which something may change for a device, or by it.
func (r *run) nextDue(d uint32) uint16 {
	at := uint16(never)
	if h := r.home[d]; r.strategy >= Relay && (!r.fresh(d) || r.server[h] != noServer && r.served[h] == never) {
		at = r.atHome[d]
	}
	if r.fresh(d) {
		return at
	}
	at = min(at, r.direct[d])
	if r.strategy >= Visits {
		at = min(at, r.out[d])
	}
	if r.strategy >= Content {
		at = min(at, r.license[d])
	}
	return at
}

func (r *run) fresh(d uint32) bool { return r.device[d] != never }

func (r *run) learn(d uint32) {
	if r.device[d] == never {
		r.device[d] = r.now
		r.learned++
	}
}

func (r *run) serve(h uint32) {
	if r.served[h] == never {
		r.served[h] = r.now
	}
}
