package session

import (
	"math"
	"sync"
	"unsafe"
)

// entry is one event of a log: the log's link to a body.
type entry struct {
	body   uint32
	seq    uint32
	next   uint32 // 1 + index of the next entry of the log, or of the next free one
	stream uint32
}

// eventLog is the head of one log. Its entries are in order of seq, and all
// entries of a kind lie above the floor of that kind.
type eventLog struct {
	first, last uint32 // 1 + index of its entries, 0 none; while free, first is the next free log
	bytes       uint32 // sum of the sizes of their bodies
	seq         uint32 // last number drawn
	floor       [streamKinds]uint32
	newest      uint32 // lower half of body.born; no entry's body is younger, see eventShard.newest
	count       uint16 // entries
	generation  uint8  // 1 to 255; part of the log's number
	live        bool
}

// The number of a log:
//
//	bits 0 to 3    shard
//	bits 4 to 23   index in the shard
//	bits 24 to 31  generation of the slot, never 0
const (
	logShardBits = 4
	logIndexBits = 20

	logShards   = 1 << logShardBits
	logsMax     = 1 << logIndexBits // a shard
	logsResting = 64                // a shard; see eventShard.free

	entryBytes = int64(unsafe.Sizeof(entry{}))

	// streamKinds: the top bit of a stream says which.
	streamKinds     = 2
	streamKindShift = 31
)

// reason says why an event was removed.
type reason uint8

const (
	byCount reason = iota
	byBytes
	byAge
	byBudget
	byOther // lost by the store that this log is a copy of
	reasons
)

// reasonOf translates the bits of body.state.
func reasonOf(evicted uint32) reason {
	if evicted&evictedAge != 0 {
		return byAge
	}
	return byBudget
}

// eventShard holds one of logShards parts of the logs. Methods need mu unless they say
// otherwise; below it only bodies.mu is taken.
type eventShard struct {
	bodies *bodies // immutable
	count  uint32  // immutable; entries a log
	bytes  uint32  // immutable; bytes a log

	mu        sync.Mutex
	logs      slab[eventLog]
	entries   slab[entry]
	freeEntry uint32          // 1 + index
	live      int64           // logs
	events    int64           // entries in use
	removed   [reasons]uint64 // events, by reason
	cursor    uint32          // log at which trimSome goes on
	scratch   []replayed      // of since and each

	duplicates uint64 // calls of appendAt that found the event

	forks map[uint32]uint32 // of logs that were taken over here, by number; see fork.go

	// free lists dead logs, used again in the order in which they died and only
	// beyond logsResting: with 255 generations a number comes back after 16,000
	// deaths in its shard at the earliest. Whoever holds the number of a dead
	// log holds it for the time of a call.
	free struct {
		first, last uint32 // 1 + index
		n           int
	}
}

// replayed is what since has found, before it is sure that it found everything.
type replayed struct {
	seq, stream, body uint32
	msg               []byte
}

// replayedMax is how much of it a shard keeps for the next call.
const replayedMax = 512

// find returns the log with that number, nil when it is gone.
func (s *eventShard) find(number uint32) *eventLog {
	index := number >> logShardBits % logsMax
	if index >= s.logs.fresh {
		return nil
	}
	l := s.logs.at(index)
	if !l.live || uint32(l.generation) != number>>(logShardBits+logIndexBits) {
		return nil
	}
	return l
}

// open makes a log and returns it with its number; nil when the shard has
// logsMax. REQUIRES: s is the shard with number shard.
func (s *eventShard) open(shard uint32) (*eventLog, uint32) {
	var index uint32
	switch {
	case s.free.n > logsResting || s.logs.fresh == logsMax && s.free.n > 0:
		index = s.free.first - 1
		s.free.first = s.logs.at(index).first
		s.free.n--
	case s.logs.fresh == logsMax:
		return nil, 0
	default:
		index = s.logs.add()
		s.logs.at(index).generation = 1
	}
	l := s.logs.at(index)
	*l = eventLog{generation: l.generation, live: true}
	s.live++
	return l, shard | index<<logShardBits | uint32(l.generation)<<(logShardBits+logIndexBits)
}

// shut ends a log and whatever it holds.
func (s *eventShard) shut(number uint32, l *eventLog) {
	for l.first != 0 {
		s.unlink(l, 0, l.first)
	}
	s.fork(number, 0)
	if l.live, l.generation = false, l.generation+1; l.generation == 0 {
		l.generation = 1
	}
	n := 1 + number>>logShardBits%logsMax
	if s.free.n == 0 {
		s.free.first = n
	} else {
		s.logs.at(s.free.last - 1).first = n
	}
	s.free.last = n
	s.free.n++
	s.live--
}

// draw returns the next number of l; 0 when there is none left, which is after
// 4 × 10^9 events.
func (l *eventLog) draw() uint32 {
	if l.seq == math.MaxUint32 {
		return 0
	}
	l.seq++
	return l.seq
}

// put adds an event behind entry prev, or notes that it is lost: body 0, or one
// that was evicted meanwhile. REQUIRES: that is where seq belongs, and seq is
// above the floor.
func (s *eventShard) put(l *eventLog, prev, stream, seq, number uint32) (added bool) {
	why := byBytes
	if number != 0 {
		evicted := s.bodies.refer(number)
		if evicted == 0 {
			if born := s.bodies.at(number).born; born > s.newest(l) {
				l.newest = uint32(born)
			}
			s.link(l, prev, entry{body: number, seq: seq, stream: stream})
			s.limit(l)
			return true
		}
		why = reasonOf(evicted)
		s.removed[why]++
	}
	l.floor[stream>>streamKindShift] = seq
	s.cut(l, [streamKinds]reason{why, why})
	return false
}

