package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/service/issuer"
)

// aboutShop asks a shop who it is. What it says needs no trust: the module
// checks that it reaches the very device, and its certificate, in the exchange.
func aboutShop(ctx context.Context, url string) (issuer.About, error) {
	data, err := fetch(ctx, http.DefaultClient, strings.TrimSuffix(url, "/")+"/api/v1/about")
	if err != nil {
		return issuer.About{}, err
	}
	var a issuer.About
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("read the shop's answer: %w", err)
	}
	return a, nil
}
