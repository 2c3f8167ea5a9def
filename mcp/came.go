package mcp

import "strconv"

// A client that comes to a home which took its session over without the former
// one's help says with its last event id how much it has had there. Events of that
// home may turn up later, from a process that was away: those up to that number
// the client has had, others it gets as new ones, because it will never ask for
// their places again. So the number is noted in the session's log, as an event of
// a stream that no client has: it goes where the log goes, to copies and to later
// homes, and as long as it is there nothing else has to be forgotten.

// cameStream is the stream of these marks.
const cameStream = postBit - 1

// Marks reports whether the events of a stream are such marks. No client gets them.
func Marks(stream uint32) bool { return stream == cameStream }

// came notes the number with which a client comes, 0 for none, unless the log
// knows. A session that was never taken over has no marks. The delivery lock is
// held.
func (s *Server) came(ref uint64, sess *Session, after uint32) {
	if s.o.Events == nil {
		return
	}
	turn := (s.o.Events.Last(sess.Log) + 1) >> epochShift
	if turn == 0 {
		return
	}
	here, known := false, false
	s.marks(sess.Log, func(seq, n uint32) {
		if seq>>epochShift == turn {
			here, known = true, known || n>>epochShift == after>>epochShift && n >= after
		}
	})
	if known || here && after>>epochShift == turn {
		return
	}
	o := Origin{Seq: uint64(turn)<<32 | uint64(after)} // the same mark of other sessions is the same message
	body := s.o.Events.KeepAs(o, strconv.AppendUint(nil, uint64(after), 10))
	if body == 0 {
		return // nothing is kept: who missed something is told so
	}
	s.note(ref, sess, cameStream, body)
	s.o.Events.Release(body)
}

// marks calls f for each mark of a log with its own number and the client's.
func (s *Server) marks(log uint32, f func(seq, n uint32)) {
	floor := s.o.Events.Floors(log)[0]
	s.o.Events.Since(log, cameStream, floor, func(seq uint32, msg []byte) {
		if n, err := strconv.ParseUint(string(msg), 10, 32); err == nil {
			f(seq, uint32(n))
		}
	})
}

// had reports whether a client has had what a former home numbered seq, as far as
// it has said; later, whether it has been at a home that took over after that one.
func (s *Server) had(log, seq uint32) (had, later bool) {
	s.marks(log, func(at, n uint32) {
		had = had || n>>epochShift == seq>>epochShift && n >= seq
		later = later || at>>epochShift > seq>>epochShift
	})
	return had, later
}
