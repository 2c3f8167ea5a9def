package server

import (
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// instruments are the metrics that this package counts itself, in a set of the
// server's own. What the packages below count is read from their Stats when
// somebody scrapes: see exposition.
type instruments struct {
	set *metrics.Set

	lines, requests                   *metrics.Counter // messages in, by listener
	malformedLines, malformedRequests *metrics.Counter
	replies, responses, pushed        *metrics.Counter // messages out
	unknownMethods, cancellations     *metrics.Counter
	failures, panics                  *metrics.Counter
	shedDeadline, shedBudget          *metrics.Counter
	memoryReturns                     *metrics.Counter

	methodLoop, methodWorker latency
	mcpLoop, mcpWorker       latency
	queueWait                latency
	lookups                  lookups
}

// latency is a histogram of durations.
type latency struct{ h *metrics.PrometheusHistogram }

// latencyBounds are the upper bounds of latency buckets, in seconds: from a
// handler that only copies to one that waits for a person.
var latencyBounds = []float64{2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3,
	1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

func (l latency) observe(d time.Duration) { l.h.Update(d.Seconds()) }

func newInstruments(s *Server) *instruments {
	set := metrics.NewSet()
	hist := func(name string) latency { return latency{set.NewPrometheusHistogramExt(name, latencyBounds)} }
	fine := func(name string) latency { return latency{set.NewPrometheusHistogramExt(name, lookupBounds)} }
	m := &instruments{
		set:               set,
		lines:             set.NewCounter(`rookery_messages_received_total{protocol="jsonrpc"}`),
		requests:          set.NewCounter(`rookery_messages_received_total{protocol="http"}`),
		malformedLines:    set.NewCounter(`rookery_malformed_total{protocol="jsonrpc"}`),
		malformedRequests: set.NewCounter(`rookery_malformed_total{protocol="http"}`),
		replies:           set.NewCounter(`rookery_messages_sent_total{kind="reply"}`),
		responses:         set.NewCounter(`rookery_messages_sent_total{kind="response"}`),
		pushed:            set.NewCounter(`rookery_messages_sent_total{kind="push"}`),
		unknownMethods:    set.NewCounter(`rookery_unknown_methods_total`),
		cancellations:     set.NewCounter(`rookery_cancellations_total`),
		failures:          set.NewCounter(`rookery_handler_errors_total`),
		panics:            set.NewCounter(`rookery_handler_panics_total`),
		shedDeadline:      set.NewCounter(`rookery_requests_shed_total{cause="deadline"}`),
		shedBudget:        set.NewCounter(`rookery_requests_shed_total{cause="byte_budget"}`),
		memoryReturns:     set.NewCounter(`rookery_memory_returns_total`),
		methodLoop:        hist(`rookery_handler_seconds{kind="method",on="loop"}`),
		methodWorker:      hist(`rookery_handler_seconds{kind="method",on="worker"}`),
		mcpLoop:           hist(`rookery_handler_seconds{kind="mcp",on="loop"}`),
		mcpWorker:         hist(`rookery_handler_seconds{kind="mcp",on="worker"}`),
		queueWait:         hist(`rookery_queue_wait_seconds`),
		lookups:           lookups{fine(`rookery_session_lookup_seconds`), fine(`rookery_session_lookup_clock_seconds`)},
	}
	set.RegisterMetricsWriter(s.writeStats)
	return m
}

// timeMCP runs f, which serves one message of MCP, and notes how long it took.
func (s *Server) timeMCP(l latency, f func()) {
	began := time.Now()
	f()
	l.observe(time.Since(began))
}
