package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// routes are the requests of connections here that are on their way to the home
// of their session, and the streams that other peers hold open on connections
// here. A connection has at most one of either.
type routes struct {
	last   uint64
	byNum  map[uint64]*route
	byConn map[uint64]*route
	bytes  int           // of the requests
	look   time.Duration // when expire looks at them again
	lost   time.Duration // of the latest loss of a peer, or of what was on its link; 0: there was none
	early  []asked       // of peers that we have not met yet
}

// route is one request, or the stream that it became. The request is kept until
// its first answer, so that one that may be repeated can be taken elsewhere.
type route struct {
	num      uint64 // what other peers call it; never used again
	conn     uint64
	id       ID
	msg      []byte  // nil once an answer has come
	repeat   bool    // asking twice does no harm
	held     bool    // it is a stream now
	first    *Link   // whom we have sent it to
	at       *Link   // who has it, as far as is known
	via      *Link   // who has sent it there, if we have not
	taken    bool    // at has said that it serves it
	passed   []*Link // who has sent it on
	named    home    // who was asked because what is here says that it is the home
	tried    []*Link
	unsure   bool          // one of them may know it soon
	waited   int           // how often one that is not sure was asked once more
	asked    bool          // all were asked, in this round or an earlier one
	doubted  bool          // one of them was unsure then
	left     *leftover     // what is here of it, although its home does not know it
	retryAt  time.Duration // 0: not now
	deadline time.Duration // of retrying
	giveUp   time.Duration // 0: not now; nobody may have it any more
}

const (
	routeBytesMax = 64 << 20
	routeAgain    = 20 * time.Millisecond
	// hopsMax is how often a request is sent on: to a holder, to the home, and
	// once more if that has just changed.
	hopsMax = 3
	// askedMax is how many peers are asked for a session that nobody knows.
	askedMax = 8
)

// home is one in an epoch.
type home struct {
	l     *Link
	epoch uint32
}

// Route takes a request of a connection of ours whose session is not at home
// here and brings it to where it is, or says with Store.Serve from 0 that it is
// here now, or with Store.Refuse that it cannot be reached. With repeat the
// request may be asked twice, as those can that open a stream. msg is copied.
func (c *Core) Route(conn uint64, id ID, msg []byte, repeat bool) {
	c.mu.Lock()
	t := &c.routes
	if t.bytes+len(msg) > routeBytesMax {
		c.mu.Unlock()
		c.o.Store.Refuse(conn, RefusedBusy)
		return
	}
	if old := t.byConn[conn]; old != nil {
		t.drop(old)
	}
	t.last++
	r := &route{num: t.last, conn: conn, id: id, msg: slices.Clone(msg), repeat: repeat, deadline: c.o.Now() + c.o.HoldTimeout}
	t.byNum[r.num], t.byConn[conn] = r, r
	t.bytes += len(msg)
	c.mu.Unlock()
	c.count.forwarded.Add(1)
	c.try(r)
}

// drop forgets a request or a stream. Core.mu is held.
func (t *routes) drop(r *route) {
	if t.byNum[r.num] != r {
		return
	}
	delete(t.byNum, r.num)
	delete(t.byConn, r.conn)
	t.bytes -= len(r.msg)
}

// answered notes that an answer has come: the request will not be repeated.
// Core.mu is held.
func (t *routes) answered(r *route) {
	t.bytes -= len(r.msg)
	r.msg, r.retryAt, r.giveUp = nil, 0, 0
}

// found says where a session is.
type found struct {
	ref      uint64 // not 0: it is at home here
	to       *Link  // else who to ask: its home or, if it is not known, a holder of its partition
	known    bool   // a copy is here
	home     bool   // its home is alive, and is to
	epoch    uint32 // of that
	soon     bool   // it will be at home here in a moment
	arriving bool   // likewise: its home has handed it over
}

// leftover is a copy that its home has not told us to forget yet.
type leftover struct {
	ref uint64
	s   Session
}

