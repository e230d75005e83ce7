package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

func TestSLTP_RowsAreStable(t *testing.T) {
	got, err := runSLTP(t.Context(), Config{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	var held []row
	seen := map[string]bool{}
	for _, r := range got {
		if seen[r.Name] {
			t.Errorf("two rows are %q", r.Name)
		}
		seen[r.Name] = true
		if r.Bar == "" && !r.Holds {
			t.Errorf("%s has no bar and does not hold", r.Name)
		}
		if r.Value <= 0 {
			t.Errorf("%s: %v %s was not measured", r.Name, r.Value, r.Unit)
		}
		if r.Bar != "" {
			held = append(held, row{r.Name, r.Unit, r.Bar})
		}
	}
	want := []row{
		{"suite 2, chains: bytes on the wire", "bytes", "<= 2700"},
		{"suite 2, cached leaf: bytes on the wire", "bytes", "910 ± 60"},
		{"suite -22, cached leaf: bytes on the wire", "bytes", "<= 3250"},
		{"suite 2, chains: bytes against TLS 1.3, P-256", "times", "<= 0.75"},
		{"suite 2, cached leaf: bytes against TLS 1.3, P-256", "times", "<= 0.3"},
		{"suite 6, chains: bytes against TLS 1.3, X25519", "times", "<= 0.75"},
		{"suite 6, cached leaf: bytes against TLS 1.3, X25519", "times", "<= 0.3"},
	}
	for _, s := range sltpSuites() {
		want = append(want,
			row{s.name + ", chains: responder's share of its ceiling", "times", ">= 0.9"},
			row{s.name + ", chains: responder against " + s.tls, "times", ">= 0.98"},
			row{s.name + ", cached leaf: responder's share of its ceiling", "times", ">= 0.85"},
			row{s.name + ", cached leaf: responder against " + s.tls, "times", ">= 1.6"},
		)
	}
	want = append(want,
		row{"repeated request, given reply: cheaper than an exchange, responder", "times", ">= 10"},
		row{"repeated request, newly signed license: cheaper than an exchange, responder", "times", ">= 6"},
	)
	if d := cmp.Diff(want, held); d != "" {
		t.Error(d)
	}
	for _, name := range []string{
		"P-256: decompress a point", "ML-KEM-768: decapsulate", "X.509: parse and verify a chain of two", "suite 6, cached leaf: KDF",
		"suite -22, chains: initiator, its primitives", "suite 2, chains: responder", "TLS 1.3, X25519MLKEM768: responder, allocated",
		"suite 2, chains as x5chain: bytes on the wire", "suite 2, chains as x5chain: bytes against TLS 1.3, P-256", "push, chain sent: initiator", "RSA key transport, chains: bytes on the wire", "suite 2, chains, collector on: responder",
	} {
		if !seen[name] {
			t.Errorf("there is no row %q", name)
		}
	}
}

// What the rows say of their flows is so: sizes of request and license, chains
// of two certificates or none, and TLS of the group that is named.
func TestSLTP_FlowsAreWhatTheRowsSay(t *testing.T) {
	w, err := newSLTPWorld()
	if err != nil {
		t.Fatal(err)
	}
	if item, err := ead3(w.request, w.issuer.id, w.request.Body); err != nil || len(item) != requestBytes {
		t.Errorf("request of %d bytes, %v", len(item), err)
	}
	if item, err := ead4(w.reply.Body); err != nil || len(item) != replyBytes {
		t.Errorf("reply of %d bytes, %v", len(item), err)
	}
	var bytes [2]int
	for i, cached := range []bool{false, true} {
		f, x, err := w.exchangeFlow("x", edhoc.Suite2, cached)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // later turns are as the first
			if err := firstOf(f); err != nil {
				t.Fatal(err)
			}
			if bytes[i] != 0 && abs(f.bytes()-bytes[i]) > 6 { // signatures in certificates differ by bytes
				t.Errorf("cached %v: %d bytes, then %d", cached, bytes[i], f.bytes())
			}
			bytes[i] = f.bytes()
		}
		if len(x.trace) != 4 {
			t.Errorf("%d messages", len(x.trace))
		}
	}
	chains, packed := total(w.issuer.chain)+total(w.homes[0].chain), 0
	for _, p := range []*sltpParty{w.issuer, w.homes[0]} {
		id, err := edhoc.PackedChain(p.chain)
		if err != nil {
			t.Fatal(err)
		}
		packed += len(id.Packed)
	}
	if d := bytes[0] - bytes[1] - packed; len(w.issuer.chain) != 2 || abs(d) > 20 {
		t.Errorf("with packed chains of %d bytes %d, without %d", packed, bytes[0], bytes[1])
	}
	f, err := w.x5chainFlow("x", edhoc.Suite2)
	if err == nil {
		err = firstOf(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := f.bytes() - bytes[1] - chains; abs(d) > 40 {
		t.Errorf("with chains of %d bytes %d, without %d", chains, f.bytes(), bytes[1])
	}
	for _, s := range sltpSuites() {
		var n [2]int
		for i, tickets := range []bool{false, true} {
			f, err := w.tlsFlow(s.tls, s.group, tickets)
			if err != nil {
				t.Fatal(err)
			}
			if err := firstOf(f); err != nil {
				t.Errorf("%s: %v", s.tls, err)
			}
			n[i] = f.bytes()
		}
		if n[0] < chains+requestBytes+replyBytes {
			t.Errorf("%s: %d bytes, less than it carries", s.tls, n[0])
		}
		if d := n[1] - n[0]; d < total(w.homes[0].chain) { // the client's chain stands in its ticket
			t.Errorf("%s: tickets cost %d bytes", s.tls, d)
		}
	}
}

func abs(n int) int { return max(n, -n) }

// A flow that is refused is an error, never a figure.
func TestSLTP_RefusedFlowFails(t *testing.T) {
	w, err := newSLTPWorld()
	if err != nil {
		t.Fatal(err)
	}
	f, x, err := w.exchangeFlow("x", edhoc.Suite2, false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.endpoint(w.homes[1], edhoc.Suite2, false)
	if err != nil {
		t.Fatal(err)
	}
	x.src = other // a home server is not the issuer that was meant
	if err := firstOf(f); !errors.Is(err, errNotOne) && !errors.Is(err, errNotAsked) {
		t.Errorf("got %v", err)
	}
	if _, err := asked([]sltp.Event{sltp.EventDropped{}}); !errors.Is(err, errNotAsked) {
		t.Errorf("got %v", err)
	}
	if err := replied(nil); !errors.Is(err, errNoReply) {
		t.Errorf("got %v", err)
	}
	elsewhere, err := newSLTPDomain(w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.dom.roots = elsewhere.roots
	tf, err := w.tlsFlow("tls", sltpSuites()[0].group, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := firstOf(tf); err == nil {
		t.Error("TLS under another root gives a figure")
	}
}

// A clock that only the steps move: each side gets its own time.
func TestSLTP_SidesAreTimedApart(t *testing.T) {
	var now time.Duration
	work := func(d time.Duration) func(int) error {
		return func(int) error { now += d; return nil }
	}
	f := &flow{name: "f", begin: func(int) error { now += time.Hour; return nil }, each: 2, steps: []step{
		{initiator, work(time.Microsecond)}, {responder, work(3 * time.Microsecond)}, {initiator, work(time.Microsecond)},
	}}
	m := meter{func() (time.Duration, error) { return now, nil }}
	got, err := m.rounds(t.Context(), effort{rounds: 3, turn: 25 * time.Microsecond}, []*flow{f}, []named{{"p", func(n int) error { now += time.Duration(n) * 500; return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	want := series{"f: initiator": {1000, 1000, 1000}, "f: responder": {1500, 1500, 1500}, "p": {500, 500, 500}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if r := ratio(got.sum("f: initiator", "p"), got["f: responder"]); r != 1 {
		t.Errorf("ratio %v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.flowTurn(ctx, f, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A suite that this build lacks is a row that says so.
func TestSLTP_MissingSuiteDoesNotHold(t *testing.T) {
	r := &sltpRun{suites: []sltpSuite{{99, "suite 99", "TLS", 0}}, figures: series{}}
	rows := append(r.byteRows(), r.ratioRows()...)
	if len(rows) != 12 || slices.ContainsFunc(rows, func(r Row) bool { return r.Holds || !strings.Contains(r.Note, "this build has no ") }) {
		t.Errorf("%+v", rows)
	}
}

func TestSLTP_Within(t *testing.T) {
	for v, want := range map[float64]bool{849: false, 850: true, 910: true, 970: true, 971: false} {
		if r := within("a", v, "bytes", 910, 60); r.Holds != want || r.Bar != "910 ± 60" {
			t.Errorf("%+v", r)
		}
	}
}
