package home

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Exporter lets parts of licenses go to other DRM systems.
type Exporter interface {
	Licenses(ctx context.Context) ([]trem.Held, error)
	Export(ctx context.Context, e trem.Export) (trem.Exported, error)
}

// ForSystem is the license of a title that names another DRM system in its export
// condition, or any of the title where none does. It is ErrUnknown where the
// module holds none.
func ForSystem(ctx context.Context, m Exporter, id ident.Content, system string) (*license.License, error) {
	held, err := m.Licenses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list licenses: %w", err)
	}
	var any *license.License
	for _, h := range held {
		if h.Content != id {
			continue
		}
		lic, err := license.Inspect(h.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a license of %v: %w", id, err)
		}
		if lic.Units().Export.Names(system) {
			return lic, nil
		}
		any = lic
	}
	if any == nil {
		return nil, fmt.Errorf("a license of %v: %w", id, ErrUnknown)
	}
	return any, nil
}

// ForSystem is the license of a title that may go to another DRM system.
func (h *Home) ForSystem(ctx context.Context, id ident.Content, system string) (*license.License, error) {
	return ForSystem(ctx, h.cfg.Module, id, system)
}

// Export has the module debit a license and sign what leaves for another system.
func (h *Home) Export(ctx context.Context, e trem.Export) (trem.Exported, error) {
	return h.cfg.Module.Export(ctx, e)
}
