package session

import "math"

// This file is what copies of a log on other processes need. One of them, the
// home of the session, draws the numbers; the others take events with the
// numbers they have there.

const (
	// A number has 10 bits that tell takeovers apart and 22 that count what was
	// drawn since. Who draws more than 4 million goes on into the next ten bits:
	// that is why NextEpoch looks lagMax ahead.
	epochShift = 22
	epochMask  = 1<<epochShift - 1

	// lagMax is how many numbers a home may be ahead of a copy that takes over.
	lagMax = 1 << 16
)

// AppendAt adds an event with the number seq, which the home of the session has
// drawn; log 0 makes a log. The event goes where its number belongs, and Last
// rises to seq. It takes a reference to body of its own.
//
// The log stays as it is if it has the number or the body already, which is
// counted, and if events of this kind were lost up to seq or beyond. Body 0
// stands for a message that could not be kept, see Append. added reports whether
// the event was put into the log; its limits may have taken it at once.
//
// A log that was dropped takes nothing, nor does any log take number 0. newLog
// is 0 if there are 2^24 logs.
func (e *Events) AppendAt(log, stream, seq, body uint32) (newLog uint32, added bool) {
	if seq == 0 {
		return log, false
	}
	s, l, log := e.lockOpen(log)
	if l != nil {
		added = s.appendAt(l, stream, seq, body)
	}
	if e.bodies.condemned.Load() > 0 {
		s.trimSome(trimmedBeside)
	}
	s.mu.Unlock()
	e.bodies.enforce()
	return log, added
}

// Has reports whether a log holds the event of that identity. It looks through
// the log only if a body with the identity is stored.
func (e *Events) Has(log uint32, o Origin) bool {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	return l != nil && l.first != 0 && s.has(l, o)
}

// Renumber gives the event of identity o the number seq, which is below the one
// it has: it takes its place there. It reports false, and changes nothing, if the
// log has no such event above seq, or has another one of that number, or lost
// events up to it.
func (e *Events) Renumber(log, seq uint32, o Origin) bool { return e.renumber(log, seq, o, false) }

// Move is Renumber also for a number above the one that the event has. Last rises
// to it.
func (e *Events) Move(log, seq uint32, o Origin) bool { return e.renumber(log, seq, o, true) }

func (e *Events) renumber(log, seq uint32, o Origin, up bool) bool {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return false
	}
	s.clean(l)
	return s.renumber(l, seq, o, up)
}

func (s *eventShard) renumber(l *eventLog, seq uint32, o Origin, up bool) bool {
	number, _ := s.bodies.find(o)
	var at, prev, before, last uint32 // the event; before it; behind which seq belongs
	for n := l.first; n != 0; {
		en := s.entries.at(n - 1)
		switch {
		case en.seq == seq:
			return false
		case number != 0 && en.body == number:
			at, prev = n, last
		case en.seq < seq:
			before = n
		}
		last, n = n, en.next
	}
	if at == 0 {
		return false
	}
	en := s.entries.at(at - 1)
	if en.seq < seq && !up || seq <= l.floor[en.stream>>streamKindShift] {
		return false
	}
	en.seq, l.seq = seq, max(l.seq, seq)
	s.replace(l, prev, before, at)
	return true
}

// At returns the number of the event of identity o, 0 if the log does not hold it.
func (e *Events) At(log uint32, o Origin) (seq uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return 0
	}
	if number, _ := s.bodies.find(o); number != 0 {
		s.any(l, func(en *entry) bool {
			if en.body == number {
				seq = en.seq
			}
			return seq != 0
		})
	}
	return seq
}

// Numbered reports whether a log has an event of that number.
func (e *Events) Numbered(log, seq uint32) bool {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return false
	}
	s.clean(l)
	return s.any(l, func(en *entry) bool { return en.seq == seq })
}

// any reports whether match finds an event of a log.
func (s *eventShard) any(l *eventLog, match func(*entry) bool) bool {
	for n := l.first; n != 0; {
		en := s.entries.at(n - 1)
		if match(en) {
			return true
		}
		n = en.next
	}
	return false
}

