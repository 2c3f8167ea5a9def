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

	methodLoop, methodWorker *histogram
	mcpLoop, mcpWorker       *histogram
	queueWait                *histogram
	lookups                  lookups
}

// latencyBounds are the upper bounds of latency buckets: from a handler that only
// copies to one that waits for a person.
var latencyBounds = []time.Duration{
	2 * time.Microsecond, 5 * time.Microsecond, 10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second,
}

func newInstruments(s *Server) *instruments {
	set := metrics.NewSet()
	handlers := func(labels string) *histogram { return newHistogram("rookery_handler_seconds", labels, latencyBounds) }
	fine := func(name string) *histogram { return newHistogram(name, "", lookupBounds) }
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
		methodLoop:        handlers(`kind="method",on="loop"`),
		methodWorker:      handlers(`kind="method",on="worker"`),
		mcpLoop:           handlers(`kind="mcp",on="loop"`),
		mcpWorker:         handlers(`kind="mcp",on="worker"`),
		queueWait:         newHistogram("rookery_queue_wait_seconds", "", latencyBounds),
		lookups:           lookups{fine(`rookery_session_lookup_seconds`), fine(`rookery_session_lookup_clock_seconds`)},
	}
	set.RegisterMetricsWriter(s.writeStats)
	return m
}

// writeHistograms writes the samples of each family together.
func (m *instruments) writeHistograms(p page) {
	for _, h := range [...]*histogram{
		m.methodLoop, m.methodWorker, m.mcpLoop, m.mcpWorker, m.queueWait, m.lookups.took, m.lookups.clock,
	} {
		h.write(p)
	}
}

// timeMCP runs f, which serves one message of MCP, and notes how long it took.
func (s *Server) timeMCP(h *histogram, f func()) {
	began := time.Now()
	f()
	h.observe(time.Since(began))
}
