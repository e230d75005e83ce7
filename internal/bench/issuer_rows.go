package bench

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/lares-drm/lares/internal/store/storebench"
)

// issuerKinds are what is measured in turns, and what stands in the rows for it.
var issuerKinds = []struct{ do, name string }{
	{"plain", "ceiling (HTTP and one durable transaction)"},
	{"shared", "HTTP and a transaction shared with others"},
	{"stateful", "stateful license, live session"},
	{"receipt", "stateful license and its receipt, live session"},
	{"handshake", "stateful license, with handshake"},
	{"stateless", "stateless license, live session"},
	{"renewal", "renewal and its license"},
	{"status", "status document"},
	{"empty", "HTTP alone"},
}

// flush says what a durable write takes here.
func (r *issuerRun) flush(context.Context) ([]Row, error) {
	dir := r.dir
	if r.cluster != nil {
		dir = r.cluster.Dir
	}
	took, err := flushTime(dir, r.scale.flushes)
	return []Row{Plain("durable flush of this disk, 4 KiB", took, unitMicros)}, err
}

// turn is one turn and the CPU time of each side in it, s.
type turn struct {
	loadResult
	service, module, database float64
}

func (t turn) rate() float64 { return float64(t.Done) / t.Seconds }

// each is the CPU time for one license, µs.
func (t turn) each(s float64) float64 { return s / float64(t.Done) * 1e6 }

// take has one order carried out and counts who worked how long on it.
func (r *issuerRun) take(o loadOrder) (t turn, err error) {
	before, err := r.spent(o.Shop)
	if err != nil {
		return t, err
	}
	if t.loadResult, err = r.player.play(o); err != nil {
		return t, fmt.Errorf("%s, %d clients: %w", o.Do, o.Clients, err)
	}
	after, err := r.spent(o.Shop)
	t.service, t.module, t.database = after.service-before.service, after.module-before.module, after.database-before.database
	return t, err
}

// spent is the CPU time so far of who serves at a place.
func (r *issuerRun) spent(at int) (t turn, err error) {
	if at == ceilingAt {
		t.service, err = cpuOf(r.ceiling.pid())
	} else {
		s := r.shops[at]
		module, err := s.module()
		if err != nil {
			return t, err
		}
		if t.service, err = cpuOf(s.served.pid()); err != nil {
			return t, err
		}
		if t.module, err = cpuOf(module); err != nil {
			return t, err
		}
	}
	if err != nil || r.cluster == nil {
		return t, err
	}
	master, err := r.cluster.PID()
	if err != nil {
		return t, err
	}
	all, err := childrenOf(master)
	if err != nil {
		return t, err
	}
	t.database, err = cpuOf(append(all, master)...)
	return t, err
}

// speed lets every kind of work take its turns with every number of clients.
func (r *issuerRun) speed(context.Context) (rows []Row, err error) {
	got := map[string][]turn{}
	key := func(do string, clients int) string { return fmt.Sprint(do, clients) }
	for _, clients := range r.scale.clients {
		for round := range r.scale.rounds + 1 {
			for _, k := range issuerKinds {
				o := loadOrder{Do: k.do, Clients: clients, MS: r.scale.turn}
				if k.do == "plain" || k.do == "shared" || k.do == "empty" {
					o.Shop = ceilingAt
				}
				if round == 0 { // sessions, connections and grants are made
					o.MS = 1
				}
				t, err := r.take(o)
				if err != nil {
					return nil, err
				}
				if round > 0 {
					got[key(k.do, clients)] = append(got[key(k.do, clients)], t)
				}
			}
		}
	}
	for _, k := range issuerKinds {
		for _, clients := range r.scale.clients {
			all := got[key(k.do, clients)]
			name := fmt.Sprintf("%s, %d clients", k.name, clients)
			rows = append(rows, r.rate(k.do, clients, name, medianOf(all, turn.rate)),
				Plain(name+": wait, median", round1(medianOf(all, func(t turn) float64 { return t.P50 / 1e3 })), unitMillis),
				r.wait(k.do, clients, name+": wait, 99 of 100", round1(medianOf(all, func(t turn) float64 { return t.P99 / 1e3 }))))
		}
	}
	n := r.scale.crowd()
	of := func(ceiling string) float64 {
		share := make([]float64, r.scale.rounds)
		for i := range share {
			share[i] = got[key("stateful", n)][i].rate() / got[key(ceiling, n)][i].rate()
		}
		return round2(median(share))
	}
	rows = append(rows, AtLeast(fmt.Sprintf("stateful license: share of the ceiling, %d clients", n), of("plain"), unitTimes, minShare),
		Plain(fmt.Sprintf("stateful license: share of HTTP and a shared transaction, %d clients", n), of("shared"), unitTimes))
	return append(rows, r.split(func(do string) []turn { return got[key(do, n)] })...), nil
}