// Overtaken reports whether, of the publisher of o, an earlier event than o
// stands in a log behind the number seq: there o would come too early.
func (e *Events) Overtaken(log, seq uint32, o Origin) bool {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return false
	}
	return s.any(l, func(en *entry) bool {
		at := e.Origin(en.body)
		return en.seq > seq && at.Peer == o.Peer && at.Seq < o.Seq
	})
}

// Lift raises the last number drawn to last; log 0 makes a log. It returns 0 if
// there are 2^24 logs. Numbers that are passed over count as no events: what was
// lost among them SetFloors must say.
func (e *Events) Lift(log, last uint32) (newLog uint32) {
	s, l, log := e.lockOpen(log)
	defer s.mu.Unlock()
	if l != nil {
		l.seq = max(l.seq, last)
	}
	return log
}

// SetFloors says which events were lost elsewhere: those of streams without the
// top bit up to floors[0], those with it up to floors[1]. They go from this log
// as well, and Last rises to the higher floor. Floors that are lower than the
// log's own change nothing. Log 0 makes a log; newLog is 0 if there are 2^24.
func (e *Events) SetFloors(log uint32, floors [2]uint32) (newLog uint32) {
	s, l, log := e.lockOpen(log)
	defer s.mu.Unlock()
	if l != nil {
		s.raise(l, floors)
	}
	return log
}

// Floors returns, for streams without the top bit and with it, the highest
// number of an event that was lost; zeros for log 0 and for one that was dropped.
func (e *Events) Floors(log uint32) (floors [2]uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.find(log); l != nil {
		s.clean(l)
		floors = l.floor
	}
	return floors
}

// NextEpoch makes Last so high that no number drawn from now on can have been
// drawn by a home that is gone, if that was less than 65,536 numbers ahead of
// this log; log 0 makes a log. last is the new Last: its lower 22 bits are set,
// so that the next number drawn has the upper 10 bits that follow. Those are
// takeover, or higher ones if the log has reached them: two processes that take
// over without knowing of each other draw no number alike if each names a
// takeover of its own.
//
// When there is no epoch left the log stays as it is and last is 0; so it is for
// a log that was dropped, and with newLog if there are 2^24 logs.
func (e *Events) NextEpoch(log, takeover uint32) (newLog, last uint32) {
	s, l, log := e.lockOpen(log)
	defer s.mu.Unlock()
	if l == nil {
		return log, 0
	}
	next := max((uint64(l.seq)+lagMax)|epochMask, uint64(takeover)<<epochShift-min(uint64(takeover), 1))
	if next >= math.MaxUint32 {
		return log, 0
	}
	s.fork(log, l.seq+1) // what it has drawn its client has had, or gets before anything else
	l.seq = uint32(next)
	return log, l.seq
}

// Restream makes the events of stream from that are numbered above after events
// of stream to and returns how many. Their numbers and order stay. Both streams
// must be of one kind, or nothing happens: a loss is held against a kind.
func (e *Events) Restream(log, from, to, after uint32) (n int) {
	if from>>streamKindShift != to>>streamKindShift {
		return 0
	}
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return 0
	}
	s.clean(l)
	for i := l.first; i != 0; {
		ev := s.entries.at(i - 1)
		if ev.stream == from && ev.seq > after {
			ev.stream = to
			n++
		}
		i = ev.next
	}
	return n
}

// Each calls f for all events of a log in order and returns the last number
// drawn and, per kind, the highest number that was lost; all events given are
// above that. Zeros come for log 0 and for a log that was dropped.
//
// f runs under the lock of the log: it must not block, and of Events it may call
// Origin and Message only, with body, which the log holds. It may keep msg, and
// must not change it.
func (e *Events) Each(log uint32, f func(seq, stream, body uint32, msg []byte)) (last uint32, floors [2]uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.find(log); l != nil {
		return l.seq, s.each(l, f)
	}
	return 0, floors
}

