package mcp

import (
	"github.com/rookery-server/rookery/codec"
)

// RPC is one message of a client that speaks newline-delimited JSON-RPC. The
// connection is the session: initialize begins one that ends with it, unless the
// client asks for one that it can take up again (rookery/resume). A client
// of the era without sessions sends its _meta with every request instead.
type RPC struct {
	Stream StreamID       // in: the connection
	Msg    []byte         // in: one message without its newline, no batch; must not change until ServeRPC returns
	Env    codec.Envelope // in: of Msg, from codec.ParseEnvelope
	Worker Worker         // in: nil on the loop

	// Session is what the connection remembers, in and out: 0 at first, later
	// the session's reference or, with the top bit, a mark of this package's.
	Session uint64
	// Out takes replies, each with its newline. After a handler has waited its
	// reply goes through Host.Send instead.
	Out []byte

	taken bool   // initialize takes up a session
	after uint32 // the number of the last event its client saw
	fork  uint32 // and the fork in its id
}

// Knows reports whether method is one of MCP's and, if it is, whether it may
// run on the loop whatever its params. Notifications of MCP are known too. With a
// Backend none is: it answers over HTTP.
func (s *Server) Knows(method []byte) (known, inline bool) {
	if s.o.Backend != nil {
		return false, false
	}
	if m := methods[string(method)]; m != nil {
		return true, !m.user
	}
	switch string(method) {
	case "notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed":
		return true, true
	}
	return false, false
}

// ServeRPC serves one request, notification or answer. It never panics on
// input. Requests that Knows calls inline, notifications and answers do not
// block. Messages that change Session (initialize, subscriptions/listen and
// the cancellation of the latter) must be served one at a time.
func (s *Server) ServeRPC(x *RPC) {
	name, params := x.Env.MethodName(x.Msg), paramsOf(x.Msg, &x.Env)
	ref := x.Session
	if ref&listenBit != 0 {
		ref = 0
	}
	switch x.Env.Kind {
	case codec.KindRequest:
		s.serveTCP(x, ref, name, params)
	case codec.KindNotification:
		if ref != 0 {
			s.notified(ref, name, params)
		} else {
			s.notifiedStateless(x, name, params)
		}
	case codec.KindResult, codec.KindError:
		if ref == 0 {
			s.count.answers.Add(1)
			s.count.answersUnknown.Add(1)
			return
		}
		s.answered(ref, x.Msg, &x.Env)
	default:
		s.count.badMessages.Add(1)
	}
}

// notifiedStateless handles a notification of a connection without a session.
func (s *Server) notifiedStateless(x *RPC, name, params []byte) {
	s.count.notifications.Add(1)
	if string(name) != "notifications/cancelled" {
		return
	}
	id := member(params, "requestId")
	if s.o.Calls.Cancel(streamScope(x.Stream), id, ErrCancelled) {
		return
	}
	if x.Session != 0 {
		var ok bool
		if x.Session, ok = s.subs.unlistenID(x.Session, id); ok {
			s.count.streamsClosed.Add(1)
			x.Out = s.appendListenEnd(x.Out, id, flagTCP)
		}
	}
}

func (s *Server) serveTCP(x *RPC, ref uint64, name, params []byte) {
	c := &Call{s: s, id: x.Env.ID.Of(x.Msg), params: params, stream: x.Stream, reply: s.getBuffer()}
	defer func() { s.putBuffer(c.reply) }()
	c.sink = sink{worker: x.Worker, tcp: x}
	e := s.identify(c, ref)
	if e != nil {
		s.count.requests.Add(1)
		s.countOutcome(e)
		c.reply.b = codec.AppendError(c.reply.b, c.id, e)
	} else {
		e = s.serve(c, name)
	}
	switch {
	case e != nil && e.Code == CodeCancelled:
		return // nobody wants an answer (cancellation)
	case e == nil && c.listen != nil:
		s.listenTCP(x, c)
		return
	case e == nil && c.session != ref:
		x.Session = c.session // initialize
		if x.taken {
			s.attachTCP(x, c)
			return
		}
	}
	c.reply.b = append(c.reply.b, '\n')
	if c.sink.detached {
		s.countSent(s.o.Host.Send(x.Stream, c.reply.b))
		return
	}
	x.Out = append(x.Out, c.reply.b...)
}

// identify finds out who asks: the connection's session, or the _meta of a
// request without one.
func (s *Server) identify(c *Call, ref uint64) *codec.Error {
	if ref != 0 {
		sess, ok := s.o.Sessions.Load(ref)
		if !ok {
			return errUnknownSession
		}
		if sess.Home != 0 {
			return errElsewhere
		}
		s.o.Sessions.Touch(ref)
		if sess.State != StateReady && sess.Flags&flagSettled == 0 { // some clients never say that they are ready
			s.o.Sessions.Update(ref, func(now *Session) { now.Flags |= flagSettled })
		}
		c.of(ref, sess)
		return nil
	}
	if meta := member(c.params, "_meta"); member(meta, metaProtocolVersion) != nil {
		return c.readMeta(meta, nil)
	}
	c.rev = lastLegacy
	return nil
}

// listenTCP begins a subscription on a connection, beside those it may have.
func (s *Server) listenTCP(x *RPC, c *Call) {
	x.Out = append(c.appendAcknowledgement(x.Out), '\n')
	if c.listen.empty() {
		x.Out = s.appendListenEnd(x.Out, c.id, flagTCP)
		return
	}
	ref, ok := s.openListen(x.Stream, c, flagTCP, x.Session, func() error { return x.flush(s.o.Host) })
	if ok {
		x.Session = ref
	}
}

// flush writes what x.Out holds and empties it.
func (x *RPC) flush(h Host) error {
	var err error
	if x.Worker != nil {
		x.Out, err = x.Worker.Flush(x.Out)
		return err
	}
	err = h.Send(x.Stream, x.Out)
	x.Out = x.Out[:0]
	return err
}

// ConnClosed says that a TCP connection is gone; session is the last
// RPC.Session. Its calls are cancelled, its session and subscriptions end; a
// session that its client can take up again stays.
func (s *Server) ConnClosed(st StreamID, session uint64) {
	s.o.Calls.CancelScope(streamScope(st), ErrClientGone)
	for session&listenBit != 0 {
		next, ok := s.subs.unlisten(session)
		if !ok {
			return
		}
		s.count.streamsClosed.Add(1)
		session = next
	}
	if session == 0 {
		return
	}
	if sess, ok := s.o.Sessions.Load(session); ok && sess.Flags&flagResume != 0 {
		s.detach(session, st)
		return
	}
	if last, ok := s.o.Sessions.Delete(session); ok {
		s.endSession(session, last, ErrClientGone)
	}
}
