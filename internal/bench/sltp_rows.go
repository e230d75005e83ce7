package bench

import (
	"math"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file turns what was measured into rows: bytes, primitives, time of each
// side, ratios with their bars.

// byteRows are the counted rows.
func (r *sltpRun) byteRows() []Row {
	var rows []Row
	for _, f := range r.flows {
		if !f.gc {
			rows = append(rows, bytesRow(f))
		}
	}
	for _, s := range r.suites {
		for _, x := range []struct {
			flow string
			bar  float64
		}{{s.name + flowChains, maxBytesOfTLS}, {s.name + flowCached, maxBytesByRef}} {
			rows = append(rows, r.bytesAgainstTLS(s, x.flow, s.tls, x.bar), r.bytesAgainstTLS(s, x.flow, s.tls+flowTickets, 0))
		}
		if s.suite == edhoc.Suite2 {
			rows = append(rows, r.bytesAgainstTLS(s, s.name+flowX5Chain, s.tls, 0))
		}
	}
	return rows
}

// bytesRow is the bytes of a flow. The bars are for classical suites, but for
// one.
func bytesRow(f *flow) Row {
	n, name := float64(f.bytes()), f.name+": bytes on the wire"
	switch f.name {
	case nameSuite2 + flowCached:
		return within(name, n, unitBytes, wantByRef, byRefTolerance)
	case nameSuite2 + flowChains:
		return AtMost(name, n, unitBytes, maxChains)
	case nameHybrid + flowCached:
		return AtMost(name, n, unitBytes, maxHybridByRef)
	}
	return Plain(name, n, unitBytes)
}

// bytesAgainstTLS has bars for classical suites: of the hybrid ones, key shares
// are the most on both sides. A bar of 0 is none.
func (r *sltpRun) bytesAgainstTLS(s sltpSuite, flow, other string, bar float64) Row {
	name := flow + ": bytes against " + other
	f, t := r.flow(flow), r.flow(other)
	if f == nil || t == nil {
		return Absent(name, unitTimes, "this build has no "+s.name)
	}
	v := share(float64(f.bytes()) / float64(t.bytes()))
	if s.suite == edhoc.SuiteHybrid || bar == 0 {
		return Plain(name, v, unitTimes)
	}
	return AtMost(name, v, unitTimes, bar)
}

// garbageRows are what each side allocates.
func (r *sltpRun) garbageRows() ([]Row, error) {
	var rows []Row
	for _, f := range r.flows {
		if f.gc {
			continue
		}
		sum, err := f.garbage()
		if err != nil {
			return nil, err
		}
		rows = append(rows, Plain(f.of(responder)+", allocated", math.Round(sum[responder]), unitBytes))
	}
	return rows, nil
}

// primRows are what primitives cost, and the ceilings made of them.
func (r *sltpRun) primRows() []Row {
	var rows []Row
	for _, p := range r.prims {
		rows = append(rows, Plain(p.name, micros(r.figures.median(p.name)), unitMicros))
	}
	for _, f := range r.flows {
		parts, ok := r.ceiling[f.name]
		if !ok {
			continue
		}
		for _, s := range []side{initiator, responder} {
			rows = append(rows, Plain(f.of(s)+", its primitives", micros(median(r.figures.sum(parts[s]...))), unitMicros))
		}
	}
	return rows
}

// timeRows are the CPU time of each side.
func (r *sltpRun) timeRows() []Row {
	var rows []Row
	for _, f := range r.flows {
		for _, s := range []side{initiator, responder} {
			rows = append(rows, Plain(f.of(s), micros(r.figures.median(f.of(s))), unitMicros))
		}
	}
	return rows
}

// ratioRows hold the source's side against its bars.
func (r *sltpRun) ratioRows() []Row {
	var rows []Row
	for _, s := range r.suites {
		for _, x := range []struct {
			flow         string
			ceiling, tls float64
		}{{s.name + flowChains, minOfCeiling, minAgainstTLS}, {s.name + flowCached, minOfCeilingCached, minAgainstCached}} {
			rows = append(rows, r.against(s, x.flow, x.ceiling, x.tls)...)
		}
	}
	return append(rows, r.repeatRow(flowRepeat, minRepeat), r.repeatRow(flowSigned, minRepeatSigned))
}

// against compares one exchange with its primitives and with TLS. Both are how
// many times as fast the responder is as the other: rates, not times.
func (r *sltpRun) against(s sltpSuite, flow string, ceiling, bar float64) []Row {
	toCeiling, toTLS, toTickets := flow+": responder's share of its ceiling", flow+": responder against "+s.tls, flow+": responder against "+s.tls+flowTickets
	f, t, k := r.flow(flow), r.flow(s.tls), r.flow(s.tls+flowTickets)
	if f == nil || t == nil || k == nil {
		why := "this build has no " + s.name
		return []Row{Absent(toCeiling, unitTimes, why), Absent(toTLS, unitTimes, why), Absent(toTickets, unitTimes, why)}
	}
	own := r.figures[f.of(responder)]
	return []Row{
		AtLeast(toCeiling, share(ratio(r.figures.sum(r.ceiling[flow][responder]...), own)), unitTimes, ceiling),
		AtLeast(toTLS, share(ratio(r.figures[t.of(responder)], own)), unitTimes, bar),
		Plain(toTickets, share(ratio(r.figures[k.of(responder)], own)), unitTimes),
	}
}

// repeatRow compares a repeated request with an exchange of the same suite.
func (r *sltpRun) repeatRow(flow string, bar float64) Row {
	name := flow + ": cheaper than an exchange, responder"
	whole, f := r.flow(nameSuite2+flowChains), r.flow(flow)
	if whole == nil || f == nil {
		return Absent(name, unitTimes, "this build has no requests in a session")
	}
	return AtLeast(name, share(ratio(r.figures[whole.of(responder)], r.figures[f.of(responder)])), unitTimes, bar)
}