// appendAt adds an event where its number belongs.
func (s *eventShard) appendAt(l *eventLog, stream, seq, number uint32) (added bool) {
	if !s.isLast(l, seq) {
		s.clean(l) // an event that is lost keeps no other out
	}
	l.seq = max(l.seq, seq)
	prev, there := s.place(l, seq, number)
	if there {
		s.duplicates++
		return false
	}
	return seq > l.floor[stream>>streamKindShift] && s.put(l, prev, stream, seq, number)
}

// isLast reports whether seq is above the numbers of all events in l.
func (s *eventShard) isLast(l *eventLog, seq uint32) bool {
	return l.last == 0 || s.entries.at(l.last-1).seq < seq
}

// place returns the entry behind which seq belongs, 0 for the front, and reports
// whether that number or body is there.
func (s *eventShard) place(l *eventLog, seq, number uint32) (prev uint32, there bool) {
	if !s.bodies.shared(number) || s.bodies.at(number).born > s.newest(l) {
		if number = 0; s.isLast(l, seq) {
			return l.last, false // as most events come: no look at the others
		}
	}
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		if e.seq == seq || e.body == number { // no entry has body 0
			return 0, true
		}
		if e.seq < seq {
			prev = n
		}
		n = e.next
	}
	return prev, false
}

// newest returns a born that no body in l exceeds. Of that of the newest body l
// keeps one half, which is taken for as young as it can be. When it is not, after
// 4 billion bodies that l did not get, place looks at events in vain.
func (s *eventShard) newest(l *eventLog) uint64 {
	births := s.bodies.births.Load()
	newest := births>>32<<32 | uint64(l.newest)
	if newest > births {
		newest -= 1 << 32
	}
	return newest
}

// shared reports whether somebody beside the caller, who does, may hold a body
// that is still stored.
func (b *bodies) shared(number uint32) bool {
	if number == 0 {
		return false
	}
	state := b.at(number).state.Load()
	return state&evictedMask == 0 && state>>refShift > 1
}

// has reports whether l holds the event of o.
func (s *eventShard) has(l *eventLog, o Origin) bool {
	// A body that l holds is not freed while s is locked. Was another one found,
	// l cannot come to hold it meanwhile: its number may change hands unseen.
	number, born := s.bodies.find(o)
	if number == 0 || born > s.newest(l) {
		return false
	}
	return s.any(l, func(en *entry) bool { return en.body == number })
}

// find returns the number of the stored body of o, 0 if there is none, and when
// it was born. Without a reference to it the number may mean another body soon.
func (b *bodies) find(o Origin) (number uint32, born uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number = b.findLocked(o); number != 0 {
		born = b.at(number).born
	}
	return number, born
}

// raise raises the floors of l.
func (s *eventShard) raise(l *eventLog, floors [streamKinds]uint32) {
	s.clean(l) // what this store has lost counts as that
	for kind, floor := range floors {
		l.floor[kind] = max(l.floor[kind], floor)
		l.seq = max(l.seq, floor)
	}
	s.cut(l, [streamKinds]reason{byOther, byOther})
}

// each calls f for all events of l and returns its floors.
func (s *eventShard) each(l *eventLog, f func(seq, stream, body uint32, msg []byte)) (floors [streamKinds]uint32) {
	s.clean(l)
	floors = l.floor
	found := s.scratch[:0]
	defer func() { s.done(found) }()
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		n = e.next
		msg, ok := s.bodies.at(e.body).bytes()
		if !ok { // evicted since clean
			floors[e.stream>>streamKindShift] = e.seq
			continue
		}
		found = append(found, replayed{seq: e.seq, stream: e.stream, body: e.body, msg: msg})
	}
	for i := range found {
		if r := &found[i]; r.seq > floors[r.stream>>streamKindShift] {
			f(r.seq, r.stream, r.body, r.msg)
		}
	}
	return floors
}
