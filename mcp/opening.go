package mcp

import "sync"

// A listen stream must carry its acknowledgement before anything else, and must
// miss nothing from the moment its client can know that it is open: the client
// may react to it by causing the very change it listens for. So a stream is
// known to publishers before its head is written, marked flagOpening, and the
// writer of the head holds one of these locks meanwhile. (Streams of sessions
// have delivery locks for this.) A publisher that meets the mark
// waits at the lock: for the one write that the opener is busy with, on
// another goroutine, and no longer.
//
// Nothing else is locked inside except subscriptions.mu, and Host.Send does not
// call back.

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
