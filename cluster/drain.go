package cluster

import (
	"context"
	"time"
)

// moveAway hands sessions at home here to other nodes at a stated rate.
type moveAway struct {
	on    bool
	all   bool // else those only whose partition another node holds first
	rate  float64
	begun time.Duration
	moved int
	at    uint32
	done  chan error
	left  int // sessions that could not move in this round
	// awaits says that all have left and some have not arrived: those that are
	// not taken come back.
	awaits bool
}

// Drain moves all sessions that are at home here to the holders of their first
// copies, at most rate a second; streams are ended in the ordinary way and their
// clients take them up again elsewhere. It returns when none is left and all have
// arrived with their copies, or with ctx's error. Sessions with calls in flight are tried again. Others must know
// already that this node drains, so that they send nothing new.
func (c *Core) Drain(ctx context.Context, rate float64) error { return c.moveAway(ctx, rate, true) }

// Rebalance moves the sessions whose partition another node holds first, as
// after a join, at most rate a second, each once. Those with an open stream go
// where their client comes back.
func (c *Core) Rebalance(ctx context.Context, rate float64) error {
	return c.moveAway(ctx, rate, false)
}

func (c *Core) moveAway(ctx context.Context, rate float64, all bool) error {
	done := c.startMove(rate, all)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		c.later(func() {
			if c.away.done == done {
				c.away = moveAway{}
			}
		})
		return ctx.Err()
	}
}

func (c *Core) startMove(rate float64, all bool) chan error {
	done := make(chan error, 1)
	c.later(func() {
		if c.away.on {
			done <- errMoving
			return
		}
		c.away = moveAway{on: true, all: all, rate: max(rate, 1), begun: c.o.Now(), done: done}
	})
	return done
}

// step moves what the rate allows.
func (m *moveAway) step(c *Core, now time.Duration) bool {
	if !m.on || c.spread.busy() {
		return false
	}
	if m.awaits {
		if c.departing() {
			return false
		}
		m.awaits = false // some may have come back
	}
	budget := int(m.rate*(now-m.begun).Seconds()) - m.moved
	if budget <= 0 {
		return false
	}
	n, more := 0, false
	c.o.Store.Range(m.at, func(ref uint64, s Session) bool {
		if n++; n > fillStep || budget <= 0 {
			m.at, more = uint32(ref), true
			return false
		}
		switch m.see(c, ref, &s) {
		case movedOn:
			m.moved++
			budget--
		case movesLater:
			m.left++
		}
		return true
	})
	if more {
		return budget > 0
	}
	m.at = 0
	if left := m.left; left > 0 && m.all {
		m.left = 0
		return false
	}
	if m.awaits = m.all && c.departing(); m.awaits {
		return false
	}
	m.done <- nil
	*m = moveAway{}
	return false
}

type moveResult uint8

const (
	movedNot moveResult = iota
	movedOn
	movesLater
)

func (m *moveAway) see(c *Core, ref uint64, s *Session) moveResult {
	if s.Home != 0 {
		return movedNot
	}
	p := c.plan.Load()
	part := partitionOf(s.ID)
	order := p.order(part)
	if !m.all && (len(order) == 0 || p.nodes[order[0]].self) {
		return movedNot
	}
	to, _ := p.successor(part, c.o.Self.Node)
	if to == nil || !p.accepts(to) || !c.handOver(ref, to) {
		return movesLater
	}
	return movedOn
}
