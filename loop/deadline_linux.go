package loop

import "time"

// lingerTime is how long an ended connection waits for its peer to close.
const lingerTime = 2 * time.Second

// never is a deadline further away than any other.
const never = uint32(1 << 30)

// ticks converts a duration to ticks, at least one.
func (g *native) ticks(d time.Duration) uint32 {
	if d <= 0 {
		return never
	}
	return uint32(min((d+g.o.TickEvery-1)/g.o.TickEvery, time.Duration(never)))
}

// touch notes activity: the idle deadline moves, without relinking. While
// other deadlines run, slot.due is theirs.
func (l *eloop) touch(s *slot) {
	if s.mode&(modeFresh|modeHeld|modeLinger|modeTail|modeOut) != 0 {
		return
	}
	s.mode &^= modeCheck
	s.due = l.tick.Load() + l.g.idleTicks
}

// relax starts the idle deadline anew after another kind of deadline, which may
// have been armed for later.
func (l *eloop) relax(i int, s *slot) {
	l.wheel.sooner(i, s, l.tick.Load()+l.g.idleTicks)
	l.touch(s)
}

// look makes sure that the deadlines of a connection are looked at no later
// than tick due.
func (l *eloop) look(i int, s *slot, due uint32) {
	if s.wprev != 0 && int32(s.due-due) <= 0 {
		return
	}
	s.mode |= modeCheck
	l.wheel.sooner(i, s, due)
}

// onTick is the loop's clock: deadlines, and what is tried again in time.
func (l *eloop) onTick() {
	now := l.clock() - l.base
	tick := uint32(max(now, 0) / l.g.o.TickEvery)
	last := l.tick.Load()
	if tick <= last {
		return
	}
	l.n.lag.observe(now - time.Duration(last+1)*l.g.o.TickEvery)
	l.tick.Store(tick)
	l.wheel.advance(tick, l.expire)
	if l.acceptOff {
		l.acceptAgain()
	}
	if len(l.waiters.ring) > 0 {
		l.resubmit()
	}
	if len(l.waiters.budget) > 0 && !l.g.mem.over() {
		waiters := l.waiters.budget
		l.waiters.budget = nil
		for _, h := range waiters {
			if s := l.slab.at(h.index()); stateGen(s.state.Load()) == h.gen() && s.mode&modeOpen != 0 {
				l.resumeBudget(h.index(), s)
			}
		}
	}
}

func (l *eloop) resumeBudget(i int, s *slot) {
	defer l.contain(i, s)
	l.resume(i, s, PauseBudget)
}

// expire looks at the deadlines of a connection whose tick has come; the wheel
// has unlinked it.
func (l *eloop) expire(i int, s *slot) {
	defer l.contain(i, s)
	r, next := l.deadlines(i, s)
	if r != ReasonNone {
		l.teardown(i, s, r)
		return
	}
	s.mode &^= modeCheck
	if s.mode&(modeTail|modeOut) != 0 {
		s.mode |= modeCheck
	}
	l.wheel.arm(i, s, next)
	if s.mode&modeHeld != 0 {
		l.g.protocol(s).Tick(l.conn(i, s))
	}
}

// deadlines returns the reason to close a connection now, or the tick at which
// to look again.
func (l *eloop) deadlines(i int, s *slot) (Reason, uint32) {
	now, v := l.tick.Load(), s.state.Load()
	next := now + l.g.idleTicks
	switch {
	case s.mode&modeLinger != 0:
		return l.endReason(s), 0
	case s.mode&modeHeld != 0:
		next = now + l.g.ticks(l.g.o.KeepAlive)
	case s.mode&(modeFresh|modeCheck) == modeFresh && v&stateWorking == 0:
		return ReasonHandshake, 0
	case s.mode&(modeTail|modeOut|modeCheck) == 0 && v&(stateWorking|stateOut) == 0:
		return ReasonIdle, 0
	}
	if s.busy.Load() == 0 || !s.lock(stateGen(v), stateClosing, l.lot(i)) {
		return ReasonNone, next
	}
	defer l.unlock(i, s)
	a := l.table.get(s)
	if a == nil {
		return ReasonNone, next
	}
	if a.out != nil {
		stall := l.g.ticks(l.g.o.WriteStall)
		if now-a.outSince >= stall {
			return ReasonSlow, 0
		}
		next = min(next, a.outSince+stall)
	}
	if a.hasTail && s.mode&modeHeld == 0 {
		if s.pauses&^(1<<PauseBudget) != 0 {
			a.tailSince = now // it is we who do not read
		}
		limit := l.g.ticks(l.g.o.RequestTimeout)
		if now-a.tailSince >= limit {
			return ReasonRequestTimeout, 0
		}
		next = min(next, a.tailSince+limit)
	}
	return ReasonNone, next
}
