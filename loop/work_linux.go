package loop

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// enqueue appends one record to a connection's queue and marks the connection
// scheduled. submit hands it to the workers when the turn is over, so that one
// worker finds all records of the turn.
func (l *eloop) enqueue(i int, s *slot, rec []byte) {
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.attach(s)
	room := recordHeader + len(rec)
	if a.queue == nil {
		a.queue = l.g.mem.get(room)
	} else if len(a.queue.b)+room > cap(a.queue.b) {
		a.queue = l.g.mem.grow(a.queue, len(a.queue.b)+room)
	}
	a.queue.b = appendRecord(a.queue.b, rec, l.clock())
	a.queueStop = len(a.queue.b) >= l.g.o.QueueMax
	stop := a.queueStop
	l.n.records.Add(1)
	l.unlock(i, s)
	if stop {
		l.pause(i, s, PauseQueue)
	}
}

// submit hands a connection with records to the workers, unless they have it.
// When the ring is full the connection waits, unread, until there is room.
func (l *eloop) submit(i int, s *slot) {
	if s.busy.Load() == 0 || s.state.Load()&stateScheduled != 0 {
		return
	}
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.get(s)
	some := a != nil && a.queue != nil
	if some {
		s.state.Or(stateScheduled)
	}
	l.unlock(i, s)
	if some {
		l.toRing(i, s)
	}
}

// toRing puts a scheduled connection into the ring or among those who wait for
// room in it.
func (l *eloop) toRing(i int, s *slot) {
	h := l.conn(i, s).h
	if len(l.waiters.ring) == 0 && l.g.disp.submit(h) {
		return
	}
	l.waiters.ring = append(l.waiters.ring, h)
	l.pause(i, s, PauseRing)
	if len(l.waiters.ring) == 1 {
		l.resubmit() // room may have come between the refusal and the append
	}
}

// resubmit hands over those who waited for the ring, first come first served.
func (l *eloop) resubmit() {
	done := 0
	for _, h := range l.waiters.ring {
		s := l.slab.at(h.index())
		if stateGen(s.state.Load()) == h.gen() && s.mode&modeOpen != 0 {
			if !l.g.disp.submit(h) {
				break
			}
			l.resumeWaiter(h.index(), s)
		}
		done++
	}
	l.waiters.ring = remaining(l.waiters.ring, done)
}

func (l *eloop) resumeWaiter(i int, s *slot) {
	defer l.contain(i, s)
	l.resume(i, s, PauseRing)
}

// remaining drops the first n and gives the memory back when none are left.
func remaining(h []Handle, n int) []Handle {
	if n == len(h) {
		return nil
	}
	return h[:copy(h, h[n:])]
}

// noteAfterWork asks the worker to tell the loop when it is done.
func (l *eloop) noteAfterWork(i int, s *slot) {
	if !s.lock(stateGen(s.state.Load()), stateClosing, l.lot(i)) {
		return
	}
	busy := s.state.Load()&stateWorking != 0
	if busy {
		l.table.attach(s).afterWork = true
	}
	l.unlock(i, s)
	if !busy {
		l.afterWork(i, s)
	}
}

// afterWork goes on with a connection whose worker is done.
func (l *eloop) afterWork(i int, s *slot) {
	switch {
	case s.mode&modeLinger != 0:
	case s.mode&modeEOF != 0:
		l.atEOF(i, s)
	case s.mode&modeDrain != 0:
		l.drainOne(i, s)
	}
}

// A hand is a worker at work on one connection.
type hand struct {
	job      Job
	l        *eloop
	s        *slot
	h        Handle
	queue    *buffer // records in hand
	rest     []byte  // of them, those not yet begun
	left     bool    // out of the worker count
	released bool    // the connection is somebody else's now
}

var hands = sync.Pool{New: func() any { return new(hand) }}

// handKeep bounds the reply buffer that a hand keeps from job to job.
const handKeep = 64 << 10

// work is what the dispatcher calls: it takes the connection's records, runs
// them in order, and again until there are none.
func (g *native) work(h Handle) {
	l, s := g.find(h)
	w := hands.Get().(*hand)
	out := w.job.Out
	*w = hand{l: l, s: s, h: h}
	w.job = Job{Conn: Conn{g, h}, Out: out[:0], worker: w}
	for w.take() && w.records() {
	}
	if w.released {
		w.giveBack()
	}
	g.mem.put(w.queue)
	if cap(w.job.Out) > handKeep {
		w.job.Out = nil
	}
	*w = hand{job: Job{Out: w.job.Out}}
	hands.Put(w)
}

