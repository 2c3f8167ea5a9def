package loop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// write is Conn.Write.
func (g *native) write(h Handle, p []byte) error {
	l, s := g.find(h)
	if s == nil || !s.lock(h.gen(), stateClosing|stateEnding, l.lot(h.index())) {
		return ErrClosed
	}
	r := l.sendLocked(h.index(), s, p)
	if r != ReasonNone {
		l.closeAsUser(h.index(), s, r)
	}
	l.unlock(h.index(), s)
	switch r {
	case ReasonNone:
		return nil
	case ReasonSlow:
		return ErrSlow
	case ReasonBudget:
		return ErrBudget
	}
	return ErrClosed
}

// sendLocked sends p or keeps what the kernel refuses. It returns the reason to
// close the connection, or ReasonNone. The caller holds the slot's lock.
func (l *eloop) sendLocked(i int, s *slot, p []byte) Reason {
	if len(p) == 0 {
		return ReasonNone
	}
	if s.state.Load()&stateOut != 0 {
		return l.holdLocked(i, s, p, false)
	}
	n, errno := send(s.fd, p)
	return l.sentLocked(i, s, p, n, errno)
}

// sentLocked goes on when the kernel has taken n bytes of p, or none and says why.
func (l *eloop) sentLocked(i int, s *slot, p []byte, n int, errno syscall.Errno) Reason {
	if errno != 0 && !again(errno) {
		return ReasonPeerReset
	}
	l.n.bytesOut.Add(int64(n))
	if n == len(p) {
		return ReasonNone
	}
	return l.holdLocked(i, s, p[n:], true)
}

// holdLocked keeps p; fresh: nothing is held yet.
func (l *eloop) holdLocked(i int, s *slot, p []byte, fresh bool) Reason {
	a := l.table.attach(s)
	switch {
	case a.outHeld() >= l.g.o.OutMax:
		return ReasonSlow
	case !fresh && l.g.mem.over():
		return ReasonBudget
	}
	if a.outSent > 0 && len(a.out.b)+len(p) > cap(a.out.b) {
		a.out.b = a.out.b[:copy(a.out.b, a.out.b[a.outSent:])]
		a.outSent = 0
	}
	a.out = l.g.mem.add(a.out, p)
	l.n.outHeld.Add(int64(len(p)))
	if fresh {
		a.outSince = l.tick.Load()
		s.state.Or(stateOut)
		l.post(i, s, reqOut)
	}
	if a.outHeld() > l.g.o.OutHigh && !a.outStop {
		a.outStop = true
		l.post(i, s, reqPauseOut)
	}
	return ReasonNone
}

// armOut waits for EPOLLOUT while output is held.
func (l *eloop) armOut(i int, s *slot) {
	if s.state.Load()&stateOut == 0 || s.mode&modeOut != 0 {
		return
	}
	s.mode |= modeOut
	l.wantEvents(i, s)
	if s.mode&modeOpen != 0 {
		l.look(i, s, l.tick.Load()+l.g.ticks(l.g.o.WriteStall))
	}
}

// flushHeld sends held output. It runs on the loop.
func (l *eloop) flushHeld(i int, s *slot) {
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.get(s)
	if a == nil || a.out == nil {
		l.unlock(i, s)
		l.outDone(i, s)
		return
	}
	n, errno := send(s.fd, a.out.b[a.outSent:])
	bad := errno != 0 && !again(errno)
	if n > 0 {
		a.outSent += n
		a.outSince = l.tick.Load()
		l.n.bytesOut.Add(int64(n))
		l.n.outHeld.Add(int64(-n))
	}
	low := a.outHeld() <= l.g.o.OutLow
	if low {
		a.outStop = false
	}
	done := a.outHeld() == 0
	if done {
		l.g.mem.put(a.out)
		a.out, a.outSent = nil, 0
		s.state.And(^stateOut)
		if a.idle() {
			l.table.detach(s)
		}
	}
	l.unlock(i, s)
	switch {
	case bad:
		l.teardown(i, s, ReasonPeerReset)
	case done:
		l.outDone(i, s)
	case low:
		l.resume(i, s, PauseOut)
	}
}

