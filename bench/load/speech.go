package load

import (
	"fmt"
	"strconv"
)

// speech writes what clients say. It is made once; its methods append to a
// buffer of the caller's and allocate nothing.
type speech struct {
	protocol Protocol
	// A call is before, id, between, text, behind; a notification has its own
	// beginning and no id.
	callBefore, callBetween, callBehind string
	noteBefore, noteBehind              string
	listen                              string // body of subscriptions/listen
	heads                               []heads
}

// heads are HTTP request heads towards one target, up to the headers that
// differ from request to request: the session and the length of the body.
type heads struct {
	call, note, init, session, listen, get string
}

const (
	clientInfo    = `{"name":"rookery-load","version":"1"}`
	statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientInfo":` + clientInfo + `,"io.modelcontextprotocol/clientCapabilities":{}}`
	initializeBody = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{},"clientInfo":` + clientInfo + `}}`
	initializedBody = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	sessionHeader   = "Mcp-Session-Id: "
	eventHeader     = "Last-Event-ID: "
	lengthHeader    = "Content-Length: "
	versionHeader   = "MCP-Protocol-Version: "
	endOfHead       = "\r\n\r\n"
)

func newSpeech(o *Options) *speech {
	s := &speech{protocol: o.Protocol}
	if o.Protocol == JSONRPC {
		method := strconv.Quote(o.Method)
		s.callBefore, s.callBetween, s.callBehind = `{"jsonrpc":"2.0","id":`, `,"method":`+method+`,"params":["`, "\"]}\n"
		s.noteBefore, s.noteBehind = `{"jsonrpc":"2.0","method":`+method+`,"params":["`, "\"]}\n"
		return s
	}
	meta := ""
	if o.Protocol == Stateless {
		meta = statelessMeta + ","
	}
	s.callBefore, s.callBetween, s.callBehind = `{"jsonrpc":"2.0","id":`, `,"method":"tools/call","params":{`+meta+`"name":`+strconv.Quote(o.Tool)+`,"arguments":{"text":"`, `"}}}`
	if o.Args != nil {
		s.callBetween, s.callBehind = `,"method":"tools/call","params":{`+meta+`"name":`+strconv.Quote(o.Tool)+`,"arguments":`+string(o.Args), `}}`
	}
	// A progress notification for a token that nobody waits for is legal in
	// both eras and changes nothing; servers ignore it.
	s.noteBefore, s.noteBehind = `{"jsonrpc":"2.0","method":"notifications/progress","params":{`+meta+`"progressToken":"rookery-load","progress":1,"message":"`, `"}}`
	s.listen = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{` + statelessMeta +
		`,"notifications":{"toolsListChanged":true,"resourceSubscriptions":[` + strconv.Quote(o.URI) + `]}}}`
	for _, t := range o.Targets {
		s.heads = append(s.heads, s.headsOf(t, o))
	}
	return s
}

func (s *speech) headsOf(t Target, o *Options) heads {
	post := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n", t.Path, t.host())
	get := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n", t.Path, t.host())
	if o.Protocol == Sessions {
		versioned := post + versionHeader + "2025-11-25\r\n"
		return heads{call: versioned, note: versioned, session: versioned, init: post, get: get + versionHeader + "2025-11-25\r\n"}
	}
	versioned := post + versionHeader + "2026-07-28\r\nMcp-Method: "
	return heads{
		call:   versioned + "tools/call\r\nMcp-Name: " + o.Tool + "\r\n",
		note:   versioned + "notifications/progress\r\n",
		listen: versioned + "subscriptions/listen\r\n",
	}
}

// call appends the message of a call, with a newline on TCP.
func (s *speech) call(out []byte, id uint32, text []byte) []byte {
	out = append(out, s.callBefore...)
	out = strconv.AppendUint(out, uint64(id), 10)
	out = append(out, s.callBetween...)
	out = append(out, text...)
	return append(out, s.callBehind...)
}

// note appends the message of a notification, with a newline on TCP.
func (s *speech) note(out, text []byte) []byte {
	out = append(out, s.noteBefore...)
	out = append(out, text...)
	return append(out, s.noteBehind...)
}

// request appends a POST: head, the session if there is one, the length, and
// body. A server of 2025-11-25 may do without sessions.
func (s *speech) request(out []byte, head string, session, body []byte) []byte {
	out = append(out, head...)
	out = appendHeader(out, sessionHeader, session)
	out = append(out, lengthHeader...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, endOfHead...)
	return append(out, body...)
}

// stream appends the request by which a client opens its stream.
func (s *speech) stream(out []byte, target int, session, event []byte) []byte {
	if s.protocol == Stateless {
		return s.request(out, s.heads[target].listen, nil, []byte(s.listen))
	}
	out = append(out, s.heads[target].get...)
	out = appendHeader(out, sessionHeader, session)
	out = appendHeader(out, eventHeader, event)
	return append(out, "\r\n"...)
}

// appendHeader appends a header line, nothing for no value.
func appendHeader(out []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return out
	}
	out = append(out, name...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}
