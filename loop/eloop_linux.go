package loop

import (
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/internal/ring"
)

// An eloop is one event loop. Its goroutine is a poller of netpoll, which calls
// serve whenever the loop's epoll set has something ready; netpoll's own
// connections (11.7 KB each) are not used.
type eloop struct {
	g    *native
	id   int
	ep   epoll
	base time.Duration // clock at tick 0
	tick atomic.Uint32 // ticks since start

	// The rest up to the blank line belongs to the goroutine that holds mu,
	// which is the poller during a batch and whoever stops the loop.
	mu      sync.Mutex
	stopped bool
	slab    slab
	wheel   wheel
	turn    Turn
	scan    [2]uint64
	read64k []byte // the shared read buffer
	events  [256]unix.EpollEvent
	waiters struct {
		ring   []Handle // scheduled, but the ring was full
		budget []Handle // paused for the byte budget
	}
	acceptOff bool
	paced     bool // loop 0: connections that wait are left to other processes
	grace     int  // loop 0: connections to take before the pacer is asked again
	late      late
	deaf      bool // loop 0: see deafen
	draining  bool
	hurried   bool // DrainMoment is over

	table   attachTable
	lots    [parkingLots]parking
	intake  *ring.Queue[accepted]
	mailbox atomic.Uint32 // head (index+1) of slots with requests
	control atomic.Uint32 // ctl… bits for the loop as a whole
	running atomic.Bool   // in a batch: the mailbox will be looked at
	wakeMu  sync.Mutex
	woken   bool // guarded by wakeMu: the eventfd is set
	wakeOff bool // guarded by wakeMu: the eventfd is closed
	open    atomic.Int64
	n       counters

	evl     netpoll.EventLoop
	served  sync.WaitGroup
	started chan struct{}
	first   sync.Once
}

// Requests to the loop for one slot.
const (
	reqClose = 1 << iota
	reqEnd
	reqOut       // output is held: wait for EPOLLOUT
	reqPauseOut  // held output passed OutHigh
	reqQueue     // the queue has room again
	reqRelease   // end of Hold
	reqAfterWork // the worker is done and someone wanted to know
	reqSubmit    // scheduled, but the ring was full

	reqReasonShift = 16
)

// Requests to the loop as a whole.
const (
	ctlRing   = 1 << iota // the ring has room again
	ctlIntake             // connections were dealt to this loop
	ctlDeafen             // the group is about to drain
	ctlDrain
	ctlHurry // DrainMoment is over
	ctlKill
	ctlListen // a listener was added
	ctlAccept // a connection has closed while accepting is paused
)

const (
	batchRounds = 4        // epoll_wait calls in one batch
	flushAt     = 64 << 10 // replies of one turn are written at this size
	turnKeep    = 256 << 10
)

// pollListener shows the loop's epoll set to netpoll as a listener: Fd is the
// set, Accept runs one batch and never returns a connection or an error.
type pollListener struct{ l *eloop }

func (p pollListener) Accept() (net.Conn, error) { p.l.serve(); return nil, nil }
func (p pollListener) Fd() int                   { return p.l.ep.set }
func (p pollListener) Addr() net.Addr            { return &net.UnixAddr{Name: "epoll", Net: "unix"} }

// Close does nothing: the loop closes its descriptors itself.
func (p pollListener) Close() error { return nil }

var errNotStarted = errors.New("loop: netpoll did not start the loop")

func newEloop(g *native, id int) (*eloop, error) {
	l := &eloop{g: g, id: id, started: make(chan struct{})}
	var err error
	if l.ep, err = openEpoll(g.o.TickEvery); err != nil {
		return nil, err
	}
	l.base = l.clock() + l.ep.lead - g.o.TickEvery
	l.wheel.slots = &l.slab
	l.read64k = make([]byte, g.o.ReadBuffer)
	l.intake = ring.New[accepted](intakeSize)
	for i := range l.lots {
		l.lots[i].cond.L = &l.lots[i].mu
	}
	return l, nil
}

// start hands the loop to a netpoll poller and waits for its first batch.
func (l *eloop) start() error {
	var err error
	if l.evl, err = netpoll.NewEventLoop(nil); err != nil {
		return err
	}
	failed := make(chan error, 1)
	l.served.Add(1)
	go func() {
		defer l.served.Done()
		failed <- l.evl.Serve(pollListener{l})
	}()
	l.ask(ctlListen)
	select {
	case <-l.started:
		return nil
	case err := <-failed:
		return errors.Join(errNotStarted, err)
	}
}

