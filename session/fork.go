package session

// This file is what a client that has heard one of two processes, which took
// over one session without knowing of each other, needs at the other one.
//
// The fork of a log is the lowest number that its client may lack in another log
// of the session, of those below the range that NextEpoch has begun: everything
// below the fork the client has had from here, or before. A client brings the
// fork along, so that another log can tell what to send it, see Lacked.

// forkBytes is about what the fork of a log takes in eventShard.forks: 8 bytes, a
// byte of control, and the room of a map that is between half and seven eighths full.
const forkBytes = 20

// Fork returns the fork of a log, 0 if it was not taken over here.
func (e *Events) Fork(log uint32) (fork uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forks[log]
}

// SetFork raises the fork of a log to that of the log which it continues; 0
// changes nothing.
func (e *Events) SetFork(log, fork uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(log) != nil && fork > s.forks[log] {
		s.fork(log, fork)
	}
}

// Heard notes that the client of a log has had the number after and is about to
// get what follows: the fork rises to behind the number, if that is of an earlier
// range, and behind what the log has of earlier ranges. A log that has no fork
// gets none.
func (e *Events) Heard(log, after uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l, fork := s.find(log), s.forks[log]
	if l == nil || fork == 0 {
		return
	}
	first := l.begin()
	if after < first {
		fork = max(fork, after+1)
	}
	for n := l.first; n != 0; {
		en := s.entries.at(n - 1)
		if en.seq >= first {
			break
		}
		fork = max(fork, en.seq+1)
		n = en.next
	}
	s.fork(log, fork)
}

// Lacked gives the first event of a stream that is numbered from least on and
// below below the next number of the log, and with it the last place, and returns
// that number; 0 if there is no such event, or no number. The caller gets a
// reference to the body.
func (e *Events) Lacked(log, stream, least, below uint32) (seq, body uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return 0, 0
	}
	s.clean(l)
	prev := uint32(0)
	for n := l.first; n != 0; {
		en := s.entries.at(n - 1)
		switch {
		case en.seq >= below:
			return 0, 0
		case en.stream != stream || en.seq < least:
			prev, n = n, en.next
			continue
		}
		if s.bodies.refer(en.body) != 0 {
			return 0, 0 // evicted since clean: the log says so when it is asked
		}
		if seq = l.draw(); seq == 0 {
			s.bodies.release(en.body)
			return 0, 0
		}
		if body, en.seq = en.body, seq; n != l.last {
			s.replace(l, prev, l.last, n)
		}
		return seq, body
	}
	return 0, 0
}

// fork sets the fork of a log; 0 takes it away, and with the last one the memory.
func (s *eventShard) fork(log, fork uint32) {
	switch {
	case fork != 0:
		if s.forks == nil {
			s.forks = map[uint32]uint32{}
		}
		s.forks[log] = fork
	case s.forks != nil:
		if delete(s.forks, log); len(s.forks) == 0 {
			s.forks = nil
		}
	}
}

// begin returns the first number of the range in which l draws.
func (l *eventLog) begin() uint32 { return uint32((uint64(l.seq) + 1) &^ epochMask) }

// replace moves entry n of l from behind entry prev to behind entry after; 0 is
// the front. REQUIRES: after is not n.
func (s *eventShard) replace(l *eventLog, prev, after, n uint32) {
	if prev == after {
		return
	}
	en := s.entries.at(n - 1)
	from := &l.first
	if prev != 0 {
		from = &s.entries.at(prev - 1).next
	}
	*from = en.next
	to := &l.first
	if after != 0 {
		to = &s.entries.at(after - 1).next
	}
	en.next, *to = *to, n
	switch {
	case en.next == 0:
		l.last = n
	case l.last == n:
		l.last = prev
	}
}
