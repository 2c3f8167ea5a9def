package cluster

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/rookery-server/rookery/batch"
)

// This file is the side of a notification's home: it delivers, and reports how
// notifications ended.

// arrivals are notifications of one peer that came one after another, on their
// way to Step.
type arrivals struct {
	l     *Link
	life  uint32
	first uint64 // place of the first among those of the link
	notes []arrived
	buf   []byte // their payloads
	size  int    // held back from the peer's credit
	how   []uint8
}

type arrived struct {
	named  *named
	id     ID
	origin Origin
	number uint64
	end    int // of the payload in buf
}

// Arrivals are given to Step when the link has read what there was, or when they
// are that many, or take that many bytes.
const (
	arrivalsMax      = 512
	arrivalsBytesMax = 64 << 10
)

var arrivalsPool = sync.Pool{New: func() any { return new(arrivals) }}

func (in *inbound) note(r *reader, _ batch.Lane) error {
	first := r.uvarint()
	handle := r.uint16()
	var id ID
	if first&noteBinds != 0 {
		id = r.id()
	}
	number := in.lastNote + uint64(unzigzag(first>>noteFlags))
	asks := in.l.peer.Incarnation
	origin := Origin{^asks, number | noteNumber}
	if first&noteKeyed != 0 {
		origin = r.origin()
	}
	payload := r.rest()
	if err := r.end(); err != nil {
		return err
	}
	s := in.handles.at(handle)
	if first&noteBinds != 0 {
		s = in.handles.bind(handle, id)
	} else if s == nil {
		return errMalformed
	}
	if s.ref.Load() == 0 {
		if ref, ok := in.l.core.o.Store.Find(s.id); ok {
			s.ref.Store(ref)
		}
	}
	in.lastNote = number
	a := in.arrivals
	if a == nil {
		a = arrivalsPool.Get().(*arrivals)
		a.l, a.first = in.l, in.noteCount
		in.arrivals = a
	}
	in.noteCount++
	a.buf = append(a.buf, payload...)
	a.notes = append(a.notes, arrived{s, s.id, origin, number | noteNumber, len(a.buf)})
	a.size += max(in.size, jobSize)
	if len(a.notes) >= arrivalsMax || len(a.buf) >= arrivalsBytesMax {
		in.flush()
	}
	return nil
}

// flush gives Step the notifications that have arrived.
func (in *inbound) flush() {
	a := in.arrivals
	if a == nil {
		return
	}
	in.arrivals = nil
	a.life = in.l.hold(batch.Data, a.size)
	in.l.core.later(func() { in.l.core.deliverNotes(a) })
}

// deliverNotes runs in Step.
func (c *Core) deliverNotes(a *arrivals) {
	full := c.o.Acked && c.spread.full()
	start, held := 0, false
	for i := range a.notes {
		n := &a.notes[i]
		how := uint8(noteRetry)
		if !full {
			how = c.deliverArrived(n, a.buf[start:n.end], a.l.peer.Incarnation)
		}
		start = n.end
		if c.o.Acked && how == noteHeld {
			how, held = 0, true
		}
		a.how = append(a.how, how)
	}
	l, life, first, how := a.l, a.life, a.first, a.how
	l.release(batch.Data, a.size)
	l.outcomes(life, first, how)
	if !held {
		a.recycle(how)
		return
	}
	a.recycle(nil)
	c.spread.waits = append(c.spread.waits, wait{
		view: c.plan.Load().hash, marks: c.marks(), at: c.o.Now(),
		report: func(st status) {
			end := uint8(noteRetry)
			if st == statusHeld {
				end = noteHeld
			}
			for i, was := range how { // those that were reported stay as they are
				if how[i] = 0; was == 0 {
					how[i] = end
				}
			}
			l.outcomes(life, first, how)
		},
	})
}

// recycle gives an arrivals back; how is reused with it.
func (a *arrivals) recycle(how []uint8) {
	clear(a.notes)
	*a = arrivals{notes: a.notes[:0], buf: a.buf[:0], how: how[:0]}
	if cap(a.buf) <= 2*arrivalsBytesMax {
		arrivalsPool.Put(a)
	}
}

// deliverArrived delivers a notification if the session is at home here, or
// sends it on.
func (c *Core) deliverArrived(n *arrived, payload []byte, asks uint64) (how uint8) {
	ref := n.named.ref.Load()
	s, ok := c.o.Store.Load(ref)
	if ref == 0 || !ok || s.ID != n.id || s.Home != 0 {
		in := notifying{inc: asks, number: n.number, hops: hopsMax - 1, origin: n.origin, id: n.id, payload: payload}
		was := ref
		if ref, how = c.bring(&in); ref == 0 {
			return how
		}
		n.named.ref.CompareAndSwap(was, ref)
	}
	// It may have come before: even what was sent first may arrive last, on
	// another way.
	if c.o.Store.SpreadTo(ref, payload, n.origin, true) != nil {
		return noteLost
	}
	c.late.add(ref)
	return noteHeld
}

// deliverNote delivers a notification of ours, or one that was sent on, and runs
// in Step.
func (c *Core) deliverNote(ref uint64, in notifying) {
	p := c.plan.Load()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 || c.o.Acked && c.spread.full() {
		c.noted(in.inc, in.number, noteRetry)
		return
	}
	if c.o.Store.SpreadTo(ref, in.payload, in.origin, true) != nil { // it may have come before
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
		report: func(st status) {
			if st == statusHeld {
				c.noted(in.inc, in.number, noteHeld)
			} else {
				c.noted(in.inc, in.number, noteRetry)
			}
		},
	})
}

// noted tells who asked how one ended that was ours or came by another peer.
func (c *Core) noted(inc, number uint64, how uint8) {
	if inc == c.o.Self.Incarnation {
		c.notes.ended(c, how, number)
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

func (in *inbound) notify(r *reader, _ batch.Lane) error {
	head := r.uint8()
	n := notifying{inc: in.l.peer.Incarnation, hops: head &^ (notifyRelayed | notifyKeyed)}
	if head&notifyRelayed != 0 {
		n.inc = r.uint64()
	}
	n.number = r.uvarint() | noteNumber
	n.origin = Origin{^n.inc, n.number}
	if head&notifyKeyed != 0 {
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
	in.l.core.notes.ended(in.l.core, how, number)
	return nil
}
