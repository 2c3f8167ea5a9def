package mcp

import (
	"context"
	"runtime/debug"

	"github.com/rookery-server/rookery/codec"
)

// This file lets somebody else than the registry answer what clients ask:
// another implementation of tools, resources and prompts that has no transport
// worth having. The Server keeps what outlives a request, sessions, streams,
// levels and subscriptions, and the Backend answers request by request.

// Backend answers requests in the place of what is registered with the Server.
// Its methods are called from any goroutine. Everything it is given is valid
// until the method returns.
type Backend interface {
	// Err says why the Backend cannot serve, nil if it can. A Server is not made
	// with one that cannot.
	Err() error
	// Attach is called once, by New, with the server that calls the others. Its
	// error is logged: something works less well.
	Attach(s *Server) error
	// Close ends what Attach began, after the last call of the others has
	// returned, and waits for what Go started.
	Close()
	// Answer answers one request: a JSON object on one line, which the caller
	// copies at once, or an error as of a Handler. It runs on a worker and may
	// block. It sees initialize and logging/setLevel too, whose state the
	// Server keeps all the same, and methods nobody knows, but neither ping nor
	// what Permit and Offer are for.
	Answer(ctx context.Context, c *Call) (result []byte, err error)
	// Notified takes a notification of a client with a session, but not its
	// cancellations. It runs on a worker and may block; the client has its 202.
	Notified(ctx context.Context, c *Call)
	// Client numbers what the params of initialize say of a client, for
	// Session.Client, with at most so many distinct numbers; 0 is "other".
	// ClientName returns "name/version" of a number, "" if there is none.
	Client(params []byte) uint32
	ClientName(n uint32) string
	// Offer says what clients may listen to. It does not block.
	Offer() Offer
	// Permit lets a client subscribe to uri, or says why not. It may block.
	Permit(ctx context.Context, c *Call, uri string) error
	// Watch returns when changes of uri reach Server.ResourceUpdated. It may
	// block. uri has its subscription already, so that Watched holds.
	Watch(ctx context.Context, uri string) error
	// Unwatched says that the last subscription to uri has ended; there may be
	// another when it returns. It must not block, nor call the Server.
	Unwatched(uri string)
	// Go runs f on a goroutine of its own, bounded in number and with a context
	// that ends with the Backend, or returns false.
	Go(f func(ctx context.Context)) bool
}

// Offer is what clients may listen to.
type Offer struct {
	Tools, Prompts, Resources bool // changes of the list
	Subscribe                 bool // changes of single resources
}

// backed are the methods as they are served with a Backend.
var backed = func() map[string]*method {
	m := make(map[string]*method, len(methods))
	for name, one := range methods {
		two := *one
		switch name {
		case "ping":
		case "subscriptions/listen":
			two.serve = serveBackedListen // calls user code later, see backlisten.go
		case "initialize":
			two.serve, two.user = serveBackedInitialize, true
		case "logging/setLevel":
			two.serve, two.user = serveBackedSetLevel, true
		case "resources/subscribe":
			two.serve, two.user = serveBackedSubscribe, true
		case "resources/unsubscribe":
			two.serve, two.user = serveBackedUnsubscribe, true
		default:
			two.serve, two.user = serveBacked, true
		}
		m[name] = &two
	}
	return m
}()

// method finds the method of a request, nil if there is none. A Backend may
// know more than we do.
func (s *Server) method(name []byte) *method {
	if s.o.Backend == nil {
		return methods[string(name)]
	}
	if m := backed[string(name)]; m != nil {
		return m
	}
	return &method{name: string(name), first: Revision20241105, last: Revision20260728, serve: serveBacked, user: true}
}

// userNotification reports whether a notification goes to user code.
func (s *Server) userNotification(name []byte) bool {
	return s.o.Backend != nil && string(name) != "notifications/cancelled"
}

func serveBacked(ctx context.Context, c *Call) error {
	result, err := c.s.o.Backend.Answer(ctx, c)
	if err != nil {
		return err
	}
	c.reply.b = append(c.reply.b[:c.result], result...)
	return nil
}

// serveBackedInitialize begins the session that the Backend agreed to.
func serveBackedInitialize(ctx context.Context, c *Call) error {
	if c.session != 0 {
		return errInitializeOnce
	}
	c.sink.canStream = false // the head of the response must name the session
	if err := serveBacked(ctx, c); err != nil {
		return err
	}
	version, _ := text(member(c.Result(), "protocolVersion"))
	rev := parseRevision(version)
	if rev == RevisionUnknown || rev.modern() {
		return refuse(codec.CodeInternal, "no version both sides speak")
	}
	return c.begin(Session{
		Client: c.s.o.Backend.Client(c.params), Caps: parseCapabilities(member(c.params, "capabilities")),
		Protocol: rev, State: StateInitialized,
	}, false)
}

