package spread

import (
	"math"
	"math/rand/v2"
)

// never is an hour that does not come.
const never = math.MaxUint16

// population is everybody, and what chance alone has decided of them: the same
// for every strategy.
type population struct {
	p      *Parameters
	hours  uint16
	first  []uint32 // of each household, its first device; one more at the end
	home   []uint32 // household of each device
	kind   []uint8
	server []serverKind // of each household
	direct []uint16     // hour of a device's first visit to the authority
	poll   []uint16     // hour of a server's first poll that succeeds
}

type serverKind uint8

const (
	noServer serverKind = iota
	offline             // reaches its house only
	online
)

func newPopulation(p *Parameters) *population {
	r := rand.New(rand.NewPCG(p.Seed, 0)) //nolint:gosec // a simulation; the same seed gives the same
	w := &population{
		p: p, hours: uint16(24 * p.Days), //nolint:gosec // at most MaxDays
		home: make([]uint32, p.Devices), kind: make([]uint8, p.Devices), direct: make([]uint16, p.Devices),
	}
	sizes := cumulative(p.HouseholdSizes)
	for d := 0; d < p.Devices; {
		n := min(draw(r, sizes)+1, p.Devices-d)
		h := uint32(len(w.first)) //nolint:gosec // at most MaxDevices
		w.first = append(w.first, uint32(d))
		for range n {
			w.home[d] = h
			d++
		}
		k, at := w.newServer(r)
		w.server, w.poll = append(w.server, k), append(w.poll, at)
	}
	w.first = append(w.first, uint32(p.Devices)) //nolint:gosec // as above
	var ws []float64
	for _, k := range p.Kinds {
		ws = append(ws, k.Weight)
	}
	kinds := cumulative(ws)
	for d := range w.kind {
		w.kind[d] = uint8(draw(r, kinds)) //nolint:gosec // at most maxKinds
		w.direct[d] = never
		if k := w.of(uint32(d)); r.Float64() < k.Online {
			w.direct[d] = w.next(r, 0, k.Direct)
		}
	}
	return w
}

// newServer draws a household's server and its first poll: at a random hour of
// the interval, and again each interval until one succeeds.
func (w *population) newServer(r *rand.Rand) (serverKind, uint16) {
	if r.Float64() >= w.p.Servers {
		return noServer, never
	}
	if r.Float64() >= w.p.ServersOnline {
		return offline, never
	}
	at := r.Float64() * float64(w.p.PollHours)
	for r.Float64() >= w.p.ServerUp {
		if at += float64(w.p.PollHours); at >= float64(w.hours) {
			return online, never
		}
	}
	return online, w.hour(at)
}

func (w *population) of(d uint32) *Kind { return &w.p.Kinds[w.kind[d]] }

func (w *population) households() uint32 { return uint32(len(w.server)) } //nolint:gosec // at most MaxDevices

// members are the devices of a household.
func (w *population) members(h uint32) (from, to uint32) { return w.first[h], w.first[h+1] }

// next is the hour of the next contact after one at hour from, at a rate in a day.
func (w *population) next(r *rand.Rand, from uint16, rate float64) uint16 {
	if rate == 0 {
		return never
	}
	return w.hour(float64(from) + r.ExpFloat64()*24/rate)
}

func (w *population) hour(at float64) uint16 {
	if at >= float64(w.hours) {
		return never
	}
	return uint16(at)
}

func cumulative(ws []float64) []float64 {
	out, sum := make([]float64, len(ws)), 0.0
	for i, w := range ws {
		sum += w
		out[i] = sum
	}
	return out
}

// draw picks an index by cumulative weights.
func draw(r *rand.Rand, cum []float64) int {
	x := r.Float64() * cum[len(cum)-1]
	for i, c := range cum {
		if x < c {
			return i
		}
	}
	return len(cum) - 1
}
