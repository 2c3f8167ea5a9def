package mcp

import (
	"math"
	"sync"
)

// This file writes events to streams some time after they were put into the
// logs. In a cluster a publication first goes into the logs and on its way to
// the copies, and to the clients when the links have it: a process that is
// killed then leaves no client with an event that no copy has, which the next
// home would send once more.
//
// What a session has not been sent yet begins at a number of a stream; everything
// behind it on that stream waits too, so that order and event ids stay as they
// were.

// unsent are the streams with events that were put into their sessions' logs and
// not written. The zero value is ready for use. What is in it is bounded by who
// commits: the core of a cluster does after some thousands.
type unsent struct {
	mu sync.Mutex
	m  map[uint64]waiting // guarded by mu; entries by the session's delivery lock
	// beside are further streams of a session: one that was opened meanwhile.
	beside map[streamOf]waiting
}

// streamOf names a stream of a session.
type streamOf struct {
	ref    uint64
	stream uint32
}

// waiting are the numbers of the first and the last event that a stream has not
// been sent.
type waiting struct{ stream, first, last uint32 }

// get returns what a stream waits for.
func (u *unsent) get(of streamOf) (w waiting, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.find(of)
}

// find is get for those who hold mu.
func (u *unsent) find(of streamOf) (w waiting, ok bool) {
	if w, ok = u.m[of.ref]; ok && w.stream == of.stream {
		return w, true
	}
	if len(u.beside) > 0 {
		w, ok = u.beside[of]
		return w, ok
	}
	return waiting{}, false
}

// add notes an event that is to be written later.
func (u *unsent) add(of streamOf, seq uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m, u.beside = map[uint64]waiting{}, map[streamOf]waiting{}
	}
	w, ok := u.find(of)
	if !ok {
		w = waiting{stream: of.stream, first: seq}
	}
	w.last = seq
	u.put(of, w)
}

// take returns what a stream waits for if the event seq is among it. If that is
// all, it is only: the stream waits no more.
func (u *unsent) take(of streamOf, seq uint32) (w waiting, only, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w, ok = u.find(of)
	if !ok || seq < w.first {
		return w, false, false
	}
	if only = w.first == w.last; only {
		u.drop(of)
	}
	return w, only, true
}

// drop has a stream that waits wait no more; mu is held.
func (u *unsent) drop(of streamOf) {
	if len(u.beside) > 0 && u.m[of.ref].stream != of.stream {
		delete(u.beside, of)
		return
	}
	delete(u.m, of.ref)
}

// put replaces what a stream waits for; mu is held.
func (u *unsent) put(of streamOf, w waiting) {
	if len(u.beside) > 0 {
		if _, there := u.beside[of]; there {
			u.beside[of] = w
			return
		}
	}
	if latest, ok := u.m[of.ref]; ok && latest.stream != of.stream {
		u.beside[of] = w
		return
	}
	u.m[of.ref] = w
}

// sent notes that a stream has been sent everything up to a number.
func (u *unsent) sent(of streamOf, seq uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w, ok := u.find(of)
	switch {
	case !ok:
	case seq < w.last:
		w.first = seq + 1
		u.put(of, w)
	default:
		u.drop(of)
	}
}

// replayed forgets what waits to be written to a stream: its client has just
// been sent everything. The delivery lock is held.
func (u *unsent) replayed(of streamOf) { u.sent(of, math.MaxUint32) }

// streams returns the streams of a session that wait, in no order.
func (u *unsent) streams(ref uint64) (list []streamOf) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if w, ok := u.m[ref]; ok {
		list = append(list, streamOf{ref, w.stream})
	}
	for of := range u.beside { // few, and for a moment
		if of.ref == ref {
			list = append(list, of)
		}
	}
	return list
}

// forget forgets what a session waits for.
func (u *unsent) forget(ref uint64) {
	for _, of := range u.streams(ref) {
		u.replayed(of)
	}
}

