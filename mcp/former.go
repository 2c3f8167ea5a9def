package mcp

import "sync"

// former are the numbers that events have at a former home, of sessions whose
// client has not come back since, where an event cannot stand at its old place:
// earlier ones of its publisher are here behind that. A client whose last event
// id covers the old number has had the event and is not sent it again; to
// another one it goes where it stands.
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
// event id, the numbers that they have there. The delivery lock is held, and what
// the client missed has not been looked for yet.
func (s *Server) settle(ref uint64, sess *Session, after uint32) {
	for _, n := range s.former.take(ref) {
		if n.seq > after || !s.o.Events.Renumber(sess.Log, n.seq, n.o) {
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
