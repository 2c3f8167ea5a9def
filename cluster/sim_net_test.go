package cluster

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// simConn is a connection between two processes: bytes in order, each piece
// with a delay of its own, that end anywhere.
type simConn struct {
	w    *world
	ends [2]*simEnd
	open bool
}

// simEnd is one end of it: what the process sends and what it has received.
type simEnd struct {
	c       *simConn
	p       *proc
	link    *Link
	other   *simEnd
	rx      []byte
	flying  int           // bytes sent and not received by the other end
	arrives time.Duration // of the last piece
	pieces  []simPiece    // in flight, in order
	pumping bool
}

type simPiece struct {
	b  []byte
	at time.Duration
}

func (c *simConn) joins(p *proc) bool { return c.open && (c.ends[0].p == p || c.ends[1].p == p) }

const (
	simSocket = 128 << 10 // bytes that a connection takes before its reader reads
	redial    = 50 * time.Millisecond
)

// dial connects two processes that know each other as soon as that is possible.
func (w *world) dial(p, q *proc) {
	if p.dead || q.dead || w.connected(p, q) {
		return
	}
	again := func() { w.after(w.between(redial/2, redial), func() { w.dial(p, q) }) }
	if p.paused || q.paused || w.isCut(p, q) || p.known[q.id] == nil || q.known[p.id] == nil {
		again()
		return
	}
	c := &simConn{w: w, open: true}
	for i, x := range [2]*proc{p, q} {
		y := [2]*proc{q, p}[i]
		link := x.link(y)
		c.ends[i] = &simEnd{c: c, p: x, link: link}
	}
	a, b := c.ends[0], c.ends[1]
	a.other, b.other = b, a
	ra, rb := a.link.Resume(), b.link.Resume()
	errA, errB := a.link.Connect(rb), b.link.Connect(ra)
	if errA != nil || errB != nil {
		w.note("%s and %s do not remember the same link (%v, %v)", p.id, q.id, errA, errB)
		a.link.Disconnect(ErrForgotten)
		b.link.Disconnect(ErrForgotten)
		again()
		return
	}
	w.note("LINK %s %s", p.id, q.id)
	w.conns = append(w.conns, c)
	p.links[a.link], q.links[b.link] = a, b
	a.pump()
	b.pump()
}

// link returns the link to another process, as its mesh would have it.
func (p *proc) link(q *proc) *Link {
	for l := range p.links { // at most one
		if l.peer.PeerID == q.id {
			return l
		}
	}
	l := p.core.Open(Peer{PeerID: q.id})
	p.links[l] = nil
	return l
}

func (w *world) connected(p, q *proc) bool {
	return slices.ContainsFunc(w.conns, func(c *simConn) bool { return c.joins(p) && c.joins(q) })
}

func (w *world) isCut(p, q *proc) bool {
	return w.blocked[[2]string{p.id.Node, q.id.Node}] || w.blocked[[2]string{q.id.Node, p.id.Node}]
}

func (p *proc) sortedEnds() (all []*simEnd) {
	for _, e := range p.links {
		if e != nil {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *simEnd) int { return a.other.p.id.Compare(b.other.p.id) })
	return all
}

// wake is CoreOptions.Wake.
func (p *proc) wake(to Peer) {
	for l, e := range p.links { // at most one
		if l.peer.PeerID == to.PeerID && e != nil {
			e.soon()
		}
	}
}

func (e *simEnd) soon() {
	if e.pumping || !e.c.open {
		return
	}
	e.pumping = true
	w := e.p.w
	w.after(w.between(0, 100*time.Microsecond), func() {
		e.pumping = false
		e.p.do(e.pump)
	})
}

// pump sends what the link has, as far as the connection takes it.
func (e *simEnd) pump() {
	w := e.p.w
	for e.c.open && e.flying < simSocket {
		b := e.link.NextFrame(nil)
		if len(b) == 0 {
			break
		}
		for len(b) > 0 {
			n := len(b)
			if n > 1 && w.chance(20) {
				n = 1 + w.rng.IntN(n-1)
			}
			e.fly(b[:n])
			b = b[n:]
		}
	}
	if e.c.open {
		e.link.Written()
	}
}

