package cluster

import (
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
	ended    bool
	err      error
}

// noteNumber keeps notifications apart from publications, which have numbers of
// their own, where both name events. It does not travel.
const noteNumber = 1 << 63

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
	number := c.pubs.noted | noteNumber
	n := &note{
		number: number, id: id, origin: c.originOf(number, key), payload: payload,
		deadline: c.o.Now() + c.o.AckTimeout, done: make(chan struct{}),
	}
	c.pubs.notes[number] = n
	c.pubs.enqueueNote(n)
	c.mu.Unlock()
	c.sendNote(n)
	return n, nil
}

// sendNote has a notification delivered here or sends it towards the home.
func (c *Core) sendNote(n *note) {
	in := notifying{inc: c.o.Self.Incarnation, number: n.number, hops: hopsMax, origin: n.origin, id: n.id, payload: n.payload}
	c.notify(in, c.later)
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

// notify brings a notification further; later is how Step is told to deliver it.
func (c *Core) notify(in notifying, later func(func())) {
	f := c.find(in.id)
	switch {
	case f.ref != 0:
		later(func() { c.deliverNote(f.ref, in) })
	case f.soon:
		c.noted(in.inc, in.number, noteRetry)
	case f.to == nil || in.hops == 0:
		c.noted(in.inc, in.number, noteUnknown)
	default:
		in.hops--
		if f.to.send(batch.Data, in.append(make([]byte, 0, notifyHead+len(in.payload)), c.o.Self.Incarnation)) != nil {
			c.noted(in.inc, in.number, noteRetry)
		}
	}
}

// notifyHead is more than what stands before the payload in kindNotify.
const notifyHead = 64

// What kindNotify says in the byte that has the hops, where it can be short: most
// are sent by who asks, and have an identity of their own.
const (
	noteRelayed = 1 << 7 // the incarnation of who asks follows
	noteKeyed   = 1 << 6 // the origin follows
)

// append appends the message as self sends it.
func (n *notifying) append(b []byte, self uint64) []byte {
	head := n.hops
	if n.inc != self {
		head |= noteRelayed
	}
	keyed := n.origin != Origin{^n.inc, n.number}
	if keyed {
		head |= noteKeyed
	}
	b = append(b, kindNotify, head)
	if n.inc != self {
		b = le.AppendUint64(b, n.inc)
	}
	b = binary.AppendUvarint(b, n.number&^noteNumber)
	if keyed {
		b = appendOrigin(b, n.origin)
	}
	return append(append(b, n.id[:]...), n.payload...)
}

// deliverNote runs in Step.
func (c *Core) deliverNote(ref uint64, in notifying) {
	p := c.plan.Load()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 || c.o.Acked && c.spread.full() {
		c.noted(in.inc, in.number, noteRetry)
		return
	}
	// It may have come before: even what was sent first may arrive last, on
	// another way.
	if c.o.Store.SpreadTo(ref, in.payload, in.origin, true) != nil {
		c.noted(in.inc, in.number, noteLost)
		return
	}
	c.late.add(ref)
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
	b := append(binary.AppendUvarint([]byte{kindNotified}, number&^noteNumber), how)
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
		n.unknown = how == noteUnknown
		if n.unknown && !c.plan.Load().lost {
			p.endNote(n, ErrUnknown)
		} else {
			p.askAgain(n, c.o.Now()+noteAgain)
		}
	}
}

func (p *publishing) endNote(n *note, err error) {
	n.err, n.ended = err, true
	delete(p.notes, n.number)
	close(n.done)
}

// enqueueNote puts a notification behind those that began before. Ended ones
// stay in the queue until they are half of it, or reach its head.
func (p *publishing) enqueueNote(n *note) {
	if len(p.noteQueue) > 2*len(p.notes)+noteSlack {
		p.noteQueue = slices.DeleteFunc(p.noteQueue, func(n *note) bool { return n.ended })
	}
	p.noteQueue = append(p.noteQueue, n)
}

const noteSlack = 64

// askAgain has a notification asked for again at a time.
func (p *publishing) askAgain(n *note, at time.Duration) {
	if n.nextTry == 0 {
		p.noteAgain = append(p.noteAgain, n)
	}
	n.nextTry = at
}

// notesLost has all notifications asked for again, in order: their homes may be
// gone.
func (p *publishing) notesLost(now time.Duration) {
	for _, n := range p.noteQueue {
		if !n.ended {
			p.askAgain(n, now)
		}
	}
}

// expireNotes ends what has waited too long and asks again what is due.
func (p *publishing) expireNotes(c *Core, now time.Duration) {
	for len(p.noteQueue) > 0 {
		n := p.noteQueue[0]
		if !n.ended && now < n.deadline { // deadlines are in order
			break
		}
		switch {
		case n.ended:
		case n.unknown:
			p.endNote(n, ErrUnavailable)
		default:
			p.endNote(n, ErrNotHeld)
		}
		p.noteQueue[0] = nil
		p.noteQueue = p.noteQueue[1:]
	}
	left := p.noteAgain[:0]
	for _, n := range p.noteAgain {
		switch {
		case n.ended:
		case now < n.nextTry:
			left = append(left, n)
		default:
			n.nextTry = 0
			c.job(func() { c.sendNote(n) })
		}
	}
	clear(p.noteAgain[len(left):])
	p.noteAgain = left
}

func (in *inbound) notify(r *reader, _ batch.Lane) error {
	head := r.uint8()
	n := notifying{inc: in.l.peer.Incarnation, hops: head &^ (noteRelayed | noteKeyed)}
	if head&noteRelayed != 0 {
		n.inc = r.uint64()
	}
	n.number = r.uvarint() | noteNumber
	n.origin = Origin{^n.inc, n.number}
	if head&noteKeyed != 0 {
		n.origin = r.origin()
	}
	n.id, n.payload = r.id(), slices.Clone(r.rest())
	if err := r.end(); err != nil {
		return err
	}
	n.hops = min(n.hops, hopsMax)
	in.l.core.notify(n, in.later)
	return nil
}

func (in *inbound) notified(r *reader, _ batch.Lane) error {
	number, how := r.uvarint()|noteNumber, r.uint8()
	if err := r.end(); err != nil {
		return err
	}
	in.l.core.noted(in.l.core.o.Self.Incarnation, number, how)
	return nil
}
