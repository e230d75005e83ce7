package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Bars of the SLTP bench. Source: local (docs/performance.md).
const (
	minOfCeiling       = 0.90 // of what the primitives alone allow, first contact
	minOfCeilingCached = 0.85 // with a cached leaf
	minAgainstTLS      = 0.98 // times TLS 1.3 of the same group, with chains
	minAgainstCached   = 1.6  // with a cached leaf
	maxBytesOfTLS      = 0.75 // bytes against TLS, with chains
	maxBytesByRef      = 0.30 // by reference
	minRepeat          = 10   // an exchange against a repeated request with given bytes
	minRepeatSigned    = 6    // with a newly signed license

	wantByRef      = 910 // bytes
	byRefTolerance = 60
	maxChains      = 2700
	maxHybridByRef = 3250
)

// unitTimes is a ratio.
const unitTimes = "times"

// sltpSuite is a suite of the bench and TLS of the same group.
type sltpSuite struct {
	suite sltp.Suite
	name  string
	tls   string
	group tls.CurveID
}

func sltpSuites() []sltpSuite {
	return []sltpSuite{
		{edhoc.Suite2, nameSuite2, "TLS 1.3, P-256", tls.CurveP256},
		{edhoc.Suite6, "suite 6", "TLS 1.3, X25519", tls.X25519},
		{edhoc.SuiteHybrid, nameHybrid, "TLS 1.3, X25519MLKEM768", tls.X25519MLKEM768},
	}
}

// Names of flows; the second ones are put behind a suite's.
const (
	nameSuite2    = "suite 2"
	nameHybrid    = "suite -22"
	flowChains    = ", chains"
	flowX5Chain   = ", chains as x5chain"
	flowCached    = ", cached leaf"
	flowTickets   = ", with tickets"
	flowRepeat    = "repeated request, given reply"
	flowSigned    = "repeated request, newly signed license"
	flowPush      = "push, chain sent"
	flowPushByRef = "push, cached leaf"
	flowRSA       = "RSA key transport, chains"
)

func sltpBench() Bench {
	return Bench{Name: "sltp", Short: "Exchange a request and a license, against what cryptography costs and against TLS", Run: runSLTP}
}

// sltpRun is everything that one run measures.
type sltpRun struct {
	suites  []sltpSuite
	flows   []*flow
	prims   []named
	ceiling map[string][2][]string // for each exchange, the primitives of each side
	figures series
}

func runSLTP(ctx context.Context, cfg Config) ([]Row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one core
	r, err := newSLTPRun()
	if err != nil {
		return nil, err
	}
	if r.figures, err = (meter{cpuTime}).rounds(ctx, sltpEffort(cfg), r.flows, r.prims); err != nil {
		return nil, err
	}
	rows := r.byteRows()
	garbage, err := r.garbageRows()
	if err != nil {
		return nil, err
	}
	rows = append(append(rows, garbage...), r.primRows()...)
	rows = append(rows, r.timeRows()...)
	return append(rows, r.ratioRows()...), nil
}

func newSLTPRun() (*sltpRun, error) {
	w, err := newSLTPWorld()
	if err != nil {
		return nil, err
	}
	r := &sltpRun{ceiling: map[string][2][]string{}}
	if r.prims, err = w.publicKeyPrims(); err != nil {
		return nil, err
	}
	for _, s := range sltpSuites() {
		r.suites = append(r.suites, s)
		if !s.suite.Known() {
			continue
		}
		for _, cached := range []bool{false, true} {
			if err := r.addExchange(w, s, cached); err != nil {
				return nil, err
			}
		}
		for _, tickets := range []bool{false, true} {
			name := s.tls
			if tickets {
				name += flowTickets
			}
			f, err := w.tlsFlow(name, s.group, tickets)
			if err != nil {
				return nil, err
			}
			r.flows = append(r.flows, f)
		}
	}
	if err := r.addOthers(w); err != nil {
		return nil, err
	}
	r.collected()
	return r, nil
}

// collected adds some flows once more, with the garbage collector on.
func (r *sltpRun) collected() {
	for _, f := range slices.Clone(r.flows) {
		if f.name == nameSuite2+flowChains || f.name == nameSuite2+flowCached || f.name == r.suites[0].tls {
			g := *f
			g.name, g.gc = f.name+", collector on", true
			r.flows = append(r.flows, &g)
		}
	}
}

// addExchange adds an exchange and the symmetric primitives of its messages.
func (r *sltpRun) addExchange(w *sltpWorld, s sltpSuite, cached bool) error {
	name := s.name + flowChains
	if cached {
		name = s.name + flowCached
	}
	f, x, err := w.exchangeFlow(name, s.suite, cached)
	if err != nil {
		return err
	}
	if err := firstOf(f); err != nil {
		return err
	}
	shape, err := w.shapeOf(x, s.suite)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	prims, err := shape.prims(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.flows, r.prims = append(r.flows, f), append(r.prims, prims...)
	r.ceiling[name] = [2][]string{ceilingPrims(f, s.suite, cached, initiator), ceilingPrims(f, s.suite, cached, responder)}
	return nil
}

// firstOf runs a flow once, to see its messages.
func firstOf(f *flow) error {
	if err := f.begin(1); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	for at, s := range f.steps {
		if err := s.do(0); err != nil {
			return fmt.Errorf("%s: step %d: %w", f.name, at, err)
		}
	}
	return nil
}

func (r *sltpRun) addOthers(w *sltpWorld) error {
	for _, build := range []func() (*flow, error){
		func() (*flow, error) { return w.x5chainFlow(nameSuite2+flowX5Chain, edhoc.Suite2) },
		func() (*flow, error) { return w.repeatFlow(flowRepeat, edhoc.Suite2, w.given) },
		func() (*flow, error) { return w.repeatFlow(flowSigned, edhoc.Suite2, w.signed) },
		func() (*flow, error) { return w.pushFlow(flowPush, false) },
		func() (*flow, error) { return w.pushFlow(flowPushByRef, true) },
		func() (*flow, error) { return w.legacyFlow(flowRSA) },
	} {
		f, err := build()
		if err != nil {
			return err
		}
		r.flows = append(r.flows, f)
	}
	return nil
}

// flow finds one by name; nil when this run has none.
func (r *sltpRun) flow(name string) *flow {
	for _, f := range r.flows {
		if f.name == name {
			return f
		}
	}
	return nil
}

// share is a ratio to three digits behind the point.
func share(v float64) float64 { return math.Round(v*1000) / 1000 }

// within is a row that holds near a value.
func within(name string, value float64, unit string, want, tolerance float64) Row {
	return Row{Name: name, Value: value, Unit: unit, Bar: fmt.Sprintf("%v ± %v", want, tolerance), Holds: math.Abs(value-want) <= tolerance}
}
