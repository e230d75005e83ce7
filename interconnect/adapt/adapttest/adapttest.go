// Package adapttest is the conformance suite of adapt.Adapter: every adapter
// runs it. It is for tests only.
package adapttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Config is an adapter and documents of its system.
type Config struct {
	Adapter   adapt.Adapter
	Rights    [][]byte // documents that state rights; needed where System().Imports
	NoRights  [][]byte // well-formed documents that state no rights
	Malformed [][]byte // bytes that are no documents of the system
}

// Run checks the contract.
func Run(t *testing.T, cfg Config) {
	t.Run("System", func(t *testing.T) { system(t, cfg) })
	t.Run("ExportNeedsTheCondition", func(t *testing.T) { condition(t, cfg) })
	t.Run("EveryConditionIsKeptOrRefused", func(t *testing.T) { kept(t, cfg) })
	t.Run("LossIsComplete", func(t *testing.T) { loss(t, cfg) })
	t.Run("ExportIsPure", func(t *testing.T) { pure(t, cfg) })
	t.Run("Import", func(t *testing.T) { imports(t, cfg) })
	t.Run("Context", func(t *testing.T) { contexts(t, cfg) })
	t.Run("RelayDebitsFirst", func(t *testing.T) { debits(t, cfg) })
	t.Run("RelayNeverWidens", func(t *testing.T) { narrows(t, cfg) })
	t.Run("RoundTripNeverWidens", func(t *testing.T) { roundTrip(t, cfg) })
	t.Run("RoundTripOfCountedConserves", func(t *testing.T) { counted(t, cfg) })
}

// constraints are the conditions of a permission code, each alone.
func constraints() map[string]string {
	return map[string]string{
		"START_TIME": "START_TIME=2026-01-02T00:00:00Z", "END_TIME": "END_TIME=2027-01-01T00:00:00Z", "INTERVAL": "INTERVAL=48h", "PLAY_COUNT": "PLAY_COUNT=3",
		"ACCUMULATED": "ACCUMULATED=10h", "OUTPUT_PROTECTION": "OUTPUT_PROTECTION=HDCP_2_2", "RESOLUTION": "RESOLUTION<=1080p",
		"TIMELINE": "TIMELINE=NO_SKIP", "TERRITORY": "TERRITORY=AT,DE", "UNKNOWN": "X.15=01",
	}
}

// policies are the conditions that a permission code does not hold.
func policies() map[string]func(*license.Info) {
	return map[string]func(*license.Info){
		"REGION": func(i *license.Info) {
			i.Policy.Region = &license.RegionRule{Phase: license.RegionEachUse, Areas: []string{"150"}}
		},
		"CONCURRENCY": func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1} },
		"OVERLAY": func(i *license.Info) {
			i.Policy.Overlay = &license.OverlayRule{Text: 2, Opacity: 50, EveryS: 60}
		},
		"MIN_LEVEL":        func(i *license.Info) { i.Policy.MinLevel = 2 },
		"EMBARGO_STRICT":   func(i *license.Info) { i.Policy.EmbargoStrict = true },
		"HARD_END":         func(i *license.Info) { i.Policy.HardEnd = day0 + 400*day },
		"STORAGE_DURATION": func(i *license.Info) { i.Policy.StorageDuration = 30 * day },
		"KEY_RULES": func(i *license.Info) {
			rules := license.OutputRules{Digital: permission.ProtectHDCP1}
			i.Keys[0].Outputs, _ = rules.Encode() // a constant that encodes
		},
	}
}

func system(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	if strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || s.Name == "" || len(s.Name) > 32 {
		t.Errorf("System().Name = %q, want a name that an export condition can hold", s.Name)
	}
	if s.Version == "" || s.Keys == "" {
		t.Error("System().Version or Keys is empty")
	}
	if diff := cmp.Diff(s, cfg.Adapter.System()); diff != "" {
		t.Errorf("System() changes:\n%s", diff)
	}
	if _, err := permission.ParseText("PLAY; EXPORT=" + s.Name); err != nil {
		t.Errorf("the permission code cannot name %q: %v", s.Name, err)
	}
	if !s.Live && len(s.Holds) > 0 {
		t.Errorf("nobody feeds %s, and it says that its source keeps %v", s.Name, s.Holds)
	}
	for _, c := range s.Enforces {
		if slices.Contains(s.Holds, c) {
			t.Errorf("both sides keep %s", c)
		}
	}
}

func condition(t *testing.T, cfg Config) {
	for _, text := range []string{"PLAY", "PLAY; EXPORT=some-other-system", "RENDER; EXPORT=" + cfg.Adapter.System().Name} {
		a, _, err := cfg.Adapter.Export(t.Context(), License(t, text))
		if !errors.Is(err, adapt.ErrNotExportable) || a.Body != nil {
			t.Errorf("Export(%q) = %d bytes, %v, want ErrNotExportable", text, len(a.Body), err)
		}
	}
}

