package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/wire"
)

// sessions opens MCP sessions with streams, lets them call at any node, and
// kills a node under them.
func (r *run) sessions() error {
	o := load.Options{
		Targets: r.targets(r.bed.HTTP), Protocol: load.Sessions, Clients: r.Scale.Clients, Ramp: r.Scale.RampRate, Spread: true,
	}
	return r.fleet(o, func(f *load.Fleet) error {
		ctx, cancel := r.step(fmt.Sprintf("opening %d sessions", r.Scale.Clients))
		defer cancel()
		end := r.span("sessions")
		ramp, err := f.Ramp(ctx, r.Scale.Clients, r.Scale.RampRate)
		end()
		if err != nil {
			return err
		}
		r.mark(false, "%d sessions", r.Scale.Clients)
		r.say("  %s sessions with streams, %.0f a second", thousands(r.Scale.Clients), ramp.PerSecond)
		if _, err := r.bed.Agreed(ctx, r.bed.Others(), nodeCount); err != nil {
			return err
		}
		if r.any(sessions) {
			if err := r.sessionFigures(f); err != nil {
				return err
			}
		}
		if r.any(failing) {
			if err := r.fail(f); err != nil {
				return err
			}
		}
		if r.any(raging) {
			return r.rage(f)
		}
		return nil
	})
}

// sessionFigures measures memory, copies and calls.
func (r *run) sessionFigures(f *load.Fleet) error {
	defer r.span("calls of sessions")()
	if err := r.memory("resources.memory-sessions", "resources.session"); err != nil {
		return err
	}
	homes, copies, err := r.held(r.ctx, r.bed.Others())
	if err != nil {
		return err
	}
	r.measured("replication.copies", percent(int64(copies), int64(homes*(replicas-1))), homes)

	if _, err := r.phase(f, "sessions, warm-up", r.Scale.SessionRate, r.Scale.Measure/3); err != nil {
		return err
	}
	before, sent, err := r.pages(f)
	if err != nil {
		return err
	}
	pairsBefore, err := r.exchanged()
	if err != nil {
		return err
	}
	start := time.Now()
	p, err := r.phase(f, "calls of sessions", r.Scale.SessionRate, r.Scale.Measure)
	if err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	pairs, err := r.exchanged()
	if err != nil {
		return err
	}
	after, sentAfter, err := r.pages(f)
	if err != nil {
		return err
	}
	r.sessionCalls(p, before, after, sentAfter-sent)
	least := math.Inf(1)
	for pair, n := range pairs {
		least = min(least, (n-pairsBefore[pair])/took)
	}
	r.measured("network.pairs", least, len(pairs))
	if err := r.sticky(f); err != nil {
		return err
	}
	if err := r.spread(f); err != nil {
		return err
	}
	return r.charts.histogram("session-calls", "Calls of MCP sessions by latency from the due time", p.Corrected)
}

// eventsKept are published to all sessions before memory with events is
// measured.
const eventsKept = 3

// spread publishes events to all sessions, and measures how long one takes to
// reach the last, and what the servers hold with these events retained.
func (r *run) spread(f *load.Fleet) error {
	ctx, cancel := r.step("publishing to all sessions")
	defer cancel()
	if err := surely(ctx, f, eventsKept); err != nil {
		r.failed(err, "performance.fanout", "resources.memory-events")
		return nil
	}
	heard, err := f.Audit(ctx)
	if err != nil {
		return err
	}
	r.measured("performance.fanout", ms(heard.Spread.P50), int(heard.Spread.Count)*heard.Clients)
	r.check("performance.fanout").Detail = fmt.Sprintf("longest of %d events %v; publishing took %v; %d not heard", heard.Published, short(heard.Spread.Max), short(heard.Took.P50), heard.Missing)
	full, err := r.rest(memoryOf)
	if err != nil {
		return err
	}
	r.measured("resources.memory-events", full/1e6, r.Scale.Clients)
	r.check("resources.memory-events").Detail = fmt.Sprintf("%d events, %d of them in the log of each session", heard.Published*int64(heard.Clients), heard.Published)
	return nil
}

// sessionCalls sets the checks of calls, from what clients saw and from the
// nodes' metrics before and after sent calls, those of the phase among them.
func (r *run) sessionCalls(p *load.PhaseResult, before, after []wire.Metrics, sent int64) {
	r.forwarded("performance.sessions", "performance.session", p, before, after, sent)
	r.lookups(before, after)
}