// rate holds what has a bar against it.
func (r *issuerRun) rate(do string, clients int, name string, v float64) Row {
	switch {
	case clients == r.scale.crowd() && do == "stateful":
		return AtLeast(name, round1(v), unitPerSecond, minStateful)
	case clients == r.scale.crowd() && do == "stateless":
		return AtLeast(name, round1(v), unitPerSecond, minStateless)
	}
	return Plain(name, round1(v), unitPerSecond)
}

func (r *issuerRun) wait(do string, clients int, name string, v float64) Row {
	if clients == r.scale.crowd() && (do == "stateful" || do == "stateless") {
		return AtMost(name, v, unitMillis, maxP99)
	}
	return Plain(name, v, unitMillis)
}

// splitKinds are the kinds of work whose CPU time is told apart, and whether each
// of them is a transaction that writes.
var splitKinds = []struct {
	do, name string
	writes   bool
}{
	{"stateful", "stateful license", true},
	{"handshake", "stateful license, with handshake", true},
	{"stateless", "stateless license", false},
}

// split says who uses a processor how long for one license, and how many bytes go
// over the wire for it. SQLite works inside of the service: what is said of it is
// what HTTP with a shared transaction uses more than HTTP alone.
func (r *issuerRun) split(turns func(do string) []turn) (rows []Row) {
	service := func(t turn) float64 { return t.each(t.service) }
	inside := medianOf(turns("shared"), service) - medianOf(turns("empty"), service)
	for _, k := range splitKinds {
		all := turns(k.do)
		s, d := medianOf(all, service), medianOf(all, func(t turn) float64 { return t.each(t.database) })
		if r.cluster == nil && k.writes {
			s, d = s-inside, inside
		}
		n := k.name + fmt.Sprintf(", %d clients: ", r.scale.crowd())
		rows = append(rows, Plain(n+"CPU, service", round1(s), unitMicros), Plain(n+"CPU, module", round1(medianOf(all, func(t turn) float64 { return t.each(t.module) })), unitMicros))
		if r.cluster != nil || k.writes {
			rows = append(rows, Plain(n+"CPU, database", round1(d), unitMicros))
		}
		rows = append(rows, Plain(n+"CPU, client", round1(medianOf(all, func(t turn) float64 { return t.each(t.CPU) })), unitMicros),
			Plain(n+"on the wire", math.Round(medianOf(all, func(t turn) float64 { return t.Bytes / float64(t.Done) })), unitBytes))
	}
	return rows
}

// age compares the two shops: what a client waits at the old one and at the new one.
func (r *issuerRun) age(context.Context) ([]Row, error) {
	var ratio []float64
	n := r.scale.crowd()
	for range 2*r.scale.rounds + 1 {
		var each [2]float64
		for _, at := range []int{newShopAt, oldShopAt} {
			t, err := r.take(loadOrder{Do: "stateful", Shop: at, Clients: n, MS: r.scale.turn})
			if err != nil {
				return nil, err
			}
			each[at] = t.Seconds / float64(t.Done)
		}
		ratio = append(ratio, each[oldShopAt]/each[newShopAt])
	}
	name := fmt.Sprintf("stateful license, %d clients: a database of %d licenses against an empty one", n, r.scale.aged)
	return []Row{AtMost(name, round2(median(ratio)), unitTimes, maxAged)}, nil
}

// memory issues many licenses and looks what stays in memory and in the database:
// between a tenth of them and all of them.
func (r *issuerRun) memory(ctx context.Context) ([]Row, error) {
	s := r.shops[newShopAt]
	module, err := s.module()
	if err != nil {
		return nil, err
	}
	var service, trem, stored [2]float64
	for i, count := range []int{r.scale.long / 10, r.scale.long} {
		if _, err := r.take(loadOrder{Do: "stateful", Clients: r.scale.crowd(), Count: count}); err != nil {
			return nil, err
		}
		if service[i], err = residentOf(s.served.pid()); err != nil {
			return nil, err
		}
		if trem[i], err = residentOf(module); err != nil {
			return nil, err
		}
		if stored[i], err = s.stored(ctx); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("memory after %d licenses", r.scale.long)
	return []Row{
		Plain(name+": service", round1(service[1]/1e6), unitMB), Plain(name+": module", round1(trem[1]/1e6), unitMB),
		AtMost(name+": more than after a tenth of them", round1((service[1]+trem[1]-service[0]-trem[0])/1e6), unitMB, maxGrowth),
		Plain("stateful license: in the database", math.Round((stored[1]-stored[0])/float64(r.scale.long)), unitBytes),
	}, nil
}

// stored is the size of a shop's database, in bytes.
func (s *shop) stored(ctx context.Context) (float64, error) {
	if s.postgres != "" {
		n, err := storebench.SizePostgres(ctx, s.postgres)
		return float64(n), err
	}
	n, err := storebench.SizeSQLite(ctx, filepath.Join(s.dir, "issuer.db"))
	return float64(n), err
}
