package loop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// portable is the backend without epoll: a goroutine reads each connection and
// runs its Step, another one sends what the kernel refused for as long as there
// is such output, and workers are the dispatcher's. It keeps every promise of
// the package but the first: an idle connection costs a goroutine and a read
// buffer.
//
// What it cannot see is a peer that resets while reading is paused; it learns
// of it at the next write, when reading resumes, or by a deadline. There are no
// loops to count, and backlogs are as long as package net makes them:
// Options.Loops and Options.Backlog have no meaning here.
//
// Locks, outermost first: parkMu, portConn.mu. portable.mu is a leaf.
type portable struct {
	o        *Options
	d        *dispatcher
	workers  sync.Pool // of *portWorker
	bufs     buffers   // records and output; tails count in bufs.held too
	epoch    time.Time // queue times count from here
	connsMax int64
	quit     chan struct{} // closed when the group stops: nothing is accepted any more
	room     chan struct{} // capacity 1: a descriptor has come free

	mu        sync.RWMutex // guards the following fields
	slots     []*portConn  // by index; nil is free
	gens      []uint32     // by index: generation of the last connection there
	free      []int
	listeners []portListener
	started   time.Time // zero before start
	stopped   bool
	killed    bool      // connections that come still are closed
	hurryAt   time.Time // set before quit is closed: end of DrainMoment

	parkMu sync.Mutex
	parked []*portConn // guarded by parkMu; connections the ring refused

	conns    sync.WaitGroup // acceptors, readers, senders
	ended    chan struct{}  // closed when all of them have ended
	finished chan struct{}  // closed when the workers have ended too

	open    atomic.Int64
	refused atomic.Int64
	n       counters
}

// portListener is a socket and the protocol of its connections.
type portListener struct {
	net.Listener
	p      Protocol
	shared bool // it was bound by others, who may serve it too
}

func newPortable(o *Options) (groupBackend, error) {
	opts := *o
	opts.Loops = 1 // one ring; handles carry loop 0
	b := &portable{
		o:        &opts,
		epoch:    time.Now(),
		quit:     make(chan struct{}),
		room:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
		finished: make(chan struct{}),
	}
	b.bufs.max = o.Budget
	b.connsMax = int64(o.ConnsMax)
	if b.connsMax == 0 {
		b.connsMax = descriptorsMax() - int64(o.ReserveFDs)
	}
	if b.connsMax < 1 {
		return nil, fmt.Errorf("loop: %d descriptors are reserved and no more are allowed: raise the limit (ulimit -n)", o.ReserveFDs)
	}
	b.workers.New = func() any { return new(portWorker) }
	b.d = newDispatcher(&opts, b.work)
	b.d.onSpace = func(int) { b.unpark() }
	return b, nil
}

// listen binds addr. Before start the kernel keeps what arrives in the backlog.
func (b *portable) listen(addr string, p Protocol) (net.Addr, error) {
	return b.adopt(p, false, func() (net.Listener, error) { return listenNet(addr) })
}

// adopt serves what open returns.
func (b *portable) adopt(p Protocol, shared bool, open func() (net.Listener, error)) (net.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return nil, ErrStopped
	}
	l, err := open()
	if err != nil {
		return nil, err
	}
	pl := portListener{l, p, shared}
	b.listeners = append(b.listeners, pl)
	if !b.started.IsZero() {
		b.conns.Add(1)
		go b.accept(pl)
	}
	return l.Addr(), nil
}

func (b *portable) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return ErrStopped
	}
	if b.started.IsZero() {
		b.started = time.Now()
		b.o.Pacer.Accepting(true)
		for _, l := range b.listeners {
			b.conns.Add(1)
			go b.accept(l)
		}
	}
	return nil
}

// shutdown drains. When ctx ends first it closes what is left and does not wait
// for handlers that run on all the same; kill does.
func (b *portable) shutdown(ctx context.Context) error {
	b.stop()
	for _, c := range b.all() {
		c.poke()
	}
	select {
	case <-b.finished:
		return nil
	case <-ctx.Done():
	}
	b.closeAll()
	<-b.ended
	return ctx.Err()
}

func (b *portable) kill() {
	b.stop()
	b.closeAll()
	<-b.finished
}

// stop ends accepting, once, and starts the goroutine that sees the rest end.
func (b *portable) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return
	}
	b.stopped = true
	b.hurryAt = time.Now().Add(b.o.DrainMoment)
	close(b.quit)
	b.o.Pacer.Accepting(false)
	for _, l := range b.listeners {
		l.retire(!b.started.IsZero())
	}
	go func() {
		b.conns.Wait()
		close(b.ended)
		b.d.stop()
		close(b.finished)
	}()
}

