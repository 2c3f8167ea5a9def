package loop

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// native is the epoll backend: loops on netpoll's pollers.
type native struct {
	o         *Options
	born      time.Time
	idleTicks uint32
	fdMax     int // accepting pauses when descriptors reach this number
	connsMax  int64
	mem       buffers
	disp      *dispatcher
	loops     []*eloop
	gather    gather
	rings     atomic.Int64 // io_urings open
	batched   atomic.Int64 // writes of gather that went through its ring

	mu        sync.Mutex                  // guards changes of what follows
	listeners atomic.Pointer[[]*listener] // copied on write
	started   bool
	stopped   bool

	open     atomic.Int64
	refused  atomic.Int64
	draining atomic.Bool
	// listening says that listeners are open, and so that connections may come.
	listening atomic.Bool
	// acceptOff says that loop 0 wants to hear of closed connections.
	acceptOff atomic.Bool
	deaf      chan struct{} // closed by loop 0 when it is deaf
	// handshakes says, once deaf is closed, that connections may have begun before.
	handshakes bool
	empty      chan struct{} // closed when draining and open is 0
	undrained  atomic.Int32  // loops that have not begun to drain
	drained    chan struct{} // closed when none is left
	emptied    sync.Once
	done       chan struct{} // closed when the last handler has ended after stop
	startAt    time.Time
}

func newNative(o *Options) (groupBackend, error) {
	g := &native{o: o, born: time.Now(), deaf: make(chan struct{}), empty: make(chan struct{}), drained: make(chan struct{}), done: make(chan struct{})}
	g.mem.max = o.Budget
	g.gather.g = g
	g.idleTicks = g.ticks(o.IdleTimeout)
	g.listeners.Store(new([]*listener))
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("loop: getrlimit: %w", err)
	}
	g.fdMax = int(min(lim.Cur, 1<<30)) - o.ReserveFDs
	if g.fdMax < 8 {
		return nil, fmt.Errorf("loop: the limit of open files is %d and %d are reserved: raise it (ulimit -n)", lim.Cur, o.ReserveFDs)
	}
	g.connsMax = int64(o.ConnsMax)
	if g.connsMax == 0 {
		g.connsMax = int64(g.fdMax)
	}
	g.undrained.Store(int32(o.Loops))
	g.disp = newDispatcher(o, g.work)
	g.disp.onSpace = func(loop int) { g.loops[loop].ask(ctlRing) }
	for i := range o.Loops {
		l, err := newEloop(g, i)
		if err != nil {
			for _, l := range g.loops {
				l.ep.close()
			}
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	if err := g.loops[0].ep.openPace(o.Pacer); err != nil {
		for _, l := range g.loops {
			l.ep.close()
		}
		return nil, err
	}
	return g, nil
}

// pollers is how many pollers netpoll has been told to run. The setting is
// global to the process and lowering it would stop running loops silently, so
// it only grows, and only here.
var pollers struct {
	mu sync.Mutex
	n  int
}

func growPollers(n int) error {
	pollers.mu.Lock()
	defer pollers.mu.Unlock()
	if n <= pollers.n {
		return nil
	}
	if err := netpoll.Configure(netpoll.Config{PollerNum: n, LoadBalance: netpoll.RoundRobin}); err != nil {
		return fmt.Errorf("loop: netpoll: %w", err)
	}
	pollers.n = n
	return nil
}

func (g *native) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started || g.stopped {
		return ErrStopped
	}
	g.started, g.startAt = true, time.Now()
	g.listening.Store(true)
	if err := growPollers(g.o.Loops); err != nil {
		return err
	}
	for _, l := range g.loops {
		if err := l.start(); err != nil {
			return err
		}
	}
	g.o.Pacer.Accepting(true)
	return nil
}

// find returns the loop and slot that h names, or nil. The slot may be another
// generation by now.
func (g *native) find(h Handle) (*eloop, *slot) {
	if n := h.loop(); h != 0 && n < len(g.loops) {
		return g.loops[n], g.loops[n].slab.lookup(h.index())
	}
	return nil, nil
}

// protocol returns the protocol of a slot's listener.
func (g *native) protocol(s *slot) Protocol { return (*g.listeners.Load())[s.lis].proto }

