package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
)

const (
	// restTime is how long memory must not have fallen by a hundredth to count
	// as at rest, less at scales that measure for less; restMax is how long that
	// is waited for.
	restTime = 3 * time.Second
	restMax  = time.Minute
	// warmUp is how long calls are made before they are measured, at most.
	warmUp = time.Second
	// rampMeasure is how long the rate is measured at each size.
	rampMeasure = 5 * time.Second
)

// tcp opens TCP clients in steps and lets them call.
func (r *run) tcp() error {
	o := load.Options{Targets: r.targets(r.bed.TCP), Protocol: load.JSONRPC, Clients: r.Scale.Clients, Ramp: r.Scale.RampRate}
	return r.fleet(o, func(f *load.Fleet) error {
		if err := r.ramps(f); err != nil {
			return err
		}
		if r.any(loading) {
			if err := r.load(f); err != nil {
				return err
			}
		}
		if r.any(holding) {
			return r.hold(f)
		}
		return nil
	})
}

// ramps opens all clients, and measures at each size what a second brings.
func (r *run) ramps(f *load.Fleet) error {
	defer r.span("ramps")()
	var first, last float64
	for _, n := range r.Scale.Ramps {
		ctx, cancel := r.step(fmt.Sprintf("the ramp to %d clients", n))
		ramp, err := f.Ramp(ctx, n, r.Scale.RampRate)
		cancel()
		if err != nil {
			return err
		}
		r.measured(rampID(n), 100*float64(f.Status().Connected)/float64(n), n)
		if n == r.Scale.Clients {
			r.measured("scaling.rate", ramp.PerSecond, ramp.Opened)
			r.mark(false, "%d connected", n)
		}
		p, err := r.phase(f, fmt.Sprintf("ramp %d", n), r.Scale.Rate, min(rampMeasure, r.Scale.Measure))
		if err != nil {
			return err
		}
		if first == 0 {
			first = p.PerSecond
		}
		last = p.PerSecond
		r.check(rampID(n)).Detail = fmt.Sprintf("%.0f connections a second; then %.0f round trips a second, p50 %v, p99 %v, %d connections lost",
			ramp.PerSecond, p.PerSecond, short(p.Corrected.P50), short(p.Corrected.P99), p.Outages.Lost)
	}
	r.measured("performance.scaling", 100*last/first, len(r.Scale.Ramps))
	return nil
}

