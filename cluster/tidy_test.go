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
}