func (g *native) release(h Handle) {
	if l, s := g.find(h); s != nil && s.use(h.gen()) {
		l.post(h.index(), s, reqRelease)
		l.unuse(h.index(), s)
	}
}

func (g *native) word(h Handle) (uint64, bool) {
	_, s := g.find(h)
	if s == nil {
		return 0, false
	}
	w := s.word.Load() // of this generation only if that still holds afterwards
	v := s.state.Load()
	if stateGen(v) != h.gen() || v&stateUsers == 0 {
		return 0, false
	}
	return w, true
}

func (g *native) setWord(h Handle, w uint64) bool {
	l, s := g.find(h)
	if s == nil || !s.use(h.gen()) {
		return false
	}
	s.word.Store(w)
	l.unuse(h.index(), s)
	return true
}

func (g *native) remoteAddr(h Handle) netip.AddrPort {
	l, s := g.find(h)
	if s == nil || !s.use(h.gen()) {
		return netip.AddrPort{}
	}
	defer l.unuse(h.index(), s)
	sa, err := unix.Getpeername(int(s.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// shutdown is Group.Shutdown.
func (g *native) shutdown(ctx context.Context) error {
	g.mu.Lock()
	idle := !g.started
	g.mu.Unlock()
	if idle {
		g.kill()
		return nil
	}
	g.draining.Store(true)
	g.deafen(ctx)
	for _, l := range g.loops {
		l.ask(ctlDrain)
	}
	g.checkEmpty()
	err := g.wait(ctx)
	if e := g.stop(ctx); err == nil {
		err = e
	}
	return err
}

// wait returns when the last connection has closed, or with the cause of ctx.
// Those that might have a request on its way wait for it for DrainMoment, which
// begins when all loops drain: one that gets no processor for so long has not let
// its connections have it.
func (g *native) wait(ctx context.Context) error {
	drained := g.drained
	var moment <-chan time.Time
	for {
		select {
		case <-g.empty:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-drained:
			drained = nil
			timer := time.NewTimer(g.o.DrainMoment)
			defer timer.Stop()
			moment = timer.C
		case <-moment:
			for _, l := range g.loops {
				l.ask(ctlHurry)
			}
		}
	}
}

// kill is Group.Close.
func (g *native) kill() {
	g.draining.Store(true)
	_ = g.stop(context.Background())
}

// stop closes all connections and frees the loops, once, and waits for the
// workers until ctx ends.
func (g *native) stop(ctx context.Context) error {
	g.mu.Lock()
	first, started := !g.stopped, g.started
	g.stopped = true
	g.mu.Unlock()
	if first {
		for _, l := range g.loops {
			l.halt(started)
		}
		go func() { // ends with the last handler
			defer close(g.done)
			g.disp.stop()
			g.gather.stop()
			for _, l := range g.loops {
				l.shut()
			}
			for _, ln := range *g.listeners.Load() {
				ln.remove()
			}
		}()
	}
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-g.done:
		return nil
	default:
		return fmt.Errorf("loop: handlers still run: %w", context.Cause(ctx))
	}
}

// checkEmpty ends shutdown's wait when the last connection has closed.
func (g *native) checkEmpty() {
	if g.draining.Load() && !g.listening.Load() && g.open.Load() == 0 {
		g.emptied.Do(func() { close(g.empty) })
	}
}

// stats is Group.Stats.
func (g *native) stats() Stats {
	st := Stats{
		Open: g.open.Load(), Refused: g.refused.Load(), Loops: len(g.loops), Backend: "epoll",
		RingDepth: int64(g.disp.depth()), RingCap: int64(g.disp.bound()),
		Running: int64(g.disp.running()), Waiting: int64(g.disp.waits()), Workers: int64(g.o.Workers),
	}
	for _, l := range g.loops {
		l.n.addTo(&st)
		st.PerLoop = append(st.PerLoop, l.n.perLoop(l.open.Load()))
		st.Attached += l.table.count.Load()
		st.SlotBytes += l.slab.bytes()
		st.TableBytes += int64(g.o.ReadBuffer) + int64(g.o.RingSize)*16 + attachChunks*8 + wheelBuckets*4
	}
	st.Batched += g.batched.Load()
	st.Rings = g.rings.Load()
	st.InHeld = g.mem.held.Load() - st.OutHeld
	if !g.startAt.IsZero() {
		st.Uptime = time.Since(g.startAt)
	}
	return st
}