func (b *portable) closeAll() {
	b.mu.Lock()
	b.killed = true
	b.mu.Unlock()
	for _, c := range b.all() {
		c.close(ReasonShutdown)
	}
}

// all returns the connections open now.
func (b *portable) all() []*portConn {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]*portConn, 0, b.open.Load())
	for _, c := range b.slots {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// admit gives nc a handle and a goroutine.
func (b *portable) admit(nc net.Conn, p Protocol) {
	c := newPortConn(b, nc, p)
	b.mu.Lock()
	defer b.mu.Unlock()
	index, ok := b.slotLocked()
	if b.killed || !ok {
		_ = nc.Close()
		b.refused.Add(1)
		return
	}
	b.gens[index]++
	if b.gens[index] == 0 {
		b.gens[index] = 1
	}
	c.h = makeHandle(0, index, b.gens[index])
	b.slots[index] = c
	b.count(1)
	b.conns.Add(1)
	go c.serve()
}

// slotLocked returns a free index; there are 2^24.
func (b *portable) slotLocked() (int, bool) {
	if n := len(b.free); n > 0 {
		i := b.free[n-1]
		b.free = b.free[:n-1]
		return i, true
	}
	if len(b.slots) == 1<<24 {
		return 0, false
	}
	b.slots = append(b.slots, nil)
	b.gens = append(b.gens, 0)
	return len(b.slots) - 1, true
}

// forget makes c's handle stale and its slot free.
func (b *portable) forget(c *portConn, r Reason) {
	b.mu.Lock()
	b.slots[c.h.index()] = nil
	b.free = append(b.free, c.h.index())
	b.mu.Unlock()
	b.count(-1)
	b.n.closed[r].Add(1)
	select {
	case b.room <- struct{}{}:
	default:
	}
}

// lookup returns the connection that h names, or nil.
func (b *portable) lookup(h Handle) *portConn {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if i := h.index(); i < len(b.slots) {
		if c := b.slots[i]; c != nil && c.h == h {
			return c
		}
	}
	return nil
}

func (b *portable) write(h Handle, p []byte) error {
	if c := b.lookup(h); c != nil {
		return c.write(p)
	}
	return ErrClosed
}

func (b *portable) close(h Handle, r Reason) {
	if c := b.lookup(h); c != nil {
		c.close(r)
	}
}

func (b *portable) end(h Handle, r Reason) {
	if c := b.lookup(h); c != nil {
		c.end(r)
	}
}

func (b *portable) release(h Handle) {
	if c := b.lookup(h); c != nil {
		c.release()
	}
}

func (b *portable) word(h Handle) (uint64, bool) {
	if c := b.lookup(h); c != nil && c.isOpen() {
		return c.word.Load(), true
	}
	return 0, false
}

func (b *portable) setWord(h Handle, w uint64) bool {
	c := b.lookup(h)
	if c == nil || !c.isOpen() {
		return false
	}
	c.word.Store(w)
	return true
}

func (b *portable) remoteAddr(h Handle) netip.AddrPort {
	c := b.lookup(h)
	if c == nil || !c.isOpen() {
		return netip.AddrPort{}
	}
	a, ok := c.nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// panicked logs and counts what a protocol method threw.
func (b *portable) panicked(method string, v any) {
	b.n.panics.Add(1)
	b.o.Logger.Error("protocol panicked", "method", method, "panic", v, "stack", string(debug.Stack()))
}

func (b *portable) stats() Stats {
	b.mu.RLock()
	slots := int64(len(b.slots))
	var up time.Duration
	if !b.started.IsZero() {
		up = time.Since(b.started)
	}
	b.mu.RUnlock()
	st := Stats{
		Open: b.open.Load(), Refused: b.refused.Load(), Attached: b.open.Load(),
		RingDepth: int64(b.d.depth()), RingCap: int64(b.d.bound()), Running: int64(b.d.running()),
		Waiting: int64(b.d.waits()), Workers: int64(b.o.Workers),
		SlotBytes:  slots * int64(unsafe.Sizeof(portConn{})+portBuffer),
		TableBytes: slots*16 + int64(b.d.bound())*16,
		Loops:      1, Backend: "portable", Uptime: up,
	}
	b.n.addTo(&st)
	st.PerLoop = []LoopStats{b.n.perLoop(st.Open)}
	st.InHeld = b.bufs.held.Load() - st.OutHeld
	return st
}
