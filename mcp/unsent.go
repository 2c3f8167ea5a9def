package mcp

import "sync"

// This file writes events to streams some time after they were put into the
// logs. In a cluster a publication first goes into the logs and on its way to
// the copies, and to the clients when the links have it: a process that is
// killed then leaves no client with an event that no copy has, which the next
// home would send once more.
//
// What a session has not been sent yet begins at a number; everything behind it
// on that stream waits too, so that order and event ids stay as they were.

// unsent are the sessions with events that were put into their logs and not
// written. The zero value is ready for use.
type unsent struct {
	mu sync.Mutex
	m  map[uint64]event // guarded by mu; entries by the session's delivery lock
}

// event names one event of a session.
type event struct{ stream, seq uint32 }

// first returns the first event that a session has not been sent.
func (u *unsent) first(ref uint64) (e event, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, ok = u.m[ref]
	return e, ok
}

// add notes an event that is to be written later.
func (u *unsent) add(ref uint64, e event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = map[uint64]event{}
	}
	if _, ok := u.m[ref]; !ok {
		u.m[ref] = e
	}
}

func (u *unsent) remove(ref uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.m, ref)
}

// sendUnsent writes what a session has not been sent. The delivery lock is held.
func (s *Server) sendUnsent(ref uint64) {
	first, ok := s.unsent.first(ref)
	if !ok {
		return
	}
	s.unsent.remove(ref)
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Home != 0 || s.o.Lapsed != nil && s.o.Lapsed() {
		return // its new home sends it
	}
	to := held{uint32(sess.Gets), sess.Stream, sess.Flags}
	if first.stream != to.stream || to.st == 0 {
		if to, ok = s.held.find(ref, numbered(first.stream)); !ok {
			return // kept for a client that comes back
		}
	}
	b := s.getBuffer()
	defer s.putBuffer(b)
	chunked := to.flags&flagPlain == 0
	covered := s.o.Events.Since(sess.Log, first.stream, first.seq-1, func(seq uint32, msg []byte) {
		b.b = appendNumbered(b.b, chunked, first.stream, seq, msg)
	})
	if !covered { // let go before it was written: the client is told so when it comes back
		s.o.Host.End(to.st)
		return
	}
	_ = s.o.Host.Send(to.st, b.b) // a client that is gone may come back for it
}

// replayed forgets what waits to be written to a stream: its client has just
// been sent everything. The delivery lock is held.
func (s *Server) replayed(ref uint64, stream uint32) {
	if first, ok := s.unsent.first(ref); ok && first.stream == stream {
		s.unsent.remove(ref)
	}
}
