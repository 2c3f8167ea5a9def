package mcp

import "time"

// This file is the life of an open stream that no call owns: the GET stream of
// a session, and what both eras share of keeping one open and ending it.

const (
	// keepAliveText is the comment that keeps proxies from taking a silent
	// stream for a dead one.
	keepAliveText = "keep-alive"
	// goodbyeRetry is when clients of a server that stops shall come back.
	goodbyeRetry = time.Second
	// moveRetry is when a client shall come back whose session has moved: the
	// new home is ready.
	moveRetry = 100 * time.Millisecond
	// fencedRetry is the same for a client whose session had a newer home all the
	// time, which has not said yet that it has heard what was sent here.
	fencedRetry = time.Second
)

// serveGet opens a stream of a session, or takes up one again (2025-11-25,
// listening for messages from the server; resumability).
func (s *Server) serveGet(x *Exchange) {
	if !x.accepts(streamType) {
		s.badHTTP(x, 406, "Accept must allow text/event-stream")
		return
	}
	if x.Req.SessionID.Off == 0 {
		s.badHTTP(x, 400, errSessionHeader.Message)
		return
	}
	ref, _, ok := s.session(x, nil)
	if !ok {
		return
	}
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	switch {
	case !ok: // ended meanwhile
		s.unknown(x, nil)
	case sess.Home != 0: // moved meanwhile
		x.moving(nil)
	case x.Req.LastEventID.Off != 0 && s.o.Events != nil:
		s.resume(x, ref, &sess)
	default:
		s.openGet(x, ref, &sess)
	}
}

// openGet makes the exchange's connection the latest GET stream of a session:
// what is sent outside of calls goes there. Earlier ones stay open and take its
// place when it closes. The delivery lock is held.
func (s *Server) openGet(x *Exchange, ref uint64, sess *Session) {
	if sess.Stream != 0 && !s.hold(ref, held{uint32(sess.Gets), sess.Stream, sess.Flags & flagPlain}) {
		s.ended(x)
		return
	}
	gets := max(1, sess.Gets+1) // after 65,535 from 1 again
	s.came(ref, sess, 0)
	s.heard(sess, 0)
	x.appendHeldHead()
	if s.o.Events != nil && primes(sess.Protocol) {
		last := s.o.Events.Last(sess.Log)
		x.Out = appendPriming(x.Out, !x.plain(), uint32(gets), last, s.forkOf(sess.Log, last))
	} else {
		x.Out = appendComment(x.Out, !x.plain(), keepAliveText) // some proxies wait for a first byte
	}
	s.holdGet(x, ref, gets)
}

// holdGet puts the exchange's connection into the session's record as GET
// stream number gets and writes out how it begins. The delivery lock is held.
func (s *Server) holdGet(x *Exchange, ref uint64, gets uint16) {
	ok := s.o.Sessions.Update(ref, func(sess *Session) {
		sess.Stream, sess.Gets = x.Stream, gets
		sess.Flags = sess.Flags&^flagPlain | x.framing() | flagSettled
	})
	if !ok {
		s.ended(x)
		return
	}
	if x.flush(s.o.Host) != nil {
		s.o.Sessions.Update(ref, func(sess *Session) { sess.Stream = 0 })
		x.Close = true
		return
	}
	s.count.streamsOpened.Add(1)
	x.Hold, x.Word = true, ref
}

// ended answers an exchange whose session ended under its hands.
func (s *Server) ended(x *Exchange) {
	x.Out = x.Out[:x.earlier]
	s.unknown(x, nil)
}

// framing returns the flags of a stream on the exchange's connection.
func (x *Exchange) framing() uint8 {
	if x.plain() {
		return flagPlain
	}
	return 0
}

// serveDelete ends a session at its client's wish.
func (s *Server) serveDelete(x *Exchange) {
	if x.Req.SessionID.Off == 0 {
		s.badHTTP(x, 400, errSessionHeader.Message)
		return
	}
	ref, _, ok := s.session(x, nil)
	if !ok {
		return
	}
	last, ok := s.o.Sessions.Delete(ref)
	if !ok {
		s.unknown(x, nil)
		return
	}
	s.endSession(ref, last, ErrSessionEnded)
	x.respond(204, "", "", nil)
}

// StreamClosed says that a connection is gone; word is the one of its last
// Exchange with Hold, 0 if there was none. Call it for every HTTP connection
// that closes: it ends the calls that live and die with their connection
// (2026-07-28) and the subscriptions of a listen stream. A session stays; its
// client may come back. With word 0 it may be called earlier, when the client
// of a running call has stopped sending: HTTP clients that abort do just that.
func (s *Server) StreamClosed(st StreamID, word uint64) {
	s.o.Calls.CancelScope(streamScope(st), ErrClientGone)
	if word == 0 {
		return
	}
	s.count.streamsClosed.Add(1)
	if word&listenBit != 0 {
		s.subs.unlisten(word)
		return
	}
	delivery := s.delivery(word)
	delivery.Lock()
	defer delivery.Unlock()
	latest := false
	s.o.Sessions.Update(word, func(sess *Session) {
		if latest = sess.Stream == st; latest {
			sess.Stream = 0
		}
	})
	if !latest {
		s.letGo(word, onConnection(st))
	}
}

// endStream closes a session's stream: the end of its body, then of its
// connection.
func (s *Server) endStream(st StreamID, flags uint8) {
	if flags&flagPlain == 0 {
		_ = s.o.Host.Send(st, lastChunk) // gone already: just as well
	}
	s.o.Host.End(st)
}

// framing returns how the held stream of a session on a connection is framed;
// ok is false if it is gone.
func (s *Server) framing(st StreamID, ref uint64) (flags uint8, ok bool) {
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Stream == st {
		return sess.Flags, ok
	}
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	h, ok := s.held.find(ref, onConnection(st))
	return h.flags, ok
}

// AppendKeepAlive appends what keeps a held stream alive: that of the word on
// the connection st.
func (s *Server) AppendKeepAlive(dst []byte, st StreamID, word uint64) []byte {
	var flags uint8
	var ok bool
	if word&listenBit != 0 {
		var l listener
		l, _, ok = s.subs.listener(word)
		flags = l.flags
	} else {
		flags, ok = s.framing(st, word)
	}
	if !ok {
		return dst
	}
	return appendComment(dst, flags&flagPlain == 0, keepAliveText)
}

// AppendGoodbye appends the graceful end of a held stream, for when the server
// stops. The caller closes the connection behind it.
func (s *Server) AppendGoodbye(dst []byte, st StreamID, word uint64) []byte {
	if word&listenBit != 0 {
		if l, long, ok := s.subs.listener(word); ok {
			return s.appendListenEnd(dst, l.tag(long), l.flags)
		}
		return dst
	}
	flags, ok := s.framing(st, word)
	if !ok {
		return dst
	}
	chunked := flags&flagPlain == 0
	return appendEnd(appendRetry(dst, chunked, goodbyeRetry), chunked)
}