// lookups sets the check of looking sessions up, beside what reading the clock
// has cost meanwhile.
func (r *run) lookups(before, after []wire.Metrics) {
	took, clock := map[string]float64{}, map[string]float64{}
	for i := range after {
		grown(took, before[i], after[i], lookupMetric+"_bucket", "le")
		grown(clock, before[i], after[i], clockMetric+"_bucket", "le")
	}
	var us [4]float64
	samples := 0
	for i, of := range []struct {
		buckets map[string]float64
		q       float64
	}{{clock, 0.5}, {clock, 0.95}, {took, 0.5}, {took, 0.95}} {
		v, n, err := quantile(of.buckets, of.q)
		if err != nil {
			r.failed(err, "components.registry")
			return
		}
		us[i], samples = v*1e6, n
	}
	r.measured("components.registry", us[3], samples)
	if c := r.check("components.registry"); c.Got != nil {
		c.Detail = fmt.Sprintf("median %.3g µs; one reading of the clock is in it, which by itself takes %.3g µs, 95th percentile %.3g µs", us[2], us[0], us[1])
	}
}

// forwarded sets the checks of the rate and the errors of calls, and says which
// share of them was forwarded.
//
// A machine that is full serves fewer calls than are due, and those that it sends
// need not fail: what could not be sent is a figure of its own.
func (r *run) forwarded(rate, calls string, p *load.PhaseResult, before, after []wire.Metrics, sent int64) {
	r.measured(rate, p.PerSecond, int(p.Corrected.Count))
	r.measured(calls+"-errors", percent(p.Counts.Failures(), p.Counts.Sent), int(p.Counts.Sent))
	r.measured(calls+"-dropped", percent(p.Counts.Dropped, p.Counts.Due), int(p.Counts.Due))
	var forwarded float64
	for i := range after {
		forwarded += after[i].Total(forwardMetric) - before[i].Total(forwardMetric)
	}
	r.check(rate).Detail = fmt.Sprintf("%.0f %% of the calls were forwarded to another process; p50 %v, p99 %v, longest %v",
		100*forwarded/float64(max(sent, 1)), short(p.Corrected.P50), short(p.Corrected.P99), short(p.Corrected.Max))
}

// forwardMetric counts requests that another process answered.
const forwardMetric = "rookery_cluster_requests_forwarded_total"

// sticky measures calls that go where their client's stream is, as a load
// balancer sends them that reads the hint in the session's id. Which of that
// node's processes gets one is chance.
func (r *run) sticky(f *load.Fleet) error {
	if err := f.Spread(r.ctx, false); err != nil {
		return err
	}
	before, sent, err := r.pages(f)
	if err != nil {
		return err
	}
	p, err := r.phase(f, "calls of sessions, sticky", r.Scale.SessionRate, r.Scale.Measure)
	if err != nil {
		return err
	}
	after, sentAfter, err := r.pages(f)
	if err != nil {
		return err
	}
	r.forwarded("performance.sticky", "performance.sticky", p, before, after, sentAfter-sent)
	return f.Spread(r.ctx, true)
}

// The servers' histograms of looking a session up, and of reading the clock
// right behind that.
const (
	lookupMetric = "rookery_session_lookup_seconds"
	clockMetric  = "rookery_session_lookup_clock_seconds"
)

// held returns how many sessions are at home in some nodes, and how many copies
// these hold.
func (r *run) held(ctx context.Context, some []int) (homes, copies int, err error) {
	for _, i := range some {
		p, err := r.bed.Page(ctx, i)
		if err != nil {
			return 0, 0, err
		}
		h, c := p.Sum()
		homes, copies = homes+h, copies+c
	}
	return homes, copies, nil
}

// pages returns the metrics of each node, sample by sample, and how many calls
// the load generator had sent at that moment.
func (r *run) pages(f *load.Fleet) (list []wire.Metrics, sent int64, err error) {
	status, err := f.Fresh(r.ctx)
	if err != nil {
		return nil, 0, err
	}
	for i := range r.bed.Len() {
		metrics, err := metricsOf(r.ctx, r.bed, i)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, metrics)
	}
	return list, status.Total.Sent, nil
}

// exchanged returns the messages that each pair of nodes has exchanged so far,
// by the names of its nodes: what the first says that it has sent to the other
// and received from it.
func (r *run) exchanged() (map[[2]string]float64, error) {
	pairs := map[[2]string]float64{}
	for i := range r.bed.Len() {
		body, err := r.bed.Get(r.ctx, i, "/cluster")
		if err != nil {
			return nil, err
		}
		var page struct {
			Processes []struct {
				Links []struct {
					Peer    struct{ Node string }
					Traffic struct {
						Lane []struct{ Messages, Received float64 }
					}
				}
			}
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("suite: /cluster: %w", err)
		}
		for _, p := range page.Processes {
			for _, l := range p.Links {
				pair := [2]string{r.bed.Name(i), l.Peer.Node}
				for _, lane := range l.Traffic.Lane {
					if pair[0] < pair[1] {
						pairs[pair] += lane.Messages + lane.Received
					}
				}
			}
		}
	}
	return pairs, nil
}
