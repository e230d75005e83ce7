package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the figures of one process.
type Metrics struct {
	reg      *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	events   *prometheus.CounterVec
	now      func() time.Time
	known    []string
}

// New makes the figures. now is the clock that requests are measured by; events are the log's messages that are counted: they
// are constants of the program. It starts nothing.
func New(now func() time.Time, events ...string) (*Metrics, error) {
	m := &Metrics{
		reg: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lares_http_requests_total", Help: "Requests answered, by the pattern of their path, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lares_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"route"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lares_events_total", Help: "What happened, by the log's constant messages.",
		}, []string{"event"}),
		now:   now,
		known: events,
	}
	for _, e := range events {
		m.events.WithLabelValues(e)
	}
	err := errors.Join(m.reg.Register(m.requests), m.reg.Register(m.seconds), m.reg.Register(m.events),
		m.reg.Register(collectors.NewGoCollector()), m.reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	return m, err
}

// methods are those that have a label of their own; anybody can send any other.
func method(m string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE"}, m) {
		return m
	}
	return "other"
}

// Count counts the requests that a mux answers.
func (m *Metrics) Count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := m.now()
		seen := &watcher{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		route := "none" // nothing serves it: its path says nothing that may be a label
		if _, path, ok := strings.Cut(r.Pattern, " "); ok {
			route = path
		} else if r.Pattern != "" {
			route = r.Pattern
		}
		m.requests.WithLabelValues(route, method(r.Method), strconv.Itoa(seen.status)).Inc()
		m.seconds.WithLabelValues(route).Observe(m.now().Sub(start).Seconds())
	})
}

type watcher struct {
	http.ResponseWriter
	status int
}

func (w *watcher) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Handler serves the figures to who collects them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{})
}

// Log is a log handler that counts messages on their way to another one.
func (m *Metrics) Log(next slog.Handler) slog.Handler { return counting{next, m} }

type counting struct {
	slog.Handler
	m *Metrics
}

func (c counting) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(c.m.known, r.Message) {
		c.m.events.WithLabelValues(r.Message).Inc()
	}
	return c.Handler.Handle(ctx, r)
}

func (c counting) WithAttrs(a []slog.Attr) slog.Handler { return counting{c.Handler.WithAttrs(a), c.m} }

func (c counting) WithGroup(name string) slog.Handler {
	return counting{c.Handler.WithGroup(name), c.m}
}

// Figure is one number, for a page that people read.
type Figure struct {
	Name  string  `json:"name"`
	Label string  `json:"label,omitempty"`
	Value float64 `json:"value"`
}

// Figures are the events, the requests by route, and what the process uses.
func (m *Metrics) Figures() (out []Figure, err error) {
	all, err := m.reg.Gather()
	if err != nil {
		return nil, err
	}
	wanted := []string{"lares_events_total", "lares_http_requests_total", "go_goroutines", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}
	for _, family := range all {
		if !slices.Contains(wanted, family.GetName()) {
			continue
		}
		for _, x := range family.GetMetric() {
			f := Figure{Name: family.GetName(), Value: x.GetCounter().GetValue() + x.GetGauge().GetValue()}
			var labels []string
			for _, l := range x.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			f.Label = strings.Join(labels, " ")
			out = append(out, f)
		}
	}
	return out, nil
}
