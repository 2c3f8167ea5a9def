package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// One loop, the first, accepts for all and deals connections out to the loop
// with the fewest. SO_REUSEPORT would spread them by hash, unevenly at small
// numbers, and strand those that the kernel hashes to a loop that has paused.

// A listener is one bound socket and the protocol it serves.
type listener struct {
	fd      int
	proto   Protocol
	addr    net.Addr
	path    string // of a unix socket, to be removed at the end
	shared  bool   // it was bound by others, who may serve it too
	watched bool   // loop 0: it is in the epoll set
	closed  bool   // loop 0
}

// accepted is a connection on its way to its loop.
type accepted struct {
	fd  int32
	lis uint8
}

const (
	intakeSize   = 256 // connections on their way to one loop
	acceptBatch  = 64  // accept calls before other connections have their turn
	listenersMax = 255
	// keepAliveIdle is the silence after which the kernel probes a peer. Go's
	// default of 15 s would be 6,700 probes a second at 100,000 connections.
	keepAliveIdle = 300
)

func (g *native) listen(addr string, p Protocol) (net.Addr, error) {
	ln, err := bind(addr, g.o.Backlog)
	if err != nil {
		return nil, err
	}
	return g.adopt(ln, p)
}

// adopt serves ln, which is the group's from here on.
func (g *native) adopt(ln *listener, p Protocol) (net.Addr, error) {
	ln.proto = p
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *g.listeners.Load()
	if g.stopped || g.draining.Load() || len(old) == listenersMax {
		unix.Close(ln.fd)
		ln.remove()
		if len(old) == listenersMax {
			return nil, fmt.Errorf("loop: more than %d listeners", listenersMax)
		}
		return nil, ErrStopped
	}
	list := append(old[:len(old):len(old)], ln)
	g.listeners.Store(&list)
	g.loops[0].ask(ctlListen)
	return ln.addr, nil
}

// bind opens a listening socket through package net, which knows names, zones
// and dual stacks, and takes the descriptor over.
func bind(addr string, backlog int) (*listener, error) {
	nl, err := listenNet(addr)
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	ln := &listener{addr: nl.Addr()}
	network, path := splitAddr(addr)
	if network == "unix" {
		ln.path = path
	}
	var f *os.File
	switch nl := nl.(type) {
	case *net.TCPListener:
		f, err = nl.File()
	case *net.UnixListener:
		nl.SetUnlinkOnClose(false)
		f, err = nl.File()
	}
	if err != nil {
		return nil, fmt.Errorf("loop: listen on %s: %w", addr, err)
	}
	defer f.Close()
	if ln.fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		err = tune(ln.fd, network, backlog)
	}
	if err != nil {
		unix.Close(ln.fd)
		return nil, fmt.Errorf("loop: listen on %s: %w", addr, err)
	}
	return ln, nil
}

// tune sets what connections inherit from their listener on Linux, so that an
// accept needs no further system call.
func tune(fd int, network string, backlog int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	if backlog > 0 {
		if err := unix.Listen(fd, backlog); err != nil {
			return os.NewSyscallError("listen", err)
		}
	}
	if network != "tcp" {
		return nil
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle),
	)
}

func (ln *listener) remove() {
	if ln.path != "" {
		_ = os.Remove(ln.path) // gone already is as good
	}
}

// watchListeners puts new listeners into the epoll set of loop 0.
func (l *eloop) watchListeners() {
	for n, ln := range *l.g.listeners.Load() {
		if l.id != 0 || ln.watched || ln.closed {
			continue
		}
		ln.watched = true
		if err := l.ep.add(ln.fd, l.acceptEvents(), tagListener+n, 0); err != nil {
			l.g.o.Logger.Error("listener cannot be watched", "addr", ln.addr.String(), "error", err)
		}
	}
}

func (l *eloop) acceptEvents() uint32 {
	if l.acceptOff || l.paced {
		return 0
	}
	return unix.EPOLLIN
}

// accept takes a batch of connections from listener n.
func (l *eloop) accept(n int) {
	ln := (*l.g.listeners.Load())[n]
	for range acceptBatch {
		if ln.closed || l.acceptOff || l.leaveToOthers() || !l.acceptOne(n, ln) {
			return
		}
	}
}

