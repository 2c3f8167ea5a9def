package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/internal/early"
)

// Sizes of a connection's buffers, in bytes.
const (
	writeMax    = 256 << 10 // one Write
	writeTarget = 192 << 10 // stop gathering: another frame might go beyond writeMax
	writeKeep   = 512 << 10 // a buffer that grew larger is not kept
	readMin     = 8 << 10   // of an idle connection; a Hello fits
	readMax     = 256 << 10 // of a busy one; a longer frame gets what it needs
	shrinkAfter = 256       // reads that would have fitted readMin
	heardEvery  = 50 * time.Millisecond
)

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeMax); return &b }}

// meshConn is one connection between two processes, from its handshake on.
type meshConn struct {
	m       *Mesh
	raw     net.Conn
	in      *socket    // raw, as it is read
	rw      net.Conn   // in, or TLS over it
	twin    early.Twin // of raw: should we be killed the other end hears of it first
	dialled bool       // by us

	// Set before begin.
	mp     *meshPeer
	since  time.Time
	theirs error // a refusal that the other end has sent

	buf  []byte // what was read and not used yet: buf[:have]
	have int
	// armed is when the deadline of the next read was set. Used by the reader.
	armed time.Time

	over chan struct{} // closed by fail
	once sync.Once
	err  error // why; set before over is closed
}

func (m *Mesh) newConn(in *socket, rw net.Conn, dialled bool) *meshConn {
	return &meshConn{m: m, raw: in.Conn, in: in, rw: rw, dialled: dialled, buf: make([]byte, readMin), over: make(chan struct{})}
}

// fail ends the connection. The first error is the one that counts.
func (c *meshConn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.over)
		c.twin.Close()
		// Not the TLS connection: that would wait for its last words to be read.
		c.raw.Close()
	})
}

// lastReadMax is how long the reader goes on at most when nothing can be written
// any more.
const lastReadMax = time.Second

// lastRead ends the connection because it cannot be written to, once the reader
// has read what is there: of a process that was killed that is what its kernel
// has sent for it, and to close the socket would throw it away. A peer that only
// reads nothing has its connection closed at once.
func (c *meshConn) lastRead(err error) {
	if !errors.Is(err, errStalled) {
		timeout := time.NewTimer(lastReadMax)
		defer timeout.Stop()
		select {
		case <-c.over:
		case <-timeout.C:
		}
	}
	c.fail(err)
}

// unread reports whether bytes have arrived, or the end has, that the endpoint
// has not been given.
func (c *meshConn) unread() bool { return !c.in.waits.Load() || readable(c.in.Conn) }

// socket is the reading side of a connection's socket.
type socket struct {
	net.Conn
	waits atomic.Bool // for bytes, or for the processor to take them
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	s.waits.Store(true)
	n, err := s.Conn.Read(p)
	s.waits.Store(false)
	return n, err
}

