package mcp

// This file is the life of an open stream that no call owns: the GET stream of
// a session, and what both eras share of keeping one open and ending it.

// keepAliveText is the comment that keeps proxies from taking a silent stream
// for a dead one.
const keepAliveText = "keep-alive"

// serveGet opens the stream of a session (2025-11-25, listening for messages
// from the server).
func (s *Server) serveGet(x *Exchange) {
	if !x.accepts(streamType) {
		s.badHTTP(x, 406, "Accept must allow text/event-stream")
		return
	}
	if x.Req.SessionID.Off == 0 {
		s.badHTTP(x, 400, errSessionHeader.Message)
		return
	}
	ref, _, ok := s.session(x)
	if !ok {
		s.count.sessionsUnknown.Add(1)
		x.refuse(404, nil, errUnknownSession)
		return
	}
	earlier := len(x.Out)
	x.appendHeldHead()
	x.Out = appendComment(x.Out, !x.plain(), keepAliveText) // some proxies wait for a first byte
	if !s.openSessionStream(x, ref) {
		if len(x.Out) > earlier { // not even tried: the session ended meanwhile
			x.Out = x.Out[:earlier]
			s.count.sessionsUnknown.Add(1)
			x.refuse(404, nil, errUnknownSession)
			return
		}
		x.Close = true
		return
	}
	x.Hold, x.Word = true, ref
}

// serveDelete ends a session at its client's wish.
func (s *Server) serveDelete(x *Exchange) {
	if x.Req.SessionID.Off == 0 {
		s.badHTTP(x, 400, errSessionHeader.Message)
		return
	}
	ref, _, ok := s.session(x)
	var last Session
	if ok {
		last, ok = s.o.Sessions.Delete(ref)
	}
	if !ok {
		s.count.sessionsUnknown.Add(1)
		x.refuse(404, nil, errUnknownSession)
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
	s.o.Sessions.Update(word, func(sess *Session) {
		if sess.Stream == st {
			sess.Stream = 0
		}
	})
}

// framing returns how the stream of a word is framed; ok is false if it is gone.
func (s *Server) framing(word uint64) (flags uint8, ok bool) {
	if word&listenBit != 0 {
		l, _, ok := s.subs.listener(word)
		return l.flags, ok
	}
	sess, ok := s.o.Sessions.Load(word)
	return sess.Flags, ok
}

// AppendKeepAlive appends what keeps the held stream of that word alive.
func (s *Server) AppendKeepAlive(dst []byte, word uint64) []byte {
	if flags, ok := s.framing(word); ok {
		return appendComment(dst, flags&flagPlain == 0, keepAliveText)
	}
	return dst
}

// AppendGoodbye appends the graceful end of the held stream of that word, for
// when the server stops. The caller closes the connection behind it.
func (s *Server) AppendGoodbye(dst []byte, word uint64) []byte {
	if word&listenBit != 0 {
		if l, long, ok := s.subs.listener(word); ok {
			return s.appendListenEnd(dst, l.tag(long), l.flags)
		}
		return dst
	}
	if flags, ok := s.framing(word); ok && flags&flagPlain == 0 {
		return append(dst, lastChunk...)
	}
	return dst
}