// kept asks for each condition alone: it is expressed, it is said to be lost,
// or the license does not leave.
func kept(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	try := func(name string, lic *license.License) {
		a, lost, err := cfg.Adapter.Export(t.Context(), lic)
		if unheld := new(adapt.UnheldError); err != nil {
			if s.Keeps(name) || s.Live && name != "UNKNOWN" {
				t.Errorf("%s is kept by %s, and refused: %v", name, s.Name, err)
			}
			if !errors.As(err, &unheld) || !errors.Is(err, adapt.ErrNotExportable) || len(unheld.Rights) == 0 || a.Body != nil {
				t.Errorf("%s: %v, want an UnheldError that names it", name, err)
			}
			return
		}
		if name == "UNKNOWN" {
			t.Error("a condition that nobody understands is exported")
		}
		as := name
		if name == "HARD_END" || name == "STORAGE_DURATION" {
			as = "END_TIME"
		}
		if !slices.Contains(s.Enforces, as) && !lost.Has(name) {
			t.Errorf("%s is not enforced by %s, and its loss is not named: %+v", name, s.Name, lost)
		}
	}
	for name, text := range constraints() {
		try(name, License(t, "PLAY; "+text+"; EXPORT="+s.Name))
	}
	for name, edit := range policies() {
		try(name, License(t, "PLAY; EXPORT="+s.Name, edit))
	}
}

func loss(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	text := "PLAY; RENDER; PLAY; PART=01; LEND; COPY=FREE; MOVE=ANY; TRANSFER=1"
	for name, c := range constraints() {
		if s.Keeps(name) && name != "TIMELINE" && name != "TERRITORY" {
			text = strings.Replace(text, "PLAY", "PLAY; "+c, 1)
		}
	}
	lic := License(t, text+"; EXPORT="+s.Name)
	_, lost, err := cfg.Adapter.Export(t.Context(), lic)
	if err != nil {
		t.Fatalf("Export(%s): %v", text, err)
	}
	for _, right := range adapt.Rights(lic.Units()) {
		var p permission.Permission
		there := p.UnmarshalText([]byte(right)) == nil && slices.Contains(s.Permissions, p)
		if !there && !slices.Contains(s.Enforces, right) && !lost.Has(right) {
			t.Errorf("the system does not have %s and the loss does not name it", right)
		}
	}
	for _, l := range lost {
		if l.Right == "" || l.Words == "" || strings.HasPrefix(l.Effect.String(), "effect") {
			t.Errorf("loss %+v says nothing to people", l)
		}
	}
}

func pure(t *testing.T, cfg Config) {
	lic := License(t, "PLAY; EXPORT="+cfg.Adapter.System().Name)
	a, la, err := cfg.Adapter.Export(t.Context(), lic)
	if err != nil {
		t.Fatal(err)
	}
	b, lb, err := cfg.Adapter.Export(t.Context(), lic)
	if diff := cmp.Diff(a, b) + cmp.Diff(la, lb); diff != "" || err != nil {
		t.Errorf("a second Export differs (%v):\n%s", err, diff)
	}
	if a.MediaType == "" || len(a.Body) == 0 {
		t.Errorf("artifact %q of %d bytes", a.MediaType, len(a.Body))
	}
}

func imports(t *testing.T, cfg Config) {
	for _, doc := range cfg.Rights {
		p, err := cfg.Adapter.Import(t.Context(), doc)
		if err != nil {
			t.Errorf("Import(%.60q): %v", doc, err)
			continue
		}
		again, err := cfg.Adapter.Import(t.Context(), doc)
		if diff := cmp.Diff(p, again); diff != "" || err != nil {
			t.Errorf("a second Import differs (%v):\n%s", err, diff)
		}
		if _, err := sign(t, &license.Info{Code: p.Code, Policy: p.Policy}); err != nil {
			t.Errorf("no issuer could sign what Import(%.60q) proposes: %v", doc, err)
		}
	}
	if cfg.Adapter.System().Imports != (len(cfg.Rights) > 0) {
		t.Errorf("the system imports: %v, and there are %d documents with rights", cfg.Adapter.System().Imports, len(cfg.Rights))
	}
	for _, doc := range cfg.NoRights {
		if p, err := cfg.Adapter.Import(t.Context(), doc); !errors.Is(err, adapt.ErrNoRights) || p.Code != nil {
			t.Errorf("Import(%.60q) = %v, want ErrNoRights", doc, err)
		}
	}
	for _, doc := range append(cfg.Malformed, nil, []byte{0}, make([]byte, 1<<20)) {
		if p, err := cfg.Adapter.Import(t.Context(), doc); !errors.Is(err, adapt.ErrDocument) || p.Code != nil {
			t.Errorf("Import of %.60q = %v, want ErrDocument", doc, err)
		}
	}
}

func contexts(t *testing.T, cfg Config) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cfg.Adapter.Import(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Import after the context ended: %v", err)
	}
	if _, _, err := cfg.Adapter.Export(ctx, License(t, "PLAY")); !errors.Is(err, context.Canceled) {
		t.Errorf("Export after the context ended: %v", err)
	}
}
