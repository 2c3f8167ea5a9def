package mcp

import "sync"

// A stream must carry its head before anything else, and must miss nothing
// from the moment its client can know that it is open: the client may react to
// the head by causing the very change it listens for. So a stream is known to
// publishers before its head is written, marked flagOpening, and the writer of
// the head holds one of these locks meanwhile. A publisher that meets the mark
// waits at the lock: for the one write that the opener is busy with, on
// another goroutine, and no longer.
//
// Nothing else is locked inside except subscriptions.mu and session records,
// and Host.Send does not call back, so the order is: opening, subscriptions,
// record.

// openingLocks spreads streams over locks; a power of two.
const openingLocks = 16

func (s *Server) openingLock(st StreamID) *sync.Mutex {
	return &s.opening[(uint64(st)*0x9e3779b97f4a7c15)>>60]
}

// awaitOpen returns when the head of a stream that was being opened has been
// written.
func (s *Server) awaitOpen(st StreamID) {
	m := s.openingLock(st)
	m.Lock()
	defer m.Unlock()
}

// openSessionStream makes the exchange's connection the stream of a session:
// its notifications and questions outside of calls go there. A session has one
// such stream; a new one takes the place of the old, whose client has most
// likely lost it without our knowing. x.Out holds the head.
func (s *Server) openSessionStream(x *Exchange, ref uint64) (ok bool) {
	flags := uint8(flagOpening)
	if x.plain() {
		flags |= flagPlain
	}
	var old Session
	opening := s.openingLock(x.Stream)
	opening.Lock()
	ok = s.o.Sessions.Update(ref, func(sess *Session) {
		old = *sess
		sess.Stream, sess.Flags = x.Stream, flags
	})
	if ok {
		ok = x.flush(s.o.Host) == nil
		s.o.Sessions.Update(ref, func(sess *Session) {
			switch {
			case sess.Stream != x.Stream: // replaced already
			case ok:
				sess.Flags &^= flagOpening
			default:
				sess.Stream = 0
			}
		})
	}
	opening.Unlock()
	if old.Stream != 0 {
		s.count.streamsReplaced.Add(1)
		s.endStream(old.Stream, old.Flags)
	}
	if !ok {
		return false
	}
	s.count.streamsOpened.Add(1)
	return true
}

// openListen makes a stream of a subscriptions/listen request whose
// acknowledgement out holds. It returns the reference for later.
func (s *Server) openListen(st StreamID, c *Call, flags uint8, next owner, flush func() error) (ref owner, ok bool) {
	opening := s.openingLock(st)
	opening.Lock()
	defer opening.Unlock()
	ref = s.subs.listen(st, c.id, c.listen, flags|flagOpening, next)
	if flush() != nil {
		s.subs.unlisten(ref)
		return 0, false
	}
	s.subs.opened(ref)
	s.count.streamsOpened.Add(1)
	return ref, true
}

// endStream closes a session's stream: the end of its body, then of its
// connection.
func (s *Server) endStream(st StreamID, flags uint8) {
	if flags&flagOpening != 0 {
		s.awaitOpen(st)
	}
	if flags&flagPlain == 0 {
		_ = s.o.Host.Send(st, lastChunk) // gone already: just as well
	}
	s.o.Host.End(st)
}