func (e *simEnd) fly(b []byte) {
	w := e.p.w
	e.flying += len(b)
	e.arrives = max(e.arrives, w.now+w.between(w.cfg.delay/2, 2*w.cfg.delay))
	e.pieces = append(e.pieces, simPiece{b, e.arrives})
	w.after(e.arrives-w.now, func() { e.other.p.do(e.other.arrive) })
}

// arrive takes what has arrived at this end.
func (e *simEnd) arrive() {
	w, from := e.p.w, e.other
	if !e.c.open || w.blocked[[2]string{from.p.id.Node, e.p.id.Node}] {
		return // it comes when the network is well again, or never
	}
	budget := 1 << 30
	if e.p.slow {
		budget = 2000
	}
	got := 0
	for len(from.pieces) > 0 && from.pieces[0].at <= w.now && got < budget {
		b := from.pieces[0].b
		from.pieces = from.pieces[1:]
		from.flying -= len(b)
		got += len(b)
		e.rx = append(e.rx, b...)
	}
	if len(from.pieces) > 0 && from.pieces[0].at <= w.now {
		w.after(10*time.Millisecond, func() { e.p.do(e.arrive) })
	}
	if got == 0 {
		return
	}
	e.receive()
	if e.c.open {
		from.soon()
		e.soon()
	}
}

func (e *simEnd) receive() {
	n, err := e.link.Receive(e.rx)
	e.rx = append(e.rx[:0:0], e.rx[n:]...)
	if err != nil {
		e.p.w.fail("%s received from %s: %w", e.p.id, e.other.p.id, err)
	}
}

// cut ends a connection: some of what is on its way still arrives. What a
// process has sent that is killed, all of that does, unless its machine is gone.
func (w *world) cut(c *simConn) {
	if !c.open {
		return
	}
	w.note("CUT %s %s", c.ends[0].p.id, c.ends[1].p.id)
	c.open = false
	w.conns = slices.DeleteFunc(w.conns, func(x *simConn) bool { return x == c })
	for _, e := range c.ends {
		e.p.links[e.link] = nil
		all := e.other.p.dead && !e.other.p.crashed
		if !w.blocked[[2]string{e.other.p.id.Node, e.p.id.Node}] {
			for _, x := range e.other.pieces {
				e.rx = append(e.rx, x.b...)
				if !all && w.chance(40) {
					break
				}
			}
		}
		if len(e.rx) > 0 && !all && w.chance(50) {
			e.rx = e.rx[:w.rng.IntN(len(e.rx)+1)]
		}
		e.p.do(func() {
			e.receive()
			e.link.Disconnect(errSimCut)
		})
	}
	a, b := c.ends[0].p, c.ends[1].p
	w.after(w.between(5*time.Millisecond, redial), func() { w.dial(a, b) })
}

var errSimCut = errors.New("the network was cut")

// block stops what travels from one node to another. A connection over it holds
// on for a while, or not.
func (w *world) block(from, to string, on bool) {
	w.note("BLOCK %s > %s: %v", from, to, on)
	w.settles = w.now + simSettle
	if !on {
		delete(w.blocked, [2]string{from, to})
		for _, c := range slices.Clone(w.conns) {
			for _, e := range c.ends {
				if e.p.id.Node == to && e.other.p.id.Node == from {
					w.after(w.between(0, 200*time.Millisecond), func() { e.p.do(e.arrive) })
				}
			}
		}
		return
	}
	w.blocked[[2]string{from, to}] = true
	for _, c := range slices.Clone(w.conns) {
		a, b := c.ends[0].p.id.Node, c.ends[1].p.id.Node
		if a == from && b == to || a == to && b == from {
			w.after(w.between(0, 1500*time.Millisecond), func() {
				if w.isCut(c.ends[0].p, c.ends[1].p) {
					w.cut(c)
				}
			})
		}
	}
}

// slowDown makes a process read little from its links.
func (p *proc) slowDown(on bool) {
	p.w.note("SLOW %s %v", p.id, on)
	p.slow = on
}

func bySeq(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) }

var _ = batch.Lanes
