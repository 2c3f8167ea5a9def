package loop

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// restWait bounds one Accept of acceptRest, and restMost how many connections it
// takes: who connects all the time would keep a group open.
const (
	restWait = 5 * time.Millisecond
	restMost = 1_024
)

// accept serves one listener until the group stops. With several listeners
// ConnsMax may be passed by as many as wait in Accept, less one.
func (b *portable) accept(l portListener) {
	defer b.conns.Done()
	defer l.Close()
	off := false // accepting is paused
	for !b.stopping() || !off {
		if b.open.Load() >= b.connsMax {
			off = b.acceptPause(l, off, errConnsMax)
			continue
		}
		if off {
			b.o.Pacer.Accepting(true) // as far as we know
		}
		b.leaveToOthers()
		nc, err := l.Accept()
		switch {
		case err == nil:
			off = false
			b.n.accepted.Add(1)
			b.admit(nc, l.p)
		case errors.Is(err, os.ErrDeadlineExceeded): // see retire
			b.acceptRest(l)
			return
		case errors.Is(err, net.ErrClosed):
			return
		case outOfDescriptors(err):
			b.refused.Add(1)
			off = b.acceptPause(l, off, err)
		default: // the peer was gone before we came, or the like
			b.refused.Add(1)
		}
	}
}

var errConnsMax = errors.New("limit of connections reached")

// acceptPause waits for a connection to close, at most TickEvery, since
// descriptors come free elsewhere too. A pause counts once, however often it is
// tried in vain to end it.
func (b *portable) acceptPause(l portListener, off bool, cause error) bool {
	b.o.Pacer.Accepting(false)
	if !off {
		b.n.acceptOff.Add(1)
		b.o.Logger.Warn("accepting is paused; raise the limit of open files or ConnsMax, or add processes",
			"addr", l.Addr().String(), "cause", cause, "open", b.open.Load())
	}
	t := time.NewTimer(b.o.TickEvery)
	defer t.Stop()
	select {
	case <-b.quit:
	case <-b.room:
	case <-t.C:
	}
	return true
}

// retire has a listener closed: by who accepts from it, if there is one, after
// acceptRest.
func (l portListener) retire(served bool) {
	if !served || !l.wait(0) {
		_ = l.Close()
	}
}

// wait lets Accept wait for d from now on, and reports whether it can.
func (l portListener) wait(d time.Duration) bool {
	s, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && s.SetDeadline(time.Now().Add(d)) == nil
}

// acceptRest takes the connections of which the kernel has told the peers that they
// were accepted, restMost, as long as new ones are given their moment. Nothing
// comes after them where the kernel can be told so.
func (b *portable) acceptRest(l portListener) {
	<-b.quit // hurryAt is set
	var handshakes time.Time
	if b.deafen(l) {
		handshakes = time.Now().Add(handshakeMoment)
	}
	more := func() bool { return time.Now().Before(handshakes) || l.backlog() }
	for n := 0; n < restMost && more() && b.open.Load() < b.connsMax && time.Now().Before(b.hurryAt); {
		if !l.wait(restWait) {
			return
		}
		nc, err := l.Accept()
		switch {
		case err == nil:
			n++
			b.n.accepted.Add(1)
			b.admit(nc, l.p)
		case errors.Is(err, os.ErrDeadlineExceeded): // nobody, or the processor was elsewhere
		case errors.Is(err, syscall.EINVAL): // it is a deaf unix socket, and nobody waits
			return
		default:
			b.refused.Add(1)
			return
		}
	}
}

// deafen has the kernel accept nothing more for l, unless others go on serving it,
// and reports whether connections that have begun may still come.
func (b *portable) deafen(l portListener) bool {
	s, ok := l.Listener.(syscall.Conn)
	if !ok || l.shared && !b.o.Pacer.Last() {
		return false
	}
	network := l.Addr().Network()
	raw, err := s.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) { failed = deafen(int(fd), network) })
		err = errors.Join(err, failed)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		b.o.Logger.Warn(notDeaf, "addr", l.Addr().String(), "error", err)
	}
	return err == nil && network == "tcp"
}

// backlog reports whether there are connections to accept.
func (l portListener) backlog() (yes bool) {
	s, ok := l.Listener.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { yes = readable(fd) }) == nil && yes
}
