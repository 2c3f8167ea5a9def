package suite

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
)

// charts are what a run draws.
type charts struct {
	nodes                                                          int // of which there are series
	conns, clients, rate, latency, memory, each, cpu, pauses, late *report.Chart
	extra                                                          []*report.Chart
	marks                                                          []report.Mark
	spans                                                          []report.Span
	failure                                                        *failure // nil: none was measured
}

// failure is when a node died and what followed, each after the run began.
type failure struct{ killed, detected, served time.Duration }

// Around a failure so much is shown.
const (
	failureBefore = 5 * time.Second
	failureAfter  = 10 * time.Second
)

func newCharts(nodes []string) *charts {
	c := &charts{
		nodes:   len(nodes),
		clients: report.NewChart("ramp", "Clients connected", "clients", "connected", "away"),
		rate:    report.NewChart("throughput", "Round trips", "a second", "due", "answered", "errors"),
		latency: report.NewChart("latency", "Latency from the due time", "ms", "p50", "p99", "max"),
		conns:   report.NewChart("connections", "Connections of each node", "connections", nodes...),
		memory:  report.NewChart("memory", "Memory of each node (PSS)", "MB", nodes...),
		each:    report.NewChart("each", "Memory of all nodes for each connection", "bytes", "all nodes"),
		cpu:     report.NewChart("cpu", "Processor time of each node", "% of one processor", nodes...),
		pauses:  report.NewChart("gc", "Longest pause of the garbage collector in a second", "ms", append(slices.Clone(nodes), "control process")...),
		late:    report.NewChart("late", "How late a sleeping process wakes (control process)", "ms", "p99", "longest"),
	}
	c.latency.LogY, c.each.LogY, c.pauses.LogY, c.late.LogY = true, true, true, true
	c.pauses.Kind = report.Points
	c.pauses.Note = "of a node: of the process that paused longest; the control process serves nobody"
	c.rate.Note = "without the overload, which is meant to be too much"
	c.clients.Note = "away: lost their connection and not back yet"
	return c
}

// mark points out a moment after the run began.
func (c *charts) mark(after time.Duration, bad bool, text string) {
	c.marks = append(c.marks, report.Mark{X: after.Seconds(), Text: text, Bad: bad})
}

// span names what goes on from a moment to another, both after the run began.
func (c *charts) span(from, to time.Duration, text string) {
	c.spans = append(c.spans, report.Span{From: from.Seconds(), To: to.Seconds(), Text: text})
}

// seconds draws the time series of a fleet that started at offset, its calls
// only when asked for.
func (c *charts) seconds(list []load.Second, offset float64, calls bool) {
	for i := range list {
		s := &list[i]
		x := offset + float64(s.AtS)
		if n := len(c.clients.X); n > 0 && x <= c.clients.X[n-1] {
			continue // two fleets within one second
		}
		c.clients.Add(x, float64(s.Connected), float64(s.Away))
		if !calls {
			c.rate.Add(x)
			c.latency.Add(x)
			continue
		}
		c.rate.Add(x, float64(s.Due), float64(s.Replies), float64(s.Errors))
		c.latency.Add(x, orNaN(s.P50), orNaN(s.P99), orNaN(s.Max))
	}
}

// histogram draws a distribution of times.
func (c *charts) histogram(id, title string, l load.Latency) error {
	raw, err := base64.StdEncoding.DecodeString(l.Histogram)
	if err != nil || len(raw) == 0 {
		return err
	}
	h, err := hdr.Decode([]byte(l.Histogram))
	if err != nil {
		return fmt.Errorf("suite: histogram %s: %w", id, err)
	}
	chart := report.NewChart(id, title, "round trips", "round trips")
	chart.Kind, chart.XUnit, chart.LogX = report.Bars, "ms", true
	chart.Note = "each bar: up to its value, from that of the bar before"
	// Eight bars for each factor of ten.
	edge, count := math.Pow(10, math.Floor(math.Log10(max(float64(h.Min()), 1e3)))), int64(0)
	step := math.Pow(10, 1.0/8)
	for _, b := range h.Distribution() {
		for float64(b.To) > edge {
			if count > 0 || len(chart.X) > 0 {
				chart.Add(edge/1e6, float64(count))
			}
			edge, count = edge*step, 0
		}
		count += b.Count
	}
	chart.Add(edge/1e6, float64(count))
	c.extra = append(c.extra, chart)
	return nil
}

// list returns the charts that have something to show.
func (c *charts) list() (out []report.Chart) {
	over := []*report.Chart{c.clients, c.rate, c.latency, c.conns, c.memory, c.each, c.cpu, c.pauses, c.late}
	for _, one := range over {
		one.Marks, one.Spans = c.marks, c.spans
	}
	for _, one := range slices.Concat(over, c.extra, c.failed()) {
		if one.Any() {
			out = append(out, *one)
		}
	}
	return out
}

// failed returns the charts of the failure: what clients saw around it, by the
// time since the node was killed.
func (c *charts) failed() []*report.Chart {
	f := c.failure
	if f == nil || f.served == 0 {
		return nil
	}
	from, to := (f.killed - failureBefore).Seconds(), (f.served + failureAfter).Seconds()
	outage := c.clients.Between(from, to, f.killed.Seconds())
	outage.ID, outage.Title, outage.Note = "failure", "A node is killed: its clients", "away: without a server; seconds since the node was killed"
	calls := c.rate.Between(from, to, f.killed.Seconds())
	calls.ID, calls.Title, calls.Note = "failure-calls", "A node is killed: round trips", "seconds since the node was killed"
	detected, served := (f.detected - f.killed).Seconds(), (f.served - f.killed).Seconds()
	for _, one := range []*report.Chart{outage, calls} {
		one.Marks = []report.Mark{
			{X: 0, Text: "killed", Bad: true},
			{X: detected, Text: fmt.Sprintf("detected after %.2f s", detected)},
			{X: served, Text: fmt.Sprintf("all served after %.1f s", served)},
		}
		one.Spans = []report.Span{{From: 0, To: served, Text: "recovery", Bad: true}}
	}
	return []*report.Chart{outage, calls}
}
