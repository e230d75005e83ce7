package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// pusher gives sealed keys to an issuer. Its token is read at once.
func (f *packFlags) pusher() (func(ctx context.Context, keys string) error, error) {
	if f.push == "" && f.token == "" {
		return nil, nil
	}
	if f.push == "" || f.token == "" {
		return nil, usage("--push URL and --push-token FILE go together")
	}
	if !strings.HasPrefix(f.push, "https://") && !strings.HasPrefix(f.push, "http://") {
		return nil, usage("--push %q: want a URL", f.push)
	}
	token, err := secretFile(f.token)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's token: %w", err)
	}
	var id ident.Content
	if err := id.UnmarshalText([]byte(f.id)); err != nil {
		return nil, usage("--content %q: want 1 to %d bytes", f.id, ident.MaxOpaque)
	}
	return func(ctx context.Context, keys string) error {
		data, err := os.ReadFile(keys)
		if err != nil {
			return err
		}
		answer, err := askAPI(ctx, f.push, token, http.MethodPost, "/api/v1/contents", map[string]any{"keys": data})
		if err != nil {
			return err
		}
		var c issuer.Content
		if err := json.Unmarshal(answer, &c); err != nil || c.ID != id {
			return fmt.Errorf("the issuer's answer names another title")
		}
		return nil
	}, nil
}
