package cluster

import (
	"encoding/binary"
	"sync"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// A publication puts one event into very many logs. Their copies hear of it in
// runs: one message of the data lane that has the event once and, for each
// session, how its handle and number differ from those before. A session costs
// about two bytes and no message of its own.
//
// A run is open on a link while a round notes (round.go). Whatever else is put
// on the data lane ends it first, so that changes keep their order; so does mark,
// with which a round ends what it has noted.

// run is a message that grows.
type run struct {
	b      []byte
	origin Origin
	parts  []uint16     // of the sessions in it, in their order
	bodies bodyPosition // before it
	last   Place        // in it
}

// runMax is how many sessions one run has at most. Then it takes at most
// 64 KiB beside the message, and mostly a tenth of that.
const runMax = 4096

var runs = sync.Pool{New: func() any { return new(run) }}

// noted sends an event of a session in partition p to the peer. While a round
// notes it waits in a run for others.
func (l *Link) noted(p uint16, handle uint32, e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.parts == nil:
	case l.parts[p].state == partLive && e.Origin != (Origin{}) && l.m.Agreed()&batch.FeatureRuns != 0 &&
		l.core.spread.round.noting.Load(): // read under mu: who reads true is before mark
		l.join(p, Place{Handle: handle, Stream: e.Stream, Seq: e.Seq}, e)
	default:
		l.changeLocked(p, func(b []byte, bodies *bodyOut) []byte {
			return appendEvent(binary.AppendUvarint(append(b, kindEvent), uint64(handle)), e.Stream, e.Seq, e.Origin, e.Msg, bodies)
		})
	}
}

// join adds a session to the run of an event. mu is held.
func (l *Link) join(p uint16, to Place, e *Event) {
	r := l.run
	if r == nil || r.origin != e.Origin || len(r.parts) == runMax {
		r = l.beginRun(e)
	}
	head := zigzag(int64(to.Handle)-int64(r.last.Handle)) << 1
	if to.Stream == r.last.Stream && to.Seq == r.last.Seq {
		r.b = binary.AppendUvarint(r.b, head|runSame)
	} else {
		r.b = binary.AppendUvarint(r.b, head)
		r.b = binary.AppendUvarint(r.b, uint64(to.Stream))
		r.b = binary.AppendUvarint(r.b, uint64(to.Seq))
	}
	r.parts, r.last = append(r.parts, p), to
}

// runSame is the bit of a session whose stream and number are those of the one
// before.
const runSame = 1

func (l *Link) beginRun(e *Event) *run {
	l.endRun()
	bodies := l.bodiesOf(batch.Data)
	r := runs.Get().(*run)
	r.origin, r.bodies, r.last = e.Origin, bodies.position(), Place{}
	r.b = bodies.append(append(r.b[:0], kindEvents), e.Origin, e.Msg)
	r.parts = r.parts[:0]
	l.run = r
	return r
}

// endRun puts the open run on the data lane. Without room its partitions wait for
// a fill, as with any change. mu is held.
func (l *Link) endRun() {
	r := l.run
	if r == nil {
		return
	}
	l.run = nil
	seq, err := l.m.Append(batch.Data, r.b)
	if err == nil {
		l.appended[batch.Data] = seq
	} else {
		l.bodies[batch.Data].rewind(r.bodies)
		for _, p := range r.parts {
			if part := &l.parts[p]; part.state == partLive {
				l.want(part)
			}
		}
	}
	runs.Put(r)
	l.core.wake(l)
}

// Noted says that an event was put into the log of a session.
func (c *Core) Noted(ref uint64, stream, seq uint32, origin Origin, msg []byte) {
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 {
		return
	}
	part := shard.PartitionOf(shard.Key(s.ID))
	e := Event{Stream: stream, Seq: seq, Origin: origin, Msg: msg}
	for _, l := range c.plan.Load().of(part) {
		if !l.sameNode() {
			l.noted(part, uint32(ref), &e)
		}
	}
}

// places is room for the sessions of a run.
type places struct{ list []Place }

var placesPool = sync.Pool{New: func() any { return new(places) }}

// events takes a run. What is no copy of a session of the peer's is treated as
// it is with events that come alone.
func (in *inbound) events(r *reader, lane batch.Lane) error {
	origin, msg := in.body(lane).read(r)
	to := placesPool.Get().(*places)
	defer placesPool.Put(to)
	to.list = in.places(r, to.list[:0])
	if err := r.end(); err != nil {
		return err
	}
	store := in.l.core.o.Store
	e := Event{Origin: origin, Msg: msg}
	for _, p := range store.AppendEach(in.l.num, &e, to.list) {
		if ref, ok := in.bound(p.Handle); ok {
			e.Stream, e.Seq = p.Stream, p.Seq
			store.Append(ref, &e)
		}
	}
	return nil
}

// places reads the sessions of a run. Handles that name none are left out.
func (in *inbound) places(r *reader, list []Place) []Place {
	var p Place
	n := 0
	for ; !r.bad && len(r.left) > 0; n++ {
		head := r.uvarint()
		p.Handle += uint32(unzigzag(head >> 1))
		if head&runSame == 0 {
			p.Stream, p.Seq = r.uint32(), r.uint32()
		}
		if n == runMax {
			r.bad = true
		} else if p.Ref = in.named(p.Handle); p.Ref != 0 {
			list = append(list, p)
		}
	}
	r.bad = r.bad || n == 0
	return list
}
