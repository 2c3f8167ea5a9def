package cluster

import (
	"slices"
	"sync/atomic"
	"time"
)

// lateWrites are the sessions that were brought an event of their own, outside
// of a publication: a notification, or what they missed on their way here. It is
// in their logs and on its way to their copies, and is written to their clients
// when the links have it, like publications: a home that is killed in between
// leaves no client with an event that no copy has. What is brought meanwhile
// waits for the next time.
//
// Step uses it. It is bounded by the jobs of Step, and by the sessions.
type lateWrites struct {
	brought []uint64
	writing []lateWrite
	marks   []linkMark // where the links have to get
	by      time.Duration
	waiting atomic.Bool // for the links; others read it
}

// lateWrite is a session with the number of the latest event in its log when the
// marks were taken: what is brought to it while they are waited for is not behind
// them.
type lateWrite struct {
	ref  uint64
	last uint32
}

func (t *lateWrites) add(ref uint64) { t.brought = append(t.brought, ref) }

// busy reports whether a session waits for something to be written.
func (t *lateWrites) busy() bool { return len(t.brought)+len(t.writing) > 0 }

func (t *lateWrites) step(c *Core, now time.Duration) {
	if c.spread.round.unflushed() {
		return // Commit would write what is not on its way to the copies yet
	}
	for t.busy() {
		if len(t.writing) == 0 {
			for _, ref := range t.brought {
				t.writing = append(t.writing, lateWrite{ref, c.o.Store.Latest(ref)})
			}
			t.brought = t.brought[:0]
			t.marks, t.by = c.marks(), now+flushWait
			t.waiting.Store(true)
		}
		if !flushed(t.marks) && (now < t.by || cutOff(t.marks) && now < t.by+verdictWait) {
			return // Written comes, or a verdict
		}
		t.waiting.Store(false)
		for _, w := range t.writing {
			c.o.Store.Commit(w.ref, w.last)
		}
		t.writing = t.writing[:0]
	}
}

// flushed reports whether the kernel has everything before the marks that is
// worth waiting for.
func flushed(marks []linkMark) bool {
	return !slices.ContainsFunc(marks, func(m linkMark) bool { return m.l.alive.Load() && !m.l.flushed(m.m) })
}

// cutOff reports whether a link that did not move has no connection: either its
// peer is gone, or we are, and others will have our sessions.
func cutOff(marks []linkMark) bool {
	return slices.ContainsFunc(marks, func(m linkMark) bool { return m.l.alive.Load() && !m.l.flushed(m.m) && !m.l.connected() })
}
