package loop

import (
	"syscall"
	"unsafe"
)

// The mailbox is how other goroutines ask the loop for something: a stack of
// slots, linked through the slots themselves, so that it is bounded by the
// number of connections and never full. A slot in it counts as a user.

// post asks the loop for req on slot i. The caller is a user of the slot.
func (l *eloop) post(i int, s *slot, req uint32) {
	if s.pending.Or(req) != 0 {
		return // it is in the mailbox already
	}
	s.state.Add(stateUser)
	for {
		head := l.mailbox.Load()
		s.next = head
		if l.mailbox.CompareAndSwap(head, uint32(i)+1) {
			break
		}
	}
	l.rouse()
}

// ask asks the loop for something that concerns it as a whole.
func (l *eloop) ask(ctl uint32) {
	if l.control.Or(ctl)&ctl == 0 {
		l.rouse()
	}
}

// rouse makes sure that the mailbox is looked at. During a batch it will be:
// the loop clears running before it looks for the last time, and callers fill
// the mailbox before they look at running.
func (l *eloop) rouse() {
	if l.running.Load() {
		return
	}
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if l.woken || l.wakeOff {
		return
	}
	l.woken = true
	one := uint64(1)
	// A full counter (EAGAIN) is as good: the set is readable.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.ep.wake), uintptr(unsafe.Pointer(&one)), 8)
}

// orders works off the mailbox and the loop's own requests.
func (l *eloop) orders() {
	if ctl := l.control.Swap(0); ctl != 0 {
		l.obey(ctl)
	}
	for at := l.mailbox.Swap(0); at != 0; {
		i := int(at - 1)
		s := l.slab.at(i)
		at = s.next
		req := s.pending.Swap(0) // from here on the slot may be posted again
		if s.mode&modeOpen != 0 {
			l.order(i, s, req)
		}
		l.unuse(i, s)
	}
}

// obey does what was asked of the loop as a whole.
func (l *eloop) obey(ctl uint32) {
	if ctl&ctlListen != 0 {
		l.watchListeners()
	}
	if ctl&ctlAccept != 0 && l.acceptOff {
		l.acceptAgain()
	}
	if ctl&ctlIntake != 0 {
		l.takeIn()
	}
	if ctl&ctlRing != 0 {
		l.resubmit()
	}
	if ctl&ctlDeafen != 0 {
		l.deafen()
	}
	if ctl&ctlDrain != 0 {
		l.drain()
	}
	if ctl&ctlHurry != 0 {
		l.hurry()
	}
	if ctl&ctlKill != 0 {
		l.each(func(i int, s *slot) { l.teardown(i, s, ReasonShutdown) })
	}
}

// order does what was asked for one connection.
func (l *eloop) order(i int, s *slot, req uint32) {
	defer l.contain(i, s)
	if req&reqClose != 0 {
		l.teardown(i, s, Reason(req>>reqReasonShift))
		return
	}
	if req&reqOut != 0 {
		l.armOut(i, s)
	}
	if req&reqPauseOut != 0 && s.state.Load()&stateOut != 0 {
		l.pause(i, s, PauseOut)
		l.flushHeld(i, s) // it may have left meanwhile
	}
	if req&reqSubmit != 0 {
		l.submit(i, s)
	}
	if req&reqRelease != 0 && s.mode&modeOpen != 0 && s.mode&modeHeld != 0 {
		l.unhold(i, s)
	}
	if req&reqQueue != 0 && s.mode&modeOpen != 0 {
		l.resume(i, s, PauseQueue)
	}
	if req&reqEnd != 0 && s.mode&modeOpen != 0 {
		l.tryEnd(i, s)
	}
	if req&reqAfterWork != 0 && s.mode&modeOpen != 0 {
		l.afterWork(i, s)
	}
}

// each calls f for every open slot.
func (l *eloop) each(f func(i int, s *slot)) {
	for i := range l.slab.used {
		if s := l.slab.at(i); s.mode&modeOpen != 0 {
			f(i, s)
		}
	}
}
