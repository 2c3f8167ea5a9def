package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// departures are the sessions that this peer has handed over and whose new home
// has not said yet that it and its copies hold them. Until then this peer
// answers for them, whatever becomes of the message:
//
//   - Its copy is not forgotten, and no request hears that the session is
//     unknown.
//   - A publication that was spread here behind the departure is not reported as
//     held: it passed the session by, and only the new home, which spreads it or
//     replays it when the session comes, can say that the session has it.
//
// A departure ends with the new home's word (kindArrived), when the session is
// given back (kindKept), when a newer home has it, or, if the new home or the
// link is lost, when somebody has taken the session over.
//
// Core.mu guards it.
type departures struct {
	m     map[ID]*departure
	queue []*departure  // in order; ended ones may be among them
	look  time.Duration // when Step looks after them again
}

type departure struct {
	id    ID
	l     *Link
	epoch uint32 // as which it went
	life  uint32 // of the link
	since time.Duration
	ended bool
}

// left notes that a session is handed over now.
func (c *Core) left(id ID, l *Link, epoch, life uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving.m == nil {
		c.leaving.m = map[ID]*departure{}
	}
	if d := c.leaving.m[id]; d != nil {
		c.leaving.end(d)
	}
	d := &departure{id: id, l: l, epoch: epoch, life: life, since: c.o.Now()}
	c.leaving.m[id] = d
	c.leaving.queue = append(c.leaving.queue, d)
}

// settled notes that somebody answers for a session in an epoch; others do not
// count for a departure as which it has left later.
func (c *Core) settled(id ID, epoch uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.leaving.m[id]; d != nil && epoch >= d.epoch {
		c.leaving.end(d)
		c.wakeUp()
	}
}

func (t *departures) end(d *departure) {
	d.ended = true
	delete(t.m, d.id)
	for len(t.queue) > 0 && t.queue[0].ended {
		t.queue[0] = nil
		t.queue = t.queue[1:]
	}
}

// answersFor reports whether a session has left that has not arrived.
func (c *Core) answersFor(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving.m[id] != nil
}

// departing reports whether any session has left that has not arrived.
func (c *Core) departing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.leaving.m) > 0
}

// leftBefore reports whether a session that left up to a time has not arrived.
func (c *Core) leftBefore(at time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.leaving.queue) > 0 && c.leaving.queue[0].since <= at
}

// strandedAfter is how long a session may be on its way to a peer that is dead
// in our view, or over a link that began anew, before it is looked after.
const strandedAfter = time.Second

// stranded looks after sessions that left for a peer that may never have got
// them. The dead one's are taken over like all whose home is lost. If the link
// has begun anew, nobody knows whether the message was processed: the session is
// taken back as from a home that is lost, whose epoch is lower.
func (c *Core) stranded(now time.Duration) {
	var again bool
	var back []*departure
	c.mu.Lock()
	if now < c.leaving.look {
		c.mu.Unlock()
		return
	}
	c.leaving.look = now + strandedAfter/8 // there may be tens of thousands
	for _, d := range c.leaving.m {
		switch {
		case now-d.since < strandedAfter:
		case !d.l.alive.Load():
			again = true
		case d.l.mark().life != d.life:
			back = append(back, d)
		}
	}
	c.mu.Unlock()
	if again {
		c.taking.again()
	}
	slices.SortFunc(back, func(a, b *departure) int { return cmp.Compare(a.since, b.since) })
	for _, d := range back {
		c.takeFrom(d)
	}
}

// takeFrom makes this peer home again of a session that left over a link which
// has begun anew.
func (c *Core) takeFrom(d *departure) {
	defer c.locked(d.id).Unlock()
	ref, ok := c.o.Store.Find(d.id)
	if !ok {
		c.settled(d.id, d.epoch)
		return
	}
	if s, ok := c.o.Store.Load(ref); ok && s.Home == d.l.num && s.Epoch == d.epoch {
		c.seize(ref, d.l, &s, false)
	}
	c.settled(d.id, d.epoch)
}

// arrived: a peer and its copies hold a session that left here.
func (in *inbound) arrived(r *reader, _ batch.Lane) error {
	id, epoch := r.id(), r.uint32()
	if err := r.end(); err != nil {
		return err
	}
	in.l.core.settled(id, epoch)
	return nil
}
