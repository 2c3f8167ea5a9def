package loop

import "github.com/rookery-server/rookery/internal/uring"

// late keeps the answers of one round of events, so that they go to the kernel in
// few calls. It belongs to the loop's goroutine. No slot's lock is held until they
// are sent: meanwhile the loop calls protocols, which may wait for who waits for
// one. So somebody else may write to the connection before; see [Turn.Late].
type late struct {
	sends
	ring *uring.Ring // nil until the first use; stays nil if there can be none
	off  bool        // no ring was to be had
	on   bool        // enough is ready for it to be worth the while
	// reading says that the answers are those to an event. A connection has one
	// event in a round, so there is at most one answer to it here, and none of its
	// own overtakes it.
	reading bool
}

// beginLate decides whether the answers to n events are kept. Fewer are sent at
// once: they would gain nothing by the way through here.
func (l *eloop) beginLate(n int) {
	t := &l.late
	if t.on = n >= batchLeast && !t.off; !t.on || t.ring != nil {
		return
	}
	ring, err := uring.Open(batchMax)
	if err != nil { // sending needs none
		t.on, t.off = false, true
		return
	}
	t.ring = ring
	t.room()
	l.g.rings.Add(1)
}

// closeLate gives the ring back.
func (l *eloop) closeLate() {
	if l.late.ring != nil {
		l.late.ring.Close()
		l.g.rings.Add(-1)
	}
	l.late = late{off: true}
}

// keepLate keeps the turn's Out to be sent with others and reports whether it did.
// What is going to close, or has output that waits, is written as ever.
func (l *eloop) keepLate(i int, s *slot) bool {
	p, v := l.turn.Out, s.state.Load()
	if !l.late.reading || len(p) == 0 || len(p) > batchBytes/batchMax || l.draining ||
		s.mode&(modeOpen|modeEOF|modeDrain|modeLinger) != modeOpen || v&(stateClosing|stateEnding|stateOut) != 0 {
		return false
	}
	if l.late.full(p) {
		l.sendLate()
	}
	l.late.add(addressee{l, s, i, stateGen(v)}, p)
	l.turn.Out = p[:0]
	return true
}

// sendLate sends what was kept. Slots that somebody else has locked come last: the
// loop does not wait for a lock while it has others.
func (l *eloop) sendLate() {
	b := &l.late
	n := 0
	for i := range b.list {
		if a := b.to[i]; a.s.tryLock(a.gen, stateClosing|stateOut) {
			b.list[i], b.list[n] = b.list[n], b.list[i]
			b.to[i], b.to[n] = b.to[n], b.to[i]
			n++
		}
	}
	l.n.batched.Add(int64(b.send(b.ring, n)))
	for i := range b.list {
		w, a := &b.list[i], &b.to[i]
		r := ReasonNone
		switch {
		case i < n:
			r = l.sentLocked(a.i, a.s, w.P, w.N, w.Errno)
			l.unlock(a.i, a.s)
		case a.s.lock(a.gen, stateClosing, l.lot(a.i)):
			r = l.sendLocked(a.i, a.s, w.P)
			l.unlock(a.i, a.s)
		}
		if r != ReasonNone || a.s.state.Load()&stateOut != 0 {
			l.sentLate(a, r)
		}
	}
	b.reset()
}

// sentLate goes on with a connection to which not all could be sent.
func (l *eloop) sentLate(a *addressee, r Reason) {
	if stateGen(a.s.state.Load()) != a.gen || a.s.mode&modeOpen == 0 {
		return // closed meanwhile
	}
	defer l.contain(a.i, a.s)
	if r != ReasonNone {
		l.teardown(a.i, a.s, r)
		return
	}
	l.checkHigh(a.i, a.s)
}
