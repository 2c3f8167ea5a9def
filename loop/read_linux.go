package loop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Modes of a slot; they belong to the loop.
const (
	modeOpen    = 1 << iota // between open and teardown
	modeFresh               // no whole message yet: the handshake deadline runs
	modeHeld                // an open stream: Step is not called
	modeEOF                 // the peer has finished sending
	modeTail                // attached.tail is in use
	modeOut                 // EPOLLOUT is asked for
	modeLinger              // ended: reading only to see the peer close
	modeDrain               // the group stops: close when the work is done
	modeCheck               // slot.due is a look at other deadlines, not the end of idleness
	modeWantIn              // epoll was asked for EPOLLIN
	modeWantOut             // epoll was asked for EPOLLOUT
)

// tailCopyMax is the size up to which an unfinished message is copied to the
// front of the shared buffer and read on there; longer ones grow in place.
func (l *eloop) tailCopyMax() int { return len(l.read64k) / 2 }

// overReadMax is how much is read at a time while the byte budget is used up.
const overReadMax = 4 << 10

// wantEvents sets the interest of a connection to what its mode and pauses ask
// for. RDHUP is never asked for: while reading is on, the end of the peer's
// bytes is readable, and while it is off, RDHUP would spin.
func (l *eloop) wantEvents(i int, s *slot) {
	var want uint16
	var events uint32
	if s.mode&modeLinger != 0 || s.mode&modeEOF == 0 && s.pauses == 0 {
		want, events = modeWantIn, unix.EPOLLIN
	}
	if s.mode&modeOut != 0 {
		want, events = want|modeWantOut, events|unix.EPOLLOUT
	}
	if want == s.mode&(modeWantIn|modeWantOut) {
		return
	}
	s.mode = s.mode&^(modeWantIn|modeWantOut) | want
	if err := l.ep.modify(int(s.fd), events, i, stateGen(s.state.Load())); err != nil {
		l.g.o.Logger.Error("epoll refused a change of interest; connection closed", "error", err)
		l.teardown(i, s, ReasonPeerReset)
	}
}

func (l *eloop) pause(i int, s *slot, cause Pause) {
	if s.pauses&(1<<cause) != 0 {
		return
	}
	s.pauses |= 1 << cause
	l.n.pauses[cause].Add(1)
	l.wantEvents(i, s)
}

// resume takes one cause away. When it was the last, messages that were read
// but not yet looked at come first.
func (l *eloop) resume(i int, s *slot, cause Pause) {
	if s.pauses&(1<<cause) == 0 {
		return
	}
	s.pauses &^= 1 << cause
	if s.pauses != 0 {
		return
	}
	if s.mode&(modeTail|modeHeld|modeLinger) == modeTail {
		l.feedTail(i, s)
	}
	if s.mode&modeOpen != 0 {
		l.wantEvents(i, s)
	}
}

// unhold ends a Hold.
func (l *eloop) unhold(i int, s *slot) {
	s.mode &^= modeHeld
	l.n.held.Add(-1)
	s.pauses &^= 1 << PauseHold
	l.relax(i, s)
	if s.mode&modeTail != 0 && s.pauses == 0 {
		l.feedTail(i, s)
	}
	if s.mode&modeOpen != 0 {
		l.wantEvents(i, s)
	}
}

// feedTail looks at what is kept without reading.
func (l *eloop) feedTail(i int, s *slot) {
	kept := l.table.get(s).tail.b
	if len(kept) <= l.tailCopyMax() {
		kept = l.read64k[:copy(l.read64k, kept)]
	}
	l.feed(i, s, kept)
}

// read takes what the kernel has for a connection, once, and feeds it.
func (l *eloop) read(i int, s *slot) {
	if s.mode&modeLinger != 0 || s.state.Load()&stateEnding != 0 {
		l.discard(i, s)
		return
	}
	var kept []byte
	if s.mode&modeTail != 0 {
		if kept = l.table.get(s).tail.b; len(kept) > l.tailCopyMax() {
			l.readLarge(i, s)
			return
		}
	}
	space := l.read64k[copy(l.read64k, kept):]
	if s.mode&modeHeld != 0 {
		space = space[:min(len(space), max(l.g.o.HoldMax-len(kept), 1))]
	}
	if l.g.mem.over() {
		space = space[:min(len(space), overReadMax)]
	}
	n, errno := recv(s.fd, space)
	if l.received(i, s, n, errno) {
		l.feed(i, s, l.read64k[:len(kept)+n])
	}
}

