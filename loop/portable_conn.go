package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A portConn is one connection of the portable backend.
//
// Its life: open → ending (end: no more writes, held output leaves) → sent (the
// output has left, our side is shut down, what the peer still sends is thrown
// away so that the kernel does not answer it with a reset) → closed. Each state
// may go to closed directly. The reader goroutine is the last to leave.
type portConn struct {
	b    *portable
	h    Handle
	nc   net.Conn
	raw  syscall.RawConn // nil when nc has none
	p    Protocol
	wake chan struct{} // capacity 1: ends the reader's wait when it does not read
	word atomic.Uint64

	// The reader's own.
	buf    []byte
	off    int // buf[off:] is unread
	turn   Turn
	scan   [2]uint64
	fresh  bool // there is something that Step has not seen
	eof    bool // the peer has finished
	greets bool // no whole message yet
	tail   int  // bytes of buf that count as held
	opened time.Time
	active time.Time // the last sign of life
	tailAt time.Time // when the unfinished message began; zero: there is none
	tickAt time.Time // the next Tick of a held connection
	armed  time.Time // the read deadline in force; zero: none
	timer  *time.Timer

	mu struct {
		sync.Mutex
		closed, ending, sent bool
		reason               Reason
		lingerTo             time.Time // when sent gives up on the peer
		reading              bool      // the reader is in Read and needs a deadline to wake
		poked                bool      // the reader should look around before it waits
		paused               uint8     // 1<<Pause bits

		held     bool
		stepping bool // Step runs
		released bool // release came before the Hold that it ends

		scheduled bool      // a worker has the connection or is about to
		queue     *buffer   // records no worker has taken yet
		queued    int       // bytes of records queued or taken and not yet done
		waiting   int       // handlers that released the connection and still run
		workedAt  time.Time // when a worker last finished a record
		settling  bool      // the reader should hear when nothing is in flight any more

		out     *buffer // output the sender has not taken yet
		outHeld int     // bytes of output not yet sent
		sending bool    // the sender runs
		try     []byte  // argument and results of writeNow in tryWrite
		tryN    int
		tryErr  error
	}
	tryWrite func(fd uintptr) bool // stored once; runs under mu
}

const (
	portBuffer    = 4 << 10  // first size of a read buffer
	portBufferMax = 64 << 10 // what an idle connection keeps of it
	portLinger    = time.Second
)

func newPortConn(b *portable, nc net.Conn, p Protocol) *portConn {
	now := time.Now()
	c := &portConn{
		b: b, nc: nc, p: p,
		wake:   make(chan struct{}, 1),
		buf:    make([]byte, 0, portBuffer),
		greets: true,
		opened: now,
		active: now,
	}
	if s, ok := nc.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.tryWrite = func(fd uintptr) bool {
		c.mu.tryN, c.mu.tryErr = writeNow(fd, c.mu.try)
		return true
	}
	return c
}

func (c *portConn) conn() Conn { return Conn{c.b, c.h} }

func (c *portConn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.mu.closed
}

// serve is the reader.
func (c *portConn) serve() {
	defer c.b.conns.Done()
	defer c.gone()
	c.guard("Open", func() { c.p.Open(c.conn()) })
	for c.turns() && c.settle() && c.await() {
	}
}

// gone is the end of the connection.
func (c *portConn) gone() {
	c.mu.Lock()
	c.closeLocked(ReasonPeerClosed)
	r := c.mu.reason
	c.b.bufs.put(c.mu.queue)
	c.b.bufs.put(c.mu.out)
	c.mu.queue, c.mu.out = nil, nil
	c.b.n.outHeld.Add(-int64(c.mu.outHeld))
	c.mu.queued, c.mu.outHeld = 0, 0
	if c.mu.held {
		c.mu.held = false
		c.b.n.held.Add(-1)
	}
	c.mu.Unlock()
	c.holdTail(0)
	if c.timer != nil {
		c.timer.Stop()
	}
	c.b.forget(c, r)
	c.guard("Closed", func() { c.p.Closed(c.h, c.word.Load(), r) })
}

