package loop

import "time"

// pausesStep are the pauses in which not even bytes already read are looked at,
// since what would come of them has no room.
const pausesStep = 1<<PauseQueue | 1<<PauseRing | 1<<PauseOut

// turns shows the protocol what has arrived, message by message, until nothing
// is left that it has not seen or something holds it up. It reports false when
// the connection is closed.
func (c *portConn) turns() bool {
	began := time.Time{}
	for c.begin() {
		if began.IsZero() {
			began = time.Now()
		}
		v := More
		c.guard("Step", func() { v = c.p.Step(&c.turn) })
		c.apply(v)
	}
	if !began.IsZero() {
		c.b.n.batch.observe(time.Since(began))
	}
	return c.isOpen()
}

// begin prepares a turn and reports whether there is one.
func (c *portConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ending {
		c.consume(c.unread())
		c.fresh = false
	}
	gone := c.eof && c.mu.scheduled // the protocol may want to know, without a byte to show
	if c.mu.closed || c.mu.held || !c.fresh || c.unread() == 0 && !gone || c.mu.paused&pausesStep != 0 {
		return false
	}
	c.mu.stepping, c.mu.released = true, false
	t := &c.turn
	*t = Turn{
		Conn: c.conn(), In: c.buf[c.off:], EOF: c.eof,
		Busy: c.mu.scheduled, Overloaded: c.b.bufs.over(), Draining: c.b.stopping(),
		Scan: &c.scan, Out: t.Out[:0], Record: t.Record[:0],
	}
	return true
}

// apply carries out the verdict on the turn.
func (c *portConn) apply(v Verdict) {
	t := &c.turn
	if v > Abort || t.N < 0 || t.N > c.unread() || (v == Next || v == Work) && t.N == 0 {
		c.b.o.Logger.Error("protocol broke the contract of Step", "verdict", int(v), "n", t.N, "in", c.unread())
		v, t.N, t.Reason = Abort, 0, ReasonPanic
	}
	if v != More {
		c.scan = [2]uint64{}
		c.tailAt = time.Time{}
		c.greets = c.greets && v == Abort
		if t.N > 0 {
			c.b.n.messages.Add(1)
		}
	}
	if len(t.Out) > 0 && v != Abort {
		_ = c.write(t.Out) // an error has closed the connection
	}
	switch v {
	case More:
		c.more()
	case Work:
		c.enqueue(t.Record)
	case Hold:
		c.hold()
	case End:
		c.end(t.Reason)
	case Abort:
		c.close(t.Reason)
	}
	c.consume(t.N)
	c.mu.Lock()
	c.mu.stepping = false
	c.mu.Unlock()
	t.Out = keep(t.Out)
	t.Record = keep(t.Record)
}

// keep drops a scratch slice that one large message has made large.
func keep(b []byte) []byte {
	if cap(b) > portBufferMax {
		return nil
	}
	return b[:0]
}

// unread returns the number of bytes in the buffer that are not consumed.
func (c *portConn) unread() int { return len(c.buf) - c.off }

// consume drops the first n unread bytes.
func (c *portConn) consume(n int) {
	c.off += n
	if c.off == len(c.buf) {
		c.buf, c.off = c.buf[:0], 0
	}
}

// more notes that the message is incomplete.
func (c *portConn) more() {
	c.fresh = false
	left := c.unread() - c.turn.N
	switch {
	case left == 0:
		c.tailAt = time.Time{}
	case left > c.b.o.MessageMax:
		c.close(ReasonTooLarge)
	case c.tailAt.IsZero():
		c.tailAt = time.Now()
	}
}

// hold keeps the response open, unless release was faster.
func (c *portConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed || c.mu.released {
		return
	}
	c.mu.held = true
	c.b.n.held.Add(1)
	c.tickAt = time.Now().Add(c.b.o.KeepAlive)
}

func (c *portConn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.closed:
	case c.mu.held:
		c.mu.held = false
		c.b.n.held.Add(-1)
		c.mu.paused &^= 1 << PauseHold
		c.pokeLocked()
	case c.mu.stepping:
		c.mu.released = true
	}
}

// settle looks whether the connection has come to its end: the peer has
// finished or the group stops, and nothing is in flight.
func (c *portConn) settle() bool {
	c.holdTail(c.unread())
	stopping := c.b.stopping()
	c.mu.Lock()
	open := !c.mu.closed && !c.mu.ending
	held := c.mu.held
	busy := c.busyLocked() || c.mu.paused&pausesStep != 0
	c.mu.settling = c.eof || stopping
	c.mu.Unlock()
	switch {
	case !open:
	case c.eof && held:
		c.end(ReasonPeerClosed)
	case busy:
	case c.eof && c.unread() > 0:
		c.end(ReasonTruncated)
	case c.eof:
		c.end(ReasonPeerClosed)
	case stopping && !held && (c.greets || c.unread() > 0) && time.Now().Before(c.b.hurryAt):
	case stopping:
		c.guard("Drain", func() { c.p.Drain(c.conn()) })
		c.end(ReasonShutdown)
	}
	return true
}

// busyLocked reports whether a worker has, or will have, something to do for
// the connection.
func (c *portConn) busyLocked() bool { return c.mu.scheduled || c.mu.waiting > 0 }

// holdTail counts n bytes of the buffer as held from now on.
func (c *portConn) holdTail(n int) {
	if d := int64(n - c.tail); d != 0 {
		c.b.bufs.held.Add(d)
		c.tail = n
	}
}

// pauseLocked stops reading for cause p.
func (c *portConn) pauseLocked(p Pause) {
	if c.mu.paused&(1<<p) == 0 {
		c.mu.paused |= 1 << p
		c.b.n.pauses[p].Add(1)
	}
}

// resumeLocked ends the pause for cause p.
func (c *portConn) resumeLocked(p Pause) {
	if c.mu.paused&(1<<p) != 0 {
		c.mu.paused &^= 1 << p
		c.pokeLocked()
	}
}

// stopping reports whether the group stops.
func (b *portable) stopping() bool {
	select {
	case <-b.quit:
		return true
	default:
		return false
	}
}
