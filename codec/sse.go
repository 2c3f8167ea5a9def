package codec

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Server-Sent Events, WHATWG HTML 9.2.5. An event is a block of lines behind
// which stands a blank one:
//
//	id: <id>
//	event: <name>
//	data: <one line of the data>      once per line
//
// The stream is UTF-8 and its lines end with LF here. A space follows each
// colon, for a reader takes one away.

// AppendEvent appends one event. id and event are left out when empty; CR, LF
// and NUL in them are dropped, for they would end the field, or make a reader
// ignore it. data may hold newlines: the reader gets it back with each CR, LF or
// CRLF as LF. Empty data makes an empty data field, which a reader takes for an
// event, as the priming event of an MCP stream has to be.
func AppendEvent(dst []byte, id, event string, data []byte) []byte {
	if id != "" {
		dst = appendField(append(dst, "id: "...), id)
	}
	if event != "" {
		dst = appendField(append(dst, "event: "...), event)
	}
	// Data without CR, nearly all there is, is cut by the faster search. Both
	// are linear: neither looks past the line it finds.
	next := nextLF
	if bytes.IndexByte(data, '\r') >= 0 {
		next = nextLineEnd
	}
	for more := true; more; {
		var line []byte
		line, data, more = next(data)
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// AppendComment appends a comment, which readers ignore and which keeps proxies
// from taking a quiet stream for a dead one. CR, LF and NUL in it are dropped.
func AppendComment(dst []byte, text string) []byte {
	return append(appendField(append(dst, ": "...), text), '\n')
}

// AppendRetry appends how long a reader should wait, in whole milliseconds,
// before it comes back when the stream has ended. A negative wait says 0.
func AppendRetry(dst []byte, wait time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(wait.Milliseconds(), 0), 10)
	return append(dst, "\n\n"...)
}

// appendField appends the value of a field that has one line, and the line end.
func appendField(dst []byte, value string) []byte {
	for {
		i := strings.IndexAny(value, "\r\n\x00")
		if i < 0 {
			dst = append(dst, value...)
			return append(dst, '\n')
		}
		dst = append(dst, value[:i]...)
		value = value[i+1:]
	}
}

// nextLF cuts s at its first LF. more is false when there is none.
func nextLF(s []byte) (line, rest []byte, more bool) {
	return bytes.Cut(s, []byte{'\n'})
}

// nextLineEnd cuts s at its first CR, LF or CRLF.
func nextLineEnd(s []byte) (line, rest []byte, more bool) {
	i := bytes.IndexAny(s, "\r\n")
	if i < 0 {
		return s, nil, false
	}
	rest = s[i+1:]
	if s[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return s[:i], rest, true
}