// sendUnsent writes what a stream has not been sent and reports whether it waited
// for anything. The delivery lock is held.
func (s *Server) sendUnsent(of streamOf) bool {
	w, ok := s.unsent.get(of)
	if !ok {
		return false
	}
	s.unsent.sent(of, w.last)
	if to, log, ok := s.awaiting(of); ok && !s.sendLogged(to, log, w.first) {
		s.o.Host.End(to.st) // the client is told so when it comes back
	}
	return true
}

// sendUnsentTo writes what a stream has not been sent of the events up to a
// number. The delivery lock is held.
func (s *Server) sendUnsentTo(of streamOf, last uint32) {
	w, ok := s.unsent.get(of)
	switch {
	case !ok || last < w.first:
	case last >= w.last:
		s.sendUnsent(of)
	default:
		s.unsent.sent(of, last)
		if to, log, ok := s.awaiting(of); ok && !s.sendLoggedTo(to, log, w.first, last) {
			s.unsent.replayed(of)
			s.o.Host.End(to.st) // likewise
		}
	}
}

// sendAllUnsent is sendUnsent for every stream of a session.
func (s *Server) sendAllUnsent(ref uint64) {
	for _, of := range s.unsent.streams(ref) {
		s.sendUnsent(of)
	}
}

// commit writes what a stream has not been sent since it was told n, its event
// number seq: n alone, or all at once if there is more and the log has it still.
func (s *Server) commit(of streamOf, seq uint32, n *notice, out *outbox) {
	delivery := s.delivery(of.ref)
	out.lock(delivery)
	defer delivery.Unlock()
	w, only, ok := s.unsent.take(of, seq)
	if !ok {
		return // it went with another's, or with what was sent behind it
	}
	if s.lapsed() {
		out.flush() // awaiting ends streams
	}
	to, log, ok := s.awaiting(of)
	if !only {
		out.flush()
		if !ok || s.sendLogged(to, log, w.first) {
			s.unsent.sent(of, w.last)
			return
		}
		s.unsent.sent(of, seq)
	}
	if !ok {
		return
	}
	// To find one event in the log would take longer than to write it.
	_ = out.send(to.st, n.numbered(to.flags, of.stream, seq, s.forkOf(log, seq))) // a client that is gone may come back for it
}

// awaiting returns the open stream that waits for events, and its session's log.
// The delivery lock is held.
func (s *Server) awaiting(of streamOf) (to held, log uint32, ok bool) {
	sess, ok := s.o.Sessions.Load(of.ref)
	if !ok || sess.Home != 0 {
		return to, 0, false // its new home sends it
	}
	if s.lapsed() {
		s.endStreams(of.ref, &sess) // its client comes back for it
	}
	to = held{uint32(sess.Gets), sess.Stream, sess.Flags}
	if of.stream != to.stream || to.st == 0 {
		to, ok = s.held.find(of.ref, numbered(of.stream))
	}
	return to, sess.Log, ok // else it is kept for a client that comes back
}

// sendLogged writes a stream's events from a number on. It reports false if the
// log has let one of them go.
func (s *Server) sendLogged(to held, log, first uint32) bool {
	return s.sendLoggedTo(to, log, first, math.MaxUint32)
}

// sendLoggedTo is sendLogged up to a number.
func (s *Server) sendLoggedTo(to held, log, first, last uint32) bool {
	b := s.getBuffer()
	defer s.putBuffer(b)
	chunked, fork := to.flags&flagPlain == 0, s.forkOf(log, first)
	covered := s.o.Events.Since(log, to.stream, first-1, func(seq uint32, msg []byte) {
		if seq <= last {
			b.b = appendNumbered(b.b, chunked, to.stream, seq, fork, msg)
		}
	})
	if covered {
		_ = s.o.Host.Send(to.st, b.b) // likewise
	}
	return covered
}
