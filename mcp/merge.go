package mcp

import "errors"

// Merge gives a session at home here an event that another process has in its
// log of it: a former home, or a copy that heard more of the home that was lost.
// It reports whether it was new. A client that has not come back since gets it
// in its old place, with what it missed. For one that has come to a later home,
// and by its last event id has not seen it, it is a new event.
func (s *Server) Merge(ref uint64, stream, seq uint32, o Origin, msg []byte) (added bool) {
	if s.o.Events == nil {
		return false
	}
	n := newNotice(msg)
	n.origin, n.again = o, true
	defer n.release(s.o.Events)
	switch s.insert(ref, stream, seq, n) {
	case insertedIt:
		return true
	case hadIt:
		return false
	}
	err := s.sendToSession(ref, n)
	if errors.Is(err, errHasIt) || errors.Is(err, ErrMoved) {
		return false
	}
	return s.countSent(err)
}

// inserted says what became of an event in its old place.
type inserted uint8

const (
	insertedIt inserted = iota
	hadIt               // there, or the client has seen it
	takenPlace          // its client is past its place, or another event has it, or it would come too early there
)

// insert puts an event into the log in its old place, if its client will still
// ask for what stands there.
func (s *Server) insert(ref uint64, stream, seq uint32, n *notice) inserted {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Home != 0 {
		return hadIt
	}
	had, settled := s.settled(&sess, seq)
	switch {
	case s.o.Events.Has(sess.Log, n.origin):
		s.renumber(ref, &sess, stream, seq, n)
		return hadIt
	case stream&postBit == 0 && seq <= s.o.Events.Floors(sess.Log)[0]:
		return hadIt
	case stream&postBit != 0, stream == cameStream, had:
	case settled, s.o.Events.Overtaken(sess.Log, seq, n.origin):
		// Or a former home took it on its return: its publisher's earlier ones are
		// here, behind.
		s.formerly(ref, &sess, stream, seq, n)
		return takenPlace
	}
	body := n.keep(s.o.Events)
	log, added := s.o.Events.AppendAt(sess.Log, stream, seq, body)
	if !added || s.keepLog(ref, &sess, log, stream, seq, body) == 0 {
		return takenPlace
	}
	s.count.kept.Add(1)
	return insertedIt
}

// settled reports whether the client has had what a former home numbered seq, and
// whether it has come here, or to another later home, since.
func (s *Server) settled(sess *Session, seq uint32) (had, settled bool) {
	had, settled = s.had(sess.Log, seq)
	return had, settled || sess.Flags&(flagSettled|flagTCP) == flagSettled
}

// formerly remembers the number that an event has at a former home, for a client
// that may have had it there. One whose stream is open has said what it has had.
// The delivery lock is held.
func (s *Server) formerly(ref uint64, sess *Session, stream, seq uint32, n *notice) {
	if stream&postBit == 0 && sess.Stream == 0 {
		s.former.add(ref, formerNumber{n.origin, stream, seq})
	}
}

// renumber moves an event that came here by another way to the place it has at a
// former home, if the client has had it there or may say so yet by its last event
// id. The delivery lock is held.
func (s *Server) renumber(ref uint64, sess *Session, stream, seq uint32, n *notice) {
	if s.raise(ref, sess, stream, seq, n) {
		return
	}
	had, settled := s.settled(sess, seq)
	switch {
	case !had && (settled || s.o.Events.Overtaken(sess.Log, seq, n.origin)):
		s.formerly(ref, sess, stream, seq, n)
		return
	case !s.o.Events.Renumber(sess.Log, seq, n.origin):
		return
	}
	s.count.renumbered.Add(1)
	if s.o.Replicas != nil {
		s.o.Replicas.Noted(ref, stream, seq, n.keep(s.o.Events))
	}
}
