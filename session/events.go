package session

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// What an Events keeps unless told otherwise.
const (
	EventsCountDefault  = 256             // events a log
	EventsBytesDefault  = 256 << 10       // bytes a log
	EventsAgeDefault    = 5 * time.Minute // an event
	EventsBudgetDefault = 64 << 20        // bytes, all logs

	eventsCountMax = 1 << 15 // one more must fit into eventLog.count
	eventsBytesMax = 1 << 30
)

// EventsOptions configures an Events. The zero value is useful.
type EventsOptions struct {
	// Count is the number of events that a log keeps; 0 means
	// EventsCountDefault, less than 0 that no event is kept at all: numbers
	// are drawn, and who missed something is told so. More than 32,768 are not
	// kept.
	Count int

	// Bytes is the total length of the messages that a log keeps, and of the
	// longest one; 0 means EventsBytesDefault.
	Bytes int

	// Age is how long an event is kept, in steps of a second, rounded up; 0
	// means EventsAgeDefault. Sweep sees to it.
	Age time.Duration

	// Budget bounds the memory of all events, in bytes: messages, once each,
	// and references to them; 0 means EventsBudgetDefault.
	Budget int64

	// Peer is this store's part of the identities it gives to messages, see
	// Origin: of all stores that exchange messages, now or earlier, no two have
	// the same, so that it is best drawn at random. A store that exchanges none
	// needs no Peer.
	Peer uint64

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// EventsStats is what an Events holds and what it has let go.
type EventsStats struct {
	Logs   int64 // logs that exist, empty ones included
	Events int64 // in logs; those that wait for Sweep included
	Bodies int64 // messages stored, each once
	Bytes  int64 // memory held, about

	// Events removed, by the limit that did it. An event that became useless
	// because a later one of its kind was lost counts with that.
	EvictedCount, EvictedBytes, EvictedAge, EvictedBudget uint64

	// EvictedElsewhere counts events removed by SetFloors: the store that the
	// log is a copy of had let them go.
	EvictedElsewhere uint64

	Duplicates uint64 // calls of AppendAt with an event that the log had
	TooLarge   uint64 // calls of Keep and KeepAs that were refused
}

// Events keeps what was sent to sessions, so that a client that comes back gets
// exactly what it missed or is told that this is no longer possible.
//
// A session has one log, named by a number other than 0, which its owner keeps
// beside the session. Numbers are drawn from the log: they rise through all
// streams of the session and never come back while the log lives. The top bit of
// a stream's number tells two kinds of streams apart; the loss of an event is
// held against the streams of its kind only.
//
// A message to many sessions is stored once: Keep it, Append it to each log,
// Release it.
//
// Four limits take the oldest first: Count and Bytes within a log, Age and
// Budget among the messages of all logs, whoever refers to them. What an event
// costs beside its message, see doc.go.
//
// All methods may be called from any goroutine and none blocks beyond a lock
// held for microseconds.
type Events struct {
	bodies bodies
	shards [logShards]eventShard
	turn   atomic.Uint32 // shard of the next log

	sweep struct {
		mu    sync.Mutex
		shard uint32 // guarded by mu; where the next call begins
		index uint32 // guarded by mu; likewise, within the shard
	}
}

// NewEvents returns an empty store.
func NewEvents(o EventsOptions) *Events {
	count, bytes := orDefault(o.Count, EventsCountDefault, eventsCountMax), orDefault(o.Bytes, EventsBytesDefault, eventsBytesMax)
	age := orDefault(o.Age, EventsAgeDefault, 1<<31*time.Second)
	e := &Events{}
	b := &e.bodies
	b.sizeMax = bytes
	if o.Count < 0 {
		b.sizeMax = -1
	}
	b.age = uint32((age + time.Second - 1) / time.Second)
	b.budget = orDefault(o.Budget, EventsBudgetDefault, budgetMax)
	if b.now = o.Now; b.now == nil {
		b.now = time.Now
	}
	b.start, b.peer = b.now(), o.Peer
	b.chunks.Store(new([]*[bodiesChunk]body))
	for i := range e.shards {
		e.shards[i].bodies, e.shards[i].count, e.shards[i].bytes = b, uint32(count), uint32(bytes)
	}
	return e
}

// orDefault returns v within its bounds, d if v is not positive.
func orDefault[T int | int64 | time.Duration](v, d, most T) T {
	if v <= 0 {
		return d
	}
	return min(v, most)
}

// Keep copies msg, gives it a new identity, and returns its number; the caller holds one reference, which
// it gives back with Release. The number is 0 when msg is not kept: it is longer
// than Options.Bytes, or nothing is kept.
func (e *Events) Keep(msg []byte) (body uint32) { return e.bodies.keep(msg) }

// Release gives back the reference that Keep or KeepAs returned; 0 is allowed. The number
// means nothing afterwards.
func (e *Events) Release(body uint32) {
	if body != 0 {
		e.bodies.release(body)
	}
}

// shard returns the shard of a log.
func (e *Events) shard(log uint32) *eventShard { return &e.shards[log%logShards] }

// lockOpen returns the log, a new one for 0, with its number and its shard
// locked. The log is nil when it was dropped, or when there are 2^24 of them.
func (e *Events) lockOpen(log uint32) (*eventShard, *eventLog, uint32) {
	if log != 0 {
		s := e.shard(log)
		s.mu.Lock()
		return s, s.find(log), log
	}
	shard := e.turn.Add(1) % logShards
	s := &e.shards[shard]
	s.mu.Lock()
	l, log := s.open(shard)
	return s, l, log
}

// trimmedBeside is how many logs Append looks at while there are events to
// remove, so that they go faster than new ones come.
const trimmedBeside = 2

// Append adds an event of a stream to a log, with the next number of the log,
// and returns both; log 0 makes a log. It takes a reference to body of its own.
// Body 0 stands for a message that could not be kept: a number is drawn, and
// what came before it on this kind of stream is no longer covered.
//
// A log that was dropped, or that has no number left, takes nothing: seq is 0.
// The same holds for a new log when there are 2^24: newLog is 0 too.
func (e *Events) Append(log, stream, body uint32) (newLog, seq uint32) {
	s, l, log := e.lockOpen(log)
	if l != nil {
		if seq = l.draw(); seq != 0 {
			s.put(l, l.last, stream, seq, body)
		}
	}
	if e.bodies.condemned.Load() > 0 {
		s.trimSome(trimmedBeside)
	}
	s.mu.Unlock()
	e.bodies.enforce()
	return log, seq
}

// Draw draws a number for what is no event, a stream or a priming event; log 0
// makes a log. It returns what Append returns.
func (e *Events) Draw(log uint32) (newLog, seq uint32) {
	s, l, log := e.lockOpen(log)
	defer s.mu.Unlock()
	if l == nil {
		return log, 0
	}
	return log, l.draw()
}

// Last returns the last number drawn from a log; 0 for log 0 and for a log that
// was dropped.
func (e *Events) Last(log uint32) (seq uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.find(log); l != nil {
		return l.seq
	}
	return 0
}

// Since calls f for each event of stream with a number above after, in order,
// and reports whether these are all there were. If one of them may be missing,
// or after was never drawn, f is not called and covered is false. Log 0 covers
// after 0; a log that was dropped covers nothing.
//
// f runs under the lock of the log: it must not block nor call Events. It may
// keep msg, and must not change it.
func (e *Events) Since(log, stream, after uint32, f func(seq uint32, msg []byte)) (covered bool) {
	if log == 0 {
		return after == 0
	}
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	return l != nil && s.since(l, stream, after, f)
}

// Drop ends a log, with its session; 0 and a log that was dropped are allowed.
// The number means nothing afterwards: methods say so, until it has been dropped
// and made anew 255 times.
func (e *Events) Drop(log uint32) {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.find(log); l != nil {
		s.shut(log, l)
	}
}

// Sweep lets go of what is older than Options.Age. Messages go at once; of the
// logs that refer to them it visits the next max, beginning where the last call
// ended. It returns how many events it removed. When all are gone their memory
// goes too. Calls wait for each other.
func (e *Events) Sweep(max int) (removed int) {
	e.sweep.mu.Lock()
	defer e.sweep.mu.Unlock()
	e.bodies.evictAged()
	at := &e.sweep
	for shards := 0; max > 0 && shards <= logShards; {
		s := &e.shards[at.shard]
		n := min(max, sweptTogether)
		removed += s.sweep(at.index, n)
		left := int(s.size()) - int(at.index)
		if max -= min(n, left); n < left {
			at.index += uint32(n)
			continue
		}
		at.shard, at.index = (at.shard+1)%logShards, 0
		shards++
	}
	return removed
}

// sweptTogether is how many logs Sweep cleans under one lock.
const sweptTogether = 64

// Stats returns what the store holds and what it has let go, shard after shard.
func (e *Events) Stats() (st EventsStats) {
	st.TooLarge = e.bodies.tooLarge.Load()
	st.Bodies, st.Bytes = e.bodies.stats()
	st.Bytes += int64(unsafe.Sizeof(*e))
	for i := range e.shards {
		e.shards[i].addTo(&st)
	}
	return st
}

func (s *eventShard) addTo(st *EventsStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Logs += s.live
	st.Events += s.events
	st.Bytes += s.logs.memory() + s.entries.memory() + int64(len(s.forks))*forkBytes
	st.EvictedCount += s.removed[byCount]
	st.EvictedBytes += s.removed[byBytes]
	st.EvictedAge += s.removed[byAge]
	st.EvictedBudget += s.removed[byBudget]
	st.EvictedElsewhere += s.removed[byOther]
	st.Duplicates += s.duplicates
}