// phase measures calls at a rate for a while, after a short warm-up, and leaves
// the clients silent.
func (r *run) phase(f *load.Fleet, name string, rate float64, d time.Duration) (*load.PhaseResult, error) {
	ctx, cancel := context.WithTimeoutCause(r.ctx, d+r.Step, fmt.Errorf("%s took longer than %v (--step-timeout)", name, d+r.Step))
	defer cancel()
	if err := f.Rate(ctx, rate); err != nil {
		return nil, err
	}
	if err := f.Hold(ctx, min(warmUp, d/2)); err != nil {
		return nil, err
	}
	p, err := f.Phase(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := f.Hold(ctx, d); err != nil {
		return nil, err
	}
	result, err := p.End(ctx)
	if err != nil {
		return nil, err
	}
	return result, f.Rate(ctx, 0)
}

// rest waits until the servers' memory, that of all its pages or of some, no
// longer falls and returns it in bytes.
func (r *run) rest(of func(look) float64) (float64, error) {
	ctx, cancel := context.WithTimeout(r.ctx, restMax)
	defer cancel()
	last := -1.0
	for {
		looks, err := lookAll(r.ctx, r.bed)
		if err != nil {
			return 0, err
		}
		now := sum(looks, of)
		if last >= 0 && now > last*0.99 {
			return min(now, last), nil
		}
		last = now
		if err := bench.Sleep(ctx, min(restTime, r.Scale.Measure)); err != nil {
			if r.ctx.Err() != nil {
				return 0, context.Cause(r.ctx)
			}
			return last, nil // it falls still: the value is too high rather than too low
		}
	}
}

// memory measures what idle clients cost: all servers' memory as it comes to
// rest by itself, and by how much the servers have grown for each client, after
// a collection as before the first client and without free pages, so that garbage
// counts on neither side.
func (r *run) memory(whole, each string) error {
	n := r.Scale.Clients
	idle, err := r.rest(memoryOf)
	if err != nil {
		return err
	}
	r.measured(whole, idle/1e6, n)
	if err := r.collect(); err != nil {
		return err
	}
	if idle, err = r.rest(usedOf); err != nil {
		return err
	}
	r.measured(each, (idle-r.bare)/float64(n), n)
	return nil
}

// collect makes all nodes run their garbage collector: twice, because pools let go
// of what they keep in the second collection.
func (r *run) collect() error {
	for i := range 2 * r.bed.Len() {
		node := i % r.bed.Len()
		for w := range r.procs {
			path := "/debug/pprof/heap?gc=1"
			if r.procs > 1 {
				path += "&worker=" + strconv.Itoa(w)
			}
			if _, err := r.bed.Get(r.ctx, node, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// load measures memory at rest, and calls at the rate of the scale.
func (r *run) load(f *load.Fleet) error {
	defer r.span("calls")()
	if err := r.memory("resources.memory-tcp", "resources.connection"); err != nil {
		return err
	}
	if _, err := r.phase(f, "warm-up", r.Scale.Rate, r.Scale.Measure/3); err != nil {
		return err
	}
	before, err := lookAll(r.ctx, r.bed)
	if err != nil {
		return err
	}
	from, alone := r.beside.read(r.ctx)
	start := time.Now()
	p, err := r.phase(f, "calls over TCP", r.Scale.Rate, r.Scale.Measure)
	if err != nil {
		return err
	}
	took := time.Since(start)
	after, err := lookAll(r.ctx, r.bed)
	if err != nil {
		return err
	}
	to, err := r.beside.read(r.ctx)
	alone = errors.Join(alone, err)
	r.latency(p)
	calls := int(p.Counts.Sent)
	r.measured("performance.order", percent(p.Checks.OutOfOrder+p.Checks.Unasked, p.Checks.Verified), int(p.Checks.Verified))
	r.measured("performance.errors", percent(p.Counts.Failures()+p.Counts.Dropped, p.Counts.Due), calls)
	grown, n := r.watch.growth(start, start.Add(took), (sum(after, memoryOf)-sum(before, memoryOf))/1e6)
	r.measured("components.growth", grown, n)
	used := sum(after, func(l look) float64 { return l.cpu.Seconds() }) - sum(before, func(l look) float64 { return l.cpu.Seconds() })
	r.measured("resources.cpu", 100*used/took.Seconds()/float64(r.report.Machine.CPUs), nodeCount)
	r.check("resources.cpu").Detail = fmt.Sprintf("the load generator used %.0f %%", 100*p.Generator.CPU.Seconds()/p.Took().Seconds()/float64(r.report.Machine.CPUs))
	r.controlPauses(r.pauses(before, after), to.Since(from), alone)
	return r.charts.histogram("round-trips", "Round trips over TCP by latency from the due time", p.Corrected)
}

// latency sets the checks of rate and latency.
func (r *run) latency(p *load.PhaseResult) {
	n := int(p.Corrected.Count)
	r.measured("performance.throughput", p.PerSecond, n)
	r.measured("performance.p50", ms(p.Corrected.P50), n)
	r.measured("performance.p95", ms(p.Corrected.P95), n)
	r.measured("performance.p99", ms(p.Corrected.P99), n)
	r.measured("performance.max", ms(p.Corrected.Max), n)
	if p.Counts.Late > 0 {
		r.check("performance.throughput").Detail = fmt.Sprintf("%d of %d calls were sent over %v after they were due; %d were dropped",
			p.Counts.Late, p.Counts.Due, load.LateAfter, p.Counts.Dropped)
	}
}

// hold keeps all clients, with a few calls, and counts connections that end: for
// the two times of the scale, or the one that is asked for.
func (r *run) hold(f *load.Fleet) error {
	const shortID, longID = "sustained.short", "sustained.long"
	r.watch.quality()
	for i, id := range []string{shortID, longID} {
		if r.report.Check(id) == nil && (id == longID || r.report.Check(longID) != nil) {
			continue // but one there must be, for what is measured beside it
		}
		r.say("  holding %d connections for %v", r.Scale.Clients, r.Scale.Holds[i])
		end := r.span(fmt.Sprintf("held %v", r.Scale.Holds[i]))
		start := time.Now()
		p, gone, err := r.keep(f, id, r.Scale.Holds[i])
		end()
		if err != nil {
			return err
		}
		r.measured(id, float64(gone), r.Scale.Clients)
		detail := fmt.Sprintf("%v, %.0f round trips a second, %d failed", p.Took().Round(time.Second), p.PerSecond, p.Counts.Failures())
		if grown, looks := r.watch.growth(start, time.Now(), 0); looks > 2 {
			detail += fmt.Sprintf("; memory of all servers %+.1f MB", grown)
		}
		r.check(id).Detail = detail
	}
	looks, failed := r.watch.quality()
	r.measured("sustained.metrics", percent(int64(looks-failed), int64(looks)), looks)
	return nil
}

// keep lets all clients be for a while, with a few calls, and returns also how
// many connections ended or are missing. Those of the warm-up count: nobody may
// go then either.
func (r *run) keep(f *load.Fleet, name string, d time.Duration) (*load.PhaseResult, int64, error) {
	before, err := lost(r.ctx, f)
	if err != nil {
		return nil, 0, err
	}
	p, err := r.phase(f, name, r.Scale.HoldRate, d)
	if err != nil {
		return nil, 0, err
	}
	after, err := lost(r.ctx, f)
	return p, max(after-before, int64(r.Scale.Clients-p.Connected)), err
}

// percent returns the share of part in whole in hundredths, 0 of nothing.
func percent(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// short rounds d to three digits, for people.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
