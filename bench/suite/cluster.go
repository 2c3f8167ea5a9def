package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench"
)

// cluster runs the parts that share a cluster of four nodes.
func (r *run) cluster() error {
	o := bench.TestbedOptions{Args: r.args(r.plan.workers, replicas, "acked"), Nodes: nodeCount}
	return r.with(o, r.plan.workers, func() error {
		return r.attempt([]stage{
			{"cluster", []part{forming}, r.forming},
			{"clients over TCP", []part{ramping, loading, holding}, r.tcp},
			{"overload", []part{overload}, r.overload},
			{"MCP sessions", []part{sessions, failing, raging}, r.sessions},
			{"members", []part{leaving}, r.leaving},
		})
	})
}

// forming looks at the cluster that has just come up.
func (r *run) forming() error {
	ctx, cancel := r.step("looking at the cluster")
	defer cancel()
	agree, ready := 0, 0
	for i := range r.bed.Len() {
		p, err := r.bed.Page(ctx, i)
		if err != nil {
			return err
		}
		if p.Serving() == nodeCount && p.Ready(nodeCount*r.plan.workers-1) {
			agree++
		}
		if _, err := r.bed.Get(ctx, i, "/readyz"); err == nil {
			ready++
		}
	}
	r.measured("cluster.formed", float64(agree), nodeCount)
	r.measured("cluster.ready", float64(ready), nodeCount)
	pairs := 0
	var last error
	for i := range r.bed.Len() {
		s, err := newSession(ctx, r.bed.HTTP(i))
		if err != nil {
			return err
		}
		for _, j := range r.bed.Others(i) {
			if err := s.echo(ctx, r.bed.HTTP(j), fmt.Sprintf("from %d to %d", i, j)); err != nil {
				last = err
				continue
			}
			pairs++
		}
		s.close()
	}
	r.measured("cluster.calls", float64(pairs), nodeCount*(nodeCount-1))
	if last != nil {
		r.check("cluster.calls").Detail = last.Error()
	}
	return nil
}

const viewPoll = 10 * time.Millisecond

// drainPoll is how often one of the nodes is asked while another one gives its
// sessions away: less often than for a figure of milliseconds, and only one of
// them until it has seen the end, because who answers counts its sessions. Three
// of them asked that often used a tenth of all processor time.
const drainPoll = 50 * time.Millisecond

// vacantPoll is how often nodes are asked whether connections are left.
const vacantPoll = 250 * time.Millisecond

// vacant waits until the nodes have noticed that their clients have gone: to close
// tens of thousands of connections takes seconds, and is no part of what follows.
func (r *run) vacant(ctx context.Context) error {
	tick := time.NewTicker(vacantPoll)
	defer tick.Stop()
	for _, i := range r.bed.Others() {
		for {
			metrics, err := metricsOf(ctx, r.bed, i)
			if err != nil {
				return err
			}
			if metrics.Total(connectionsMetric) == 0 {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("suite: %s has connections left: %w", r.bed.Name(i), context.Cause(ctx))
			}
		}
	}
	return nil
}

// connectionsMetric is how many connections of clients are open.
const connectionsMetric = "rookery_connections"

// left lets a node leave with the sessions that it has. All others agree on that
// at once; it is gone when its sessions are elsewhere.
func (r *run) left(ctx context.Context, who int, name string, others []int) error {
	homes, _, err := r.held(ctx, []int{who})
	if err != nil {
		return err
	}
	start := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- r.bed.Shutdown(ctx, who) }()
	agreed, err := r.bed.Until(ctx, others, viewPoll, func(p *bench.ClusterPage) bool { return !p.Takes(name) })
	gone := agreed
	hasLeft := func(p *bench.ClusterPage) bool { return !bench.Serves(p.State(name)) }
	if err == nil {
		_, err = r.bed.Until(ctx, others[:1], drainPoll, hasLeft)
	}
	if err == nil {
		gone, err = r.bed.Until(ctx, others, viewPoll, hasLeft)
	}
	if e := <-ended; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	r.markAt(agreed, false, "%s leaves", name)
	r.markAt(gone, false, "%s left", name)
	r.measured("network.left", agreed.Sub(start).Seconds(), len(others))
	r.measured("network.drained", gone.Sub(start).Seconds(), homes)
	r.check("network.drained").Detail = fmt.Sprintf("%s sessions were at home there", thousands(homes))
	return nil
}

// leaving lets a node leave, join, and fall silent.
func (r *run) leaving() error {
	ctx, cancel := r.step("leaving and joining")
	defer cancel()
	defer r.span("members")()
	const who = 1
	name, others := r.bed.Name(who), r.bed.Others(who)
	if err := r.vacant(ctx); err != nil {
		return err
	}
	if err := r.left(ctx, who, name, others); err != nil {
		return err
	}
	start := time.Now()
	if err := r.bed.Start(who); err != nil {
		return err
	}
	all := r.bed.Others()
	at, err := r.bed.Until(ctx, all, viewPoll, func(p *bench.ClusterPage) bool { return p.Serving() == nodeCount })
	if err != nil {
		return err
	}
	r.measured("network.joined", at.Sub(start).Seconds(), 1)
	if _, err := r.bed.Agreed(ctx, all, nodeCount); err != nil {
		return err
	}
	return r.silence(ctx, who)
}
