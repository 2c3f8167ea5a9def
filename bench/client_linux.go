package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readSize   = 64 << 10
	eventCount = 512
	// tick bounds how late a client notices that its context has ended.
	tick = 50 * time.Millisecond
	// gatherLooks is how many times a client that gathers looks in vain before it
	// waits in the kernel, which costs the runtime more than a few looks.
	gatherLooks = 8
)

// A handler is the conversation on one connection. All its methods run on the
// goroutine that called client.run. An error from connected or received fails
// the run.
type handler interface {
	// connected is called once, when the connection is established.
	connected(c *conn) error
	// received is given the bytes not consumed yet and returns how many it
	// consumed; in is valid during the call.
	received(c *conn, in []byte) (n int, err error)
	// closed is called when the other side ended the connection: io.EOF, or
	// why it failed. The connection is gone afterwards.
	closed(c *conn, err error) error
}

// conn is one connection of a client.
type conn struct {
	client  *client
	h       handler
	fd      int
	slot    int32
	up      bool   // connected
	number  int    // counts the connections of the client from 1, never reused
	session string // Mcp-Session-Id of a stream
	in      []byte // received and not consumed
	out     []byte // not taken by the kernel yet
}

// client holds connections to one server on one epoll set. One goroutine may
// use it at a time.
type client struct {
	dialer *dialer
	epoll  int
	conns  []*conn // by slot; nil where free
	free   []int32
	dialed int
	events [eventCount]unix.EpollEvent
	buffer [readSize]byte
	// gather lets what arrives add up for so long before it is taken, once
	// something has: each look at the set costs more than the event it finds.
	// What is measured becomes later by at most that, never earlier. 0: not.
	gather time.Duration
	empty  int // looks in a row that found nothing

	// What idle connections met since the last look.
	heard int64 // bytes
	lost  int   // connections that the server closed
	why   error // of the first lost one
}

func newClient(server netip.AddrPort) (*client, error) {
	d, err := newDialer(server)
	if err != nil {
		return nil, err
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &client{dialer: d, epoll: fd}, nil
}

// close ends all connections and the client.
func (c *client) close() {
	for _, k := range c.conns {
		if k != nil {
			c.drop(k)
		}
	}
	_ = unix.Close(c.epoll)
}

// open starts a connection that h converses on.
func (c *client) open(h handler) (*conn, error) {
	fd, err := c.dialer.dial()
	if err != nil {
		return nil, err
	}
	c.dialed++
	k := &conn{client: c, h: h, fd: fd, number: c.dialed}
	if n := len(c.free); n > 0 {
		k.slot, c.free = c.free[n-1], c.free[:n-1]
		c.conns[k.slot] = k
	} else {
		k.slot = int32(len(c.conns))
		c.conns = append(c.conns, k)
	}
	// Edge-triggered, so that one registration serves connecting, reading
	// and writing. Pad carries the low half of number against a stale event.
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     k.slot, Pad: int32(k.number),
	}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		c.drop(k)
		return nil, SocketError("epoll_ctl", err)
	}
	return k, nil
}

// holds reports whether k is still open.
func (c *client) holds(k *conn) bool { return c.conns[k.slot] == k }

// drop closes k's descriptor, which also takes it out of the epoll set.
func (c *client) drop(k *conn) {
	if !c.holds(k) {
		return
	}
	_ = unix.Close(k.fd)
	c.conns[k.slot] = nil
	c.free = append(c.free, k.slot)
	k.h, k.in, k.out = nil, nil, nil
}

// run serves the connections until step says it is done, ctx ends or a handler
// fails. step runs before each wait and says how long the wait may be at most.
func (c *client) run(ctx context.Context, step func() (wait time.Duration, done bool, err error)) error {
	c.empty = gatherLooks
	for n := 0; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait, done, err := step()
		if err != nil || done {
			return err
		}
		if c.empty++; n > 0 {
			c.empty = 0
		}
		if c.gather > 0 && c.empty < gatherLooks {
			if err := c.pause(); err != nil {
				return err
			}
			wait = 0
		}
		if n, err = c.wait(min(max(wait, 0), tick)); err != nil {
			return err
		}
		for i := range n {
			e := &c.events[i]
			k := c.conns[e.Fd]
			if k == nil || int32(k.number) != e.Pad {
				continue // closed by an earlier event of this batch
			}
			if err := c.serve(k, e.Events); err != nil {
				return err
			}
		}
	}
}

