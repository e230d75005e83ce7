package sltp

import (
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// BenchmarkExchange is both sides of a whole exchange, request and license
// included: with chains verified anew each time, by reference, and by reference
// with chains that a pki.Cache holds.
func BenchmarkExchange(b *testing.B) {
	for _, suite := range []Suite{edhoc.Suite2, edhoc.Suite3, edhoc.Suite6, edhoc.SuiteHybrid} {
		for _, way := range []string{"chains", "references", "cached"} {
			b.Run(suite.String()+"/"+way, func(b *testing.B) {
				h := newHouse(b, func(src, dst *Config) { src.Suites, dst.Suites = []Suite{suite}, []Suite{suite} })
				if way == "cached" {
					for _, e := range []*Endpoint{h.src, h.dst} {
						e.cfg.Verifier = &pki.Verifier{Trust: h.domain.Trust, Cache: pki.NewCache(0)}
					}
				}
				h.sessions()
				var bytes int
				for b.Loop() {
					if way == "chains" {
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

// BenchmarkRequest is a further request in a session, both sides, the reply's
// bytes given: one round trip instead of an exchange.
func BenchmarkRequest(b *testing.B) {
	h := newHouse(b)
	src, dst, _ := h.sessions()
	req, reply := request(b), licenseReply(b)
	n := uint16(0)
	for b.Loop() {
		n++
		if n%(maxMessages/2-1) == 0 {
			b.StopTimer()
			src, dst, _ = h.sessions()
			b.StartTimer()
		}
		req.ReqID = ident.Request{byte(n), byte(n >> 8)}
		m, err := h.dst.Request(dst, req, h.now)
		if err != nil {
			b.Fatal(err)
		}
		h.src.Receive(m[0], h.now)
		back, err := h.src.Reply(src, reply, h.now)
		if err != nil {
			b.Fatal(err)
		}
		if _, ev := h.dst.Receive(back[0], h.now); len(ev) != 1 {
			b.Fatal("no reply")
		}
	}
}

// BenchmarkKeyTransport is R1 to R4, both sides.
func BenchmarkKeyTransport(b *testing.B) {
	h := legacyHouse(b)
	for b.Loop() {
		_, m := h.legacyUpTo(4)
		h.deliver(h.dst, m)
		for _, s := range h.src.ordered() {
			h.src.Close(s.handle)
		}
	}
}

// BenchmarkPush is sealing and opening one push.
func BenchmarkPush(b *testing.B) {
	h := newPushHouse(b)
	body := xfer(b, h.tid(1), nil)
	for b.Loop() {
		m := h.pushed(Push{TID: h.tid(1), Body: body})
		if _, err := h.dst.OpenPush(m.Bytes, 0, h.now); err != nil {
			b.Fatal(err)
		}
	}
}
