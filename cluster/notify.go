package cluster

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// note is a notification to one session on its way to the session's home. It is
// asked for again until its copies have it, with the same identity, so that it
// arrives once.
type note struct {
	number   uint64
	id       ID
	origin   Origin
	payload  []byte
	deadline time.Duration
	nextTry  time.Duration // 0: not now
	unknown  bool          // the last who was asked did not know the session
	done     chan struct{}
	err      error
}

const (
	notesMax  = 1 << 16
	noteAgain = 20 * time.Millisecond
)

// Notify brings payload to one session, wherever its home is, and returns when
// its home has it or, with CoreOptions.Acked, when its copies have it as well:
// ErrNotHeld, ErrUnknown, ErrCongested. About key see Publish.
func (c *Core) Notify(ctx context.Context, id ID, payload []byte, key string) error {
	var n *note
	err := c.uncongested(ctx, func() (err error) {
		n, err = c.startNotify(id, payload, key)
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-n.done:
		return n.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Core) startNotify(id ID, payload []byte, key string) (*note, error) {
	c.mu.Lock()
	if len(c.pubs.notes) >= notesMax {
		c.mu.Unlock()
		return nil, ErrCongested
	}
	c.pubs.noted++
	// The top bit keeps these apart from publications, which have numbers of
	// their own.
	number := c.pubs.noted | 1<<63
	n := &note{
		number: number, id: id, origin: c.originOf(number, key), payload: payload,
		deadline: c.o.Now() + c.o.AckTimeout, done: make(chan struct{}),
	}
	c.pubs.notes[number] = n
	c.mu.Unlock()
	c.sendNote(n)
	return n, nil
}

// sendNote has a notification delivered here or sends it towards the home.
func (c *Core) sendNote(n *note) {
	in := notifying{inc: c.o.Self.Incarnation, number: n.number, hops: hopsMax, origin: n.origin, id: n.id, payload: n.payload}
	c.notify(in)
}

// notifying is a notification as it travels.
type notifying struct {
	inc     uint64 // who asks
	number  uint64
	hops    uint8
	origin  Origin
	id      ID
	payload []byte
}

func (c *Core) notify(in notifying) {
	f := c.find(in.id)
	switch {
	case f.ref != 0:
		c.later(func() { c.deliverNote(f.ref, in) })
	case f.soon:
		c.noted(in.inc, in.number, noteRetry)
	case f.to == nil || in.hops == 0:
		c.noted(in.inc, in.number, noteUnknown)
	default:
		b := le.AppendUint64([]byte{kindNotify}, in.inc)
		b = binary.AppendUvarint(b, in.number)
		b = append(b, in.hops-1)
		b = append(appendOrigin(b, in.origin), in.id[:]...)
		if f.to.send(batch.Data, append(b, in.payload...)) != nil {
			c.noted(in.inc, in.number, noteRetry)
		}
	}
}

// deliverNote runs in Step.
func (c *Core) deliverNote(ref uint64, in notifying) {
	p := c.plan.Load()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 {
		c.noted(in.inc, in.number, noteRetry)
		return
	}
	// It may have come before: even what was sent first may arrive last, on
	// another way.
	if c.o.Store.SpreadTo(ref, in.payload, in.origin, true) != nil {
		c.noted(in.inc, in.number, noteLost)
		return
	}
	if !c.o.Acked {
		c.noted(in.inc, in.number, noteHeld)
		return
	}
	c.spread.waits = append(c.spread.waits, wait{
		view: p.hash, marks: c.marks(), at: c.o.Now(),
		report: func(st status, _ int) {
			if st == statusHeld {
				c.noted(in.inc, in.number, noteHeld)
			} else {
				c.noted(in.inc, in.number, noteRetry)
			}
		},
	})
}

// How a notification ended where it was brought to.
const (
	noteHeld    = iota + 1
	noteRetry   // the session was moving, or a copy was lost
	noteUnknown // no such session there
	noteLost    // the session has no stream and no log for it
)

// noted tells who asked how it ended.
func (c *Core) noted(inc, number uint64, how uint8) {
	if inc == c.o.Self.Incarnation {
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.pubs.notes[number]; n != nil {
			c.pubs.ended(c, n, how)
		}
		return
	}
	l := c.linkOf(inc)
	if l == nil || !l.alive.Load() {
		return
	}
	b := append(binary.AppendUvarint([]byte{kindNotified}, number), how)
	if l.must(batch.Control, b) != nil {
		c.count.lostReplies.Add(1) // it asks again
	}
}

// ended takes a report. Core.mu is held.
func (p *publishing) ended(c *Core, n *note, how uint8) {
	switch how {
	case noteHeld:
		p.endNote(n, nil)
	case noteLost:
		p.endNote(n, ErrNotHeld)
	default:
		n.unknown, n.nextTry = how == noteUnknown, c.o.Now()+noteAgain
		if n.unknown && !c.plan.Load().lost {
			p.endNote(n, ErrUnknown)
		}
	}
}

func (p *publishing) endNote(n *note, err error) {
	n.err = err
	delete(p.notes, n.number)
	close(n.done)
}

// lost has a notification asked for again: its home may be gone.
func (n *note) lost(c *Core) {
	n.nextTry = c.o.Now()
}

// sorted returns the notifications in a fixed order.
func (p *publishing) sorted() []*note {
	all := make([]*note, 0, len(p.notes))
	for _, n := range p.notes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *note) int { return cmp.Compare(a.number, b.number) })
	return all
}

func (p *publishing) expireNotes(c *Core, now time.Duration) {
	for _, n := range p.sorted() {
		switch {
		case now >= n.deadline && n.unknown:
			p.endNote(n, ErrUnavailable)
		case now >= n.deadline:
			p.endNote(n, ErrNotHeld)
		case n.nextTry != 0 && now >= n.nextTry:
			n.nextTry = 0
			c.job(func() { c.sendNote(n) })
		}
	}
}

func (in *inbound) notify(r *reader, _ batch.Lane) error {
	n := notifying{inc: r.uint64(), number: r.uvarint(), hops: r.uint8(), origin: r.origin(), id: r.id()}
	n.payload = slices.Clone(r.rest())
	if err := r.end(); err != nil {
		return err
	}
	n.hops = min(n.hops, hopsMax)
	in.l.core.notify(n)
	return nil
}

func (in *inbound) notified(r *reader, _ batch.Lane) error {
	number, how := r.uvarint(), r.uint8()
	if err := r.end(); err != nil {
		return err
	}
	in.l.core.noted(in.l.core.o.Self.Incarnation, number, how)
	return nil
}