// wait fills c.events and returns how many there are, none when wait has passed.
func (c *client) wait(wait time.Duration) (int, error) {
	if 0 < wait && wait < time.Millisecond {
		// epoll_wait counts milliseconds; zero of them would spin, and take
		// the processor from the server that is measured.
		set := []unix.PollFd{{Fd: int32(c.epoll), Events: unix.POLLIN}}
		t := unix.NsecToTimespec(int64(wait))
		if _, err := unix.Ppoll(set, &t, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, os.NewSyscallError("ppoll", err)
		}
		wait = 0
	}
	var n int
	var err error
	if wait < time.Millisecond {
		n, err = ready(c.epoll, c.events[:])
	} else {
		n, err = unix.EpollWait(c.epoll, c.events[:], int(wait/time.Millisecond))
	}
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, os.NewSyscallError("epoll_wait", err)
}

// pause sleeps for c.gather without telling the scheduler, whose monitor would
// look every 20 us where it has got to.
func (c *client) pause() error {
	t := unix.NsecToTimespec(int64(c.gather))
	_, _, errno := unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return os.NewSyscallError("nanosleep", errno)
	}
	return nil
}

// ready is epoll_wait without waiting.
func ready(set int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(set),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// recv reads from a socket without waiting; p must not be empty.
func recv(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (c *client) serve(k *conn, events uint32) error {
	if !k.up {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			return c.end(k, connectError(k.fd))
		}
		if events&unix.EPOLLOUT == 0 {
			return nil
		}
		k.up = true
		if err := k.h.connected(k); err != nil {
			return err
		}
	}
	if events&unix.EPOLLOUT != 0 && len(k.out) > 0 {
		if err := k.flush(); err != nil {
			return c.end(k, err)
		}
	}
	ended := events&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0
	if ended || events&unix.EPOLLIN != 0 {
		return c.receive(k, ended)
	}
	return nil
}

func connectError(fd int) error {
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	return SocketError("connect", unix.Errno(number))
}

// receive reads until the socket is empty, which a short read says, or, when
// the stream has ended, until its end: no further event will tell.
func (c *client) receive(k *conn, ended bool) error {
	for c.holds(k) {
		n, err := recv(k.fd, c.buffer[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return c.end(k, SocketError("read", err))
		case n == 0:
			return c.end(k, io.EOF)
		}
		if err := k.take(c.buffer[:n]); err != nil {
			return err
		}
		if n < len(c.buffer) && !ended {
			return nil
		}
	}
	return nil
}

// take gives the handler what k has kept and what came now.
func (k *conn) take(now []byte) error {
	if len(k.in) > 0 {
		k.in = append(k.in, now...)
		now = k.in
	}
	n, err := k.h.received(k, now)
	if err != nil {
		return fmt.Errorf("connection %d: %w", k.number, err)
	}
	if k.h == nil {
		return nil // closed by its handler
	}
	k.in = append(k.in[:0], now[n:]...)
	if len(k.in) == 0 {
		k.in = nil
	}
	return nil
}

func (c *client) end(k *conn, why error) error {
	h := k.h
	err := h.closed(k, why)
	c.drop(k)
	return err
}

// send writes b, or keeps what the kernel refuses and writes it when it can.
// A broken connection is reported by the event that follows.
func (k *conn) send(b []byte) {
	if len(k.out) > 0 {
		k.out = append(k.out, b...)
		return
	}
	n, err := unix.Write(k.fd, b)
	if err != nil {
		n = 0
	}
	k.out = append(k.out, b[n:]...)
}

func (k *conn) flush() error {
	n, err := unix.Write(k.fd, k.out)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return SocketError("write", err)
	case n == len(k.out):
		k.out = nil
	default:
		k.out = append(k.out[:0], k.out[n:]...)
	}
	return nil
}

// idle is the handler of a connection that has said what it had to say. What
// the server sends (comments that keep a stream alive) is counted and dropped.
type idle struct{}

func (idle) connected(*conn) error { return nil }

func (idle) received(k *conn, in []byte) (int, error) {
	k.client.heard += int64(len(in))
	return len(in), nil
}

func (idle) closed(k *conn, why error) error {
	k.client.lost++
	if k.client.why == nil {
		k.client.why = why
	}
	return nil
}

// intact returns an error when the server has closed idle connections.
func (c *client) intact() error {
	if c.lost == 0 {
		return nil
	}
	return fmt.Errorf("bench: the server closed %d idle connections (the first: %w); see its limits and idle timeout", c.lost, c.why)
}
