package cluster

import (
	"encoding/binary"

	"github.com/rookery-server/rookery/batch"
)

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
	ref, how := c.bring(&in)
	switch {
	case ref != 0:
		later(func() { c.deliverNote(ref, in) })
	case how != notePassed:
		c.noted(in.inc, in.number, how)
	}
}

// bring returns the ref of a session that is at home here, or sends the
// notification on and says how it ended here.
func (c *Core) bring(in *notifying) (ref uint64, how uint8) {
	f := c.find(in.id)
	switch {
	case f.ref != 0:
		return f.ref, 0
	case f.known && (!f.home || in.hops == 0), c.taking.unsettled():
		return 0, noteRetry // it is on its way, or who takes it over is being decided
	case f.to == nil || in.hops == 0:
		return 0, noteUnknown
	}
	in.hops--
	if f.to.notify(in) != nil {
		return 0, noteRetry
	}
	return 0, notePassed
}

// notify sends a notification. One of ours is named by a handle where the peer
// understands that, and its number by its place among those sent on the link.
func (l *Link) notify(in *notifying) error {
	var head [notifyHead]byte
	l.mu.Lock()
	var err error
	if in.inc == l.core.o.Self.Incarnation && l.m.Agreed()&batch.FeatureNotes != 0 {
		err = l.appendNote(head[:0], in)
	} else {
		_, err = l.appendJoin(batch.Data, in.append(head[:0], l.core.o.Self.Incarnation), in.payload)
	}
	l.mu.Unlock()
	l.core.wake(l)
	return err
}

// appendNote appends kindNote. mu is held.
func (l *Link) appendNote(head []byte, in *notifying) error {
	o := &l.notes
	if !o.room() {
		return batch.ErrFull
	}
	handle, bound := o.handles.of(in.id)
	number := in.number &^ noteNumber
	first := zigzag(int64(number-o.last)) << noteFlags
	keyed := in.origin != Origin{^in.inc, in.number}
	if keyed {
		first |= noteKeyed
	}
	if !bound {
		first |= noteBinds
	}
	b := binary.AppendUvarint(append(head, kindNote), first)
	b = le.AppendUint16(b, handle)
	if !bound {
		b = append(b, in.id[:]...)
	}
	if keyed {
		b = appendOrigin(b, in.origin)
	}
	if _, err := l.appendJoin(batch.Data, b, in.payload); err != nil {
		return err
	}
	if !bound {
		o.handles.bind(handle, in.id)
	}
	o.last = number
	o.push(in.number)
	return nil
}

// What kindNote says in the low bits of its first number.
const (
	noteKeyed = 1 << iota // the origin follows
	noteBinds             // the id follows, which the handle names from now on

	noteFlags = 2 // bits
)

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// notifyHead is more than what stands before the payload in kindNote and
// kindNotify.
const notifyHead = 64

// What kindNotify says in the byte that has the hops: most have an identity of
// their own.
const (
	notifyRelayed = 1 << 7 // the incarnation of who asks follows
	notifyKeyed   = 1 << 6 // the origin follows
)

// append appends what stands before the payload in kindNotify as self sends it.
func (n *notifying) append(b []byte, self uint64) []byte {
	head := n.hops
	if n.inc != self {
		head |= notifyRelayed
	}
	keyed := n.origin != Origin{^n.inc, n.number}
	if keyed {
		head |= notifyKeyed
	}
	b = append(b, kindNotify, head)
	if n.inc != self {
		b = le.AppendUint64(b, n.inc)
	}
	b = binary.AppendUvarint(b, n.number&^noteNumber)
	if keyed {
		b = appendOrigin(b, n.origin)
	}
	return append(b, n.id[:]...)
}
