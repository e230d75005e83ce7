package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/lares-drm/lares/security/revocation"
)

// Bars of the revocation bench. Source: local (docs/performance.md).
const (
	maxOverBound    = 1.02 // snapshot without the registry, of the bound, from 0.1 % on
	maxWithRegistry = 1.10 // snapshot, of the bound, beside the registry's allowance
	maxRegistry     = 3    // bytes of registry for each class
	maxDeltaOver    = 1.25 // delta without its head, of the bound, rounded up to whole bytes
	maxBuild        = 200  // ms, 1 M revoked of 100 M
	maxLookup       = 300  // ns
	maxProof        = 5    // µs, once the head is verified
	maxServing      = 64   // MB resident
	maxChain        = 1.15 // of one ECDSA verification
)

const (
	unitNanos     = "ns"
	unitMegabytes = "MB"
)

func revocationBench() Bench {
	return Bench{Name: "revocation", Short: "Say who is revoked: size against other ways, time to build, look up and prove", Run: runRevocation}
}

// revocationParts are what the bench measures, in the order of its rows. The
// memory comes first: what the peers leave behind is not ours.
func revocationParts() []revocationPart {
	return []revocationPart{
		stateServing,
		stateSizes,
		stateSpeed,
		chainSpeed,
	}
}

type revocationPart func(ctx context.Context, cfg Config, d *stateDomain) ([]Row, error)