// take takes the records that are queued, or lets the connection go when there
// are none or it is closing.
func (w *hand) take() bool {
	l, s, i := w.l, w.s, w.h.index()
	l.g.mem.put(w.queue)
	w.queue = nil
	if !s.lock(w.h.gen(), stateClosing, l.lot(i)) {
		return false
	}
	defer l.unlock(i, s)
	a := l.table.get(s)
	if a == nil || a.queue == nil {
		w.letGo(a)
		return false
	}
	w.queue, a.queue = a.queue, nil
	w.rest = w.queue.b
	if a.queueStop {
		a.queueStop = false
		l.post(i, s, reqQueue)
	}
	return true
}

// letGo unschedules the connection. The caller holds the slot's lock.
func (w *hand) letGo(a *attached) {
	w.s.state.And(^stateScheduled)
	if a != nil {
		w.settle(a)
	}
}

// giveBack counts out a job that had released the connection.
func (w *hand) giveBack() {
	if !w.s.lock(w.h.gen(), stateClosing, w.l.lot(w.h.index())) {
		return
	}
	a := w.l.table.get(w.s)
	if a.lent--; a.lent == 0 {
		w.s.state.And(^stateLent)
	}
	w.settle(a)
	w.l.unlock(w.h.index(), w.s)
}

// settle tells the loop if the work that it wants to see done is done, and
// detaches what is idle. The caller holds the slot's lock.
func (w *hand) settle(a *attached) {
	if a.afterWork && w.s.state.Load()&stateWorking == 0 {
		a.afterWork = false
		w.l.post(w.h.index(), w.s, reqAfterWork)
	}
	if a.idle() {
		w.l.table.detach(w.s)
	}
}

// records works off the records in hand and reports whether the connection is
// still this worker's.
func (w *hand) records() bool {
	j, l := &w.job, w.l
	p := l.g.protocol(w.s)
	for len(w.rest) > 0 {
		var at time.Duration
		j.Record, at, w.rest = firstRecord(w.rest)
		j.Wait = l.clock() - at
		w.one(p)
		_ = j.Flush() // a closed connection has said so to its protocol
		if w.released || j.End || w.gone() {
			break
		}
	}
	if j.End {
		j.Conn.End(j.Reason)
		return false
	}
	return !w.released
}

// gone reports whether the connection has closed, so that nobody waits for the
// records that are left.
func (w *hand) gone() bool {
	v := w.s.state.Load()
	return stateGen(v) != w.h.gen() || v&stateClosing != 0
}

// one works on one record. A panic costs the connection.
func (w *hand) one(p Protocol) {
	defer func() {
		if w.left {
			w.comeBack(&w.job)
		}
		if r := recover(); r != nil {
			w.l.n.panics.Add(1)
			w.l.g.o.Logger.Error("protocol panicked on a worker; connection closed",
				slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			w.job.Out, w.rest = nil, nil
			w.job.Conn.Close(ReasonPanic)
		}
	}()
	p.Work(&w.job)
}

// leave is Job.Leave.
func (w *hand) leave(j *Job, release bool) error {
	if !w.left {
		if err := w.l.g.disp.leave(); err != nil {
			return err
		}
		w.left = true
	}
	_ = j.Flush() // what the handler waits for may depend on it
	if release && !w.released {
		w.release()
	}
	return nil
}

// comeBack is Job.Return.
func (w *hand) comeBack(*Job) {
	if w.left {
		w.left = false
		w.l.g.disp.comeBack()
	}
}

// release gives the connection back with the records not yet begun, so that
// another worker can go on with them.
func (w *hand) release() {
	l, s, i := w.l, w.s, w.h.index()
	w.released = true
	if !s.lock(w.h.gen(), stateClosing, l.lot(i)) {
		return
	}
	a := l.table.attach(s)
	a.lent++
	s.state.Or(stateLent)
	if len(w.rest) > 0 {
		q := l.g.mem.add(nil, w.rest)
		if a.queue != nil {
			q = l.g.mem.add(q, a.queue.b)
			l.g.mem.put(a.queue)
		}
		a.queue, w.rest = q, nil
	}
	if a.queue == nil {
		w.letGo(a)
	} else {
		s.state.And(^stateScheduled)
		l.post(i, s, reqSubmit)
	}
	l.unlock(i, s)
}
