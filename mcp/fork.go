package mcp

// When a network splits, a home may be taken over on both sides. The two logs
// agree up to a number below both takeovers, and nobody on one side knows how far
// the other one's log went. A client that goes from one side to the other brings
// it along: the third part of its last event id is the fork of the log that it
// has heard, the lowest number that it may lack in another log of those below the
// range of its number.

// forkOf returns the fork that belongs into the id of an event just drawn.
func (s *Server) forkOf(log, seq uint32) uint32 {
	if seq>>epochShift == 0 {
		return 0
	}
	return s.o.Events.Fork(log)
}

// heard notes what a client has had and is about to get: see Events.Heard.
func (s *Server) heard(sess *Session, after uint32) {
	if s.o.Events != nil && sess.Log != 0 {
		s.o.Events.Heard(sess.Log, after)
	}
}

// catchUp gives a client that comes with a number of another log what that one
// did not have: those events of a stream that its fork does not cover become new
// ones, behind its number. Nothing is to be done for a number of a log from which
// this one descends, or with which the client has come here before. It reports
// false if some of them may be lost. The delivery lock is held.
func (s *Server) catchUp(ref uint64, sess *Session, stream, after, fork uint32) bool {
	turn, e := after>>epochShift, s.o.Events
	if fork == 0 || turn >= (e.Last(sess.Log)+1)>>epochShift {
		return true
	}
	own := e.Fork(sess.Log)
	if own != 0 && (own-1)>>epochShift == turn {
		return true
	}
	if own > fork && (own-1)>>epochShift < turn && e.Floors(sess.Log)[0] >= fork {
		return false
	}
	for {
		seq, body := e.Lacked(sess.Log, stream, fork, turn<<epochShift)
		if seq == 0 {
			return true
		}
		s.count.renumbered.Add(1)
		if s.o.Replicas != nil {
			s.o.Replicas.Noted(ref, stream, seq, body)
		}
		e.Release(body)
	}
}

// numbering says which fork belongs into the ids of events that a client is sent
// once more: its own one in the range with which it came, that of the log in the
// latest one. In one between them the client has had what stands before it.
type numbering struct {
	turn, fork uint32 // of the last event
	prev       uint32 // its number
	last, own  uint32 // turn and fork of the log
}

// numbering begins behind a client's last event. The log has heard of it.
func (s *Server) numbering(log, after, fork uint32) numbering {
	n := numbering{turn: after >> epochShift, fork: fork, prev: after, last: (s.o.Events.Last(log) + 1) >> epochShift}
	if n.last != 0 {
		n.own = s.o.Events.Fork(log)
	}
	return n
}

// next returns the fork for the event of that number.
func (n *numbering) next(seq uint32) uint32 {
	if turn := seq >> epochShift; turn != n.turn {
		n.turn, n.fork = turn, n.prev+1
	}
	if n.prev = seq; n.turn == n.last && n.own != 0 {
		return n.own
	}
	return n.fork
}

// raise moves an event that stands here at a number which a client of another log
// may lack to the number seq that it has there: the client has been there since,
// and not here, and has not said that it had it before. It reports whether that
// was so. The delivery lock is held.
func (s *Server) raise(ref uint64, sess *Session, stream, seq uint32, n *notice) bool {
	e := s.o.Events
	at, last := e.At(sess.Log, n.origin), (e.Last(sess.Log)+1)>>epochShift
	if stream&postBit != 0 || at>>epochShift >= seq>>epochShift || seq>>epochShift >= last {
		return false
	}
	there, here := false, false
	s.marks(sess.Log, func(mark, _ uint32) {
		there = there || mark>>epochShift == seq>>epochShift
		here = here || mark>>epochShift >= last
	})
	if had, _ := s.had(sess.Log, at); had || !there || here || !e.Move(sess.Log, seq, n.origin) {
		return false
	}
	s.count.renumbered.Add(1)
	if s.o.Replicas != nil {
		s.o.Replicas.Noted(ref, stream, seq, n.keep(e))
	}
	return true
}
