package mcp

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/rookery-server/rookery/codec"
)

// method is one request of the protocol and the eras that know it.
type method struct {
	name        string
	first, last Revision
	serve       Handler
	header      string // the member of params that Mcp-Name mirrors, "" if none
	early       bool   // allowed before initialize
	params      bool   // params are required
	user        bool   // runs user code: may block, can be cancelled
	input       bool   // may end with questions to the client (2026-07-28)
}

// methods are all requests. Notifications are in notification.go.
var methods = func() map[string]*method {
	all := []*method{
		{name: "initialize", first: Revision20241105, last: lastLegacy, serve: serveInitialize, early: true, params: true},
		{name: "ping", first: Revision20241105, last: lastLegacy, serve: servePing, early: true},
		{name: "logging/setLevel", first: Revision20241105, last: lastLegacy, serve: serveSetLevel, params: true},
		{name: "resources/subscribe", first: Revision20241105, last: lastLegacy, serve: serveSubscribe, params: true},
		{name: "resources/unsubscribe", first: Revision20241105, last: lastLegacy, serve: serveUnsubscribe, params: true},
		{name: "tools/list", serve: serveListTools},
		{name: "tools/call", serve: serveCallTool, header: "name", params: true, user: true, input: true},
		{name: "resources/list", serve: serveListResources},
		{name: "resources/templates/list", serve: serveListTemplates},
		{name: "resources/read", serve: serveReadResource, header: "uri", params: true, user: true, input: true},
		{name: "prompts/list", serve: serveListPrompts},
		{name: "prompts/get", serve: serveGetPrompt, header: "name", params: true, user: true, input: true},
		{name: "completion/complete", serve: serveComplete, params: true, user: true},
		{name: "server/discover", first: Revision20260728, serve: serveDiscover},
		{name: "tasks/get", first: Revision20260728, serve: serveGetTask, header: "taskId", params: true},
		{name: "tasks/update", first: Revision20260728, serve: serveUpdateTask, header: "taskId", params: true},
		{name: "tasks/cancel", first: Revision20260728, serve: serveCancelTask, header: "taskId", params: true},
		{name: "subscriptions/listen", first: Revision20260728, serve: serveListen, params: true},
	}
	m := make(map[string]*method, len(all))
	for _, one := range all {
		if one.first == 0 {
			one.first = Revision20241105
		}
		if one.last == 0 {
			one.last = Revision20260728
		}
		m[one.name] = one
	}
	return m
}()

// inline reports whether a request runs on the loop: it does unless it runs
// user code that did not declare itself cheap.
func (s *Server) inline(m *method, params []byte) bool {
	if m == nil || !m.user {
		return m == nil || m.name != "initialize" || s.o.Copied == nil
	}
	if s.o.Backend != nil {
		return false
	}
	reg := s.reg.Load()
	if m.header == "" {
		return reg.inlineCompletion(params)
	}
	name, ok := text(member(params, m.header))
	if !ok {
		return true // an error
	}
	switch m.name {
	case "tools/call":
		t := reg.tools.get(name)
		return t == nil || t.inline
	case "prompts/get":
		p := reg.prompts.get(name)
		return p == nil || p.inline
	default:
		rd, ok := reg.reader(name)
		return !ok || rd.inline()
	}
}

// serveMethod is the innermost Handler.
func serveMethod(ctx context.Context, c *Call) error { return c.m.serve(ctx, c) }

// serve handles one request and leaves the response, a whole JSON-RPC message
// without line end, in c.reply. Its error is the one in the response, nil for
// a result.
func (s *Server) serve(c *Call, name []byte) *codec.Error {
	s.count.requests.Add(1)
	start := len(c.reply.b)
	c.reply.b = append(c.reply.b, `{"jsonrpc":"2.0","id":`...)
	c.reply.b = append(c.reply.b, c.id...)
	c.reply.b = append(c.reply.b, `,"result":`...)
	c.result = uint32(len(c.reply.b))
	e := s.dispatch(c, name)
	if e != nil {
		c.reply.b = codec.AppendError(c.reply.b[:start], c.id, e)
	} else {
		c.reply.b = append(c.reply.b, '}')
	}
	s.countOutcome(e)
	return e
}

func (s *Server) countOutcome(e *codec.Error) {
	switch {
	case e == nil:
		s.count.succeeded.Add(1)
	case e.Code == CodeCancelled:
		s.count.cancelled.Add(1)
	case e.Code == codec.CodeInternal:
		s.count.failed.Add(1)
	default:
		s.count.refused.Add(1)
	}
}

// dispatch finds the method, sees that the request is one of its era and
// state, and runs the handlers.
func (s *Server) dispatch(c *Call, name []byte) *codec.Error {
	if string(c.id) == "null" {
		return errNullID
	}
	m := s.method(name)
	if m == nil || c.rev < m.first || c.rev > m.last {
		return errUnknownMethod
	}
	if c.session == 0 && !m.early && !c.rev.modern() {
		return errNotInitialized
	}
	if c.params != nil && !isObject(c.params) || c.params == nil && m.params {
		return errNoParams
	}
	c.m = m
	if !m.user || c.sink.worker == nil {
		defer c.finish()
		return s.protect(s.o.Context, c)
	}
	s.o.Calls.Start(&c.flight, s.o.Context, c.scope(), c.id)
	defer c.flight.End()
	defer c.finish()
	e := s.protect(&c.flight, c)
	if c.flight.Err() != nil && s.o.Context.Err() == nil {
		if c.made != nil {
			s.tasks.cancelTask(c.made.id) // which its client has never heard of
		}
		if errors.Is(context.Cause(&c.flight), ErrMoved) {
			return errMovedCall
		}
		return errWasCancelled // whatever the handler made of it, nobody wants it
	}
	return e
}

// protect runs the handlers and turns what they return into what the client
// gets. A panic ends the call, not the process.
func (s *Server) protect(ctx context.Context, c *Call) (e *codec.Error) {
	defer func() {
		if p := recover(); p != nil {
			s.count.panicked.Add(1)
			s.o.Logger.Error("mcp: a handler panicked", "method", c.m.name, "panic", p, "stack", string(debug.Stack()))
			e = errInternal
		}
	}()
	return wireError(s.handle(ctx, c))
}

// wireError is what the client gets of a handler's error.
func wireError(err error) *codec.Error {
	if err == nil {
		return nil
	}
	var e *codec.Error
	if errors.As(err, &e) {
		return e
	}
	return refuse(codec.CodeInternal, err.Error())
}
