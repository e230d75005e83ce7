package conform_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lares-drm/lares/internal/conform"
)

const (
	described = "the issuer's API is described where it is served: each operation with its answers and its problems"
	nobody    = "the status of a license that nobody has is a problem 404"
)

// TestConform_StaysAtItsHost: a server whose paths go on with its host's name does not
// send the judge, or its key, elsewhere.
func TestConform_StaysAtItsHost(t *testing.T) {
	var elsewhere atomic.Int64
	there := newShop(t)
	there.fault = func(http.ResponseWriter, *http.Request, http.Handler) { elsewhere.Add(1) }
	away := "@" + strings.TrimPrefix(there.url, "http://") + "/"
	s := newShop(t)
	for name, f := range map[string]fault{
		described: at("GET", "/api/v1/openapi.json", says(`"/api/v1/offers"`, `"`+away+`"`)),
		nobody:    at("GET", "/api/v1/about", changed(func(v map[string]any) { v["status"] = away + "{domain}/{license}" })),
	} {
		s.fault = f
		all := s.judged(t, conform.Config{Key: owner, Title: film})
		if r := all[name]; r.Verdict != conform.Failed || !strings.Contains(r.Reason, "begin") {
			t.Errorf("%s: %s %s", name, r.Verdict, r.Reason)
		}
		if n := elsewhere.Swap(0); n != 0 {
			t.Errorf("%s: %d requests went to another host", name, n)
		}
	}
}
