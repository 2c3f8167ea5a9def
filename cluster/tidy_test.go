package cluster

import (
	"log/slog"
	"testing"
	"time"
)

// Copies are compared soon after fills rest, so that those that others have now
// are let go, but not each time they rest while sessions are taken over.
func TestComparedAfterFills(t *testing.T) {
	var now time.Duration
	v := restView(0)
	c := NewCore(CoreOptions{
		Self: v.Nodes[0].peer(&v.Nodes[0].Workers[0]), Store: restStore{}, Wake: func(Peer) {},
		Now: func() time.Duration { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	const every = DigestEveryDefault
	next := every // when copies are to be compared
	step := func(at time.Duration, filling bool) {
		t.Helper()
		now, c.fill.due = at, filling
		if c.tidy.step(c, now); c.tidy.next != next {
			t.Fatalf("at %v: compared at %v, want %v", at, c.tidy.next, next)
		}
	}
	step(0, false)
	step(time.Second, true)
	next = 2*time.Second + restBefore
	step(2*time.Second, false)
	step(2*time.Second+1, true)
	step(2*time.Second+2, false) // at rest again: not later for that
	step(next, true)             // not while copies are on their way
	compared := next + time.Second
	next = compared + every
	step(compared, false)
	step(next-time.Second, true)
	step(next-time.Second+1, false) // the ordinary time is sooner
	c.routes.lost = next
	settled := next + settleWaits*c.o.HoldTimeout
	step(settled-1, false) // those who were at a peer that is lost come first
	next = settled + every
	step(settled, false)
}

// A session follows its client at once, but not while those whose peer was lost
// come back.
func TestMovesWaitForReturning(t *testing.T) {
	c, l, _ := strangers()
	var now time.Duration
	c.o.Now = func() time.Duration { return now }
	for _, lost := range []time.Duration{0, time.Second} {
		now = lost
		c.routes.lost = lost
		if got, want := c.HandOverTo(1, l.num), lost == 0; got != want {
			t.Errorf("lost at %v: %v, want %v", lost, got, want)
		}
	}
	now += settleWaits * c.o.HoldTimeout
	if !c.HandOverTo(1, l.num) {
		t.Error("waits for longer than those who return may take")
	}
}

// A session that came from another process of the node is announced when another
// node has a copy of it, and at once if there is no other node.
func TestAnnouncedWhenCovered(t *testing.T) {
	for _, others := range []bool{true, false} {
		c, l, store := strangers()
		p := &plan{others: others, targets: [][]*Link{{l}}, target: make([]uint16, partitions)}
		c.plan.Store(p)
		c.fill.uncertain = true
		c.tidy.announceLater(c, store.sorted()[0].ref, l)
		c.tidy.announce(c)
		if waits := len(c.tidy.moved) == 1; waits != others {
			t.Errorf("other nodes %v: it waits %v", others, waits)
		}
	}
}