// acceptOne takes one connection and reports whether there may be more.
func (l *eloop) acceptOne(n int, ln *listener) bool {
	if l.g.open.Load() >= l.g.connsMax {
		l.acceptPause("limit of connections reached")
		return false
	}
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(ln.fd), 0, 0,
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	switch errno {
	case 0:
		l.deal(accepted{int32(fd), uint8(n)})
		// The kernel hands out the lowest free number: from fdMax on, only
		// the reserve for the rest of the process is left.
		if int(fd) >= l.g.fdMax {
			l.acceptPause("only reserved descriptors are left")
		}
	case syscall.EAGAIN, syscall.EINVAL: // the latter of a unix socket that is deaf
		l.grace = 0
		return false
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		l.g.refused.Add(1)
		l.acceptPause(errno.Error())
	case syscall.EINTR, syscall.ECONNABORTED:
	default:
		l.g.refused.Add(1)
	}
	return true
}

// acceptPause stops accepting; acceptAgain tries when a connection has closed
// and at each tick, for descriptors of others.
func (l *eloop) acceptPause(why string) {
	l.acceptOff = true
	l.g.acceptOff.Store(true)
	l.g.o.Pacer.Accepting(false)
	l.n.acceptOff.Add(1)
	l.g.o.Logger.Warn("accepting is paused; raise the limit of open files or ConnsMax, or add processes",
		"cause", why, "open", l.g.open.Load())
	l.rewatch()
}

func (l *eloop) acceptAgain() {
	if l.g.open.Load() >= l.g.connsMax || !l.freeDescriptor() {
		return
	}
	l.acceptOff = false
	l.g.acceptOff.Store(false)
	l.g.o.Pacer.Accepting(!l.deaf)
	l.rewatch()
}

// freeDescriptor reports whether a descriptor below the reserve is free.
func (l *eloop) freeDescriptor() bool {
	fd, err := unix.FcntlInt(uintptr(l.ep.wake), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return fd < l.g.fdMax
}

func (l *eloop) rewatch() {
	for n, ln := range *l.g.listeners.Load() {
		if ln.watched && !ln.closed {
			if err := l.ep.modify(ln.fd, l.acceptEvents(), tagListener+n, 0); err != nil {
				l.g.o.Logger.Error("listener cannot be watched", "addr", ln.addr.String(), "error", err)
			}
		}
	}
}

// deal gives a new connection to the loop with the fewest.
func (l *eloop) deal(c accepted) {
	l.g.count(1)
	to := l
	for _, other := range l.g.loops {
		if other.open.Load() < to.open.Load() {
			to = other
		}
	}
	to.open.Add(1)
	if to != l {
		if to.intake.TryPush(c) {
			to.ask(ctlIntake)
			return
		}
		to.open.Add(-1)
		l.open.Add(1)
	}
	l.openConn(c)
}

func (l *eloop) takeIn() {
	for c, ok := l.intake.TryPop(); ok; c, ok = l.intake.TryPop() {
		l.openConn(c)
	}
}

// openConn gives an accepted connection a slot.
func (l *eloop) openConn(c accepted) {
	i := l.slab.alloc()
	if i < 0 || l.hurried {
		l.dismiss(c, i)
		return
	}
	s := l.slab.at(i)
	v := s.state.Load()
	s.fd, s.lis, s.mode, s.pauses = c.fd, c.lis, modeOpen|modeFresh|modeWantIn, 0
	s.wnext, s.wprev = 0, 0
	s.state.Store(v + stateUser)
	if err := l.ep.add(int(c.fd), unix.EPOLLIN, i, stateGen(v)); err != nil {
		s.state.Store(v)
		l.dismiss(c, i)
		return
	}
	l.n.accepted.Add(1)
	l.wheel.arm(i, s, l.tick.Load()+l.g.ticks(l.g.o.HandshakeTimeout))
	defer l.contain(i, s)
	l.g.protocol(s).Open(l.conn(i, s))
	if l.draining {
		l.drainOne(i, s)
	}
}

// dismiss closes a connection that got no slot, or could not be watched.
func (l *eloop) dismiss(c accepted, i int) {
	if i >= 0 {
		l.slab.retire(i, l.slab.at(i))
	}
	unix.Close(int(c.fd))
	l.g.refused.Add(1)
	l.open.Add(-1)
	l.g.count(-1)
	l.g.checkEmpty()
}