func (c *Core) find(id ID) found {
	part := shard.PartitionOf(shard.Key(id))
	p := c.plan.Load()
	if ref, ok := c.o.Store.Find(id); ok {
		if s, ok := c.o.Store.Load(ref); ok {
			return c.findHome(p, part, ref, &s)
		}
	}
	for _, n := range p.order(part) {
		if l := p.nodes[n].worker(part); l != nil && l.alive.Load() && !l.leaving.Load() {
			return found{to: l}
		}
	}
	return found{}
}

func (c *Core) findHome(p *plan, part uint16, ref uint64, s *Session) found {
	if s.Home == 0 {
		return found{ref: ref, known: true}
	}
	home := c.link(s.home())
	if home.alive.Load() {
		return found{to: home, known: true, home: true, epoch: s.Epoch, arriving: c.arrives(ref, s.Epoch)}
	}
	to, here := p.successor(part, home.peer.Node)
	return found{to: to, known: true, soon: here}
}

// try sends a request on its way.
func (c *Core) try(r *route) {
	f := c.find(r.id)
	c.mu.Lock()
	if c.routes.byNum[r.num] != r || r.msg == nil {
		c.mu.Unlock()
		return // its client has gone, or an answer has come
	}
	if f.ref != 0 {
		conn, msg := r.conn, r.msg
		c.routes.drop(r)
		c.mu.Unlock()
		c.o.Store.Serve(0, conn, msg)
		return
	}
	defer c.mu.Unlock()
	to := f.to
	switch is := (home{to, f.epoch}); {
	case f.soon, f.arriving:
		r.retryAt = c.o.Now() + routeAgain
		return
	case f.home && is != r.named && to.alive.Load() && !to.leaving.Load():
		r.named = is // what we asked it before may have been too early
	case to == nil || !to.alive.Load() || to.leaving.Load() || slices.Contains(r.tried, to):
		// It will be at home elsewhere, or its home is lost and what is here of it
		// waits for who takes it over.
		r.unsure = r.unsure || f.home && to.leaving.Load() || f.known && !f.home
		to = c.nextToAsk(r)
	}
	if to == nil {
		c.exhausted(r)
		return
	}
	r.first, r.at, r.via, r.taken, r.passed, r.retryAt, r.giveUp = to, to, nil, false, nil, 0, 0
	if r.repeat {
		r.retryAt = r.deadline // it must have been answered by then
	}
	if to.send(batch.Data, appendForward(c.o.Self.Incarnation, r.num, hopsMax, r.id, r.msg)) != nil {
		r.retryAt = c.o.Now() + routeAgain // until the deadline
	}
}

func appendForward(inc, num uint64, hops uint8, id ID, msg []byte) []byte {
	b := append(make([]byte, 0, 40+len(msg)), kindForward)
	b = le.AppendUint64(b, inc)
	b = binary.AppendUvarint(b, num)
	b = append(append(b, hops), id[:]...)
	return append(b, msg...)
}

// nextToAsk returns a peer that has not been asked for a session yet: holders of
// its partition first. mu is held.
func (c *Core) nextToAsk(r *route) *Link {
	if len(r.tried) >= askedMax {
		return nil
	}
	p := c.plan.Load()
	part := shard.PartitionOf(shard.Key(r.id))
	for _, n := range p.order(part) {
		if l := p.nodes[n].worker(part); l != nil && r.mayAsk(l) {
			return l
		}
	}
	for _, l := range c.links {
		if r.mayAsk(l) {
			return l
		}
	}
	return nil
}

func (r *route) mayAsk(l *Link) bool {
	return l.alive.Load() && !l.leaving.Load() && !slices.Contains(r.tried, l)
}

// exhausted decides about a session that nobody who was asked knows. As long as
// a node is away that may know it, nobody can say that it is gone. mu is held.
func (c *Core) exhausted(r *route) {
	now := c.o.Now()
	r.asked = true
	why := RefusedUnknown
	if c.plan.Load().lost || r.unsure || c.taking.on.Load() {
		if now < r.deadline || r.mayBeFound(c) && c.routes.holdsOn(c, r, now) {
			r.doubted = r.doubted || r.unsure
			r.tried, r.named, r.unsure, r.waited, r.retryAt = nil, home{}, false, 0, now+routeAgain
			return
		}
		why = RefusedUnavailable
	}
	if r.doubted { // its client asks again, and hears what is certain then
		why = RefusedUnavailable
	}
	if why == RefusedUnavailable {
		c.count.unavailable.Add(1)
	}
	if left := r.left; left != nil && why == RefusedUnknown {
		c.job(func() { c.forget(left.ref, left.s) })
	}
	c.refuse(r, why)
}

