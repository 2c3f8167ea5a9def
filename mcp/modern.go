package mcp

import "github.com/rookery-server/rookery/codec"

// This file serves POST for the era without sessions, from 2026-07-28
// (transports, Streamable HTTP): every request says who asks in its _meta, and
// headers repeat what proxies look at.

// serveModern serves a parsed body.
func (s *Server) serveModern(x *Exchange, body []byte, sse bool) {
	switch x.Env.Kind {
	case codec.KindRequest:
	case codec.KindNotification:
		// Nothing a client may notify a server of over HTTP has an effect: a
		// request is cancelled by closing its response.
		s.count.notifications.Add(1)
		x.respond(202, "", "", nil)
		return
	default:
		s.count.badMessages.Add(1)
		e := errNoBatch
		if x.Env.Kind != codec.KindBatch {
			e = errNoResponses
		}
		x.refuse(400, nil, e)
		return
	}
	c := s.newCall(x, body, sse)
	defer s.putBuffer(c.reply)
	name := x.Env.MethodName(body)
	if e := s.checkHeaders(x, c, name); e != nil {
		s.count.requests.Add(1)
		s.countOutcome(e)
		x.refuse(400, c.id, e)
		return
	}
	e := s.serve(c, name)
	if e == nil && c.listen != nil {
		s.serveListen(x, c)
		return
	}
	x.finishReply(c, modernStatus(e), "")
}

// modernStatus is the HTTP status of a response that is not a stream.
func modernStatus(e *codec.Error) int {
	if e == nil {
		return 200
	}
	switch e.Code {
	case codec.CodeMethodNotFound:
		return 404
	case codec.CodeInvalidParams, codec.CodeInvalidRequest, CodeHeaderMismatch, CodeMissingCapability, CodeUnsupportedVersion:
		return 400
	case codec.CodeOverloaded:
		return 503
	}
	return 200
}

// checkHeaders compares the headers with the body, and reads _meta.
func (s *Server) checkHeaders(x *Exchange, c *Call, name []byte) *codec.Error {
	version := x.Req.ProtocolVersion.Of(x.Msg)
	if !parseRevision(version).modern() {
		return unsupportedVersion(version)
	}
	if x.Req.McpMethod.Off == 0 {
		return refuse(CodeHeaderMismatch, "the Mcp-Method header is required")
	}
	if string(x.Req.McpMethod.Of(x.Msg)) != string(name) {
		return refuse(CodeHeaderMismatch, "the Mcp-Method header differs from the body's method")
	}
	named := "\x00" // no member
	if m := methods[string(name)]; m != nil && m.header != "" {
		named = m.header
	}
	value, meta, args, _ := pick(c.params, named, "_meta", "arguments", "\x00")
	if named != "\x00" {
		if x.Req.McpName.Off == 0 {
			return refuse(CodeHeaderMismatch, "the Mcp-Name header is required")
		}
		if want, ok := text(value); !ok || !headerEquals(x.Req.McpName.Of(x.Msg), want) {
			return refuse(CodeHeaderMismatch, "the Mcp-Name header differs from the body's "+named)
		} else if reg := s.reg.Load(); reg.mirrors && string(name) == "tools/call" {
			if t := reg.tools.get(want); t != nil {
				if e := x.checkParams(t.params, args); e != nil {
					return e
				}
			}
		}
	}
	return c.readMeta(meta, version)
}

// headerEquals reports whether a header carries that value: as it is, or in
// the base64 form for what a header cannot hold.
func headerEquals(header, want []byte) bool {
	if string(header) == string(want) {
		return true
	}
	value, err := decodeHeader(header)
	return err == nil && string(value) == string(want)
}

// serveListen opens the stream of a subscriptions/listen request: the
// acknowledgement, then changes as they come. A client nothing was granted to
// is told so and the response ends.
func (s *Server) serveListen(x *Exchange, c *Call) {
	if !c.sink.canStream {
		x.refuse(406, c.id, refuse(codec.CodeInvalidRequest, "Accept must allow text/event-stream"))
		return
	}
	flags := uint8(0)
	if x.plain() {
		flags = flagPlain
	}
	if s.o.Backend != nil && len(c.listen.uris) > 0 {
		s.listenLater(x, c, flags)
		return
	}
	if c.listen.empty() {
		x.appendStreamHead()
	} else {
		x.appendHeldHead()
	}
	x.Out = appendEvent(x.Out, !x.plain(), c.appendAcknowledgement(nil))
	if c.listen.empty() {
		x.Out = s.appendListenEnd(x.Out, c.id, flags)
		return
	}
	ref, ok := s.openListen(x.Stream, c, flags, 0, func() error { return x.flush(s.o.Host) })
	if !ok {
		x.Close = true
		return
	}
	x.Hold, x.Word = true, ref
}

// appendAcknowledgement appends the first message of a listen stream.
func (c *Call) appendAcknowledgement(dst []byte) []byte {
	params := append([]byte(nil), `{"_meta":{"`+metaSubscriptionID+`":`...)
	params = append(append(params, c.id...), `},"notifications":`...)
	params = append(append(params, c.listen.raw...), '}')
	return codec.AppendNotification(dst, "notifications/subscriptions/acknowledged", params)
}

// appendListenEnd appends the result of a listen request, which ends its
// stream gracefully.
func (s *Server) appendListenEnd(dst, id []byte, flags uint8) []byte {
	result := append([]byte(nil), '{')
	result = append(result, s.tail[:len(s.tail)-1]...) // inside its _meta
	result = append(result, `,"`+metaSubscriptionID+`":`...)
	result = append(append(result, id...), "}}"...)
	msg := codec.AppendResult(nil, id, result)
	if flags&flagTCP != 0 {
		return append(append(dst, msg...), '\n')
	}
	dst = appendEvent(dst, flags&flagPlain == 0, msg)
	return appendEnd(dst, flags&flagPlain == 0)
}
