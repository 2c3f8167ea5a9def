package bench

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const (
	// killSessions are at home in the cluster while nodes die.
	killSessions = 2000
	// killAge is how long all nodes must have been up and filled when one is
	// killed: what is on its way to a new node may have one copy less.
	killAge = 2 * time.Second
	// routeBar bounds the time until all others route around a dead node.
	routeBar = 1.0
)

// kill kills one node after another and starts it again.
func (b *clusterBench) kill(ctx context.Context) error {
	return b.with(ctx, clusterNodes, nil, func(ctx context.Context, c *nodes) error {
		if err := b.rest(ctx, c, killSessions); err != nil {
			return err
		}
		var verdicts, routed []time.Duration
		for i := range b.Kills {
			b.progress.step("kill %d of %d", i+1, b.Kills)
			v, r, err := b.killOne(ctx, c, i%clusterNodes)
			if err != nil {
				return fmt.Errorf("kill %d: %w", i+1, err)
			}
			verdicts, routed = append(verdicts, v), append(routed, r)
		}
		b.report.times("kill", "all others have the verdict", verdicts, noBar)
		b.report.times("kill", "all others route around it, every session has a home", routed, routeBar)
		return nil
	})
}

// rest makes sessions without streams, evenly at all nodes.
func (b *clusterBench) rest(ctx context.Context, c *nodes, sessions int) error {
	r, err := hireRoamers(b.Self, c, b.Timeout)
	if err != nil {
		return err
	}
	for i := range c.list {
		if err == nil {
			err = r.enroll(ctx, i, sessions/len(c.list), false, nil)
		}
	}
	if stopped := r.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	ctx, cancel := b.step(ctx, "copying sessions")
	defer cancel()
	_, err = c.agreed(ctx, c.all(), len(c.list))
	return err
}

// killOne kills a node, takes the times and brings it back.
func (b *clusterBench) killOne(ctx context.Context, c *nodes, victim int) (verdict, routed time.Duration, err error) {
	if err := Sleep(ctx, killAge); err != nil {
		return 0, 0, err
	}
	if _, err := c.agreed(ctx, c.all(), len(c.list)); err != nil {
		return 0, 0, err
	}
	step, cancel := b.step(ctx, "the death of "+c.list[victim].name)
	defer cancel()
	others := c.except(victim)
	start := time.Now()
	if err := c.kill(victim); err != nil {
		return 0, 0, err
	}
	dead, err := c.each(others, func(n *node) (time.Time, error) {
		return n.until(step, viewPoll, func(p *clusterPage) bool { return !serves(p.state(c.list[victim].name)) })
	})
	if err != nil {
		return 0, 0, err
	}
	home, err := c.homed(step, others, killSessions, viewPoll)
	if err != nil {
		return 0, 0, err
	}
	if err := c.start(victim); err != nil {
		return 0, 0, err
	}
	back, cancel := b.step(ctx, "the return of "+c.list[victim].name)
	defer cancel()
	_, err = c.agreed(back, c.all(), len(c.list))
	return dead.Sub(start), home.Sub(start), err
}

const (
	memberRounds = 10
	memberBar    = 1.0
)

// members lets a node join and leave a cluster of three.
func (b *clusterBench) members(ctx context.Context) error {
	rounds := memberRounds
	if b.Quick {
		rounds = 2
	}
	return b.with(ctx, clusterNodes, nil, func(ctx context.Context, c *nodes) error {
		var joined, left []time.Duration
		for i := range rounds {
			b.progress.step("leave and join %d of %d", i+1, rounds)
			l, j, err := b.leaveAndJoin(ctx, c, i%clusterNodes)
			if err != nil {
				return err
			}
			left, joined = append(left, l), append(joined, j)
		}
		b.report.times("members", "all agree that a node left, from SIGTERM", left, memberBar)
		b.report.times("members", "all agree that a node joined, from the start of its process", joined, memberBar)
		return nil
	})
}

func (b *clusterBench) leaveAndJoin(ctx context.Context, c *nodes, who int) (left, joined time.Duration, err error) {
	ctx, cancel := b.step(ctx, "leaving and joining")
	defer cancel()
	others, name := c.except(who), c.list[who].name
	start := time.Now()
	p := c.list[who].process
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, err
	}
	at, err := c.each(others, func(n *node) (time.Time, error) {
		return n.until(ctx, viewPoll, func(p *clusterPage) bool { return !serves(p.state(name)) })
	})
	if err != nil {
		return 0, 0, err
	}
	left = at.Sub(start)
	_ = p.stop() // it ends by itself; a status of its own is not measured
	c.list[who].process = nil
	start = time.Now()
	if err := c.start(who); err != nil {
		return 0, 0, err
	}
	at, err = c.each(c.all(), func(n *node) (time.Time, error) {
		return n.until(ctx, viewPoll, func(p *clusterPage) bool { return p.serving() == len(c.list) })
	})
	if err != nil {
		return 0, 0, err
	}
	joined = at.Sub(start)
	_, err = c.agreed(ctx, c.all(), len(c.list))
	return left, joined, err
}
