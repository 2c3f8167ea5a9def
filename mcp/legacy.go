package mcp

import (
	"github.com/rookery-server/rookery/codec"
)

// This file serves POST for the eras with sessions, 2024-11-05 to 2025-11-25
// (transports, Streamable HTTP).

// serveLegacy serves a parsed body.
func (s *Server) serveLegacy(x *Exchange, body []byte, sse bool) {
	header := x.Req.ProtocolVersion
	rev := Revision20250326 // what a client that says nothing speaks
	if header.Off != 0 {
		if rev = parseRevision(header.Of(x.Msg)); rev == RevisionUnknown {
			s.count.badHTTP.Add(1)
			x.refuse(400, x.Env.ID.Of(body), refuse(codec.CodeInvalidRequest, "unsupported MCP-Protocol-Version"))
			return
		}
	}
	if x.Req.SessionID.Off == 0 {
		s.serveStranger(x, body, sse)
		return
	}
	ref, sess, ok := s.session(x, x.Env.ID.Of(body))
	if !ok {
		return
	}
	switch x.Env.Kind {
	case codec.KindRequest:
		s.serveRequest(x, body, ref, sess, sse)
	case codec.KindNotification:
		name, params := x.Env.MethodName(body), paramsOf(body, &x.Env)
		s.notified(ref, name, params)
		x.respond(202, "", "", nil)
		if s.userNotification(name) {
			// The handler may ask the client, which answers when it has its 202.
			if x.flush(s.o.Host) != nil {
				x.Close = true
			}
			s.notifyBackend(x, name, params, ref, sess)
		}
	case codec.KindBatch:
		// What initialize agreed on counts, and the header if the client is
		// older than it claimed.
		if max(sess.Protocol, rev) >= Revision20250618 {
			s.count.badMessages.Add(1)
			x.refuse(400, nil, errNoBatch)
			return
		}
		s.serveBatch(x, body, ref, sess)
	default:
		s.answered(ref, body, &x.Env)
		x.respond(202, "", "", nil)
	}
}

// session finds the session the request names and marks it as used, or refuses
// the exchange; id is that of the request, nil without one.
func (s *Server) session(x *Exchange, id []byte) (ref uint64, sess Session, ok bool) {
	sid, ok := parseSessionID(x.Req.SessionID.Of(x.Msg))
	if ok {
		ref, sess, ok = s.find(sid)
	}
	if !ok || sess.Flags&flagTCP != 0 {
		s.unknown(x, id)
		return 0, sess, false
	}
	if sess.Home != 0 {
		x.moving(id)
		return 0, sess, false
	}
	s.o.Sessions.Touch(ref)
	return ref, sess, true
}

// unknown answers an exchange whose session does not exist.
func (s *Server) unknown(x *Exchange, id []byte) {
	s.count.sessionsUnknown.Add(1)
	x.refuse(404, id, errUnknownSession)
}

// moving answers an exchange that came here for a session whose home is
// elsewhere: it was on its way when the session moved.
func (x *Exchange) moving(id []byte) {
	x.respond(503, jsonType, retrySoon, codec.AppendError(nil, id, errElsewhere))
}

// serveStranger serves a request without a session: initialize makes one, ping
// needs none.
func (s *Server) serveStranger(x *Exchange, body []byte, sse bool) {
	name := x.Env.MethodName(body)
	if x.Env.Kind != codec.KindRequest {
		s.count.badHTTP.Add(1)
		x.refuse(400, nil, errSessionHeader)
		return
	}
	id := x.Env.ID.Of(body)
	if m := methods[string(name)]; m == nil || !m.early {
		s.count.badHTTP.Add(1)
		e := errSessionHeader
		if member(member(paramsOf(body, &x.Env), "_meta"), metaProtocolVersion) != nil {
			e = refuse(CodeHeaderMismatch, "the MCP-Protocol-Version header is required")
		}
		x.refuse(400, id, e)
		return
	}
	c := s.newCall(x, body, sse)
	c.rev = lastLegacy
	e := s.serve(c, name)
	switch {
	case e == errTooMany:
		x.finishReply(c, 503, retryAfter)
	case e == nil && c.session != 0:
		x.finishReply(c, 200, sessionHeader(c.who.id))
	default:
		x.finishReply(c, 200, "")
	}
	s.putBuffer(c.reply)
}

// serveRequest serves one request of a session.
func (s *Server) serveRequest(x *Exchange, body []byte, ref uint64, sess Session, sse bool) {
	c := s.newCall(x, body, sse)
	c.of(ref, sess)
	_ = s.serve(c, x.Env.MethodName(body)) // the error stands in the response
	x.finishReply(c, 200, "")
	s.putBuffer(c.reply)
}

// of makes c a call of a session.
func (c *Call) of(ref uint64, sess Session) {
	c.session, c.rev, c.caps, c.level = ref, sess.Protocol, sess.Caps, sess.level()
	c.who = identity{sess.ID, sess.Client, sess.LogLevel}
}

// serveBatch serves a batch: its requests one after another, their responses
// as one array. Requests of a batch cannot turn the response into a stream;
// what their handlers send goes to the session's own.
func (s *Server) serveBatch(x *Exchange, body []byte, ref uint64, sess Session) {
	out := s.getBuffer()
	defer s.putBuffer(out)
	e := codec.EachInBatch(body, &s.o.Limits, func(one []byte, env codec.Envelope, bad *codec.Error) bool {
		before := len(out.b)
		out.b = append(out.b, ',')
		mark := len(out.b)
		if bad != nil {
			s.count.badMessages.Add(1)
			out.b = codec.AppendError(out.b, env.ID.Of(one), bad)
		} else {
			s.serveInBatch(x, one, &env, ref, sess, out)
		}
		if len(out.b) == mark {
			out.b = out.b[:before]
		}
		return true
	})
	if e != nil {
		s.count.badMessages.Add(1)
		x.refuse(400, nil, e)
		return
	}
	if len(out.b) == 0 {
		x.respond(202, "", "", nil)
		return
	}
	out.b[0] = '['
	out.b = append(out.b, ']')
	x.respond(200, jsonType, "", out.b)
}

// serveInBatch serves one message of a batch and appends its response, if any.
func (s *Server) serveInBatch(x *Exchange, msg []byte, env *codec.Envelope, ref uint64, sess Session, out *buffer) {
	name := env.MethodName(msg)
	switch env.Kind {
	case codec.KindRequest:
		c := &Call{s: s, id: env.ID.Of(msg), params: paramsOf(msg, env), stream: x.Stream, reply: out}
		c.sink = sink{worker: x.Worker, http: x}
		c.of(ref, sess)
		_ = s.serve(c, name) // the error stands in the response
	case codec.KindNotification:
		s.notified(ref, name, paramsOf(msg, env))
		if s.userNotification(name) {
			s.notifyBackend(x, name, paramsOf(msg, env), ref, sess)
		}
	default:
		s.answered(ref, msg, env)
	}
}
