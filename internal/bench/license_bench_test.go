package bench

import "testing"

// The kernels of `lares bench license`, for benchstat.
func benchmark(b *testing.B, pick func(*licenseKernels) Kernel) {
	b.Helper()
	k, err := newLicenseKernels()
	if err != nil {
		b.Fatal(err)
	}
	kernel := pick(k)
	b.ReportAllocs()
	b.ResetTimer()
	if err := kernel(b.N); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.typical })
}

func BenchmarkEvaluateRefused(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.refused })
}

func BenchmarkEvaluateWorst(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.worst })
}

func BenchmarkSession(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.session })
}

func BenchmarkCodeEncode(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.encode })
}

func BenchmarkCodeDecode(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.decode })
}

func BenchmarkParse(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.parse })
}

func BenchmarkNarrower(b *testing.B) {
	benchmark(b, func(k *licenseKernels) Kernel { return k.narrower })
}