// readable reports whether the kernel has bytes of a socket, or its end.
func readable(c net.Conn) (is bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { // closed here already: nobody reads it
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		is = !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return is
}

// cause returns why the connection was ended, nil if it was not.
func (c *meshConn) cause() error {
	select {
	case <-c.over:
		return c.err
	default:
		return nil
	}
}

// begin starts the life of an attached connection.
func (c *meshConn) begin() {
	mp := c.mp
	c.twin.Hold(c.raw)
	mp.count.connects.Add(1)
	mp.m.o.Logger.Info("link up", "peer", mp.id.String(), "addr", c.raw.RemoteAddr().String(), "dialled", c.dialled)
	mp.m.o.Evidence(mp.address(), LinkUp)
	written := make(chan struct{})
	mp.m.wg.Go(func() {
		defer close(written)
		c.lastRead(c.write())
	})
	mp.m.wg.Go(func() {
		c.fail(c.read())
		<-written
		mp.m.o.Logger.Info("link down", "peer", mp.id.String(), "err", c.err)
		mp.detach(c, c.err)
	})
}

// readHello reads the other end's Hello, or its refusal as the error. Bytes that
// follow stay in buf. The deadline is that of the handshake.
func (c *meshConn) readHello() (batch.Hello, error) {
	for {
		h, n, err := batch.ParseHello(c.buf[:c.have])
		var refusal *batch.Refusal
		switch {
		case errors.Is(err, batch.ErrIncomplete):
			if err := c.fill(); err != nil {
				return h, err
			}
			continue
		case errors.As(err, &refusal):
			c.theirs = err
			return h, err
		case err != nil && c.have >= len(gone) && string(c.buf[:len(gone)]) == gone:
			return h, errGone
		case err != nil:
			return h, err
		}
		c.drop(n)
		return h, nil
	}
}

// fill reads once, into what is free of buf.
func (c *meshConn) fill() error {
	n, err := c.rw.Read(c.buf[c.have:])
	c.have += n
	if n > 0 {
		return nil
	}
	return err
}

// drop removes the first n bytes of buf.
func (c *meshConn) drop(n int) {
	c.have = copy(c.buf, c.buf[n:c.have])
}

// read hands what comes to the endpoint until the connection ends.
func (c *meshConn) read() error {
	heard, small := time.Time{}, 0
	for waits := c.dialled; waits; {
		var err error
		if waits, err = c.objection(); err == nil && waits {
			err = c.listen(&heard)
		}
		if err != nil {
			return err
		}
	}
	for {
		n, err := c.mp.ep.Receive(c.buf[:c.have])
		if err != nil {
			return err
		}
		c.drop(n)
		if n > 0 {
			c.mp.wake() // an acknowledgement or credit may be due
		}
		before := c.have
		small = c.fit(small)
		if err := c.listen(&heard); err != nil {
			return err
		}
		if c.have-before > readMin/2 {
			small = 0
		}
		c.mp.count.bytesIn.Add(uint64(c.have - before))
	}
}

// objection looks at the first bytes after the Hellos: each end may still refuse
// when it has seen the other's. waits says that it takes more bytes to tell; if
// not, and without an error, they are frames.
func (c *meshConn) objection() (waits bool, err error) {
	_, _, err = batch.ParseHello(c.buf[:c.have])
	var refusal *batch.Refusal
	switch {
	case errors.Is(err, batch.ErrIncomplete):
		return true, nil
	case errors.As(err, &refusal):
		c.theirs = err
		if refusal.Code == batch.RefusedResume {
			return false, ErrForgotten
		}
		return false, err
	case err == nil:
		return false, fmt.Errorf("%w: a second Hello", batch.ErrFrame)
	}
	return false, nil
}

// fit sizes buf for what comes next: for the frame that has begun, larger when
// it is full, and small again when small reads in a row would have fitted.
func (c *meshConn) fit(small int) int {
	want := len(c.buf)
	if c.have > 0 {
		want = max(want, c.mp.ep.Need(c.buf[:c.have]))
	}
	switch {
	case c.have == len(c.buf):
		want = max(want, min(2*len(c.buf), readMax))
	case c.have == 0 && len(c.buf) > readMin:
		if small++; small > shrinkAfter || len(c.buf) > readMax {
			want, small = readMin, 0
		}
	}
	if want < len(c.buf) {
		c.buf = make([]byte, want)
	} else if want > len(c.buf) {
		c.buf = slices.Grow(c.buf[:c.have], want-c.have)
		c.buf = c.buf[:want]
	}
	return small
}

// listen reads once and says that the peer was heard. Neither that nor setting a
// deadline is free, so both are done every heardEvery at most.
func (c *meshConn) listen(heard *time.Time) error {
	for again := false; ; again = true {
		now := time.Now()
		if now.Sub(c.armed) >= heardEvery || again {
			if err := c.raw.SetReadDeadline(now.Add(c.patience(again))); err != nil {
				return err
			}
			c.armed = now
		}
		err := c.fill()
		switch {
		case err == nil:
			if now = time.Now(); now.Sub(*heard) >= heardEvery {
				*heard = now
				c.m.o.Evidence(c.mp.address(), Heard)
			}
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case again:
			return errSilent
		}
		// It may be us who slept: then the bytes are there already.
	}
}

func (c *meshConn) patience(again bool) time.Duration {
	if again {
		return c.m.o.Heartbeat
	}
	return c.m.o.SilenceTimeout
}

// write sends frames as they come up, and heartbeats when there are none.
func (c *meshConn) write() error {
	tick := time.NewTicker(c.m.o.Heartbeat)
	defer tick.Stop()
	// The end that has dialled speaks first: the other one waits for that.
	err := c.send(c.mp.ep.Heartbeat(nil))
	wrote := time.Now()
	for err == nil {
		var n int
		if n, err = c.flush(); err != nil {
			break
		}
		if n > 0 {
			wrote = time.Now()
			c.mp.ep.Written()
			continue // more may have come meanwhile
		}
		select {
		case <-c.over:
			return c.err
		case <-c.mp.waking:
		case <-tick.C:
			if time.Since(wrote) >= c.m.o.Heartbeat/2 {
				err = c.send(c.mp.ep.Heartbeat(nil))
				wrote = time.Now()
			}
		}
	}
	return err
}

// flush sends what the endpoint has, up to a buffer full, and returns how many
// bytes that were. It has the buffer only for that long.
func (c *meshConn) flush() (int, error) {
	b := writeBuffers.Get().(*[]byte)
	p := (*b)[:0]
	for len(p) < writeTarget {
		n := len(p)
		if p = c.mp.ep.NextFrame(p); len(p) == n {
			break
		}
	}
	err := c.send(p)
	if cap(p) <= writeKeep {
		*b = p
	}
	writeBuffers.Put(b)
	return len(p), err
}

// send writes p. Each 256 KiB have WriteTimeout.
func (c *meshConn) send(p []byte) error {
	for len(p) > 0 {
		if err := c.raw.SetWriteDeadline(time.Now().Add(c.m.o.WriteTimeout)); err != nil {
			return err
		}
		n, err := c.rw.Write(p[:min(len(p), writeMax)])
		c.mp.count.bytesOut.Add(uint64(n))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errStalled
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
