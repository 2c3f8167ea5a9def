package cluster

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// Link is this process's end towards one other process, for as long as both
// run: connections under it come and go. It is what a mesh moves bytes for.
//
// Lock order: the locks of the Store, Core.mu, Link.rx, Link.mu. Nothing is
// locked inside mu, so that hooks may be called under any lock.
type Link struct {
	core *Core
	peer Peer   // immutable
	num  uint32 // immutable; how sessions and the Store name the link, from 1

	alive atomic.Bool // by the view; a dead peer may return
	woken atomic.Bool // NextFrame was not called since the mesh was told
	spoke atomic.Bool // it said something of a session since it is dead in the view

	leaving atomic.Bool // it takes no more requests
	died    bool        // in some view; Step uses it
	// said is until when what the peer asks may be from before it was dead in our
	// view: see outdated.
	said atomic.Int64
	// owes is until when the peer may have events of sessions that were taken over
	// while it was dead in our view: see amends.go.
	owes atomic.Int64

	rx sync.Mutex // serialises Receive, Connect and Disconnect
	in inbound    // guarded by rx

	mu       sync.Mutex
	m        *batch.Link           // guarded by mu
	life     uint32                // guarded by mu; how many machines there were, see reset
	retired  uint32                // guarded by mu; the life that holds nothing, see retire
	appended [batch.Lanes]uint64   // guarded by mu; last message of each lane
	written  [batch.Lanes]uint64   // guarded by mu; last message that was given to the kernel
	stalled  bool                  // guarded by mu; written was waited for in vain and has not moved since
	bodies   [batch.Lanes]*bodyOut // guarded by mu; nil: not used yet
	run      *run                  // guarded by mu; events that wait for more, nil: none
	notes    notesOut              // guarded by mu
	reports  notesIn               // guarded by mu
	parts    []partition           // guarded by mu; nil as long as no copies are there
	filling  int                   // guarded by mu; partitions in state partFilling
	// filled is, for each partition that is being filled, the last message of the
	// bulk lane that concerns it: once that is acknowledged the data lane may take
	// over without overtaking. nil while none is.
	filled  []uint64 // guarded by mu
	behind  uint64   // guarded by mu; data that must not arrive behind the next fill
	overrun bool     // guarded by mu; a partition fell back to partWanted
}

// partition is what the peer holds of our sessions in one partition.
type partition struct{ state partState }

type partState uint8

const (
	partNone    partState = iota
	partWanted            // is to be filled: changes need not be sent
	partFilling           // changes follow the fill on the bulk lane
	partLive              // the peer has all; changes go on the data lane
)

func newLink(c *Core, p Peer, num uint32) *Link {
	l := &Link{core: c, peer: p, num: num}
	l.m = l.machine()
	l.in.init(l)
	return l
}

func (l *Link) machine() *batch.Link {
	o := l.core.o.Link
	o.Local, o.Remote = l.core.o.Self.Incarnation, l.peer.Incarnation
	return batch.NewLink(o)
}

// reset begins the link anew, because one of the two had given the other up.
// What was on its way is lost: copies are made again. It reports whether there
// was anything.
func (l *Link) reset() bool {
	l.rx.Lock()
	defer l.rx.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life == 0 {
		l.life = 1
		return false
	}
	l.renew()
	for i := range l.parts {
		if part := &l.parts[i]; part.state != partNone {
			*part = partition{state: partWanted}
			l.overrun = true
		}
	}
	return true
}

// Peer returns whom the link leads to.
func (l *Link) Peer() Peer { return l.peer }

// NextFrame implements Endpoint.
func (l *Link) NextFrame(dst []byte) []byte {
	l.woken.Store(false) // before it looks: what comes later wakes it again
	l.mu.Lock()
	l.report()
	m := l.m
	l.mu.Unlock()
	return m.NextFrameWith(&l.mu, dst)
}

// Written implements Endpoint.
func (l *Link) Written() {
	l.mu.Lock()
	for lane := range l.written {
		sent := l.m.Sent(batch.Lane(lane))
		l.stalled = l.stalled && sent == l.written[lane]
		l.written[lane] = sent
	}
	l.mu.Unlock()
	if l.core.spread.round.flushing.Load() || l.core.late.waiting.Load() {
		l.core.wakeUp()
	}
}

// Heartbeat implements Endpoint.
func (l *Link) Heartbeat(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Heartbeat(dst)
}

// Need implements Endpoint.
func (l *Link) Need(p []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Need(p)
}

// Hello returns what the link tells its peer in a handshake.
func (l *Link) Hello() batch.Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Hello()
}

// Resume implements Endpoint.
func (l *Link) Resume() batch.Resume {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Resume()
}

// Connect implements Endpoint.
func (l *Link) Connect(r batch.Resume) error {
	l.rx.Lock()
	defer l.rx.Unlock()
	l.mu.Lock()
	err := l.m.Connect(r)
	l.mu.Unlock()
	l.core.wakeUp()
	return err
}

// Disconnect implements Endpoint.
func (l *Link) Disconnect(err error) {
	if errors.Is(err, ErrForgotten) {
		l.core.beginAnew(l)
		return
	}
	l.rx.Lock()
	defer l.rx.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m.Disconnect()
}

