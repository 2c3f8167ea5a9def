package cluster

import (
	"sync/atomic"
	"time"
)

// round is some publications on their way through the sessions together. Their
// events go into logs, and with that to the links of the copies, one publication
// after another. Then the links are given the time to hand all of it to the
// kernel, once. Then the clients are written to, each once for all publications:
// a process that is killed leaves no client with an event that no copy has.
//
// Those that are acknowledged do not wait for the clients here: the copies have
// the events, and a client that is not reached resumes.
//
// A round is bounded by the sessions it has visited and by the number and length
// of its publications. What comes beyond stays in the queue, and at last with its
// publishers.
type round struct {
	stage   roundStage
	list    []underway // in the order in which they began
	visits  int        // sessions visited since the last flush
	bytes   int        // of payloads
	most    int        // immutable; visits at which the round is full
	carried bool       // list began in an earlier round: nothing is added
	at      int        // of list; who is written to

	// What was put into logs is written to clients when the links have given it
	// to the kernel, or at flushBy: one that does not move is no reason to keep
	// clients waiting.
	flushing atomic.Bool
	// noting: what is noted now, by whomever, waits on the links until the round
	// marks them.
	noting  atomic.Bool
	flush   []linkMark
	flushBy time.Duration
}

type roundStage uint8

const (
	roundOver    roundStage = iota // nothing is on its way
	roundNoting                    // into logs
	roundFlush                     // to the kernel
	roundWriting                   // to clients
)

// underway is one publication of a round.
type underway struct {
	in      incoming
	walk    Walk
	view    uint64 // hash of the view in which the walk began
	visited bool   // all sessions
}

const (
	roundVisits = 4096 // sessions: as many may have events that wait to be written
	roundLength = 64   // publications
	roundBytes  = 1 << 20
)

// unflushed reports whether there may be events in logs that are not on their way
// to the copies.
func (r *round) unflushed() bool { return r.stage == roundNoting || r.stage == roundFlush }

// step does a part of the round and reports whether there is more to do.
func (r *round) step(c *Core, now time.Duration) (more bool) {
	switch r.stage {
	case roundOver:
		if !r.add(c, now) {
			return false
		}
		r.stage = roundNoting
		r.noting.Store(true)
		fallthrough
	case roundNoting:
		if r.note(c, now) {
			return true
		}
		r.stage = roundFlush
		r.noting.Store(false)
		r.flush, r.flushBy = c.marks(), now+flushWait
		r.flushing.Store(true)
		fallthrough
	case roundFlush:
		if !flushed(r.flush) {
			if now < r.flushBy || cutOff(r.flush) && now < r.flushBy+verdictWait {
				return false // Written comes, or a verdict
			}
			r.stalled(c)
		}
		r.flushing.Store(false)
		r.held(c, now)
		r.stage = roundWriting
		return true
	default:
		if !r.write() {
			return true
		}
		r.end(c)
	}
	if r.stage != roundOver {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spread.queue) > 0
}

// add takes the next publication into the round.
func (r *round) add(c *Core, now time.Duration) bool {
	u, ok := c.spread.next(c, now)
	if ok {
		r.list = append(r.list, u)
		r.bytes += len(u.in.payload)
	}
	return ok
}

// note brings the latest publication to some more sessions, and reports whether
// the round takes more.
func (r *round) note(c *Core, now time.Duration) (more bool) {
	u := &r.list[len(r.list)-1]
	before := u.walk.Visited()
	u.visited = u.walk.Step(spreadStep)
	r.visits += u.walk.Visited() - before
	if u.visited {
		u.in.letGo()
	}
	switch {
	case r.visits >= r.most:
		return false
	case !u.visited:
		return true
	}
	return !r.carried && len(r.list) < roundLength && r.bytes < roundBytes && r.add(c, now)
}

// held has those that are in all logs wait for the copies, if they are to be
// acknowledged.
func (r *round) held(c *Core, now time.Duration) {
	for i := range r.list {
		if u := &r.list[i]; u.visited && u.in.acked {
			c.spread.waits = append(c.spread.waits, wait{in: u.in, view: u.view, delivered: u.walk.Delivered(), marks: r.flush, at: now})
		}
	}
	c.spread.settle(c, now)
}

// write writes to some more clients and reports whether all were written to.
func (r *round) write() (done bool) {
	for left := spreadStep; r.at < len(r.list); r.at++ {
		n, done := r.list[r.at].walk.Commit(left)
		if left -= n; !done {
			return false
		}
	}
	return true
}

// end takes out what is through. A publication that has not visited all sessions
// goes on alone, so that what waits for the end of a round has its turn.
func (r *round) end(c *Core) {
	for i := range r.list {
		if u := &r.list[i]; u.visited && !u.in.acked {
			c.spread.done(c, &u.in, statusHeld, u.walk.Delivered())
		}
	}
	last := r.list[len(r.list)-1]
	clear(r.list)
	r.list, r.flush = r.list[:0], nil
	r.visits, r.bytes, r.at = 0, 0, 0
	if r.carried = !last.visited; r.carried {
		r.list, r.stage = append(r.list, last), roundNoting
		r.noting.Store(true)
	} else {
		r.stage = roundOver
	}
}

// stalled gives up the links that did not move in time.
func (r *round) stalled(c *Core) {
	for _, m := range r.flush {
		if !m.l.flushed(m.m) {
			m.l.stall()
			c.count.stalls.Add(1)
		}
	}
}

// marks returns where each link to a peer that is alive stands. What waits on a
// link for more is put on its way first.
func (c *Core) marks() []linkMark {
	c.mu.Lock()
	defer c.mu.Unlock()
	var marks []linkMark
	for _, l := range c.links {
		if m := l.mark(); l.alive.Load() && !l.sameNode() {
			marks = append(marks, linkMark{l, m})
		}
	}
	return marks
}
