package loop

import "time"

// A portWorker is a worker's view of the connection whose records it works on.
type portWorker struct {
	c        *portConn
	batch    *buffer // what was queued when the worker came
	rest     []byte  // the part of it not yet begun
	job      Job
	left     bool // the handler waits outside the worker count
	released bool // the connection may be another worker's by now
}

// enqueue queues a record and sees to it that a worker comes.
func (c *portConn) enqueue(rec []byte) {
	c.mu.Lock()
	if c.mu.closed || c.mu.ending {
		c.mu.Unlock()
		return
	}
	x, need := c.mu.queue, recordHeader+len(rec)
	switch {
	case x == nil:
		x = c.b.bufs.get(need)
	case len(x.b)+need > cap(x.b):
		x = c.b.bufs.grow(x, len(x.b)+need)
	}
	x.b = appendRecord(x.b, rec, time.Since(c.b.epoch))
	c.mu.queue = x
	c.mu.queued += len(rec)
	c.b.n.records.Add(1)
	if c.mu.queued >= c.b.o.QueueMax {
		c.pauseLocked(PauseQueue)
	}
	idle := !c.mu.scheduled
	c.mu.scheduled = true
	c.mu.Unlock()
	if idle {
		c.schedule()
	}
}

// schedule hands the connection to the dispatcher. When the ring is full the
// connection is parked, its reading paused, until there is room.
func (c *portConn) schedule() {
	b := c.b
	if b.d.submit(c.h) {
		return
	}
	b.parkMu.Lock()
	defer b.parkMu.Unlock()
	if b.d.submit(c.h) { // refused again under the lock: unpark is yet to come
		return
	}
	b.parked = append(b.parked, c)
	c.mu.Lock()
	c.pauseLocked(PauseRing)
	c.mu.Unlock()
}

// unpark hands parked connections to the dispatcher, first come first served,
// as far as there is room.
func (b *portable) unpark() {
	b.parkMu.Lock()
	defer b.parkMu.Unlock()
	for len(b.parked) > 0 {
		c := b.parked[0]
		if !b.d.submit(c.h) {
			return
		}
		b.parked[0] = nil
		b.parked = b.parked[1:]
		c.mu.Lock()
		c.resumeLocked(PauseRing)
		c.mu.Unlock()
	}
	b.parked = nil
}

// work works on what is queued for h now. What comes meanwhile goes to the back
// of the ring, so that one busy connection cannot keep a worker for itself.
func (b *portable) work(h Handle) {
	c := b.lookup(h)
	if c == nil {
		return
	}
	w := b.workers.Get().(*portWorker)
	w.c, w.left, w.released = c, false, false
	c.mu.Lock()
	w.batch, c.mu.queue = c.mu.queue, nil
	c.mu.Unlock()
	defer w.finish()
	if w.batch == nil {
		return // closed
	}
	for w.rest = w.batch.b; len(w.rest) > 0 && !w.released && c.isOpen(); {
		w.next()
	}
}

// next works on one record.
func (w *portWorker) next() {
	rec, at, rest := firstRecord(w.rest)
	w.rest = rest
	w.job = Job{
		Conn: w.c.conn(), Record: rec, Out: w.job.Out[:0],
		Wait: time.Since(w.c.b.epoch) - at, worker: w,
	}
	w.call()
	_ = w.job.Flush() // an error has closed the connection
	if w.job.End {
		w.c.end(w.job.Reason)
	}
	w.job.Out = keep(w.job.Out)
	w.done(len(rec))
}

// call runs the handler. Whatever it does, the worker is counted right
// afterwards; a handler that panics or ends its goroutine costs it its
// connection.
func (w *portWorker) call() {
	done := false
	defer func() {
		w.comeBack(&w.job)
		if !done {
			w.c.b.panicked("Work", recover())
			w.c.close(ReasonPanic)
		}
	}()
	w.c.p.Work(&w.job)
	done = true
}

// done counts a record of n bytes as worked on.
func (w *portWorker) done(n int) {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return // gone counts what was queued
	}
	c.mu.workedAt = time.Now()
	c.mu.queued -= n
	if c.mu.queued <= c.b.o.QueueMax/2 {
		c.resumeLocked(PauseQueue)
	}
	if w.released {
		c.mu.waiting--
		c.settledLocked()
	}
}

// settledLocked tells the reader, if it cares, that something in flight has
// landed.
func (c *portConn) settledLocked() {
	if c.mu.settling && !c.busyLocked() {
		c.pokeLocked()
	}
}

// finish gives the connection up, or back to the dispatcher when there is more
// to do.
func (w *portWorker) finish() {
	c := w.c
	c.b.bufs.put(w.batch)
	released := w.released
	w.c, w.batch, w.rest = nil, nil, nil
	w.job = Job{Out: w.job.Out}
	c.b.workers.Put(w)
	if released {
		return
	}
	c.mu.Lock()
	again := c.mu.queue != nil && !c.mu.closed
	c.mu.scheduled = again
	c.settledLocked()
	c.mu.Unlock()
	if again {
		c.schedule()
	}
}

func (w *portWorker) leave(j *Job, release bool) error {
	if !w.left {
		if err := w.c.b.d.leave(); err != nil {
			return err
		}
		w.left = true
	}
	_ = j.Flush() // an error has closed the connection
	if release && !w.released {
		w.release()
	}
	return nil
}

func (w *portWorker) comeBack(*Job) {
	if w.left {
		w.left = false
		w.c.b.d.comeBack()
	}
}

// release gives the connection to whichever worker comes next, with the records
// this one has taken and not begun.
func (w *portWorker) release() {
	c := w.c
	w.released = true
	c.mu.Lock()
	c.mu.waiting++
	if len(w.rest) > 0 && !c.mu.closed {
		x := c.b.bufs.add(nil, w.rest)
		if c.mu.queue != nil {
			x = c.b.bufs.add(x, c.mu.queue.b)
			c.b.bufs.put(c.mu.queue)
		}
		c.mu.queue = x
	}
	again := c.mu.queue != nil && !c.mu.closed
	c.mu.scheduled = again
	c.mu.Unlock()
	if again {
		c.schedule()
	}
}