// link makes e an entry of l, behind entry prev or, if that is 0, the first.
func (s *eventShard) link(l *eventLog, prev uint32, e entry) {
	n := s.freeEntry
	if n != 0 {
		s.freeEntry = s.entries.at(n - 1).next
	} else {
		n = s.entries.add() + 1
	}
	to := &l.first
	if prev != 0 {
		to = &s.entries.at(prev - 1).next
	}
	e.next, *to = *to, n
	*s.entries.at(n - 1) = e
	if e.next == 0 {
		l.last = n
	}
	l.count++
	l.bytes += s.bodies.at(e.body).size
	s.events++
}

// unlink removes entry n of l, which follows entry prev or, if that is 0, is the
// first.
func (s *eventShard) unlink(l *eventLog, prev, n uint32) {
	e := s.entries.at(n - 1)
	if prev != 0 {
		s.entries.at(prev - 1).next = e.next
	} else {
		l.first = e.next
	}
	if l.last == n {
		l.last = prev
	}
	l.count--
	l.bytes -= s.bodies.at(e.body).size
	s.bodies.release(e.body)
	e.next = s.freeEntry
	s.freeEntry = n
	s.events--
}

// pop removes the oldest event of l.
func (s *eventShard) pop(l *eventLog, why reason) {
	e := s.entries.at(l.first - 1)
	l.floor[e.stream>>streamKindShift] = e.seq
	s.unlink(l, 0, l.first)
	s.removed[why]++
}

// limit removes the oldest events until l keeps to count and bytes.
func (s *eventShard) limit(l *eventLog) {
	over := func() bool { return uint32(l.count) > s.count || l.bytes > s.bytes }
	if over() {
		s.clean(l) // what is lost anyway makes room first
	}
	for over() {
		why := byBytes
		if uint32(l.count) > s.count {
			why = byCount
		}
		s.pop(l, why)
	}
}

// trim removes the oldest events of l as far as their bodies were evicted.
func (s *eventShard) trim(l *eventLog) {
	for l.first != 0 {
		evicted := s.bodies.at(s.entries.at(l.first-1).body).state.Load() & evictedMask
		if evicted == 0 {
			return
		}
		s.pop(l, reasonOf(evicted))
	}
}

// clean removes all events of l whose body was evicted, and with each those of
// its kind before it: nobody can get them any more.
func (s *eventShard) clean(l *eventLog) {
	if s.bodies.condemned.Load() == 0 {
		return
	}
	var why [streamKinds]reason
	found := false
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		if evicted := s.bodies.at(e.body).state.Load() & evictedMask; evicted != 0 {
			kind := e.stream >> streamKindShift
			l.floor[kind], why[kind], found = e.seq, reasonOf(evicted), true
		}
		n = e.next
	}
	if found {
		s.cut(l, why)
	}
}

// cut removes the events of l that are not above the floor of their kind.
func (s *eventShard) cut(l *eventLog, why [streamKinds]reason) {
	prev := uint32(0)
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		next := e.next
		if kind := e.stream >> streamKindShift; e.seq <= l.floor[kind] {
			s.unlink(l, prev, n)
			s.removed[why[kind]]++
		} else {
			prev = n
		}
		n = next
	}
}

// trimSome trims the next n logs of the shard.
func (s *eventShard) trimSome(n int) {
	for range min(n, int(s.logs.fresh)) {
		if s.cursor >= s.logs.fresh {
			s.cursor = 0
		}
		if l := s.logs.at(s.cursor); l.live {
			s.trim(l)
		}
		s.cursor++
	}
}

// since calls f for the events of stream above after and reports whether none is
// missing; f was not called if one is.
func (s *eventShard) since(l *eventLog, stream, after uint32, f func(seq uint32, msg []byte)) bool {
	s.clean(l)
	if after > l.seq || after < l.floor[stream>>streamKindShift] {
		return false
	}
	found := s.scratch[:0]
	defer func() { s.done(found) }()
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		if n = e.next; e.stream != stream || e.seq <= after {
			continue
		}
		msg, ok := s.bodies.at(e.body).bytes()
		if !ok {
			return false // evicted since clean
		}
		found = append(found, replayed{seq: e.seq, msg: msg})
	}
	for i := range found {
		f(found[i].seq, found[i].msg)
	}
	return true
}

// done keeps the room of found for the next call of since or each.
func (s *eventShard) done(found []replayed) {
	clear(found)
	if s.scratch = found[:0]; cap(found) > replayedMax {
		s.scratch = nil
	}
}

// sweep cleans up to n logs from index first and returns how many events it
// removed. When the shard is out of events it gives their memory back. It takes
// mu itself.
func (s *eventShard) sweep(first uint32, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.events
	for i := first; i < s.logs.fresh && i < first+uint32(n); i++ {
		if l := s.logs.at(i); l.live {
			s.clean(l)
		}
	}
	if s.events == 0 {
		s.entries, s.freeEntry, s.scratch = slab[entry]{}, 0, nil
	}
	return int(before - s.events)
}

// size returns how many slots for logs the shard has. It takes mu itself.
func (s *eventShard) size() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.fresh
}
