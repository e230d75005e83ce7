package cli

import (
	"bytes"
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Two shops see two addresses of one house, and none sees its device ID.
func TestLRP_1_ShopsSeeBlindedAddresses(t *testing.T) {
	spki := bytes.Repeat([]byte{7}, 91)
	var seen []lrp.Addr
	shop := httptest.NewServer(lrphttp.Handler(func(_ context.Context, f lrp.Frame) []lrp.Frame {
		seen = append(seen, f.Src)
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeUnknownDst, 0)}
	}))
	defer shop.Close()
	fetch := courier(t.TempDir(), nil, spki, time.Now)
	opened := trem.Opened{Messages: []trem.SLTPMessage{{Bytes: []byte("message 1")}}}
	for _, peer := range []ident.Device{{1}, {2}, {1}} {
		if _, err := fetch(t.Context(), shop.URL, peer, opened); err == nil {
			t.Error("the shop's refusal is lost")
		}
	}
	if len(seen) != 3 || seen[0] != seen[2] || seen[0] == seen[1] || seen[0] == lrp.Addr(ident.DeviceOf(spki)) || seen[1] == lrp.Addr(ident.DeviceOf(spki)) {
		t.Errorf("seen: %v", seen)
	}
}
