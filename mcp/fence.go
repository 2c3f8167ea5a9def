package mcp

// Fence ends the streams of all sessions at home here, without a byte more: this
// process did not run for so long that another one may be their home by now, and
// their clients find it when they come back. Calls go on; what they send is
// kept. Sessions of TCP connections that have no copies are left alone.
func (s *Server) Fence() {
	s.o.Sessions.Range(func(ref uint64, sess Session) bool {
		if sess.Home == 0 && !sess.Bound() && (sess.Stream != 0 || sess.Listening()) {
			s.fence(ref)
		}
		return true
	})
}

// lapsed reports that this process did not run for so long that its streams must
// end before anything is written to them.
func (s *Server) lapsed() bool { return s.o.Lapsed != nil && s.o.Lapsed() }

func (s *Server) fence(ref uint64) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	if sess, ok := s.o.Sessions.Load(ref); ok && sess.Home == 0 {
		s.endStreams(ref, &sess)
	}
}

// endStreams ends the streams of a session at home here. Who keeps an event back
// because the process has lapsed does this at once, and does not leave it to
// Fence: that may have been here already, and a stream that its client has opened
// since would go on behind the event. The delivery lock is held.
func (s *Server) endStreams(ref uint64, sess *Session) {
	s.unsent.forget(ref)
	if sess.Stream == 0 && sess.Flags&flagHeld == 0 {
		return
	}
	s.o.Sessions.Update(ref, func(now *Session) {
		now.Stream = 0
		now.Flags &^= flagHeld
	})
	if sess.Stream != 0 {
		s.o.Host.End(sess.Stream)
	}
	for _, h := range s.held.drop(ref) {
		s.o.Host.End(h.st)
	}
	sess.Stream, sess.Flags = 0, sess.Flags&^flagHeld
}
