package mcp

import (
	"github.com/rookery-server/rookery/codec"
)

// Where says on which goroutine a request is to be served.
type Where uint8

// The answers of Plan.
const (
	OnLoop   Where = iota // ServeHTTP does not block: call it on the loop
	OnWorker              // a handler of the user's runs: call it on a worker
)

// Exchange is one HTTP request and its response. It belongs to its caller,
// who may reuse it from the zero value.
type Exchange struct {
	Stream StreamID       // in: the connection
	Req    *codec.Request // in: spans into Msg
	Msg    []byte         // in: the whole request; must not change until ServeHTTP returns
	Env    codec.Envelope // set by Plan: spans into the body
	Worker Worker         // in: nil on the loop

	// Out takes the response; earlier replies of the connection may stand in
	// front. Parts of it may have been written already when ServeHTTP returns
	// (by Worker.Flush or, before a stream is announced, by Host.Send).
	Out   []byte
	Hold  bool   // out: the response stays open as a stream; never with a Worker
	Close bool   // out: the connection is to be closed after Out
	Word  uint64 // out, with Hold: for StreamClosed, AppendKeepAlive and AppendGoodbye

	origin  bool // the request has an Origin, and it is allowed
	earlier int  // bytes of Out that were there before
}

// Plan parses the body of a POST once and says where the request is to be
// served. It does not block and allocates nothing for well-formed requests.
func (s *Server) Plan(x *Exchange) Where {
	body := x.body()
	x.Env = codec.Envelope{}
	if x.Req.Method != codec.MethodPost || len(body) == 0 || codec.ParseEnvelope(body, &s.o.Limits, &x.Env) != nil {
		return OnLoop
	}
	switch x.Env.Kind {
	case codec.KindRequest:
		if s.inline(s.method(x.Env.MethodName(body)), paramsOf(body, &x.Env)) {
			return OnLoop
		}
		return OnWorker
	case codec.KindNotification:
		if s.userNotification(x.Env.MethodName(body)) {
			return OnWorker
		}
		return OnLoop
	case codec.KindBatch:
		return s.planBatch(body)
	default:
		return OnLoop
	}
}

// planBatch sends a batch with a request in it to a worker: it may hold many.
// So it does with what user code is to be notified of.
func (s *Server) planBatch(body []byte) Where {
	where := OnLoop
	_ = codec.EachInBatch(body, &s.o.Limits, func(one []byte, env codec.Envelope, _ *codec.Error) bool {
		if env.Kind == codec.KindRequest || env.Kind == codec.KindNotification && s.userNotification(env.MethodName(one)) {
			where = OnWorker
		}
		return where == OnLoop
	}) // Plan has parsed it: no error
	return where
}

func paramsOf(msg []byte, env *codec.Envelope) []byte {
	if env.Params.Len == 0 {
		return nil
	}
	return env.Params.Of(msg)
}

// ServeHTTP serves one request to the MCP endpoint, whatever its path. It
// never panics on input and always leaves a complete response or, with Hold,
// the head of a stream. An Exchange that Plan has not seen, or found unfit, is
// parsed here.
func (s *Server) ServeHTTP(x *Exchange) {
	x.Hold, x.Word, x.origin, x.earlier = false, 0, false, len(x.Out)
	x.Close = x.Req.Flags&codec.FlagKeepAlive == 0
	if x.Req.Origin.Off != 0 {
		if !s.allowed(x.Req.Origin.Of(x.Msg)) {
			s.count.badOrigin.Add(1)
			x.refuse(403, nil, refuse(codec.CodeInvalidRequest, "this origin is not allowed"))
			return
		}
		x.origin = true
	}
	modern := namesModern(x.Req.ProtocolVersion.Of(x.Msg))
	switch x.Req.Method {
	case codec.MethodPost:
		s.servePost(x, modern)
	case codec.MethodOptions:
		x.respond(204, "", optionsHeaders+allowedHeaders+x.askedParams()+"\r\n", nil)
	case codec.MethodGet:
		if modern {
			s.badMethod(x, "Allow: POST, OPTIONS\r\n")
			return
		}
		s.serveGet(x)
	case codec.MethodDelete:
		if modern {
			s.badMethod(x, "Allow: POST, OPTIONS\r\n")
			return
		}
		s.serveDelete(x)
	default:
		s.badMethod(x, "Allow: GET, POST, DELETE, OPTIONS\r\n")
	}
}

func (s *Server) badMethod(x *Exchange, allow string) {
	s.count.badHTTP.Add(1)
	x.respond(405, "", allow, nil)
}

// badHTTP refuses an exchange before its message is looked at.
func (s *Server) badHTTP(x *Exchange, status int, message string) {
	s.count.badHTTP.Add(1)
	x.refuse(status, nil, refuse(codec.CodeInvalidRequest, message))
}

// servePost sees that the body is one this server can read and answer, and
// hands it to its era.
func (s *Server) servePost(x *Exchange, modern bool) {
	if !codec.MediaTypeIs(x.Req.ContentType.Of(x.Msg), "application/json") {
		s.badHTTP(x, 415, "Content-Type must be application/json")
		return
	}
	sse := x.accepts("text/event-stream")
	if !sse && !x.accepts("application/json") {
		s.badHTTP(x, 406, "Accept must allow application/json and text/event-stream")
		return
	}
	body := x.body()
	if x.Env.Kind == codec.KindInvalid {
		if e := s.parse(body, &x.Env); e != nil {
			s.count.badMessages.Add(1)
			x.refuse(400, x.Env.ID.Of(body), e)
			return
		}
	}
	if modern {
		s.serveModern(x, body, sse)
	} else {
		s.serveLegacy(x, body, sse)
	}
}

func (s *Server) parse(msg []byte, env *codec.Envelope) *codec.Error {
	if len(msg) == 0 {
		return refuse(codec.CodeParse, "empty body")
	}
	return codec.ParseEnvelope(msg, &s.o.Limits, env)
}

// accepts reports whether the client takes a response of that type; one that
// says nothing takes all (RFC 9110 12.5.1).
func (x *Exchange) accepts(mediaType string) bool {
	return x.Req.Accept.Off == 0 || x.Req.Accepts(x.Msg, mediaType)
}

func (x *Exchange) body() []byte { return x.Req.Body.Of(x.Msg) }

// plain reports whether streams to this client end with their connection.
func (x *Exchange) plain() bool { return x.Req.Flags&codec.FlagHTTP10 != 0 }

// newCall prepares the request in x.Env.
func (s *Server) newCall(x *Exchange, body []byte, sse bool) *Call {
	c := &Call{
		s: s, id: x.Env.ID.Of(body), params: paramsOf(body, &x.Env), stream: x.Stream,
		reply: s.getBuffer(),
	}
	c.sink = sink{worker: x.Worker, http: x, canStream: sse}
	return c
}
