package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// This file brings sessions here for clients that take them up on a connection
// of ours.

// fetches are the callers of Fetch:
// more than fetchesMax at once are told ErrUnavailable; each waits for at most
// CoreOptions.HoldTimeout.
type fetches struct {
	m      map[ID][]*fetch
	n      int
	denied map[ID]*denial // of those in m
}

// denial is who has said lately to know nothing of a session.
type denial struct {
	by  []*Link
	all bool // in the last round everybody did who was asked
}

const fetchesMax = 1 << 16

type fetch struct {
	done     chan struct{}
	ref      uint64
	err      error
	nextTry  time.Duration
	deadline time.Duration
}

const fetchAgain = 30 * time.Millisecond

// Fetch brings a session here, for a client that takes it up on a connection of
// ours, and returns its ref: ErrUnknown, ErrUnavailable, or ErrBusy if it has
// calls in flight elsewhere. It waits for at most CoreOptions.HoldTimeout.
func (c *Core) Fetch(ctx context.Context, id ID) (ref uint64, err error) {
	f := c.startFetch(id)
	select {
	case <-f.done:
		return f.ref, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *Core) startFetch(id ID) *fetch {
	f := &fetch{done: make(chan struct{}), deadline: c.o.Now() + c.o.HoldTimeout}
	c.mu.Lock()
	if c.fetches.n == fetchesMax {
		c.mu.Unlock()
		c.count.fetchesRefused.Add(1)
		f.err = ErrUnavailable
		close(f.done)
		return f
	}
	c.fetches.n++
	c.fetches.m[id] = append(c.fetches.m[id], f)
	c.mu.Unlock()
	c.ask(id)
	return f
}

// ask asks for a session that somebody here wants.
func (c *Core) ask(id ID) {
	f := c.find(id)
	if f.ref != 0 {
		c.arrived(id, f.ref, nil)
		return
	}
	if !f.known {
		f.to = c.whoMayHave(id)
	}
	err := ErrUnavailable
	if f.to != nil && f.to.send(batch.Data, append(le.AppendUint64(appendID(nil, kindFetch, id), c.o.Self.Incarnation), hopsMax)) == nil {
		return
	}
	if !f.known && !c.plan.Load().lost && c.lives() == 0 {
		err = ErrUnknown // there is nobody to ask
	}
	c.arrived(id, 0, err)
}

// whoMayHave returns a peer that has not said yet that it knows nothing of a
// session: holders of its partition first. nil ends a round.
func (c *Core) whoMayHave(id ID) *Link {
	others := c.othersToAsk(partitionOf(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.fetches.denied[id]
	for _, l := range others[:min(len(others), askedMax)] {
		if d == nil || !slices.Contains(d.by, l) {
			return l
		}
	}
	if len(c.fetches.m[id]) > 0 {
		c.fetches.denied[id] = &denial{all: true}
	}
	return nil
}

// denies notes that a peer knows nothing of a session, and reports whether
// somebody here wants that.
func (c *Core) denies(id ID, l *Link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fetches.m[id]) == 0 {
		return false
	}
	d := c.fetches.denied[id]
	if d == nil {
		d = &denial{}
		c.fetches.denied[id] = d
	}
	if !slices.Contains(d.by, l) {
		d.by = append(d.by, l)
	}
	return true
}

// keeps notes that a peer does not give a session away: if it has not denied it,
// it knows of it.
func (c *Core) keeps(id ID, l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.fetches.denied[id]; d != nil && !slices.Contains(d.by, l) {
		delete(c.fetches.denied, id)
	}
}

// unknown reports whether nobody knows a session that was asked for as long as
// may be, and nobody is away who may. Core.mu is held.
func (t *fetches) unknown(c *Core, id ID) bool {
	d := t.denied[id]
	return !c.plan.Load().lost && !c.taking.on.Load() && (d != nil && d.all || len(c.liveLinks()) == 0)
}

// arrived ends the fetches of a session, or has them try again.
func (c *Core) arrived(id ID, ref uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetches.m[id] = slices.DeleteFunc(c.fetches.m[id], func(f *fetch) bool {
		if ref == 0 && !errors.Is(err, ErrUnknown) {
			f.err, f.nextTry = err, c.o.Now()+fetchAgain
			return false
		}
		f.ref, f.err = ref, err
		c.fetches.n--
		close(f.done)
		return true
	})
	c.fetches.tidy(id)
}

// tidy forgets a session that nobody wants any more. Core.mu is held.
func (t *fetches) tidy(id ID) {
	if len(t.m[id]) == 0 {
		delete(t.m, id)
		delete(t.denied, id)
	}
}

func (t *fetches) expire(c *Core, now time.Duration) {
	c.mu.Lock()
	var again []ID
	for id, all := range t.m {
		due := false
		t.m[id] = slices.DeleteFunc(all, func(f *fetch) bool {
			if now >= f.deadline {
				if f.err = cmp.Or(f.err, ErrUnavailable); t.unknown(c, id) {
					f.err = ErrUnknown
				}
				t.n--
				close(f.done)
				return true
			}
			if f.nextTry != 0 && now >= f.nextTry {
				f.nextTry, due = 0, true
			}
			return false
		})
		if due {
			again = append(again, id)
		}
		t.tidy(id)
	}
	slices.SortFunc(again, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	c.mu.Unlock()
	for _, id := range again {
		c.ask(id)
	}
}

func (in *inbound) fetch(r *reader, _ batch.Lane) error {
	id, inc, hops := r.id(), r.uint64(), r.uint8()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	from := c.linkOf(inc)
	if from == nil {
		return nil
	}
	f := c.find(id)
	switch {
	case f.ref != 0:
		in.later(func() {
			if !c.handOver(f.ref, from) {
				c.sayKept(from, id, 0)
			}
		})
	case f.known && f.to != nil && f.to != from && hops > 1:
		if f.to.send(batch.Data, append(le.AppendUint64(appendID(nil, kindFetch, id), inc), hops-1)) != nil {
			c.sayKept(from, id, 0)
		}
	default:
		if !f.known && !c.taking.on.Load() && !c.sendOrphans(from, orphanGone, []ID{id}) {
			c.count.lostReplies.Add(1) // it asks again
		}
		c.sayKept(from, id, 0)
	}
	return nil
}