func serveBackedSetLevel(ctx context.Context, c *Call) error {
	name, _ := text(member(c.params, "level"))
	level, ok := parseLevel(name)
	if !ok {
		return refuse(codec.CodeInvalidParams, "unknown level")
	}
	if err := serveBacked(ctx, c); err != nil {
		return err
	}
	return c.setLevel(level)
}

func serveBackedSubscribe(ctx context.Context, c *Call) error {
	uri, ok := subscribable(member(c.params, "uri"))
	if !ok {
		return errBadURI
	}
	if err := c.s.o.Backend.Permit(ctx, c, uri); err != nil {
		return err
	}
	if err := serveSubscribe(ctx, c); err != nil {
		return err
	}
	if err := c.s.o.Backend.Watch(ctx, uri); err != nil {
		c.s.subs.unsubscribe(c.s.o.Sessions, c.session, uri)
		return err
	}
	return nil
}

func serveBackedUnsubscribe(ctx context.Context, c *Call) error {
	if err := serveUnsubscribe(ctx, c); err != nil {
		return err
	}
	return serveBacked(ctx, c)
}

// notifyBackend hands a session's notification on, after its response.
func (s *Server) notifyBackend(x *Exchange, name, params []byte, ref uint64, sess Session) {
	c := &Call{s: s, m: &method{name: string(name), user: true}, params: params, stream: x.Stream}
	c.sink = sink{worker: x.Worker, http: x}
	c.of(ref, sess)
	s.o.Calls.Start(&c.flight, s.o.Context, c.scope(), nil)
	defer c.flight.End()
	defer c.finish()
	defer func() {
		if p := recover(); p != nil {
			s.count.panicked.Add(1)
			s.o.Logger.Error("mcp: a handler panicked", "method", c.m.name, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	s.o.Backend.Notified(&c.flight, c)
}

// Watched reports whether anybody is subscribed to uri.
func (s *Server) Watched(uri string) bool { return s.subs.has(uri) }

// ToolsChanged announces that the Backend's list of tools changed, as changes
// of registered ones announce themselves. So do the next two. They take as long
// as ResourceUpdated.
func (s *Server) ToolsChanged() { s.listChanged(toolList) }

// PromptsChanged announces a change of the list of prompts.
func (s *Server) PromptsChanged() { s.listChanged(promptList) }

// ResourcesChanged announces a change of the list of resources or templates.
func (s *Server) ResourcesChanged() { s.listChanged(resourceList) }

// SessionID returns the id of the client's session as it stands in
// Mcp-Session-Id, "" for a call of the era without sessions.
func (c *Call) SessionID() string {
	if c.session == 0 {
		return ""
	}
	return string(appendSessionID(nil, c.who.id))
}

// ClientNumber returns the number that Options.Intern or Backend.Client gave the
// client, 0 if none.
func (c *Call) ClientNumber() uint32 { return c.who.client }

// LogLevel returns the least severe level of messages the client asked for, 0 if
// it did not.
func (c *Call) LogLevel() Level {
	if c.session != 0 {
		return c.who.logLevel
	}
	return c.level
}

// EachHeader calls f for every header field of the HTTP request as it was sent,
// until f returns false. Over TCP there are none.
func (c *Call) EachHeader(f func(name, value []byte) bool) {
	if x := c.sink.http; x != nil {
		x.Req.EachHeader(x.Msg, f)
	}
}

// Param returns a member of the request's params as raw JSON, nil if it is not
// there. Names are compared exactly.
func (c *Call) Param(name string) []byte { return member(c.params, name) }

// ParamText returns a member of the params that is a string.
func (c *Call) ParamText(name string) (string, bool) {
	b, ok := text(member(c.params, name))
	return string(b), ok
}

// Mirrors are the arguments of a tool that headers repeat (SEP-2243).
type Mirrors struct{ params []headerParam }

// ParseMirrors finds them in a tool's input schema, raw JSON; most have none.
func ParseMirrors(schema []byte) (Mirrors, error) {
	params, err := headerParams(schema)
	return Mirrors{params}, err
}

// CheckMirrors compares the request's headers with its arguments, as is done
// for registered tools, and returns the error for a request that differs.
func (c *Call) CheckMirrors(m Mirrors) error {
	if x := c.sink.http; x != nil && len(m.params) > 0 && c.rev.modern() {
		if e := x.checkParams(m.params, member(c.params, "arguments")); e != nil {
			return e
		}
	}
	return nil
}
