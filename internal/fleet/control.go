package fleet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/rookery-server/rookery/internal/early"
)

// Kinds of frames. Those below KindUser are the fleet's own.
const (
	kindReady byte = iota // worker: serves
	kindDrain             // supervisor: stop accepting, finish, end
	// KindUser is the first kind that is free for others.
	KindUser byte = 16
)

// Bounds of a control channel.
const (
	// PayloadMax bounds one frame's payload, in bytes.
	PayloadMax = 1 << 20
	// controlQueue bounds the bytes of frames that wait to be written. It has
	// room for two of the largest.
	controlQueue = 2*PayloadMax + 2*headerSize
	headerSize   = 5 // length of the payload (4 bytes, big endian), kind
)

// Errors of a control channel.
var (
	// ErrFull says that the other end does not read: a frame found no room.
	ErrFull = errors.New("fleet: control queue is full")
	// ErrClosed says that the channel, or the process behind it, has ended.
	ErrClosed = errors.New("fleet: control channel is closed")
	// ErrTooLarge says that a payload is longer than PayloadMax.
	ErrTooLarge = errors.New("fleet: control frame is too large")
)

// A Control is a channel of frames between a supervisor and one worker, in
// order and without loss until it ends. It ends with either process, when the
// other end breaks the framing, and by Close. Methods are safe for concurrent
// use.
type Control struct {
	conn    net.Conn
	twin    early.Twin // of conn, if a worker holds one: a supervisor hears of its death first
	receive func(kind byte, payload []byte)

	mu      sync.Mutex
	wake    sync.Cond // of mu: queue or ended has changed
	queue   []byte    // guarded by mu: frames not written yet
	ended   bool      // guarded by mu
	workers sync.WaitGroup
	done    chan struct{}
}

// newControl runs a channel over conn, which it owns. receive is called for
// each frame that arrives, in order, on one goroutine; a payload is valid until
// it returns. While it does not return nothing is received, and the other end
// will see ErrFull.
func newControl(conn net.Conn, receive func(kind byte, payload []byte)) *Control {
	c := &Control{conn: conn, receive: receive, done: make(chan struct{})}
	c.wake.L = &c.mu
	c.workers.Add(2)
	go c.write()
	go c.read()
	return c
}

// Send queues a frame; payload is copied. It never blocks. kind must be KindUser
// or above.
func (c *Control) Send(kind byte, payload []byte) error {
	if kind < KindUser {
		return fmt.Errorf("fleet: frames of kind %d are not for others", kind)
	}
	return c.send(kind, payload)
}

func (c *Control) send(kind byte, payload []byte) error {
	if len(payload) > PayloadMax {
		return ErrTooLarge
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrClosed
	}
	if len(c.queue)+headerSize+len(payload) > controlQueue {
		return ErrFull
	}
	c.queue = binary.BigEndian.AppendUint32(c.queue, uint32(len(payload)))
	c.queue = append(append(c.queue, kind), payload...)
	c.wake.Signal()
	return nil
}

// Done is closed when the channel has ended.
func (c *Control) Done() <-chan struct{} { return c.done }

// Close ends the channel and waits for its goroutines, that is, for a receive
// that runs. What is queued may be lost. It must not be called by receive.
func (c *Control) Close() {
	c.end()
	c.workers.Wait()
}

func (c *Control) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		c.wake.Signal()
		c.twin.Close()
		_ = c.conn.Close() // both goroutines see it
		close(c.done)
	}
}

// write writes what is queued, all at once.
func (c *Control) write() {
	defer c.workers.Done()
	defer c.end()
	var out []byte
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.ended {
			c.wake.Wait()
		}
		if c.ended {
			c.mu.Unlock()
			return
		}
		out, c.queue = c.queue, out[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(out); err != nil {
			return
		}
	}
}

// read hands frames to receive.
func (c *Control) read() {
	defer c.workers.Done()
	defer c.end()
	in := bufio.NewReader(c.conn)
	var header [headerSize]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(header[:]))
		if n > PayloadMax {
			return
		}
		if cap(payload) < n {
			payload = make([]byte, n)
		}
		payload = payload[:n]
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		c.receive(header[4], payload)
	}
}
