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

func (s *Server) fence(ref uint64) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Home != 0 {
		return
	}
	if st := sess.Stream; st != 0 {
		s.o.Sessions.Update(ref, func(now *Session) { now.Stream = 0 })
		s.o.Host.End(st)
	}
	s.unsent.forget(ref)
	for _, h := range s.held.drop(ref) {
		s.o.Host.End(h.st)
	}
	s.o.Sessions.Update(ref, func(now *Session) { now.Flags &^= flagHeld })
}
