package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench"
)

// cluster runs the parts that share a cluster of four nodes. A part that fails
// fails its own checks; the next one is tried all the same.
func (r *run) cluster() error {
	o := bench.TestbedOptions{Args: r.args(r.plan.workers, replicas, "acked"), Nodes: nodeCount}
	return r.with(o, r.plan.workers, func() error {
		for _, p := range []struct {
			name  string
			parts []part
			run   func() error
		}{
			{"cluster", []part{forming}, r.forming},
			{"clients over TCP", []part{ramping, loading, holding}, r.tcp},
			{"overload", []part{overload}, r.overload},
			{"MCP sessions", []part{sessions, failing, raging}, r.sessions},
			{"members", []part{leaving}, r.leaving},
		} {
			if !r.any(p.parts...) {
				continue
			}
			r.say("%s", p.name)
			if err := p.run(); err != nil {
				if r.ctx.Err() != nil {
					return context.Cause(r.ctx)
				}
				r.say("  failed: %v", err)
				r.failParts(err, p.parts...)
			}
		}
		return nil
	})
}

// failParts fails what parts have not measured.
func (r *run) failParts(err error, parts ...part) {
	for _, s := range specsOf(r.Scale, r.Chaos) {
		for _, p := range parts {
			if c := r.report.Check(s.id); s.part == p && c != nil && c.Got == nil {
				c.Fail("%v", err)
			}
		}
	}
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

// leaving lets a node leave, join, and fall silent.
func (r *run) leaving() error {
	ctx, cancel := r.step("leaving and joining")
	defer cancel()
	defer r.span("members")()
	const who = 1
	name, others := r.bed.Name(who), r.bed.Others(who)
	gone := func(p *bench.ClusterPage) bool { return !bench.Serves(p.State(name)) }
	start := time.Now()
	left := make(chan error, 1)
	go func() { left <- r.bed.Shutdown(ctx, who) }()
	at, err := r.bed.Until(ctx, others, viewPoll, gone)
	if ended := <-left; err == nil {
		err = ended
	}
	if err != nil {
		return err
	}
	r.mark(false, "%s left", name)
	r.measured("network.left", at.Sub(start).Seconds(), 1)

	start = time.Now()
	if err := r.bed.Start(who); err != nil {
		return err
	}
	all := r.bed.Others()
	at, err = r.bed.Until(ctx, all, viewPoll, func(p *bench.ClusterPage) bool { return p.Serving() == nodeCount })
	if err != nil {
		return err
	}
	r.measured("network.joined", at.Sub(start).Seconds(), 1)
	if _, err := r.bed.Agreed(ctx, all, nodeCount); err != nil {
		return err
	}
	return r.silence(ctx, who)
}
