package mcp

import (
	"bytes"
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

const (
	jsonType   = "application/json"
	streamType = "text/event-stream"

	// streamHeaders keep proxies from holding events back (nginx reads the
	// second) and caches from keeping them.
	streamHeaders = "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"

	optionsHeaders = "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\n" +
		"Access-Control-Max-Age: 86400\r\n"
	// allowedHeaders is what pages may send; askedParams goes on from there.
	allowedHeaders = "Access-Control-Allow-Headers: Content-Type, Accept, Authorization, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID"
)

// respond appends a complete response. extra holds header lines.
func (x *Exchange) respond(status int, contentType, extra string, body []byte) {
	x.appendHead(status, contentType, extra, len(body))
	x.Out = append(x.Out, body...)
}

// refuse appends an error response. id is the raw id of the request, nil if
// there is none to name.
func (x *Exchange) refuse(status int, id []byte, e *codec.Error) {
	x.respond(status, jsonType, "", codec.AppendError(nil, id, e))
}

// appendStreamHead appends the head of a response that carries events.
func (x *Exchange) appendStreamHead() {
	if x.plain() {
		x.Close = true
	}
	x.appendHead(200, streamType, streamHeaders, codec.LengthChunked)
}

// appendHeldHead is appendStreamHead for a response that is going to be held:
// its end closes the connection (Host.End), and the head must say so, else a
// client's pool may send the next request on it in between.
func (x *Exchange) appendHeldHead() {
	closes := x.Close
	x.Close = true
	x.appendStreamHead()
	x.Close = closes || x.plain()
}

func (x *Exchange) appendHead(status int, contentType, extra string, length int) {
	var lines [512]byte // stays on the stack as long as it suffices
	more := append(lines[:0], extra...)
	if x.origin {
		// The browser keeps the answer from its page unless we name the page's
		// origin. Nothing here depends on cookies.
		more = append(more, "Access-Control-Allow-Origin: "...)
		more = append(more, x.Req.Origin.Of(x.Msg)...)
		more = append(more, "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: Mcp-Session-Id\r\n"...)
	}
	x.Out = codec.AppendResponse(x.Out, &codec.Response{
		Status: status, Proto10: x.plain(), Close: x.Close, Length: length, ContentType: contentType, Extra: more,
	})
}

// flush writes what x.Out holds and empties it.
func (x *Exchange) flush(h Host) error {
	var err error
	if x.Worker != nil {
		x.Out, err = x.Worker.Flush(x.Out)
		return err
	}
	err = h.Send(x.Stream, x.Out)
	x.Out = x.Out[:0]
	return err
}

// finishReply appends the reply of a call: as a whole response, or as the last
// event of one that became a stream, for a client that would rather have
// streams as the only one. status is that of a whole response.
func (x *Exchange) finishReply(c *Call, status int, extra string) {
	switch {
	case c.sink.post != nil:
		c.sink.post.finish(x, c.reply.b)
		return
	case c.sink.streaming:
	case status == 200 && c.sink.canStream && x.prefersStream():
		if x.plain() {
			x.Close = true
		}
		x.appendHead(200, streamType, streamHeaders+extra, codec.LengthChunked)
	default:
		x.respond(status, jsonType, extra, c.reply.b)
		return
	}
	x.Out = appendEvent(x.Out, !x.plain(), c.reply.b)
	x.Out = appendEnd(x.Out, !x.plain())
}

// prefersStream reports whether the client names streams before anything else
// it accepts. The order has no meaning in HTTP, but clients list what they like
// best first, and both are right here.
func (x *Exchange) prefersStream() bool {
	return bytes.HasPrefix(x.Req.Accept.Of(x.Msg), []byte(streamType))
}

// sessionHeader names a session to its client.
func sessionHeader(id [16]byte) string {
	b := make([]byte, 0, 64)
	b = appendSessionID(append(b, "Mcp-Session-Id: "...), id)
	return string(append(b, "\r\n"...))
}

// appendSessionID appends the 32 hex digits of a session id.
func appendSessionID(dst []byte, id [16]byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range id {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// parseSessionID reads the 32 hex digits of a session id.
func parseSessionID(b []byte) (id [16]byte, ok bool) {
	if len(b) != 32 {
		return id, false
	}
	for i := range id {
		hi, lo := unhex(b[2*i]), unhex(b[2*i+1])
		if hi|lo > 15 {
			return id, false
		}
		id[i] = hi<<4 | lo
	}
	return id, true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// retryAfter is for clients that were turned away because the server is full.
var retryAfter = "Retry-After: " + strconv.Itoa(5) + "\r\n"

// retrySoon is for clients whose session is on its way to where they asked, or
// from there.
const retrySoon = "Retry-After: 1\r\n"
