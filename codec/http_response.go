package codec

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Lengths of a Response that are not a number of bytes.
const (
	LengthChunked    = -1 // chunks follow; until close for an HTTP/1.0 client
	LengthUntilClose = -2 // the body ends with the connection
)

// Response is the head of a response. The zero value of each field but Status
// is useful.
type Response struct {
	Status      int
	Proto10     bool   // the request was HTTP/1.0
	Close       bool   // the connection is closed behind this response
	Length      int    // bytes of the body, LengthChunked or LengthUntilClose
	ContentType string // left out when empty
	Date        string // see DateClock; left out when empty
	Extra       []byte // further header lines, each with its CRLF; see AppendHeader
}

// Closes reports whether the connection must be closed behind the response,
// because it was asked for or because nothing else can end the body.
func (r *Response) Closes() bool {
	return r.Close || r.untilClose()
}

// Chunked reports whether the body is to be sent in chunks. An HTTP/1.0 client
// does not know them: it gets the bytes as they are, until the connection is
// closed (RFC 9112 6.3).
func (r *Response) Chunked() bool {
	return r.Length == LengthChunked && !r.Proto10 && r.hasBody()
}

func (r *Response) untilClose() bool {
	return r.Length < 0 && !r.Chunked() && r.hasBody()
}

// hasBody reports whether a response of this status may have a body.
func (r *Response) hasBody() bool {
	return r.Status >= 200 && r.Status != 204 && r.Status != 304
}

// AppendResponse appends the head r describes, its blank line included. The
// status line says HTTP/1.1 to clients of HTTP/1.0 too (RFC 9110 2.5). Responses
// that have no body by their status (1xx, 204, 304) get no framing header. A
// response to HEAD is described like the one to GET; its body is just not sent.
//
// ContentType, Date and Extra are copied as they are: what comes from outside
// must go through AppendHeader.
func AppendResponse(dst []byte, r *Response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	if uint(r.Status) < uint(len(statusTexts)) {
		dst = append(dst, statusTexts[r.Status]...)
	}
	dst = append(dst, "\r\n"...)
	if r.Date != "" {
		dst = append(dst, "Date: "...)
		dst = append(dst, r.Date...)
		dst = append(dst, "\r\n"...)
	}
	if r.ContentType != "" {
		dst = append(dst, "Content-Type: "...)
		dst = append(dst, r.ContentType...)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case !r.hasBody():
	case r.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(r.Length), 10)
		dst = append(dst, "\r\n"...)
	case r.Chunked():
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case r.Status < 200:
	case r.Closes():
		dst = append(dst, "Connection: close\r\n"...)
	case r.Proto10:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = append(dst, r.Extra...)
	return append(dst, "\r\n"...)
}

// AppendContinue appends the interim response a waiting client wants before it
// sends its body; see ParseRequest.
func AppendContinue(dst []byte) []byte {
	return append(dst, "HTTP/1.1 100 Continue\r\n\r\n"...)
}

// AppendHeader appends one header line. Bytes that no value may hold, line ends
// above all, become spaces, so that a value from outside cannot add lines. name
// is the program's own.
func AppendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	from := len(dst)
	dst = append(dst, value...)
	for i, c := range dst[from:] {
		if byteClass[c]&classValue == 0 {
			dst[from+i] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// statusTexts holds the reason phrases, which clients ignore (RFC 9112 4), of what
// parts of the server send. Others have none.
var statusTexts = [600]string{
	100: "Continue",
	200: "OK",
	201: "Created",
	202: "Accepted",
	204: "No Content",
	304: "Not Modified",
	400: "Bad Request",
	401: "Unauthorized",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	406: "Not Acceptable",
	408: "Request Timeout",
	409: "Conflict",
	411: "Length Required",
	413: "Content Too Large",
	414: "URI Too Long",
	415: "Unsupported Media Type",
	417: "Expectation Failed",
	421: "Misdirected Request",
	429: "Too Many Requests",
	431: "Request Header Fields Too Large",
	500: "Internal Server Error",
	501: "Not Implemented",
	503: "Service Unavailable",
	505: "HTTP Version Not Supported",
}

// DateClock makes the text of Date headers (IMF-fixdate, RFC 9110 5.6.7), once a
// second. The zero value is ready; it is safe for concurrent use and never
// blocks.
type DateClock struct {
	last atomic.Pointer[dateText]
}

// dateText is immutable.
type dateText struct {
	second int64
	text   string
}

// At returns the text for the second t lies in. It allocates only when that is
// not the second of the call before.
func (c *DateClock) At(t time.Time) string {
	second := t.Unix()
	if d := c.last.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dateText{second, t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	c.last.Store(d)
	return d.text
}
