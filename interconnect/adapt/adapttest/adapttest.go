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
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Config is an adapter and documents of its system.
type Config struct {
	Adapter   adapt.Adapter
	NoRights  [][]byte // well-formed documents that state no rights
	Malformed [][]byte // bytes that are no documents of the system
	// License makes a license whose permission code has this text form, and
	// whose keys have these IDs.
	License func(tb testing.TB, text string, kids ...ident.Key) *license.License
}

// Run checks the contract.
func Run(t *testing.T, cfg Config) {
	t.Run("System", func(t *testing.T) { system(t, cfg) })
	t.Run("ExportNeedsTheCondition", func(t *testing.T) { condition(t, cfg) })
	t.Run("LossIsComplete", func(t *testing.T) { loss(t, cfg) })
	t.Run("ExportIsPure", func(t *testing.T) { pure(t, cfg) })
	t.Run("Import", func(t *testing.T) { imports(t, cfg) })
	t.Run("Context", func(t *testing.T) { contexts(t, cfg) })
}

func system(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	if strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || s.Name == "" || len(s.Name) > 32 {
		t.Errorf("System().Name = %q, want a name that an export condition can hold", s.Name)
	}
	if s.Version == "" {
		t.Error("System().Version is empty")
	}
	if diff := cmp.Diff(s, cfg.Adapter.System()); diff != "" {
		t.Errorf("System() changes:\n%s", diff)
	}
	if _, err := permission.ParseText("PLAY; EXPORT=" + s.Name); err != nil {
		t.Errorf("the permission code cannot name %q: %v", s.Name, err)
	}
}

func condition(t *testing.T, cfg Config) {
	for _, text := range []string{"PLAY", "PLAY; EXPORT=some-other-system"} {
		a, _, err := cfg.Adapter.Export(t.Context(), cfg.License(t, text, ident.Key{1}))
		if !errors.Is(err, adapt.ErrNotExportable) || a.Body != nil {
			t.Errorf("Export(%q) = %d bytes, %v, want ErrNotExportable", text, len(a.Body), err)
		}
	}
}

// rich has every right and limit that an adapter may have to give up.
const rich = "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2027-01-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=3; " +
	"OUTPUT_PROTECTION=HDCP_2_2; RESOLUTION<=1080p"

func loss(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	text := rich + "; EXPORT=" + s.Name
	_, lost, err := cfg.Adapter.Export(t.Context(), cfg.License(t, text, ident.Key{1}))
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	units, err := permission.ParseText(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, right := range adapt.Rights(units) {
		if !slices.Contains(s.Enforces, right) && !lost.Has(right) {
			t.Errorf("the system does not enforce %s and the loss does not name it", right)
		}
	}
	for _, l := range lost {
		if l.Words == "" || l.Effect.String() == "" {
			t.Errorf("loss %+v says nothing to people", l)
		}
	}
}

func pure(t *testing.T, cfg Config) {
	lic := cfg.License(t, "PLAY; EXPORT="+cfg.Adapter.System().Name, ident.Key{2}, ident.Key{1})
	a, la, err := cfg.Adapter.Export(t.Context(), lic)
	if err != nil {
		t.Fatal(err)
	}
	b, lb, err := cfg.Adapter.Export(t.Context(), lic)
	if diff := cmp.Diff(a, b) + cmp.Diff(la, lb); diff != "" || err != nil {
		t.Errorf("a second Export differs (%v):\n%s", err, diff)
	}
}

func imports(t *testing.T, cfg Config) {
	for _, doc := range cfg.NoRights {
		if _, err := cfg.Adapter.Import(t.Context(), doc); !errors.Is(err, adapt.ErrNoRights) {
			t.Errorf("Import(%q) = %v, want ErrNoRights", doc, err)
		}
	}
	for _, doc := range append(cfg.Malformed, nil, []byte{0}, make([]byte, 1<<20)) {
		if p, err := cfg.Adapter.Import(t.Context(), doc); !errors.Is(err, adapt.ErrDocument) || p.Code != nil {
			t.Errorf("Import of %d malformed bytes = %v, want ErrDocument", len(doc), err)
		}
	}
}

func contexts(t *testing.T, cfg Config) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cfg.Adapter.Import(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Import after the context ended: %v", err)
	}
	if _, _, err := cfg.Adapter.Export(ctx, cfg.License(t, "PLAY", ident.Key{1})); !errors.Is(err, context.Canceled) {
		t.Errorf("Export after the context ended: %v", err)
	}
}
