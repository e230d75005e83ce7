package bench

import (
	"testing"
	"time"

	"github.com/lares-drm/lares/security/revocation"
)

// The kernels of `lares bench revocation`, for benchstat.
func revocationState(b *testing.B, kind fleetKind) (*fleet, *stateDomain, *revocation.State) {
	b.Helper()
	d, err := newStateDomain(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC))
	if err != nil {
		b.Fatal(err)
	}
	f := Config{}.fleet("100 M", 100e6, kind)
	s, err := d.build(f)
	if err != nil {
		b.Fatal(err)
	}
	return f, d, s
}

func runKernel(b *testing.B, k Kernel) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	if err := k(b.N); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRevocationBuild(b *testing.B) {
	f, d, _ := revocationState(b, fleetKinds()[2])
	runKernel(b, func(n int) error {
		for range n {
			if _, err := d.build(f); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkRevocationLookup(b *testing.B) {
	f, _, s := revocationState(b, fleetKinds()[2])
	standing, _ := f.lookups()
	runKernel(b, lookup(s, standing, nil))
}

func BenchmarkRevocationProof(b *testing.B) {
	for _, kind := range fleetKinds()[:3] {
		f, _, s := revocationState(b, kind)
		k, _, err := proofs(s, f.parties(256))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind.name, func(b *testing.B) { runKernel(b, k) })
	}
}
