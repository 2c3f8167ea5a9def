package mcp

import "math"

// resume takes up the stream that Last-Event-ID names: first what its client
// missed, then what follows. A client of which something is lost is told so
// with 404, after which it begins a new session (2025-11-25, session
// management): half of what was missed would look like all of it. The delivery
// lock is held.
func (s *Server) resume(x *Exchange, ref uint64, sess *Session) {
	stream, after, fork, ok := parseEventID(x.Req.LastEventID.Of(x.Msg))
	if !ok || stream&^postBit == 0 {
		s.badHTTP(x, 400, "Last-Event-ID is none of ours")
		return
	}
	if s.outrun(sess, after) || s.ahead(ref, sess, after) {
		x.moving(nil)
		return
	}
	if stream&postBit != 0 {
		s.resumePost(x, ref, sess, stream, after)
		return
	}
	x.appendHeldHead()
	s.settle(ref, sess, after, fork)
	known := stream <= uint32(sess.Gets) || s.believe(ref, sess, stream, after)
	if !known || !s.catchUp(ref, sess, stream, after, fork) || !s.replay(x, sess, stream, after, fork) {
		s.uncovered(x)
		return
	}
	s.came(ref, sess, after)
	s.unsent.replayed(streamOf{ref, stream})
	x.Out = appendComment(x.Out, !x.plain(), keepAliveText) // some proxies wait for a first byte
	s.count.streamsResumed.Add(1)
	if stream == uint32(sess.Gets) {
		if sess.Stream != 0 { // its client lost it without our knowing
			s.count.streamsReplaced.Add(1)
			s.endStream(sess.Stream, sess.Flags)
		}
		s.holdGet(x, ref, sess.Gets)
		return
	}
	s.holdMore(x, ref, stream)
}

// believe takes a client's word for a stream that this process has never heard
// of: its session was taken over from a process that was lost, which may have
// opened it without having had the time to say so. What was kept since for the
// latest stream known then is for this one. The numbers drawn since are higher
// than all that were drawn there, so that nothing else moves: see
// Events.NextEpoch. The delivery lock is held.
func (s *Server) believe(ref uint64, sess *Session, stream, after uint32) bool {
	if stream > math.MaxUint16 || s.o.Events.Last(sess.Log)>>epochShift == 0 {
		return false
	}
	if sess.Stream != 0 && !s.hold(ref, held{uint32(sess.Gets), sess.Stream, sess.Flags & flagPlain}) {
		return false
	}
	// Once a stream was opened here, its client had what was kept for it.
	if sess.Flags&flagSettled == 0 {
		s.o.Events.Restream(sess.Log, uint32(sess.Gets), stream, after|(1<<epochShift-1))
	}
	sess.Gets, sess.Stream = uint16(stream), 0
	return s.o.Sessions.Update(ref, func(now *Session) { now.Gets, now.Stream = sess.Gets, 0 })
}

// holdMore holds the exchange's connection as a stream beside the latest and
// writes out how it begins.
func (s *Server) holdMore(x *Exchange, ref uint64, stream uint32) {
	if !s.hold(ref, held{stream, x.Stream, x.framing()}) {
		s.ended(x)
		return
	}
	if x.flush(s.o.Host) != nil {
		s.letGo(ref, onConnection(x.Stream))
		x.Close = true
		return
	}
	s.count.streamsOpened.Add(1)
	x.Hold, x.Word = true, ref
}

// resumePost takes up the response to a POST. If its call is over the reply is
// among what was missed, and the response ends with it.
func (s *Server) resumePost(x *Exchange, ref uint64, sess *Session, stream, after uint32) {
	running := s.posts.find(ref, stream)
	if running == nil {
		x.appendStreamHead()
	} else {
		x.appendHeldHead()
	}
	// The number of the stream itself is the id of its first event, and the
	// same whoever asks: no stream of that number began elsewhere.
	if after < stream&^postBit || !s.replay(x, sess, stream, after, 0) {
		s.uncovered(x)
		return
	}
	s.count.streamsResumed.Add(1)
	if running == nil {
		x.Out = appendEnd(x.Out, !x.plain())
		return
	}
	running.cut = true // this connection has its place
	x.Out = appendComment(x.Out, !x.plain(), keepAliveText)
	s.holdMore(x, ref, stream)
}

// replay appends what the log has of a stream behind a number, or reports that
// it does not have all.
func (s *Server) replay(x *Exchange, sess *Session, stream, after, fork uint32) bool {
	chunked := !x.plain()
	events, forks := uint64(0), numbering{}
	if stream&postBit == 0 {
		s.heard(sess, after)
		forks = s.numbering(sess.Log, after, fork)
	}
	covered := s.o.Events.Since(sess.Log, stream, after, func(seq uint32, msg []byte) {
		fork := uint32(0)
		if stream&postBit == 0 {
			fork = forks.next(seq)
		}
		x.Out = appendNumbered(x.Out, chunked, stream, seq, fork, msg)
		events++
	})
	s.count.replayed.Add(events)
	return covered
}

// outrun reports whether the number of a client's last event is of a takeover
// that this process has not heard of: the session has a newer home, which will
// say so, or had one that is lost.
func (s *Server) outrun(sess *Session, after uint32) bool {
	return s.o.Doubt != nil && after>>epochShift > (s.o.Events.Last(sess.Log)+1)>>epochShift && s.o.Doubt()
}

// ahead reports whether a client has heard more of a lost home than the log here
// has, as long as that may still come. The delivery lock is held.
func (s *Server) ahead(ref uint64, sess *Session, after uint32) bool {
	return s.o.Gathering != nil && after>>epochShift < (s.o.Events.Last(sess.Log)+1)>>epochShift &&
		!s.o.Events.Numbered(sess.Log, after) && !s.former.has(ref, after) && s.o.Gathering(ref, after)
}

// uncovered says that a stream cannot be taken up again.
func (s *Server) uncovered(x *Exchange) {
	x.Out = x.Out[:x.earlier]
	s.count.resumesRefused.Add(1)
	x.refuse(404, nil, errNotCovered)
}