func runRevocation(ctx context.Context, cfg Config) (rows []Row, err error) {
	d, err := newStateDomain(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	for _, part := range revocationParts() {
		more, err := part(ctx, cfg, d)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// fleetKind is one column of the table.
type fleetKind struct {
	name  string
	share float64
	lots  bool
}

func fleetKinds() []fleetKind {
	return []fleetKind{
		{"0.01 %", 0.0001, false},
		{"0.1 %", 0.001, false},
		{"1 %", 0.01, false},
		{"0.1 %, half in lots", 0.001, true},
	}
}

// fleetSizes are the numbers of devices of the table; a quick run has a
// hundredth of them under the same names.
func fleetSizes() []struct {
	name    string
	devices int
} {
	return []struct {
		name    string
		devices int
	}{{"10 M", 10e6}, {"100 M", 100e6}}
}

func (c Config) fleet(size string, devices int, k fleetKind) *fleet {
	if c.Quick {
		devices /= 100
	}
	return newFleet(size+", "+k.name, devices, k.share, k.lots)
}

// largest is the fleet of which 1 M of 100 M are revoked.
func (c Config) largest() *fleet { return c.fleet("100 M", 100e6, fleetKinds()[2]) }

// stateSizes makes the table: for each fleet our size, what theory allows, and
// the peers, built in this run.
func stateSizes(ctx context.Context, cfg Config, d *stateDomain) (rows []Row, err error) {
	for _, size := range fleetSizes() {
		for _, kind := range fleetKinds() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			f := cfg.fleet(size.name, size.devices, kind)
			few := float64(size.devices)*kind.share < fewRevoked*fleetMakers*fleetClasses
			more, err := d.sizes(ctx, f, kind, few)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			rows = append(rows, more...)
		}
	}
	return rows, nil
}

func (d *stateDomain) sizes(ctx context.Context, f *fleet, kind fleetKind, few bool) ([]Row, error) {
	first, today, err := d.states(f)
	if err != nil {
		return nil, err
	}
	delta, err := today.Delta(first)
	if err != nil {
		return nil, err
	}
	snapshot, day := f.sets()
	peers, err := d.peers(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	dayPeers, err := d.peers(ctx, day)
	if err != nil {
		return nil, err
	}
	rows := []Row{
		Plain(f.name+": revoked one by one", float64(f.revoked), "devices"),
		Plain(f.name+": revoked on the day", float64(f.today), "devices"),
	}
	registry, err := d.registry(f)
	if err != nil {
		return nil, err
	}
	rows = append(rows, f.snapshotRows(first, peers, registry, kind.share, few)...)
	rows = append(rows, peerRows(f.name+": snapshot, ", peers)...)
	rows = append(rows, f.deltaRows(float64(len(delta)), float64(len(today.Head().Bytes())))...)
	return append(rows, peerRows(f.name+": delta, ", dayPeers)...), nil
}

// snapshotRows are ours. The registry is whatever the state says besides who is
// revoked one by one: classes, how they stand, and how many of each are revoked.
// A Clubcard says nothing of that: it is compared as it is, and together with the
// bytes that say it of the same classes while nobody is revoked.
func (f *fleet) snapshotRows(s *revocation.State, peers []peerSize, bare int, part float64, few bool) []Row {
	size, name := s.SnapshotSize(), f.name+": snapshot, "
	whole, members, registry := float64(len(s.Snapshot())), math.Ceil(float64(size.Members)/8), math.Ceil(float64(size.Registry)/8)
	rows := []Row{Plain(name+"registry alone", registry, unitBytes)}
	if !f.singles {
		return append(rows, Plain(name+"RSL", whole, unitBytes), Plain(name+"RSL without registry", members, unitBytes))
	}
	least := bound(f.devices, f.revoked)
	rows = append(rows, Plain(name+"information bound", math.Ceil(least), unitBytes),
		AtMost(name+"RSL", whole, unitBytes, math.Floor(maxWithRegistry*least+maxRegistry*float64(len(f.classes)))))
	if part < 0.001 {
		rows = append(rows, Plain(name+"RSL without registry", members, unitBytes))
	} else {
		rows = append(rows, AtMost(name+"RSL without registry", members, unitBytes, math.Floor(maxOverBound*least)))
	}
	for _, p := range peers {
		if p.name != clubcardName {
			continue
		}
		alone, with := share(whole/float64(p.bytes)), share(whole/float64(p.bytes+bare))
		switch {
		case few:
			rows = append(rows, Plain(name+clubcardSmaller, alone, unitTimes))
		case part < 0.001:
			rows = append(rows, AtMost(name+clubcardAlone, alone, unitTimes, 1))
		default:
			rows = append(rows, Plain(name+clubcardAlone, alone, unitTimes))
		}
		rows = append(rows, AtMost(name+clubcardWith, with, unitTimes, 1))
	}
	return rows
}

// fewRevoked is how many revocations a class there are at least where our registry
// is made up for. With fewer a Clubcard, which has none, is smaller.
const fewRevoked = 2

// How our snapshot is compared with a Clubcard.
const (
	clubcardAlone   = "RSL against Clubcard"
	clubcardSmaller = "RSL against Clubcard, which has no registry and is smaller for so few"
	clubcardWith    = "RSL against Clubcard and the registry it needs"
)

// deltaRows are ours.
func (f *fleet) deltaRows(delta, head float64) []Row {
	name := f.name + ": delta, "
	if !f.singles {
		return []Row{Plain(name+"RSL with its head", delta+head, unitBytes)}
	}
	least := bound(f.devices-f.revoked, f.today)
	return []Row{
		Plain(name+"information bound", math.Ceil(least), unitBytes),
		AtMost(name+"RSL with its head", delta+head, unitBytes, math.Ceil(maxDeltaOver*least)+head),
	}
}

// peerSize is the size of another way to say the same.
type peerSize struct {
	name  string
	bytes int
}

const clubcardName = "Clubcard"

// peers builds all of them, asks each about every member, and gives their sizes.
func (d *stateDomain) peers(ctx context.Context, s set) (out []peerSize, err error) {
	for _, p := range []struct {
		name string
		size func(set) (int, error)
	}{
		{"RFC 5280 CRL, 16-byte serials", d.crlSize},
		{"Bloom filter cascade", bloomSize},
		{clubcardName, clubcardSize},
		{"Roaring", roaringSize},
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := p.size(s)
		if err != nil {
			return nil, err
		}
		out = append(out, peerSize{p.name, n})
	}
	return out, nil
}

func peerRows(prefix string, peers []peerSize) (rows []Row) {
	for _, p := range peers {
		rows = append(rows, Plain(prefix+p.name, float64(p.bytes), unitBytes))
	}
	return rows
}
