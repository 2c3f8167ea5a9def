package loop

import (
	"errors"
	"net/netip"
)

// Errors of connections and groups.
var (
	ErrClosed         = errors.New("loop: connection is closed")
	ErrSlow           = errors.New("loop: client does not read; closed")
	ErrBudget         = errors.New("loop: byte budget of the process is used up")
	ErrTooManyWaiting = errors.New("loop: too many handlers are waiting")
	ErrStopped        = errors.New("loop: group is stopped")
)

// A Handle names one connection of a group for ever: the loop in the upper 8
// bits, then 24 bits of slot index and 32 bits of generation. Zero names none.
type Handle uint64

func makeHandle(loop, index int, gen uint32) Handle {
	return Handle(uint64(loop)<<56 | uint64(index)<<32 | uint64(gen))
}

func (h Handle) loop() int   { return int(h >> 56) }
func (h Handle) index() int  { return int(h>>32) & (1<<24 - 1) }
func (h Handle) gen() uint32 { return uint32(h) }

// A Conn is a connection, as a value: a group and a handle. Its methods may be
// called from any goroutine at any time; after the connection has closed they
// do nothing and return ErrClosed where they return an error. To remember many
// connections keep their handles (8 bytes) and use [Group.Conn].
type Conn struct {
	b backend
	h Handle
}

// backend is one implementation of connections: epoll or portable.
type backend interface {
	write(h Handle, p []byte) error
	close(h Handle, r Reason)
	end(h Handle, r Reason)
	release(h Handle)
	word(h Handle) (uint64, bool)
	setWord(h Handle, w uint64) bool
	remoteAddr(h Handle) netip.AddrPort
}

// Handle returns the connection's name.
func (c Conn) Handle() Handle { return c.h }

// Write sends p, whole and after everything written before. It does not block:
// what the kernel does not take is copied and sent when it does. It returns
// ErrClosed after close and ErrSlow or ErrBudget when the bound on held bytes
// is reached, in which case the connection is closed and counted.
func (c Conn) Write(p []byte) error {
	if c.b == nil {
		return ErrClosed
	}
	return c.b.write(c.h, p)
}

// Close closes the connection at once; held output is lost.
func (c Conn) Close(r Reason) {
	if c.b != nil {
		c.b.close(c.h, r)
	}
}

// End closes the connection when all that was written has left, or when
// Options.WriteStall passes without progress.
func (c Conn) End(r Reason) {
	if c.b != nil {
		c.b.end(c.h, r)
	}
}

// Release ends a Hold: Step is called again with what arrived meanwhile.
func (c Conn) Release() {
	if c.b != nil {
		c.b.release(c.h)
	}
}

// Word returns the protocol's 64 bits, zero after close.
func (c Conn) Word() uint64 {
	if c.b == nil {
		return 0
	}
	w, _ := c.b.word(c.h)
	return w
}

// SetWord stores the protocol's 64 bits and reports whether the connection is
// still open. A protocol that sets it from several goroutines must order them
// itself.
func (c Conn) SetWord(w uint64) bool { return c.b != nil && c.b.setWord(c.h, w) }

// RemoteAddr asks the kernel for the peer's address; nothing is stored for it.
// It is the zero AddrPort for unix sockets and closed connections.
func (c Conn) RemoteAddr() netip.AddrPort {
	if c.b == nil {
		return netip.AddrPort{}
	}
	return c.b.remoteAddr(c.h)
}
