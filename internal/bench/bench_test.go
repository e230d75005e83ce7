package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// row is what of a row is stable from run to run.
type row struct{ Name, Unit, Bar string }

func TestLicense_RowsAreStable(t *testing.T) {
	got, err := runLicense(t.Context(), Config{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"license: bytes of a rental with four tiers", "bytes", "<= 600"},
		{"evaluate: allocations", "allocs", "<= 0"},
		{"permission code: encode, allocations", "allocs", ""},
		{"permission code: decode, allocations", "allocs", ""},
		{"evaluate: typical rental", "µs", "<= 2"},
		{"evaluate: refused rental, all reasons", "µs", ""},
		{"evaluate: worst case of 32 keys", "µs", ""},
		{"begin, extend, end of a rental", "µs", ""},
		{"permission code: encode", "µs", "<= 2"},
		{"permission code: decode", "µs", "<= 2"},
		{"license: parse", "µs", ""},
		{"narrower: child against parent", "µs", ""},
	}
	var names []row
	for _, r := range got {
		names = append(names, row{r.Name, r.Unit, r.Bar})
		if r.Unit == unitMicros && r.Value <= 0 {
			t.Errorf("%s: %v %s was not measured", r.Name, r.Value, r.Unit)
		}
		if r.Bar == "" && !r.Holds {
			t.Errorf("%s has no bar and does not hold", r.Name)
		}
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}

func TestAll_NamesAreUniqueAndExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range All() {
		if b.Name == "" || b.Short == "" || b.Run == nil || seen[b.Name] {
			t.Errorf("%q: %q", b.Name, b.Short)
		}
		seen[b.Name] = true
	}
}

func TestRow_Bars(t *testing.T) {
	for _, tc := range []struct {
		got  Row
		want Row
	}{
		{AtMost("a", 2, "µs", 2), Row{"a", 2, "µs", "<= 2", true, ""}},
		{AtMost("a", 2.001, "µs", 2), Row{"a", 2.001, "µs", "<= 2", false, ""}},
		{AtLeast("a", 0.5, "GB/s", 0.5), Row{"a", 0.5, "GB/s", ">= 0.5", true, ""}},
		{AtLeast("a", 0.4, "GB/s", 0.5), Row{"a", 0.4, "GB/s", ">= 0.5", false, ""}},
		{Plain("a", 7, "bytes"), Row{"a", 7, "bytes", "", true, ""}},
		{Absent("a", "times", "not installed"), Row{"a", 0, "times", "", false, "not installed"}},
	} {
		if d := cmp.Diff(tc.want, tc.got); d != "" {
			t.Error(d)
		}
	}
	if got := micros(1234.6); got != 1.235 {
		t.Errorf("micros: %v", got)
	}
}

// A clock that only the kernels move: one takes 10 ns, the other 3 µs, and in
// two of its turns ten times as much, which the median does not see.
func TestCPU_TakesTurnsAndDividesByOperations(t *testing.T) {
	var now time.Duration
	var order []int
	e := effort{rounds: 5, turn: time.Millisecond}
	kernel := func(id int, op time.Duration) Kernel {
		return func(n int) error {
			order = append(order, id)
			now += time.Duration(n) * op
			if at := len(order); id == 1 && (at%4 == 0) {
				now += 9 * time.Duration(n) * op
			}
			return nil
		}
	}
	m := meter{func() (time.Duration, error) { return now, nil }}
	calibrated := func(op time.Duration) int {
		n, err := m.calibrate(t.Context(), kernel(0, op), e.turn)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if fast, slow := calibrated(10), calibrated(4*time.Millisecond); fast != 100_000 || slow != 1 {
		t.Errorf("a turn of 1 ms is %d operations of 10 ns, %d of 4 ms", fast, slow)
	}
	got, err := m.run(t.Context(), e, []Kernel{kernel(0, 10), kernel(1, 3*time.Microsecond)})
	if want := []float64{10, 3000}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	turns := order[len(order)-2*e.rounds:]
	for i, id := range turns {
		if id != i%2 {
			t.Fatalf("turns %v do not alternate", turns)
		}
	}
}

func TestCPU_EndsWithItsContextAndWithAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := CPU(ctx, Config{Quick: true}, func(int) error {
		if n++; n == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n != 3 {
		t.Errorf("%v after %d turns", err, n)
	}
	broken := errors.New("refused")
	if _, err := CPU(t.Context(), Config{Quick: true}, func(int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := Allocs(Config{Quick: true}, func(int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestEffort_AtLeastFiveTurns(t *testing.T) {
	for _, c := range []Config{{}, {Quick: true}, {Full: true}} {
		if e := c.effort(); e.rounds < 5 || e.rounds%2 == 0 {
			t.Errorf("%+v: %d turns", c, e.rounds)
		}
	}
}

func TestMedian(t *testing.T) {
	x := []float64{9, 1, 5}
	if got := median(x); got != 5 || x[0] != 9 {
		t.Errorf("got %v, left %v", got, x)
	}
	if got := median([]float64{4, 2}); got != 3 {
		t.Errorf("got %v", got)
	}
}

func TestAllocs_CountsWholeAllocationsOfOneOperation(t *testing.T) {
	var keep []*[64]byte
	for _, want := range []int{0, 1, 3} {
		keep = make([]*[64]byte, 3)
		got, err := Allocs(Config{}, func(n int) error {
			for range n {
				for i := range want {
					keep[i] = new([64]byte)
				}
			}
			return nil
		})
		if err != nil || got != float64(want) {
			t.Errorf("got %v, %v; want %d", got, err, want)
		}
	}
	_ = keep
}

func TestPeer_WhereItIsLookedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for _, name := range []string{filepath.Join("node_modules", ".bin", "near"), filepath.Join("node_modules", "package", "index.js"), filepath.Join(bin, "far")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{Peers: map[string]string{"said": "/opt/said"}}
	for name, want := range map[string]string{
		"said": "/opt/said", "near": "node_modules/.bin/near", "package": "node_modules/package", "far": filepath.Join(bin, "far"), "nowhere": "",
	} {
		if got, ok := cfg.Peer(name); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestModelName(t *testing.T) {
	if got := modelName("processor\t: 0\nmodel name\t: Fast  CPU @ 3\nmodel name\t: other\n"); got != "Fast CPU @ 3" {
		t.Errorf("got %q", got)
	}
	if got := modelName("Features: fp\n"); got != "unknown processor" {
		t.Errorf("got %q", got)
	}
}
