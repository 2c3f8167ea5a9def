package loop

import (
	"errors"
	"os"
	"time"
)

// write sends p, or keeps it for the sender.
func (c *portConn) write(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.closed || c.mu.ending:
		return ErrClosed
	case c.mu.outHeld >= c.b.o.OutMax:
		c.closeLocked(ReasonSlow)
		return ErrSlow
	}
	if !c.mu.sending {
		n, err := c.writeLocked(p)
		if err != nil {
			c.closeLocked(ReasonPeerReset)
			return ErrClosed
		}
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	if c.b.bufs.over() {
		c.closeLocked(ReasonBudget)
		return ErrBudget
	}
	c.mu.out = c.b.bufs.add(c.mu.out, p)
	c.mu.outHeld += len(p)
	c.b.n.outHeld.Add(int64(len(p)))
	if c.mu.outHeld >= c.b.o.OutHigh {
		c.pauseLocked(PauseOut)
	}
	if !c.mu.sending {
		c.mu.sending = true
		c.b.conns.Add(1) // the reader is still counted: this is no first Add
		go c.send()
	}
	return nil
}

// writeLocked writes what the kernel takes at once. There is no sender, so
// nobody else writes.
func (c *portConn) writeLocked(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return 0, nil
	}
	c.mu.try, c.mu.tryN, c.mu.tryErr = p, 0, nil
	err := c.raw.Write(c.tryWrite)
	c.mu.try = nil
	if err == nil {
		err = c.mu.tryErr
	}
	c.b.n.bytesOut.Add(int64(c.mu.tryN))
	return c.mu.tryN, err
}

// send is the sender: it writes held output until there is none.
func (c *portConn) send() {
	defer c.b.conns.Done()
	for {
		c.mu.Lock()
		x := c.mu.out
		c.mu.out = nil
		if x == nil || c.mu.closed {
			c.b.bufs.put(x)
			_ = c.nc.SetWriteDeadline(time.Time{}) // it would fail writeLocked
			c.mu.sending = false
			if c.mu.ending {
				c.sentLocked()
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.sendAll(x.b)
		c.b.bufs.put(x)
	}
}

// sendAll writes p piece by piece, so that progress shows.
func (c *portConn) sendAll(p []byte) {
	for len(p) > 0 {
		_ = c.nc.SetWriteDeadline(portDue(time.Now(), c.b.o.WriteStall))
		n, err := c.nc.Write(p[:min(len(p), portBufferMax)])
		p = p[n:]
		c.b.n.bytesOut.Add(int64(n))
		c.mu.Lock()
		if !c.mu.closed {
			c.mu.outHeld -= n
			c.b.n.outHeld.Add(-int64(n))
			if c.mu.outHeld <= c.b.o.OutLow {
				c.resumeLocked(PauseOut)
			}
		}
		switch {
		case err == nil || n > 0 && errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.closeLocked(ReasonSlow)
		default:
			c.closeLocked(ReasonPeerReset)
		}
		closed := c.mu.closed
		c.mu.Unlock()
		if closed {
			return
		}
	}
}

// close closes at once.
func (c *portConn) close(r Reason) {
	c.mu.Lock()
	c.closeLocked(r)
	c.mu.Unlock()
}

func (c *portConn) closeLocked(r Reason) {
	if c.mu.closed {
		return
	}
	c.mu.closed = true
	if !c.mu.ending || r == ReasonSlow {
		c.mu.reason = r
	}
	_ = c.nc.Close()
	c.pokeLocked()
}

// end closes when held output has left.
func (c *portConn) end(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed || c.mu.ending {
		return
	}
	c.mu.ending, c.mu.reason = true, r
	if !c.mu.sending {
		c.sentLocked()
	}
	c.pokeLocked()
}

// sentLocked shuts our side down: the last byte has gone to the kernel.
func (c *portConn) sentLocked() {
	if c.mu.closed {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.closeLocked(c.mu.reason)
		return
	}
	c.mu.sent = true
	c.mu.lingerTo = time.Now().Add(portLinger)
	c.pokeLocked()
}

// stage is Group.Batch: package net writes to one connection at a time.
func (b *portable) stage() stage { return nil }