// refuse ends a request. mu is held.
func (c *Core) refuse(r *route, why Refusal) {
	c.routes.drop(r)
	c.answer(func() { c.o.Store.Refuse(r.conn, why) })
}

// cut ends a response or stream that has begun. mu is held.
func (c *Core) cut(r *route) {
	c.routes.drop(r)
	c.answer(func() { c.o.Store.Deliver(r.conn, ReplyClose, nil) })
}

// ConnGone says that a connection of ours has closed for which a request was
// routed or on which another peer has a stream.
func (c *Core) ConnGone(conn uint64) {
	c.mu.Lock()
	r := c.routes.byConn[conn]
	if r != nil {
		c.routes.drop(r)
	}
	c.mu.Unlock()
	if r != nil && r.at != nil && r.at.alive.Load() {
		c.gone(r.at, r.num)
	}
}

func (c *Core) gone(l *Link, num uint64) {
	if l.must(batch.Data, binary.AppendUvarint([]byte{kindGone}, num)) != nil {
		c.count.lostReplies.Add(1) // what it sends next is answered so again
	}
}

// Reply sends bytes of a response, or of a stream, to a connection of a peer, as
// Store.Serve named it. The error is batch.ErrFull, the peer does not read, or
// ErrPeerGone: it is dead in our view. Should it return, it hears that the
// connection has ended, because it may never have thought us dead.
func (c *Core) Reply(to uint32, conn uint64, flags ReplyFlags, p []byte) error {
	l := c.link(to)
	if l == nil {
		return ErrPeerGone
	}
	if !l.alive.Load() {
		l.leave(append(binary.AppendUvarint([]byte{kindReply}, conn), byte(ReplyClose)))
		return ErrPeerGone
	}
	for {
		chunk := p[:min(len(p), replyMax)]
		p = p[len(chunk):]
		f := flags
		if len(p) > 0 {
			f = ReplyPart
		}
		b := append(make([]byte, 0, 12+len(chunk)), kindReply)
		b = append(binary.AppendUvarint(b, conn), byte(f))
		if err := l.must(batch.Data, append(b, chunk...)); err != nil {
			return err
		}
		if len(p) == 0 {
			return nil
		}
	}
}

// replyMax is how many bytes of a response go into one message.
const replyMax = 64 << 10

// expire tries again what is due and refuses what has waited too long.
func (t *routes) expire(c *Core, now time.Duration) {
	c.mu.Lock()
	if now < t.look {
		c.mu.Unlock()
		return
	}
	t.look = now + lookEvery
	var due []*route
	for _, r := range t.byNum {
		if r.retryAt != 0 && now >= r.retryAt || r.giveUp != 0 && now >= r.giveUp {
			due = append(due, r)
		}
	}
	met := t.met(c, now)
	slices.SortFunc(due, func(a, b *route) int { return cmp.Compare(a.num, b.num) })
	due = slices.DeleteFunc(due, func(r *route) bool {
		if r.giveUp != 0 && now >= r.giveUp {
			c.refuse(r, RefusedLost)
			return true
		}
		sent := r.retryAt == r.deadline // and nobody has said that it is elsewhere
		r.retryAt = 0
		late := now >= r.deadline
		if late && r.mayBeFound(c) && t.holdsOn(c, r, now) {
			if sent {
				r.retryAt = r.deadline
			}
			return sent
		}
		if late {
			c.count.unavailable.Add(1)
			c.refuse(r, RefusedUnavailable)
		}
		return late
	})
	c.mu.Unlock()
	for _, r := range due {
		c.try(r)
	}
	for i := range met {
		c.forward(&met[i], c.linkOf(met[i].inc))
	}
}