// Receive implements Endpoint. Messages are handled without mu, so that handlers
// may use this and other links.
func (l *Link) Receive(p []byte) (n int, err error) {
	l.rx.Lock()
	defer l.rx.Unlock()
	l.mu.Lock()
	m, before := l.m, l.confirmed()
	l.mu.Unlock()
	n, err = m.ReceiveWith(&l.mu, p, l.in.handle)
	l.in.flush()
	l.mu.Lock()
	moved := l.confirmed() != before
	l.mu.Unlock()
	if moved {
		l.core.wakeUp() // somebody may wait for it
	}
	return n, err
}

// confirmed grows with what the peer has processed. mu is held.
func (l *Link) confirmed() uint64 { return l.m.Acked(batch.Data) + l.m.Acked(batch.Bulk) }

// send appends one message. The error is batch.ErrFull or batch.ErrTooLarge.
func (l *Link) send(lane batch.Lane, msg []byte) error {
	l.mu.Lock()
	_, err := l.append(lane, msg)
	l.mu.Unlock()
	l.core.wake(l)
	return err
}

// must appends a message of which its sender bounds how many there are.
func (l *Link) must(lane batch.Lane, msg []byte) error {
	l.mu.Lock()
	l.ends(lane)
	seq, err := l.m.AppendMust(lane, msg)
	if err == nil {
		l.appended[lane] = seq
	}
	l.mu.Unlock()
	l.core.wake(l)
	return err
}

// append is send for those who hold mu.
func (l *Link) append(lane batch.Lane, msg []byte) (uint64, error) {
	l.ends(lane)
	seq, err := l.m.Append(lane, msg)
	if err == nil {
		l.appended[lane] = seq
	}
	return seq, err
}

// appendJoin is append for a message in two pieces.
func (l *Link) appendJoin(lane batch.Lane, head, body []byte) (uint64, error) {
	l.ends(lane)
	seq, err := l.m.AppendJoin(lane, head, body)
	if err == nil {
		l.appended[lane] = seq
	}
	return seq, err
}

// ends ends the open run before something else is put on its lane. mu is held.
func (l *Link) ends(lane batch.Lane) {
	if lane == batch.Data {
		l.endRun()
	}
}

// room returns how many bytes send takes on a lane. What waits in a run goes
// before.
func (l *Link) room(lane batch.Lane) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := l.m.Room(lane)
	if lane == batch.Data && l.run != nil {
		room -= len(l.run.b)
	}
	return max(0, room)
}

// release gives the peer credit for n bytes of messages that were queued.
func (l *Link) release(lane batch.Lane, n int) {
	l.mu.Lock()
	l.m.Release(lane, n)
	l.mu.Unlock()
	l.core.wake(l)
}

// hold takes credit from the peer until release gives it back, and returns the
// life of the link that it is for.
func (l *Link) hold(lane batch.Lane, n int) (life uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m.Hold(lane, n)
	return l.life
}

// change sends one change of a session in partition p to the peer, on the lane
// that keeps it in order with the fill. build appends the message; it runs
// under mu. A change that finds no room makes the whole partition wait for
// another fill: nothing is lost, and no producer that holds locks has to wait.
func (l *Link) change(p uint16, build func(b []byte, bodies *bodyOut) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parts != nil {
		l.changeLocked(p, build)
	}
}

// changeLocked is change for those who hold mu and know that there are copies.
func (l *Link) changeLocked(p uint16, build func(b []byte, bodies *bodyOut) []byte) {
	part := &l.parts[p]
	lane := batch.Data
	switch part.state {
	case partNone, partWanted:
		return
	case partFilling:
		lane = batch.Bulk
	}
	if !l.put(p, lane, build) {
		l.want(part)
	}
	l.core.wake(l)
}

// put appends what build makes and reports whether there was room.
func (l *Link) put(p uint16, lane batch.Lane, build func(b []byte, bodies *bodyOut) []byte) bool {
	l.ends(lane)
	s := l.core.scratch.Get().(*scratch)
	defer l.core.scratch.Put(s)
	bodies := l.bodiesOf(lane)
	keep := bodies.position()
	s.b = build(s.b[:0], bodies)
	seq, err := l.append(lane, s.b)
	if err != nil {
		bodies.rewind(keep)
		return false
	}
	if lane == batch.Bulk {
		l.filled[p] = seq
	}
	return true
}

// bodiesOf returns the messages that stand in the slots of a lane. mu is held.
func (l *Link) bodiesOf(lane batch.Lane) *bodyOut {
	if l.bodies[lane] == nil {
		l.bodies[lane] = new(bodyOut)
	}
	return l.bodies[lane]
}

// want makes a partition wait for a fill. mu is held.
func (l *Link) want(part *partition) {
	if part.state == partFilling {
		l.filling--
	}
	part.state, l.overrun, l.behind = partWanted, true, l.appended[batch.Data]
	l.core.count.refills.Add(1)
	l.core.wakeUp()
}

// plan sets which partitions the peer is to hold: has says whether it does now.
func (l *Link) plan(holds func(p uint16) bool, again bool) (wanted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endRun()
	for p := range uint16(shard.Partitions) {
		held := holds(p)
		if l.parts == nil {
			if !held {
				continue
			}
			l.parts = make([]partition, shard.Partitions)
		}
		part := &l.parts[p]
		if part.state == partFilling && (!held || again) {
			l.filling--
		}
		switch {
		case !held:
			*part = partition{}
		case part.state == partNone || again:
			part.state, l.behind = partWanted, l.appended[batch.Data]
		}
		if part.state == partWanted {
			wanted++
		}
	}
	return wanted
}

// state returns what the peer holds of a partition.
func (l *Link) state(p uint16) partState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parts == nil {
		return partNone
	}
	return l.parts[p].state
}