// readLarge reads to the end of a long unfinished message, whose buffer grows
// with what has arrived and never by what was announced.
func (l *eloop) readLarge(i int, s *slot) {
	a := l.table.get(s)
	if len(a.tail.b) >= l.g.o.MessageMax {
		l.teardown(i, s, ReasonTooLarge)
		return
	}
	if cap(a.tail.b)-len(a.tail.b) < 4<<10 {
		a.tail = l.g.mem.grow(a.tail, 2*cap(a.tail.b))
	}
	t := a.tail.b
	n, errno := recv(s.fd, t[len(t):cap(t)])
	if l.received(i, s, n, errno) {
		a.tail.b = t[:len(t)+n]
		l.feed(i, s, a.tail.b)
	}
}

// received accounts for one read and reports whether there is something to
// feed: bytes, or the end of them.
func (l *eloop) received(i int, s *slot, n int, errno syscall.Errno) bool {
	switch {
	case again(errno):
		return false
	case errno != 0:
		l.teardown(i, s, ReasonPeerReset)
		return false
	case n == 0:
		s.mode |= modeEOF
		l.wantEvents(i, s)
	default:
		l.n.bytesIn.Add(int64(n))
		l.touch(s)
	}
	return s.mode&modeOpen != 0
}

// discard throws away what a peer still sends to an ended connection.
func (l *eloop) discard(i int, s *slot) {
	n, errno := recv(s.fd, l.read64k)
	switch {
	case n > 0 || again(errno):
	case errno != 0 || s.mode&modeLinger != 0:
		l.teardown(i, s, l.endReason(s))
	default: // held output is still to be sent; outDone closes
		s.mode |= modeEOF
		l.wantEvents(i, s)
	}
}

// feed shows data, all unread bytes of a connection, to the protocol and keeps
// what it leaves. data is the shared buffer or the tail itself.
func (l *eloop) feed(i int, s *slot, data []byte) {
	rest := data
	if s.mode&modeHeld == 0 {
		rest = l.steps(i, s, data)
	} else {
		l.scan = [2]uint64{}
	}
	if s.mode&modeOpen == 0 || s.mode&modeLinger != 0 || s.state.Load()&stateEnding != 0 {
		return
	}
	l.keep(i, s, rest, len(rest) != len(data))
	switch {
	case s.mode&modeOpen == 0:
	case s.mode&modeEOF != 0:
		l.atEOF(i, s)
	case s.mode&modeDrain != 0:
		l.drainOne(i, s)
	}
}

// steps calls Step for one message after another and returns the bytes that
// are left. The connection may be closed or ended when it returns.
func (l *eloop) steps(i int, s *slot, data []byte) []byte {
	t := &l.turn
	t.Conn, t.Out, t.EOF = l.conn(i, s), t.Out[:0], s.mode&modeEOF != 0
	t.Scan = &l.scan
	l.scan = [2]uint64{}
	if s.mode&modeTail != 0 {
		l.scan = l.table.get(s).scan
	}
	p := l.g.protocol(s)
	gone := t.EOF && s.state.Load()&stateScheduled != 0 // worth a Step even without bytes
	queued := false                                     // records of this turn, not yet submitted
	late := true
	for more := true; more && (len(data) > 0 || gone) && s.state.Load()&(stateClosing|stateEnding) == 0; gone = false {
		t.In, t.N, t.Record, t.Reason, t.Late = data, 0, t.Record[:0], ReasonNone, false
		t.Busy = queued || s.state.Load()&stateScheduled != 0
		t.Overloaded = l.g.mem.over()
		t.Draining = l.draining
		v := l.checked(p.Step(t), len(data))
		data = data[t.N:]
		queued = queued || v == Work
		late = late && t.Late && v == Next
		more = l.verdict(i, s, v)
		if s.mode&modeOpen == 0 {
			return nil
		}
	}
	if !late || !l.keepLate(i, s) {
		l.flushTurn(i, s)
	}
	if cap(t.Out) > turnKeep {
		t.Out = nil
	}
	if cap(t.Record) > turnKeep {
		t.Record = nil
	}
	if s.mode&modeOpen != 0 {
		l.submit(i, s)
	}
	return data
}

