package loop

import (
	"context"

	"golang.org/x/sys/unix"
)

// teardown closes a connection: nobody can use it any more when it returns,
// and its descriptor closes with the last system call that is under way.
func (l *eloop) teardown(i int, s *slot, r Reason) {
	if s.mode&modeOpen == 0 {
		return
	}
	c := l.conn(i, s)
	word := s.word.Load()
	if s.mode&modeHeld != 0 {
		l.n.held.Add(-1)
	}
	s.mode = 0
	l.wheel.disarm(s)
	s.state.Or(stateClosing)
	alone := l.strip(i, s, c.h.gen())
	if !alone {
		// Someone may hold the descriptor open for a moment longer; it must
		// not wake the loop meanwhile. Closing alone takes it out of the set.
		_ = l.ep.remove(int(s.fd))
	}
	l.n.closed[r].Add(1)
	l.open.Add(-1)
	l.g.count(-1)
	defer l.g.checkEmpty()
	defer l.unuse(i, s)
	l.g.protocol(s).Closed(c.h, word, r)
}

// strip takes everything attached off a closing connection and reports whether
// the loop is its only user.
func (l *eloop) strip(i int, s *slot, gen uint32) (alone bool) {
	if !s.lock(gen, 0, l.lot(i)) {
		return false
	}
	if a := l.table.get(s); a != nil {
		l.n.outHeld.Add(int64(-a.outHeld()))
		l.g.mem.put(a.tail)
		l.g.mem.put(a.queue)
		l.g.mem.put(a.out)
		l.table.detach(s)
	}
	l.unlock(i, s)
	return s.state.Load()&stateUsers == 1
}

// drain stops accepting and asks every connection to go: those at work when
// they are done, and those with a request on its way when that is answered.
func (l *eloop) drain() {
	if l.draining {
		return
	}
	l.draining = true
	l.takeIn()
	l.acceptRest()
	l.closeListeners()
	l.each(func(i int, s *slot) { l.drainGuarded(i, s) })
	if l.g.undrained.Add(-1) == 0 {
		close(l.g.drained)
	}
	l.g.checkEmpty()
}

// hurry ends the patience with requests that were on their way.
func (l *eloop) hurry() {
	l.drain()
	l.hurried = true
	l.each(func(i int, s *slot) { l.drainGuarded(i, s) })
}

func (l *eloop) drainGuarded(i int, s *slot) {
	defer l.contain(i, s)
	l.drainOne(i, s)
}

// drainOne lets one connection go as soon as it may. A peer that has just
// connected, or has sent a part of a request, has not been told that we stop: it
// gets DrainMoment to say what it wants, and an answer. What an idle one has sent
// just now is read; feed and afterWork come back here.
func (l *eloop) drainOne(i int, s *slot) {
	first := s.mode&modeDrain == 0
	s.mode |= modeDrain
	v := s.state.Load()
	if first && s.mode&(modeHeld|modeLinger|modeEOF) == 0 && s.pauses == 0 && v&(stateWorking|stateEnding) == 0 {
		l.read(i, s)
		if s.mode&modeOpen == 0 {
			return
		}
		v = s.state.Load()
	}
	switch {
	case s.mode&modeLinger != 0:
	case v&stateWorking != 0:
		l.noteAfterWork(i, s)
	case v&stateEnding != 0:
		l.tryEnd(i, s)
	case s.mode&(modeFresh|modeTail) != 0 && s.mode&(modeHeld|modeEOF) == 0 && !l.hurried:
	default:
		l.g.protocol(s).Drain(l.conn(i, s))
		l.endLocal(i, s, ReasonShutdown)
	}
}

// acceptRest takes the connections that wait at listeners which are about to be
// closed: the kernel has told their peers that they were accepted, and would
// reset them. See deafen for those that come now. It runs on loop 0.
func (l *eloop) acceptRest() {
	if l.id != 0 {
		return
	}
	for n, ln := range *l.g.listeners.Load() {
		for i := 0; i < acceptRestMax && !ln.closed && !l.acceptOff && l.acceptOne(n, ln); i++ {
		}
	}
}

// acceptRestMax is more than a backlog is long, in ordinary settings: peers that
// go on connecting do not keep a listener open.
const acceptRestMax = 1 << 14

// closeListeners runs on loop 0.
func (l *eloop) closeListeners() {
	if l.id != 0 {
		return
	}
	defer l.g.listening.Store(false)
	l.g.o.Pacer.Accepting(false)
	for _, ln := range *l.g.listeners.Load() {
		if !ln.closed {
			ln.closed = true
			unix.Close(ln.fd)
		}
	}
}

// halt closes all connections and takes the loop away from its poller. Slots
// stay readable, so that late writers get their error.
func (l *eloop) halt(started bool) {
	l.mu.Lock()
	l.draining, l.hurried = true, true
	l.takeIn()
	l.closeListeners()
	l.running.Store(true) // what is asked from here on is not listened to
	l.orders()
	l.each(func(i int, s *slot) {
		defer l.contain(i, s)
		l.teardown(i, s, ReasonShutdown)
	})
	l.orders()
	l.g.checkEmpty() // who drains at the same time need not wait
	l.stopped = true
	l.mu.Unlock()
	if started && l.evl != nil {
		_ = l.evl.Shutdown(context.Background())
		l.served.Wait()
	}
}

// shut closes the loop's own descriptors. Requests that came too late are taken
// off the mailbox first, since each counts as a user of its slot.
func (l *eloop) shut() {
	l.mu.Lock()
	l.orders()
	l.closeLate()
	l.mu.Unlock()
	l.wakeMu.Lock()
	l.wakeOff = true
	l.wakeMu.Unlock()
	l.ep.close()
}
