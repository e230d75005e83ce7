package home

import (
	"context"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/trem"
)

// PathRelayedTime answers a device that asks for the time while the authority is
// away. Source: local, docs/spec/home-api.md.
const PathRelayedTime = "/house/v1/time"

// RelayedTime passes the newest time token of the house's module on.
func (h *Home) RelayedTime(ctx context.Context, nonce []byte) (trem.RelayedTime, error) {
	got, err := h.cfg.Module.RelayTime(ctx, nonce)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code != trem.CodeBroken {
		return got, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return got, err
}
