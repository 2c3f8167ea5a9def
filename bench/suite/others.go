package suite

import (
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
)

// allSessions are made in a cluster that copies everything everywhere: how many
// does not matter, each must be everywhere.
const allSessions = 1000

// everywhere is the number of copies that means all nodes.
const everywhere = 0

// copyAll starts a cluster in which each node has a copy of each session.
func (r *run) copyAll() error {
	defer r.span("copies everywhere")()
	o := bench.TestbedOptions{Args: r.args(1, everywhere, "acked"), Nodes: nodeCount}
	return r.with(o, 1, func() error {
		o := load.Options{Targets: r.targets(r.bed.HTTP), Protocol: load.Sessions, Clients: allSessions, Ramp: r.Scale.RampRate}
		return r.fleet(o, func(f *load.Fleet) error {
			ctx, cancel := r.step("copying sessions to all nodes")
			defer cancel()
			if _, err := f.Ramp(ctx, allSessions, r.Scale.RampRate); err != nil {
				return err
			}
			if _, err := r.bed.Agreed(ctx, r.bed.Others(), nodeCount); err != nil {
				return err
			}
			homes, copies, err := r.held(ctx, r.bed.Others())
			if err != nil {
				return err
			}
			r.measured("replication.all", percent(int64(copies), int64(homes*(nodeCount-1))), homes)
			return nil
		})
	})
}

// oneNodeHold is how long one node holds all clients.
const oneNodeHold = time.Minute

// oneNode puts all clients on one node.
func (r *run) oneNode() error {
	defer r.span("one node")()
	hold := oneNodeHold
	if r.Scale.Slack > 1 {
		hold = r.Scale.Measure
	}
	o := bench.TestbedOptions{Args: r.args(r.plan.oneWorkers, 1, "async"), Nodes: 1}
	return r.with(o, r.plan.oneWorkers, func() error {
		o := load.Options{Targets: r.targets(r.bed.TCP), Protocol: load.JSONRPC, Clients: r.Scale.Clients, Ramp: r.Scale.RampRate}
		return r.fleet(o, func(f *load.Fleet) error {
			ctx, cancel := r.step("opening all clients at one node")
			defer cancel()
			if _, err := f.Ramp(ctx, r.Scale.Clients, r.Scale.RampRate); err != nil {
				return err
			}
			p, gone, err := r.keep(f, "one node", hold)
			if err != nil {
				return err
			}
			r.measured("sustained.one-node", float64(gone), r.Scale.Clients)
			r.check("sustained.one-node").Detail = fmt.Sprintf("%d processes, %v, %.0f round trips a second", r.plan.oneWorkers, p.Took().Round(time.Second), p.PerSecond)
			return nil
		})
	})
}

func thousands(n int) string { return report.Number(float64(n)) }
