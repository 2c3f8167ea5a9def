package cluster

import (
	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

const partitions = shard.Partitions

// inbound is what a link remembers of its peer's messages. It is used by one
// goroutine at a time: the one that has Link.rx.
type inbound struct {
	l      *Link
	size   int                  // of the message that is being handled
	bodies [batch.Lanes]*bodyIn // nil: not used yet
	// pages binds the peer's handles to refs of ours, 0 none.
	pages []*[pageSize]uint64
	wire  [kindEvents + 1]func(r *reader, lane batch.Lane) error

	handles   handlesIn
	lastNote  uint64    // number of the latest notification
	noteCount uint64    // how many there were
	arrivals  *arrivals // not given to Step yet
	reported  []uint64  // room for numbers
}

const (
	pageSize = 256
	// handleMax bounds what a peer can make us allocate for its handles: a page
	// a claim, and no more claims than sessions can exist.
	handleMax = 1 << 26
)

func (in *inbound) init(l *Link) {
	in.l = l
	in.wire = [...]func(*reader, batch.Lane) error{
		kindOpen: in.open, kindState: in.state, kindTopic: in.topic, kindEvent: in.event,
		kindClose: in.close, kindReset: in.reset,
		kindElsewhere: in.elsewhere, kindStale: in.stale, kindMerge: in.merge, kindMerged: in.merged, kindOrphan: in.orphan,
		kindMoved: in.moved, kindFetch: in.fetch, kindKept: in.kept, kindArrived: in.arrived,
		kindForward: in.forward, kindAt: in.at, kindNotHere: in.notHere, kindReply: in.reply, kindGone: in.gone,
		kindPublish: in.publish, kindPublished: in.published, kindNotify: in.notify, kindNotified: in.notified,
		kindDigest: in.digest, kindDiffer: in.differ,
		kindLeaving: in.leaving,
		kindNote:    in.note, kindReport: in.report,
		kindEvents: in.events,
	}
}

// handle handles one message. An error ends the connection.
func (in *inbound) handle(lane batch.Lane, msg []byte) error {
	r := &reader{left: msg}
	in.size = len(msg)
	kind := r.uint8()
	if int(kind) >= len(in.wire) || in.wire[kind] == nil {
		return errMalformed
	}
	return in.wire[kind](r, lane)
}

// body returns the messages of events that came on a lane.
func (in *inbound) body(lane batch.Lane) *bodyIn {
	if in.bodies[lane] == nil {
		in.bodies[lane] = new(bodyIn)
	}
	return in.bodies[lane]
}

// later lets Step run f for the message that is being handled. Until it has, the
// peer gets no credit for it: its window bounds what it can have Step do.
func (in *inbound) later(f func()) {
	in.flush() // what came before
	l, n := in.l, max(in.size, jobSize)
	l.hold(batch.Data, n)
	l.core.later(func() {
		f()
		l.release(batch.Data, n)
	})
}

// jobSize is about what a job takes.
const jobSize = 128

// named returns what a handle is bound to, 0 for nothing.
func (in *inbound) named(handle uint32) (ref uint64) {
	page := handle / pageSize
	if int(page) >= len(in.pages) || in.pages[page] == nil {
		return 0
	}
	return in.pages[page][handle%pageSize]
}

// bound returns the session that a handle names, if the peer is its home still.
// If it is not, it is told so, once.
func (in *inbound) bound(handle uint32) (ref uint64, ok bool) {
	ref = in.named(handle)
	if ref == 0 {
		return 0, false
	}
	s, ok := in.l.core.o.Store.Load(ref)
	if ok && in.holds(&s) {
		return ref, true
	}
	in.bind(handle, 0)
	if ok && s.home() != in.l.num {
		in.l.core.stale(in.l, &s)
	}
	return 0, false
}

// holds reports whether what is here of a session is what the peer told us.
func (in *inbound) holds(s *Session) bool {
	return s.home() == in.l.num && (!s.isPointer() || in.l.sameNode())
}

func (in *inbound) bind(handle uint32, ref uint64) bool {
	if handle >= handleMax {
		return false
	}
	page := int(handle / pageSize)
	for len(in.pages) <= page {
		in.pages = append(in.pages, nil)
	}
	if in.pages[page] == nil {
		if ref == 0 {
			return true
		}
		in.pages[page] = new([pageSize]uint64)
	}
	in.pages[page][handle%pageSize] = ref
	return true
}

// each calls f for what the peer has bound; f returns what is to be bound instead.
func (in *inbound) each(f func(ref uint64) uint64) {
	for _, page := range in.pages {
		if page == nil {
			continue
		}
		for i, ref := range page {
			if ref != 0 {
				page[i] = f(ref)
			}
		}
	}
}

// open takes a session that the peer is home of: new here, known as a copy of
// this or another home, or even at home here.
func (in *inbound) open(r *reader, lane batch.Lane) error {
	handle, pointer := r.uint32(), r.uint8() != 0
	s := r.snapshot(in.body(lane))
	if err := r.end(); err != nil {
		return err
	}
	s.Home = in.l.num
	if pointer {
		s.Home |= homePointer
	}
	ref := in.l.core.accept(in.l, &s, false)
	if !in.bind(handle, ref) {
		return errMalformed
	}
	return nil
}

func (in *inbound) state(r *reader, _ batch.Lane) error {
	handle, state := r.uint32(), r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	if ref, ok := in.bound(handle); ok {
		in.l.core.o.Store.Write(ref, state)
	}
	return nil
}

func (in *inbound) topic(r *reader, _ batch.Lane) error {
	handle, on, topic := r.uint32(), r.uint8(), r.text()
	if err := r.end(); err != nil {
		return err
	}
	if ref, ok := in.bound(handle); ok {
		in.l.core.o.Store.Subscribe(ref, topic, on != 0)
	}
	return nil
}

func (in *inbound) event(r *reader, lane batch.Lane) error {
	handle := r.uint32()
	e := r.event(in.body(lane))
	if err := r.end(); err != nil {
		return err
	}
	if ref, ok := in.bound(handle); ok {
		in.l.core.o.Store.Append(ref, &e)
	}
	return nil
}

func (in *inbound) close(r *reader, _ batch.Lane) error {
	handle, id := r.uint32(), r.id()
	if err := r.end(); err != nil {
		return err
	}
	ref, ok := in.bound(handle)
	if !ok {
		return nil
	}
	// The handle may name another session by now.
	if s, ok := in.l.core.o.Store.Load(ref); ok && s.ID == id {
		in.l.core.o.Store.Remove(ref)
		in.bind(handle, 0)
	}
	return nil
}

// reset unbinds the sessions of some partitions before they are filled again.
// Those that the fill does not bring are collected as leftovers.
func (in *inbound) reset(r *reader, _ batch.Lane) error {
	parts := r.partitions()
	if err := r.end(); err != nil {
		return err
	}
	var set partitionSet
	for _, p := range parts {
		set.add(p)
	}
	in.each(func(ref uint64) uint64 {
		s, ok := in.l.core.o.Store.Load(ref)
		switch {
		case !ok || s.home() != in.l.num:
			return 0
		case !set.has(shard.PartitionOf(shard.Key(s.ID))):
			return ref
		}
		return 0
	})
	return nil
}

// let makes a pointer of a copy that the peer does not keep here. One that it has
// just handed over to us is none: nobody else has all that came with it. Nor is
// one that we have handed over to it: it may come back.
func (in *inbound) let(ref uint64, id ID) {
	c := in.l.core
	c.mu.Lock()
	_, comes := c.arriving[ref]
	leaves := c.leaving.m[id] != nil
	c.mu.Unlock()
	if comes || leaves {
		return
	}
	defer c.locked(id).Unlock()
	if s, ok := c.o.Store.Load(ref); ok && in.holds(&s) {
		c.pointTo(ref, &s, in.l, s.Epoch)
	}
}
