package bench

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/lares-drm/lares/security/pki"
)

// The generated population that every row of the revocation bench is about.
// Source: local (docs/performance.md).
const (
	fleetMakers      = 25   // manufacturers, each with a range of class IDs of its own
	fleetClasses     = 40   // of devices, of each maker
	fleetSpread      = 1.5  // sigma of the logarithm of a class's size
	fleetGone        = 5    // classes that are revoked as a whole
	fleetPatched     = 10   // every how manieth class demands a security version
	fleetLot         = 40   // devices of a factory lot, numbered one after the other
	fleetDays        = 365  // the day's revocations are this part of all
	fleetFirst       = 4096 // class ID of the first maker, and IDs of each
	fleetSeed        = 7
	fleetDayOfOthers = fleetSeed + 1
)

// fleet is one population: who was made, and who of them is revoked.
type fleet struct {
	name    string
	classes []fleetClass // by ID
	devices int          // in classes that stand
	revoked int          // one by one
	today   int          // more of them, of the day after
	singles bool         // all of them at random: the information bound is known
}

type fleetClass struct {
	id      pki.Class
	size    uint32
	gone    bool     // revoked as a whole
	svn     uint32   // demanded
	revoked []uint32 // ascending
	today   []uint32 // ascending, none of them in revoked
}

// newFleet draws classes of log-normal sizes with so many devices together, and
// revokes a share of them: at random, or half of them in lots.
func newFleet(name string, devices int, share float64, lots bool) *fleet {
	rnd := rand.New(rand.NewPCG(fleetSeed, 1)) //nolint:gosec // reproducible
	f := &fleet{name: name, singles: !lots}
	sum := 0.0
	weight := make([]float64, fleetMakers*fleetClasses)
	for i := range weight {
		weight[i] = math.Exp(fleetSpread * rnd.NormFloat64())
		sum += weight[i]
	}
	gone := rnd.Perm(len(weight))[:fleetGone]
	for i, w := range weight {
		c := fleetClass{
			id:   pki.Class(fleetFirst*(1+i/fleetClasses) + 1 + i%fleetClasses),
			size: uint32(math.Ceil(w / sum * float64(devices))), gone: slices.Contains(gone, i),
		}
		if i%fleetPatched == 0 {
			c.svn = 1 + rnd.Uint32N(3)
		}
		f.classes = append(f.classes, c)
		if !c.gone {
			f.devices += int(c.size)
		}
	}
	f.revoke(rand.New(rand.NewPCG(fleetSeed, 2)), share, lots)             //nolint:gosec // reproducible
	f.nextDay(rand.New(rand.NewPCG(fleetDayOfOthers, 3)), f.revoked, lots) //nolint:gosec // reproducible
	return f
}

// revoke draws who is revoked: each device with the same probability, and lots
// so that they have half of all.
func (f *fleet) revoke(rnd *rand.Rand, share float64, lots bool) {
	single := share
	if lots {
		single /= 2
	}
	skip := math.Log1p(-single)
	for i := range f.classes {
		c := &f.classes[i]
		if c.gone {
			continue
		}
		for at := -1; ; {
			if at += 1 + int(math.Log(1-rnd.Float64())/skip); at >= int(c.size) {
				break
			}
			c.revoked = append(c.revoked, uint32(at)) //nolint:gosec // below size
		}
		if lots {
			c.revoked = withLots(rnd, c.revoked, c.size, share/2)
		}
		f.revoked += len(c.revoked)
	}
}

// withLots adds so many lots that they hold this share of the class.
func withLots(rnd *rand.Rand, revoked []uint32, size uint32, share float64) []uint32 {
	want := share * float64(size) / fleetLot
	n := int(want)
	if rnd.Float64() < want-float64(n) {
		n++
	}
	for range n {
		first := rnd.Uint32N(size) / fleetLot * fleetLot
		for i := first; i < min(size, first+fleetLot); i++ {
			revoked = append(revoked, i)
		}
	}
	slices.Sort(revoked)
	return slices.Compact(revoked)
}

// nextDay draws the day's revocations, a 365th of all: devices at random, or
// whole lots.
func (f *fleet) nextDay(rnd *rand.Rand, revoked int, lots bool) {
	want := max(1, (revoked+fleetDays/2)/fleetDays)
	for f.today < want {
		c, at := f.device(rnd.IntN(f.devices))
		n := uint32(1)
		if lots {
			at, n = at/fleetLot*fleetLot, fleetLot
		}
		for j := at; j < min(at+n, c.size); j++ {
			f.fresh(c, j)
		}
	}
}

// device is the nth device of all classes that stand.
func (f *fleet) device(n int) (*fleetClass, uint32) {
	for i := range f.classes {
		c := &f.classes[i]
		switch {
		case c.gone:
		case n < int(c.size):
			return c, uint32(n) //nolint:gosec // below size
		default:
			n -= int(c.size)
		}
	}
	panic("there are fewer devices than the fleet says") //nolint:forbidigo // newFleet counted them
}

func (c *fleetClass) isRevoked(index uint32) bool {
	_, ok := slices.BinarySearch(c.revoked, index)
	return ok
}

// fresh adds a revocation of the day, unless the device is revoked.
func (f *fleet) fresh(c *fleetClass, index uint32) {
	_, old := slices.BinarySearch(c.revoked, index)
	at, twice := slices.BinarySearch(c.today, index)
	if !old && !twice {
		c.today = slices.Insert(c.today, at, index)
		f.today++
	}
}

// bound is the least size in bytes that can tell apart all sets of n among
// devices: the logarithm of their number.
func bound(devices, n int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return (lg(devices) - lg(n) - lg(devices-n)) / math.Ln2 / 8
}