// clock is the time since the group was made; only differences count.
func (l *eloop) clock() time.Duration { return time.Since(l.g.born) }

// serve is one batch: what is ready in the set, then what others asked for.
func (l *eloop) serve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.first.Do(func() { close(l.started) })
	begin := l.clock()
	l.running.Store(true)
	for range batchRounds {
		n := l.ep.ready(l.events[:])
		l.beginLate(n)
		for i := range n {
			ev := &l.events[i]
			if ev.Pad == 0 {
				l.special(int(ev.Fd))
			} else {
				l.event(int(ev.Fd), uint32(ev.Pad), ev.Events)
			}
		}
		l.sendLate()
		if n < len(l.events) {
			break
		}
	}
	l.orders()
	l.running.Store(false)
	for l.mailbox.Load() != 0 || l.control.Load() != 0 {
		l.orders()
	}
	l.n.batch.observe(l.clock() - begin)
}

// special handles events that are no connection's.
func (l *eloop) special(tag int) {
	l.sendLate() // a tick may go on with a connection whose answer is among them
	switch tag {
	case tagWake:
		counter(l.ep.wake)
		l.wakeMu.Lock()
		l.woken = false
		l.wakeMu.Unlock()
	case tagTimer:
		counter(l.ep.timer)
		l.onTick()
	case tagPace:
		counter(l.ep.pace)
		l.paceOver()
	default:
		l.accept(tag - tagListener)
	}
}

// event handles one ready connection. A panic of the protocol costs that
// connection and nothing else.
func (l *eloop) event(i int, gen uint32, ev uint32) {
	s := l.slab.at(i)
	if v := s.state.Load(); stateGen(v) != gen || s.mode&modeOpen == 0 {
		return // closed and perhaps used again since epoll_wait
	}
	defer l.contain(i, s)
	if ev&(unix.EPOLLERR|unix.EPOLLHUP) != 0 && (s.pauses != 0 || s.mode&(modeEOF|modeLinger) != 0) {
		// Nothing more can be read and nothing written will arrive; these
		// events cannot be masked, so waiting would spin.
		l.teardown(i, s, l.hupReason(s))
		return
	}
	if ev&unix.EPOLLOUT != 0 {
		l.flushHeld(i, s)
	}
	if ev&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0 && s.mode&modeOpen != 0 {
		l.late.reading = l.late.on
		l.read(i, s)
		l.late.reading = false
	}
}

func (l *eloop) hupReason(s *slot) Reason {
	switch {
	case s.mode&modeLinger != 0:
		return l.endReason(s)
	case s.mode&modeEOF != 0:
		return ReasonPeerClosed
	}
	return ReasonPeerReset
}

// contain is deferred around calls into the protocol.
func (l *eloop) contain(i int, s *slot) {
	p := recover()
	if p == nil {
		return
	}
	l.late.reading = false
	l.n.panics.Add(1)
	l.g.o.Logger.Error("protocol panicked on the loop; connection closed",
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	l.turn = Turn{}
	if s.mode&modeOpen != 0 {
		l.teardown(i, s, ReasonPanic)
	}
}

// conn returns the Conn of slot i as it is now.
func (l *eloop) conn(i int, s *slot) Conn {
	return Conn{l.g, makeHandle(l.id, i, stateGen(s.state.Load()))}
}

func (l *eloop) lot(i int) *parking { return &l.lots[i%parkingLots] }

// unlock and unuse give a use back and free the slot after the last one.
func (l *eloop) unlock(i int, s *slot) {
	if s.unlock(l.lot(i)) {
		l.finalize(i, s)
	}
}

func (l *eloop) unuse(i int, s *slot) {
	if s.unuse() {
		l.finalize(i, s)
	}
}

// finalize closes the descriptor of a slot that has no user left.
func (l *eloop) finalize(i int, s *slot) {
	unix.Close(int(s.fd))
	l.slab.retire(i, s)
	if l.g.acceptOff.Load() {
		l.g.loops[0].ask(ctlAccept)
	}
}