// checked turns a verdict that breaks the contract of Step into Abort: carried
// out, it would show the same bytes for ever or bytes that are not there.
func (l *eloop) checked(v Verdict, in int) Verdict {
	t := &l.turn
	if v <= Abort && t.N >= 0 && t.N <= in && (t.N > 0 || v != Next && v != Work) {
		return v
	}
	l.g.o.Logger.Error("protocol broke the contract of Step", "verdict", int(v), "n", t.N, "in", in)
	t.N, t.Reason = 0, ReasonPanic
	return Abort
}

// verdict does what Step decided and reports whether the next message may be
// looked at.
func (l *eloop) verdict(i int, s *slot, v Verdict) bool {
	t := &l.turn
	if v == More {
		return false
	}
	if v == Abort {
		l.teardown(i, s, t.Reason)
		return false
	}
	l.scan = [2]uint64{}
	if s.mode&modeFresh != 0 {
		s.mode &^= modeFresh
		l.relax(i, s)
	}
	l.touch(s)
	l.n.messages.Add(1)
	switch v {
	case Work:
		l.flushTurn(i, s) // replies before it must not be overtaken by its own
		if s.mode&modeOpen != 0 {
			l.enqueue(i, s, t.Record)
		}
	case Hold:
		s.mode |= modeHeld
		l.n.held.Add(1)
		l.wheel.disarm(s)
		l.wheel.arm(i, s, l.tick.Load()+l.g.ticks(l.g.o.KeepAlive))
		return false
	case End:
		l.flushTurn(i, s)
		l.endLocal(i, s, t.Reason)
		return false
	default:
		if len(t.Out) >= flushAt {
			l.flushTurn(i, s)
		}
	}
	return s.mode&modeOpen != 0 && s.pauses == 0
}

// keep stores the bytes that are left, or gives the tail back when none are.
// progress says that at least one message was taken off the front.
func (l *eloop) keep(i int, s *slot, rest []byte, progress bool) {
	if len(rest) == 0 {
		if s.mode&modeTail != 0 {
			l.dropTail(i, s)
		}
		return
	}
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return // closed by another goroutine; the mailbox will tell
	}
	a := l.table.attach(s)
	begins := !a.hasTail || progress
	switch {
	case a.hasTail && len(a.tail.b) > 0 && &a.tail.b[len(a.tail.b)-1] == &rest[len(rest)-1]:
		a.tail.b = a.tail.b[:copy(a.tail.b, rest)] // it is the tail: move to the front
	case a.hasTail:
		a.tail.b = a.tail.b[:0]
		a.tail = l.g.mem.add(a.tail, rest)
	default:
		a.tail = l.g.mem.add(nil, rest)
		a.hasTail = true
	}
	a.scan = l.scan
	if begins {
		a.tailSince = l.tick.Load()
	}
	since := a.tailSince
	l.unlock(i, s)
	s.mode |= modeTail
	l.tailLimits(i, s, len(rest), since)
}

// tailLimits pauses or hurries a connection that keeps n bytes since a tick.
func (l *eloop) tailLimits(i int, s *slot, n int, since uint32) {
	if s.mode&modeHeld != 0 {
		if n >= l.g.o.HoldMax {
			l.pause(i, s, PauseHold)
		}
		return
	}
	l.look(i, s, since+l.g.ticks(l.g.o.RequestTimeout))
	if l.g.mem.over() && s.pauses&(1<<PauseBudget) == 0 {
		l.waiters.budget = append(l.waiters.budget, l.conn(i, s).h)
		l.pause(i, s, PauseBudget)
	}
}

// dropTail gives the tail back.
func (l *eloop) dropTail(i int, s *slot) {
	s.mode &^= modeTail
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.get(s)
	l.g.mem.put(a.tail)
	a.tail, a.hasTail, a.scan = nil, false, [2]uint64{}
	if a.idle() {
		l.table.detach(s)
	}
	l.unlock(i, s)
}

// atEOF decides what becomes of a connection whose peer has finished: it stays
// until what was asked for is answered.
func (l *eloop) atEOF(i int, s *slot) {
	v := s.state.Load()
	switch {
	case s.mode&modeHeld != 0:
		l.teardown(i, s, ReasonPeerClosed)
	case s.pauses != 0 && s.mode&modeTail != 0:
		// messages that were not looked at yet; resume comes back here
	case v&stateWorking != 0:
		l.noteAfterWork(i, s)
	case v&stateOut != 0:
		// flushHeld comes back here
	case s.mode&modeTail != 0:
		l.teardown(i, s, ReasonTruncated)
	default:
		l.teardown(i, s, ReasonPeerClosed)
	}
}
