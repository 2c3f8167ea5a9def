package cluster

import (
	"slices"

	"github.com/rookery-server/rookery/batch"
)

// merge sends events that the peer's log of a session lacks, a few at a time.
func (c *Core) merge(l *Link, id ID, events []Event) {
	for chunk := range slices.Chunk(events, mergeEvents) {
		b := appendEvents(appendID(nil, kindMerge, id), chunk, nil)
		if l.must(batch.Bulk, b) != nil {
			c.count.lostMerges.Add(uint64(len(chunk)))
			c.log.Error("events of a session could not be brought to its home: the link is full",
				"home", l.peer.String(), "events", len(chunk))
		}
	}
}

// mergeEvents is how many events go into one message.
const mergeEvents = 64

func (in *inbound) merge(r *reader, lane batch.Lane) error {
	id := r.id()
	events := r.events(&in.bodies[lane])
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	ref, ok := c.o.Store.Find(id)
	if !ok {
		return nil // the session has ended
	}
	s, ok := c.o.Store.Load(ref)
	switch home := c.link(s.home()); {
	case !ok:
	case s.Home == 0:
		c.o.Store.Merge(ref, events)
		c.count.merged.Add(uint64(len(events)))
	case home != in.l:
		c.merge(home, id, events) // it has moved on
	default:
		c.count.lostMerges.Add(uint64(len(events))) // each of us takes the other for its home
	}
	return nil
}
