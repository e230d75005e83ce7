package bench

import (
	"testing"
	"time"
)

// BenchmarkSLTP are the flows and primitives of `lares bench sltp`, for
// benchstat. Of a flow, ns/op is both sides with their preparation.
func BenchmarkSLTP(b *testing.B) {
	r, err := newSLTPRun()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range r.flows {
		if f.gc {
			continue // it is on anyway
		}
		b.Run(f.name, func(b *testing.B) {
			var took [2]time.Duration
			for left := b.N; left > 0; left -= maxFlow {
				t, err := (meter{cpuTime}).flowTurn(b.Context(), f, min(left, maxFlow))
				if err != nil {
					b.Fatal(err)
				}
				took[initiator] += t[initiator]
				took[responder] += t[responder]
			}
			for _, s := range []side{initiator, responder} {
				b.ReportMetric(float64(took[s])/float64(b.N*max(f.each, 1)), s.String()+"-cpu-ns/op")
			}
			b.ReportMetric(float64(f.bytes()), "wire-B/op")
		})
	}
	for _, p := range r.prims {
		b.Run(p.name, func(b *testing.B) {
			if err := p.kernel(b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
