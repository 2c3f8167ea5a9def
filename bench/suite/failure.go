package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
)

// Events around a failure. One is under way while the node dies: each is work
// for all sessions, and what is to be seen is that none is lost.
const (
	eventsBefore = 3
	eventsDuring = 1
	eventsAfter  = 3
	// publishTries is how often an event is published until it is acknowledged:
	// copies may be on their way to new holders.
	publishTries = 10
)

// fail kills a node while its clients call and hear events, and brings it back.
func (r *run) fail(f *load.Fleet) error {
	ctx, cancel := r.step("failing over")
	defer cancel()
	defer r.span("a node dies")()
	const victim = 2
	before, _, err := r.held(ctx, r.bed.Others())
	if err != nil {
		return err
	}
	if err := f.Rate(ctx, r.Scale.HoldRate); err != nil {
		return err
	}
	phase, err := f.Phase(ctx, "a node dies")
	if err != nil {
		return err
	}
	begun := time.Now() // of the phase
	if err := surely(ctx, f, eventsBefore); err != nil {
		return fmt.Errorf("suite: events before the failure: %w", err)
	}
	killed, err := r.killed(ctx, f, victim)
	if err != nil {
		return err
	}
	heard, err := f.Audit(ctx)
	if err != nil {
		return err
	}
	p, err := phase.End(ctx)
	if err != nil {
		return err
	}
	if err := f.Rate(ctx, 0); err != nil {
		return err
	}
	after, _, err := r.held(ctx, r.bed.Others(victim))
	if err != nil {
		return err
	}
	r.measured("replication.same", percent(int64(after), int64(before)), before)
	served := p.Outages.LastBackS - p.FromS - killed.Sub(begun).Seconds()
	r.measured("failure.served", served, int(p.Outages.Lost))
	r.charts.failure.served = r.charts.failure.killed + time.Duration(served*float64(time.Second))
	r.survived(p, heard)
	return r.returned(ctx, victim)
}

// killed kills a node, publishes meanwhile, and waits until the others know and
// all clients are back. It returns when the node was killed.
func (r *run) killed(ctx context.Context, f *load.Fleet, victim int) (time.Time, error) {
	lostBefore, err := lost(ctx, f)
	if err != nil {
		return time.Time{}, err
	}
	name, others := r.bed.Name(victim), r.bed.Others(victim)
	type verdict struct {
		at  time.Time
		err error
	}
	start, err := r.bed.Kill(victim)
	if err != nil {
		return start, err
	}
	r.mark(true, "%s killed", name)
	detected := make(chan verdict, 1)
	go func() {
		at, err := r.bed.Until(ctx, others, viewPoll, func(p *bench.ClusterPage) bool { return !bench.Serves(p.State(name)) })
		detected <- verdict{at, err}
	}()
	during := publish(ctx, f, eventsDuring) // some may fail: then they need not be heard
	seen := <-detected
	if seen.err != nil {
		return start, seen.err
	}
	r.markAt(seen.at, false, "detected")
	r.charts.failure = &failure{killed: start.Sub(r.begun), detected: seen.at.Sub(r.begun)}
	r.measured("failure.detected", seen.at.Sub(start).Seconds(), len(others))
	if err := back(ctx, f, lostBefore); err != nil {
		return start, err
	}
	r.mark(false, "all served")
	if err := surely(ctx, f, eventsAfter); err != nil {
		return start, errors.Join(fmt.Errorf("suite: events after the failure: %w", err), during)
	}
	return start, nil
}

// survived sets the checks of what a failure did to clients.
func (r *run) survived(p *load.PhaseResult, heard *load.Audit) {
	n, lost := r.Scale.Clients, p.Outages.Lost
	r.measured("failure.recovered", percent(p.Outages.Back, lost), int(lost))
	r.measured("failure.survival", 100*(1-float64(p.Counts.Gone)/float64(n)), n)
	r.measured("failure.lost", float64(heard.Missing), int(heard.Published)*heard.Clients)
	r.measured("failure.doubled", float64(heard.Doubled), int(heard.Published)*heard.Clients)
	r.measured("replication.transparent", float64(p.Counts.Gone), n)
	l := &p.Outages.Length
	r.check("failure.served").Detail = fmt.Sprintf("outages: median %v, 99th percentile %v, longest %v", short(l.P50), short(l.P99), short(l.Max))
}

// returned starts a node again and waits until all copies are in place.
func (r *run) returned(ctx context.Context, who int) error {
	start := time.Now()
	if err := r.bed.Start(who); err != nil {
		return err
	}
	at, err := r.bed.Agreed(ctx, r.bed.Others(), nodeCount)
	if err != nil {
		return err
	}
	r.mark(false, "%s back", r.bed.Name(who))
	r.measured("failure.rebalanced", at.Sub(start).Seconds(), nodeCount)
	return nil
}

// surely publishes until so many events were acknowledged.
func surely(ctx context.Context, f *load.Fleet, count int) error {
	for range count {
		var err error
		for range publishTries {
			if err = publish(ctx, f, 1); err == nil || ctx.Err() != nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publish has the load generator publish events one after another and returns
// the first error.
func publish(ctx context.Context, f *load.Fleet, count int) (first error) {
	for range count {
		if _, err := f.Publish(ctx); err != nil && first == nil {
			first = err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return first
}

// lost returns how many connections have been lost so far.
func lost(ctx context.Context, f *load.Fleet) (int64, error) {
	s, err := f.Fresh(ctx)
	return s.Total.Lost, err
}

// back waits until clients have noticed a failure, of which before connections
// had been lost, and all are connected again.
func back(ctx context.Context, f *load.Fleet, before int64) error {
	if _, err := f.Until(ctx, func(s load.Status) bool { return s.Total.Lost > before }); err != nil {
		return err
	}
	return f.Recovered(ctx)
}
