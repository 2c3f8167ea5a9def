package load

import "time"

// schedule says when groups of calls are due: Options.Burst calls of one client.
type schedule struct {
	interval float64 // ns between groups; 0: none are due
	next     float64 // ns since the start
}

// setRate makes perSecond calls due from now on.
func (w *worker) setRate(perSecond float64, now int64) {
	if perSecond <= 0 {
		w.schedule = schedule{}
		return
	}
	interval := float64(time.Second) / perSecond * float64(w.o.Burst)
	// Processes do not all call at the same moment.
	phase := interval * float64(w.setup.Shard) / float64(w.setup.Shards)
	w.schedule = schedule{interval: interval, next: float64(now) + phase}
}

// advance moves to the next group.
func (w *worker) advance() {
	s := &w.schedule
	if w.o.Poisson {
		s.next += w.random.ExpFloat64() * s.interval
	} else {
		s.next += s.interval
	}
}

// issue makes the calls that are due, about callsAtOnce at most. What finds no
// client, or no time of ours, waits in the schedule, and is dropped when it has
// waited for too long.
func (w *worker) issue(now int64) {
	w.behind = false
	w.outbox.open = true
	defer w.issued()
	sent := 0
	for w.schedule.interval > 0 && w.schedule.next <= float64(now) {
		due := int64(w.schedule.next)
		if now-due >= int64(w.o.DropAfter) {
			w.advance()
			w.tally.counts.Due += int64(w.o.Burst)
			w.tally.counts.Dropped += int64(w.o.Burst)
			continue
		}
		i := w.ready.first
		if i == noOne || !w.room(i) {
			return
		}
		if sent >= callsAtOnce {
			w.behind = true
			return
		}
		sent += w.o.Burst
		w.advance()
		w.turn(i, due, now)
	}
}

// issued writes what issue has made.
func (w *worker) issued() {
	w.outbox.open = false
	w.dispense()
}

// turn lets client i make its calls.
func (w *worker) turn(i int32, due, now int64) {
	w.pull(i)
	c := &w.clients[i]
	if w.o.Think > 0 && w.o.Burst > 1 {
		c.flags |= bursting
		w.ask(i, 1, due, now)
		w.timers.add(timer{at: due + int64(w.o.Think), due: due + int64(w.o.Think), what: timerThink, left: uint8(w.o.Burst - 1), index: i})
		return
	}
	w.ask(i, w.o.Burst, due, now)
	w.push(i) // if it only notified
}

// think makes the next call of a burst. It waits for the answer to the one
// before, and for the client to be up.
func (w *worker) think(t timer, now int64) {
	c := &w.clients[t.index]
	if c.state != up || c.flying > 0 {
		if now-t.due < int64(w.o.DropAfter) {
			t.at = now + int64(time.Millisecond)
			w.timers.add(t)
			return
		}
		w.tally.counts.Due++
		w.tally.counts.Dropped++
	} else {
		w.ask(t.index, 1, t.due, now)
	}
	if t.left--; t.left > 0 {
		t.due += int64(w.o.Think)
		t.at = max(t.due, now)
		w.timers.add(t)
		return
	}
	c.flags &^= bursting
	w.push(t.index)
}

// ask sends n messages of client i that are due.
func (w *worker) ask(i int32, n int, due, now int64) {
	w.tally.counts.Due += int64(n)
	w.request = w.request[:0]
	for range n {
		note := w.o.Notify > 0 && w.random.Float64() < w.o.Notify
		size := w.o.Size.draw(w.random)
		if w.o.Protocol != JSONRPC {
			w.askHTTP(i, note, size, due, now)
			continue
		}
		c := &w.clients[i]
		c.seq++
		text := w.texts.of(c.seq, size)
		if note {
			w.request = w.speech.note(w.request, text)
			w.tally.counts.Notes++
			w.late(due, now)
			continue
		}
		w.request = w.speech.call(w.request, c.seq, text)
		k := w.calls.take(kindCall, i, due, now)
		w.calls.list[k].id, w.calls.list[k].size = c.seq, uint32(size)
		if c.head == noOne {
			c.head = k
		} else {
			w.calls.list[c.tail].next = k
		}
		c.tail = k
		c.flying++
		w.written(k, now)
	}
	if w.o.Protocol == JSONRPC {
		w.gather(i, w.request, now)
	}
}

// askHTTP sends a message over the pool.
func (w *worker) askHTTP(i int32, note bool, size int, due, now int64) {
	c := &w.clients[i]
	c.seq++
	kind := kindCall
	if note {
		kind = kindNote
	}
	k := w.calls.take(kind, i, due, now)
	call := &w.calls.list[k]
	call.id, call.size, call.target = c.seq, uint32(size), c.target
	if w.o.Spread {
		call.target = w.nextTarget(now)
	}
	c.flying++
	w.dispatch(k, now)
}

// written notes that call k was given to the kernel, or to the buffer in front
// of it, for the first time.
func (w *worker) written(k int32, now int64) {
	c := &w.calls.list[k]
	if c.sent = now; c.tries > 0 {
		return
	}
	if c.kind == kindNote {
		w.tally.counts.Notes++
	} else {
		w.tally.counts.Sent++
	}
	w.late(c.due, now)
}

func (w *worker) late(due, now int64) {
	if now-due > int64(LateAfter) {
		w.tally.counts.Late++
	}
}

// answered ends call k, which went well.
func (w *worker) answered(k int32, now int64) {
	c := &w.calls.list[k]
	if c.kind == kindCall {
		w.tally.counts.Replies++
		w.tally.checks.Verified++
		record(w.tally.corrected, now-c.due)
		record(w.tally.uncorrected, now-c.sent)
	}
	w.land(k)
}

// timedOut ends call k, which nobody answered.
func (w *worker) timedOut(k int32, now int64) {
	c := &w.calls.list[k]
	w.tally.counts.Timeouts++
	if c.kind == kindCall {
		record(w.tally.corrected, now-c.due)
		record(w.tally.uncorrected, now-c.sent)
	}
	w.land(k)
}

// failed ends call k, which went wrong.
func (w *worker) failed(k int32, counter *int64, why error) {
	*counter++
	w.tally.say(why)
	w.land(k)
}

// land takes call k back. REQUIRES: no connection has it any more.
func (w *worker) land(k int32) {
	i := w.calls.list[k].client
	w.calls.give(k)
	w.clients[i].flying--
	w.push(i)
}
