package suite

import (
	"time"

	"github.com/rookery-server/rookery/bench/load"
)

const (
	overloadClients = 400
	overloadBurst   = 64
	overloadRate    = 500_000 // more than any machine answers: bursts wait for clients
	overloadTime    = 3 * time.Second
	overloadSize    = "4096" // a burst is more than a connection may keep waiting
)

// overload overruns the queues to the worker pools: clients pipeline bursts of
// calls whose handlers run there.
func (r *run) overload() error {
	defer r.span("overload")()
	o := load.Options{
		Targets: r.targets(r.bed.TCP), Protocol: load.JSONRPC, Method: "echo.worker", Clients: overloadClients, Burst: overloadBurst,
		Ramp: r.Scale.RampRate, DropAfter: time.Millisecond, Tick: load.DefaultTick,
		Timeout: time.Minute, // a burst of all is answered one after another
	}
	size, err := load.ParseSize(overloadSize)
	if err != nil {
		return err
	}
	o.Size = size
	before, err := lookAll(r.ctx, r.bed)
	if err != nil {
		return err
	}
	return r.fleet(o, func(f *load.Fleet) error {
		ctx, cancel := r.step("opening clients")
		defer cancel()
		if _, err := f.Ramp(ctx, overloadClients, r.Scale.RampRate); err != nil {
			return err
		}
		p, err := r.phase(f, "overload", overloadRate, min(overloadTime, r.Scale.Measure))
		if err != nil {
			return err
		}
		// Afterwards the pool must serve as if nothing had been.
		calm, err := r.phase(f, "after the overload", 100, time.Second)
		if err != nil {
			return err
		}
		after, err := lookAll(ctx, r.bed)
		if err != nil {
			return err
		}
		grown := func(name string) float64 { return sum(after, metric(name)) - sum(before, metric(name)) }
		bad := p.Counts.Failures() + calm.Counts.Failures() + p.Checks.OutOfOrder
		r.measured("components.backpressure", grown("rookery_requests_shed_total"), int(p.Counts.Sent))
		r.measured("components.paused", grown("rookery_read_pauses_total"), int(p.Counts.Sent))
		r.measured("components.pool", float64(bad), int(p.Counts.Sent+calm.Counts.Sent))
		r.measured("components.drained", sum(after, metric("rookery_ring_depth")), nodeCount)
		return nil
	})
}