// outDone goes on after the last held byte has left.
func (l *eloop) outDone(i int, s *slot) {
	s.mode &^= modeOut
	l.resume(i, s, PauseOut)
	if s.mode&modeOpen == 0 {
		return
	}
	l.wantEvents(i, s)
	switch {
	case s.mode&modeOpen == 0:
	case s.state.Load()&stateEnding != 0:
		l.tryEnd(i, s)
	case s.mode&modeEOF != 0:
		l.atEOF(i, s)
	case s.mode&modeDrain != 0:
		l.drainOne(i, s)
	}
}

// flushTurn writes what Step appended to the turn's Out.
func (l *eloop) flushTurn(i int, s *slot) {
	t := &l.turn
	if len(t.Out) == 0 {
		return
	}
	r := ReasonNone
	if s.lock(stateGen(s.state.Load()), stateClosing|stateEnding, l.lot(i)) {
		r = l.sendLocked(i, s, t.Out)
		l.unlock(i, s)
	}
	t.Out = t.Out[:0]
	if r != ReasonNone {
		l.teardown(i, s, r)
		return
	}
	if s.state.Load()&stateOut != 0 {
		l.checkHigh(i, s)
	}
}

// checkHigh pauses reading at once when the loop's own replies pass OutHigh.
func (l *eloop) checkHigh(i int, s *slot) {
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.get(s)
	stop := a != nil && a.outStop
	l.unlock(i, s)
	if stop {
		l.pause(i, s, PauseOut)
	}
}

// close is Conn.Close.
func (g *native) close(h Handle, r Reason) {
	l, s := g.find(h)
	if s == nil || !s.use(h.gen()) {
		return
	}
	l.closeAsUser(h.index(), s, r)
	l.unuse(h.index(), s)
}

// closeAsUser refuses further users and asks the loop for the teardown.
func (l *eloop) closeAsUser(i int, s *slot, r Reason) {
	if s.state.Or(stateClosing)&stateClosing == 0 {
		l.post(i, s, reqClose|uint32(r)<<reqReasonShift)
	}
}

// end is Conn.End.
func (g *native) end(h Handle, r Reason) {
	l, s := g.find(h)
	i := h.index()
	if s == nil || !s.lock(h.gen(), stateClosing|stateEnding, l.lot(i)) {
		return
	}
	s.state.Or(stateEnding)
	l.table.attach(s).endReason = r
	l.post(i, s, reqEnd)
	l.unlock(i, s)
}

// endLocal is end on the loop, without the way through the mailbox.
func (l *eloop) endLocal(i int, s *slot, r Reason) {
	if s.mode&modeOpen == 0 || !s.lock(stateGen(s.state.Load()), stateClosing|stateEnding, l.lot(i)) {
		return
	}
	s.state.Or(stateEnding)
	l.table.attach(s).endReason = r
	l.unlock(i, s)
	l.tryEnd(i, s)
}

func (l *eloop) endReason(s *slot) Reason {
	if a := l.table.get(s); a != nil && a.endReason != ReasonNone {
		return a.endReason // written once, before the loop was told
	}
	return ReasonDone
}

// tryEnd closes an ending connection if nothing is held any more: its sending
// side at once, the rest when the peer has closed or lingerTime is over, since
// closing with unread bytes would reset the connection and take the reply away
// from the peer.
func (l *eloop) tryEnd(i int, s *slot) {
	if s.state.Load()&stateOut != 0 || s.mode&modeLinger != 0 {
		return
	}
	if s.mode&(modeEOF|modeDrain) != 0 || l.draining {
		l.teardown(i, s, l.endReason(s))
		return
	}
	if unix.Shutdown(int(s.fd), unix.SHUT_WR) != nil {
		l.teardown(i, s, l.endReason(s))
		return
	}
	if s.mode&modeHeld != 0 {
		l.n.held.Add(-1)
	}
	s.mode = s.mode&^modeHeld | modeLinger
	s.pauses = 0
	l.wantEvents(i, s)
	if s.mode&modeOpen != 0 {
		l.wheel.disarm(s)
		l.wheel.arm(i, s, l.tick.Load()+l.g.ticks(lingerTime))
	}
}
