package mcp

import (
	"slices"
	"sync"
)

// former are the numbers that events have at a former home, of sessions without
// an open stream, where an event cannot stand at its old place: earlier ones of
// its publisher are here behind that, or the client has come since, by what it
// said without that event. A client whose last event id covers the old number has
// had the event and is not sent it again; to another one it goes where it stands.
//
// The zero value is ready for use. It holds formerMax numbers at most, for as
// long as clients take to come back when a split has healed: of what is more a
// client may hear twice.
type former struct {
	mu sync.Mutex
	m  map[uint64][]formerNumber // guarded by mu; by session
	n  int                       // guarded by mu
}

type formerNumber struct {
	o           Origin
	stream, seq uint32
}

const formerMax = 1 << 16

// add remembers a number.
func (f *former) add(ref uint64, n formerNumber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= formerMax {
		return
	}
	if f.m == nil {
		f.m = map[uint64][]formerNumber{}
	}
	f.m[ref] = append(f.m[ref], n)
	f.n++
}

// has reports whether an event of a session is remembered under a number.
func (f *former) has(ref uint64, seq uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.m[ref], func(n formerNumber) bool { return n.seq == seq })
}

// take returns what is remembered of a session and forgets it.
func (f *former) take(ref uint64) []formerNumber {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.m[ref]
	f.n -= len(all)
	delete(f.m, ref)
	return all
}

// settle gives the events that a client has had from a former home, by its last
// event id, the numbers that they have there: those up to its number, and of
// earlier ranges those below its fork. What it has not had by that stays
// remembered, as long as it has no id of this home's: a request that was long on
// its way may have brought an old one. The delivery lock is held, and what the
// client missed has not been looked for yet.
func (s *Server) settle(ref uint64, sess *Session, after, fork uint32) {
	ours := after>>epochShift == (s.o.Events.Last(sess.Log)+1)>>epochShift
	for _, n := range s.former.take(ref) {
		had := n.seq <= after
		if n.seq>>epochShift != after>>epochShift {
			had = had && n.seq < fork
		}
		switch {
		case !had:
			if !ours {
				s.former.add(ref, n)
			}
			continue
		case !s.o.Events.Renumber(sess.Log, n.seq, n.o):
			continue
		}
		s.count.renumbered.Add(1)
		if s.o.Replicas != nil {
			body := s.o.Events.KeepAs(n.o, nil) // the log's own
			s.o.Replicas.Noted(ref, n.stream, n.seq, body)
			s.o.Events.Release(body)
		}
	}
}
