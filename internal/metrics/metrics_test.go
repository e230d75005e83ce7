package metrics_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/metrics"
)

// Nothing that names somebody comes out, whatever goes in.
func TestMetrics_NoPrivateLabel(t *testing.T) {
	m, err := metrics.New(time.Now, "license issued", "request refused")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(m.Log(slog.NewTextHandler(io.Discard, nil))).With(slog.String("device", "secret-device")) //nolint:sloglint // DiscardHandler is given nothing to count
	log.Info("license issued", slog.String("domain", "secret-house"))
	log.Info("somebody called secret-name came")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status/v1/{domain}/{license}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := m.Count(mux)
	for _, target := range []string{"/status/v1/secret-house/secret-license?secret-query=1", "/secret-path"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", target, nil))
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "SECRETMETHOD", "/x", nil))
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, want := range []string{
		`lares_events_total{event="license issued"} 1`, `lares_events_total{event="request refused"} 0`,
		`lares_http_requests_total{method="GET",route="/status/v1/{domain}/{license}",status="418"} 1`,
		`lares_http_requests_total{method="GET",route="none",status="404"} 1`, `method="other"`, "process_resident_memory_bytes",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in the figures", want)
		}
	}
	if strings.Contains(strings.ToLower(w.Body.String()), "secret") {
		t.Errorf("something private came out:\n%s", w.Body)
	}
	got, err := m.Figures()
	if err != nil || len(got) < 6 {
		t.Errorf("%v, %v", got, err)
	}
}
