package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/internal/issuerapi"
)

// aboutShop asks a shop who it is. What it says needs no trust: the module
// checks that it reaches the very device, and its certificate, in the exchange.
func aboutShop(ctx context.Context, url string) (issuerapi.About, error) {
	data, err := fetch(ctx, http.DefaultClient, strings.TrimSuffix(url, "/")+"/api/v1/about")
	if err != nil {
		return issuerapi.About{}, err
	}
	var a issuerapi.About
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("read the shop's answer: %w", err)
	}
	return a, nil
}
