package sltp

import (
	"testing"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// BenchmarkExchange is both sides of a whole exchange, request and license
// included: with chains verified anew each time, and by reference.
func BenchmarkExchange(b *testing.B) {
	for _, suite := range []Suite{edhoc.Suite2, edhoc.Suite3, edhoc.Suite6} {
		for _, byHash := range []bool{false, true} {
			name := suite.String() + "/chains"
			if byHash {
				name = suite.String() + "/references"
			}
			b.Run(name, func(b *testing.B) {
				h := newHouse(b, func(src, dst *Config) { src.Suites, dst.Suites = []Suite{suite}, []Suite{suite} })
				h.sessions()
				var bytes int
				for b.Loop() {
					if !byHash {
						h.src.known, h.dst.known = newPeers(8), newPeers(8)
					}
					src, dst, trace := h.sessions()
					bytes = 0
					for _, m := range trace {
						bytes += len(m.Bytes)
					}
					h.src.Close(src)
					h.dst.Close(dst)
				}
				b.ReportMetric(float64(bytes), "wire-B/op")
			})
		}
	}
}

// BenchmarkApp is one message and its answer in an established session.
func BenchmarkApp(b *testing.B) {
	h := newHouse(b)
	src, dst, _ := h.sessions()
	body := app(b, 1)
	sent := 0
	for b.Loop() {
		if sent++; sent > maxMessages/2-1 {
			b.StopTimer()
			src, dst, _ = h.sessions()
			sent = 1
			b.StartTimer()
		}
		seq, m, err := h.dst.Send(dst, body, h.now)
		if err != nil {
			b.Fatal(err)
		}
		h.src.Receive(m[0], h.now)
		back, err := h.src.Answer(src, seq, body, h.now)
		if err != nil {
			b.Fatal(err)
		}
		h.dst.Receive(back[0], h.now)
	}
}
