package suite

import (
	"encoding/base64"
	"fmt"
	"math"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
)

// charts are what a run draws.
type charts struct {
	conns, clients, rate, latency, memory, each, cpu *report.Chart
	extra                                            []*report.Chart
	marks                                            []report.Mark
}

func newCharts(nodes []string) *charts {
	c := &charts{
		clients: report.NewChart("ramp", "Clients connected", "clients", "connected", "away"),
		rate:    report.NewChart("throughput", "Round trips", "a second", "due", "answered", "errors"),
		latency: report.NewChart("latency", "Latency from the due time", "ms", "p50", "p99", "max"),
		conns:   report.NewChart("connections", "Connections of each node", "connections", nodes...),
		memory:  report.NewChart("memory", "Memory of each node (PSS)", "MB", nodes...),
		each:    report.NewChart("each", "Memory of all nodes for each connection", "bytes", "all nodes"),
		cpu:     report.NewChart("cpu", "Processor time of each node", "% of one processor", nodes...),
	}
	c.latency.LogY = true
	c.clients.Note = "away: lost their connection and not back yet"
	return c
}

// mark points out a moment after the run began.
func (c *charts) mark(after time.Duration, bad bool, text string) {
	c.marks = append(c.marks, report.Mark{X: after.Seconds(), Text: text, Bad: bad})
}

// seconds draws the time series of a fleet that started at offset.
func (c *charts) seconds(list []load.Second, offset float64) {
	ms := func(d time.Duration) float64 {
		if d <= 0 {
			return math.NaN()
		}
		return float64(d) / 1e6
	}
	for i := range list {
		s := &list[i]
		x := offset + float64(s.AtS)
		if n := len(c.clients.X); n > 0 && x <= c.clients.X[n-1] {
			continue // two fleets within one second
		}
		c.clients.Add(x, float64(s.Connected), float64(s.Away))
		c.rate.Add(x, float64(s.Due), float64(s.Replies), float64(s.Errors))
		c.latency.Add(x, ms(s.P50), ms(s.P99), ms(s.Max))
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
	for _, one := range append([]*report.Chart{c.clients, c.rate, c.latency, c.conns, c.memory, c.each, c.cpu}, c.extra...) {
		if len(one.X) == 0 {
			continue
		}
		if one.Kind == report.Lines && one.XUnit == "s" {
			one.Marks = c.marks
		}
		out = append(out, *one)
	}
	return out
}