// guard runs a protocol method and closes the connection when it panics.
func (c *portConn) guard(method string, f func()) {
	done := false
	defer func() {
		if !done {
			c.b.panicked(method, recover())
			c.close(ReasonPanic)
		}
	}()
	f()
	done = true
}

// await reads, or waits until there is a reason to go on. It reports false when
// the connection is over.
func (c *portConn) await() bool {
	now := time.Now()
	c.mu.Lock()
	if c.mu.poked {
		c.mu.poked = false
		c.mu.Unlock()
		return true
	}
	if c.mu.closed || c.mu.sent && c.eof {
		c.mu.Unlock()
		return false
	}
	space := c.spaceLocked()
	due := c.dueLocked(now)
	if space == 0 {
		c.mu.Unlock()
		return c.sleep(now, due)
	}
	if c.armed.IsZero() || due.Before(c.armed) {
		_ = c.nc.SetReadDeadline(due)
		c.armed = due
	}
	c.mu.reading = true
	c.mu.Unlock()
	return c.read(space)
}

// spaceLocked returns how many bytes may be read now; zero pauses reading.
func (c *portConn) spaceLocked() int {
	if c.eof {
		return 0
	}
	if c.mu.ending {
		return portBufferMax // to be thrown away
	}
	if c.mu.paused&pausesStep != 0 {
		return 0
	}
	if c.tail > 0 && c.b.bufs.over() {
		c.pauseLocked(PauseBudget)
		return 0
	}
	c.mu.paused &^= 1 << PauseBudget
	if !c.mu.held {
		return c.b.o.ReadBuffer
	}
	if c.unread() >= c.b.o.HoldMax {
		c.pauseLocked(PauseHold)
		return 0
	}
	return c.b.o.HoldMax - c.unread()
}

// sleep waits for a poke or until due.
func (c *portConn) sleep(now, due time.Time) bool {
	if c.timer == nil {
		c.timer = time.NewTimer(due.Sub(now))
	} else {
		c.timer.Reset(due.Sub(now))
	}
	select {
	case <-c.wake:
	case <-c.timer.C:
		return c.deadlines(due)
	}
	return true
}

// read fills the buffer with at most space bytes.
func (c *portConn) read(space int) bool {
	c.grow()
	end := min(cap(c.buf), len(c.buf)+space)
	n, err := c.nc.Read(c.buf[len(c.buf):end])
	c.mu.Lock()
	c.mu.reading = false
	if c.mu.poked {
		c.mu.poked = false
		c.armed = time.Time{} // poke has set it
	}
	c.mu.Unlock()
	if n > 0 {
		c.b.n.bytesIn.Add(int64(n))
		c.buf = c.buf[:len(c.buf)+n]
		c.fresh = true
		c.active = time.Now()
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		due := c.armed
		c.armed = time.Time{}
		return c.deadlines(due)
	case errors.Is(err, net.ErrClosed):
		return false
	case errors.Is(err, io.EOF):
		c.eof, c.fresh = true, true
		return true
	default:
		c.close(ReasonPeerReset)
		return false
	}
}

// grow makes room for reading.
func (c *portConn) grow() {
	switch {
	case len(c.buf) == 0 && cap(c.buf) > portBufferMax:
		c.buf = make([]byte, 0, portBuffer)
	case len(c.buf) < cap(c.buf):
	case c.off >= len(c.buf)/2:
		c.buf, c.off = c.buf[:copy(c.buf, c.buf[c.off:])], 0
	default:
		bigger := make([]byte, 0, 2*cap(c.buf))
		c.buf, c.off = append(bigger, c.buf[c.off:]...), 0
	}
}

// poke makes the reader look around.
func (c *portConn) poke() {
	c.mu.Lock()
	c.pokeLocked()
	c.mu.Unlock()
}

func (c *portConn) pokeLocked() {
	if c.mu.poked {
		return
	}
	c.mu.poked = true
	if c.mu.reading {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
