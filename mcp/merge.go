package mcp

import "errors"

// Merge gives a session at home here an event that another process has in its
// log of it: a former home, or a copy that heard more of the home that was lost.
// It reports whether it was new. A client that has not come back since gets it
// in its old place, with what it missed. For one that has come, and by its last
// event id has not seen it, it is a new event.
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
	switch {
	case !ok || sess.Home != 0:
		return hadIt
	case s.o.Events.Has(sess.Log, n.origin):
		s.renumber(ref, &sess, stream, seq, n)
		return hadIt
	case stream&postBit == 0 && seq <= s.o.Events.Floors(sess.Log)[0]:
		return hadIt
	case stream&postBit == 0 && sess.Flags&flagSettled != 0:
		return takenPlace
	case s.o.Events.Overtaken(sess.Log, seq, n.origin):
		s.former.add(ref, formerNumber{n.origin, stream, seq})
		return takenPlace // a former home took it on its return: its publisher's earlier ones are here, behind
	}
	body := n.keep(s.o.Events)
	log, added := s.o.Events.AppendAt(sess.Log, stream, seq, body)
	if !added || s.keepLog(ref, &sess, log, stream, seq, body) == 0 {
		return takenPlace
	}
	s.count.kept.Add(1)
	return insertedIt
}

// renumber moves an event that came here by another way to the place it has at a
// former home: a client that has not come back since may have it from there, and
// says so by its last event id. The delivery lock is held.
func (s *Server) renumber(ref uint64, sess *Session, stream, seq uint32, n *notice) {
	switch {
	case sess.Flags&flagSettled != 0:
		return
	case s.o.Events.Overtaken(sess.Log, seq, n.origin):
		s.former.add(ref, formerNumber{n.origin, stream, seq})
		return
	case !s.o.Events.Renumber(sess.Log, seq, n.origin):
		return
	}
	s.count.renumbered.Add(1)
	if s.o.Replicas != nil {
		s.o.Replicas.Noted(ref, stream, seq, n.keep(s.o.Events))
	}
}

// seen notes what a client has by its own word, when its session has been taken
// over since: an event up to there that turns up later, from a process that was
// away, is not sent again. The log says so as of events that are lost, which its
// client never asks for any more. If the event that the client names is here,
// those before it are too. The delivery lock is held.
func (s *Server) seen(sess *Session, after uint32) {
	// The number that is drawn next tells the range: a takeover leaves the last
	// one of the range before.
	if after>>epochShift < (s.o.Events.Last(sess.Log)+1)>>epochShift && !s.o.Events.Numbered(sess.Log, after) {
		s.o.Events.SetFloors(sess.Log, [2]uint32{after, 0})
	}
}
