package bench

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// headMax and bodyMax bound what a server may make us keep.
const (
	headMax = 16 << 10
	bodyMax = 1 << 20
)

// response is one HTTP/1.1 response as far as it has arrived. It is our own
// reader, deliberately not net/http's: strict, small, and made to be fed by an
// event loop. The zero value waits for a status line.
type response struct {
	status  int
	session string        // Mcp-Session-Id
	events  bool          // the body is an event stream
	close   bool          // the server closes after this response
	after   time.Duration // Retry-After
	body    []byte        // decoded; reused by reset
	head    bool          // the head is complete
	done    bool          // the body is complete
	chunked bool
	left    int // bytes missing of the body or of the chunk
	chunk   chunkPart
}

// chunkPart says what a chunked body expects next:
// size → data → dataEnd → size … → trailer (after size 0).
type chunkPart uint8

const (
	chunkSize chunkPart = iota
	chunkData
	chunkDataEnd
	chunkTrailer
)

var (
	crlf    = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
)

// reset makes r ready for the next response and keeps the body's memory.
func (r *response) reset() { *r = response{body: r.body[:0]} }

// feed takes in, bytes as they came, and returns how many it used; the rest
// must be offered again with more behind it. Once r.done it uses nothing.
func (r *response) feed(in []byte) (used int, err error) {
	if !r.head {
		n, err := r.feedHead(in)
		if n == 0 || err != nil {
			return 0, err
		}
		used = n
	}
	for !r.done {
		n, err := r.feedBody(in[used:])
		if err != nil {
			return used, err
		}
		if n == 0 && !r.done {
			return used, nil
		}
		used += n
		if len(r.body) > bodyMax {
			return used, fmt.Errorf("a response of more than %d bytes", bodyMax)
		}
	}
	return used, nil
}

func (r *response) feedHead(in []byte) (int, error) {
	end := bytes.Index(in, headEnd)
	if end < 0 {
		if len(in) > headMax {
			return 0, fmt.Errorf("a response head of more than %d bytes", headMax)
		}
		return 0, nil
	}
	if n := bytes.Count(in[:end], crlf); bytes.Count(in[:end], crlf[1:]) != n || bytes.Count(in[:end], crlf[:1]) != n {
		return 0, errors.New("a response head with a bare CR or LF")
	}
	line, rest, _ := bytes.Cut(in[:end], crlf)
	if err := r.statusLine(line); err != nil {
		return 0, err
	}
	r.left = -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, crlf)
		if err := r.header(line); err != nil {
			return 0, err
		}
	}
	return end + len(headEnd), r.framing()
}

func (r *response) statusLine(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return fmt.Errorf("%q is no HTTP/1.1 status line", clip(line))
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < 100 || status > 599 {
		return fmt.Errorf("%q is no HTTP/1.1 status line", clip(line))
	}
	r.status = status
	return nil
}

func (r *response) header(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("%q is no header", clip(line))
	}
	value = bytes.Trim(value, " \t")
	is := func(want string) bool { return len(name) == len(want) && bytes.EqualFold(name, []byte(want)) }
	switch {
	case is("Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || (r.left >= 0 && r.left != int(n)) {
			return fmt.Errorf("Content-Length %q is no length", clip(value))
		}
		r.left = int(n)
	case is("Transfer-Encoding"):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return fmt.Errorf("Transfer-Encoding %q is unknown", clip(value))
		}
		r.chunked = true
	case is("Content-Type"):
		r.events = bytes.HasPrefix(value, []byte("text/event-stream"))
	case is("Connection"):
		r.close = bytes.EqualFold(value, []byte("close"))
	case is("Mcp-Session-Id"):
		r.session = string(value)
	case is("Retry-After"):
		seconds, err := strconv.ParseUint(string(value), 10, 16)
		if err != nil {
			return fmt.Errorf("Retry-After %q is no number of seconds", clip(value))
		}
		r.after = time.Duration(seconds) * time.Second
	}
	return nil
}

// framing decides how the body ends (RFC 9112, 6.3).
func (r *response) framing() error {
	r.head = true
	switch {
	case r.chunked && r.left >= 0:
		return errors.New("a response with both Content-Length and Transfer-Encoding")
	case r.status < 200 || r.status == http.StatusNoContent || r.status == http.StatusNotModified:
		r.done = true
	case r.chunked:
	case r.left == 0:
		r.done = true
	case r.left < 0 && r.events:
		r.left = bodyMax // until the connection closes; more is refused by feed
	case r.left < 0:
		return fmt.Errorf("a response (status %d) whose end only a close can tell", r.status)
	}
	return nil
}

func (r *response) feedBody(in []byte) (int, error) {
	if !r.chunked || r.chunk == chunkData {
		n := min(len(in), r.left)
		r.body = append(r.body, in[:n]...)
		if r.left -= n; r.left == 0 {
			r.done, r.chunk = !r.chunked, chunkDataEnd
		}
		return n, nil
	}
	line, _, ok := bytes.Cut(in, crlf)
	if !ok {
		if len(in) > headMax {
			return 0, errors.New("a chunk head without end")
		}
		return 0, nil
	}
	return len(line) + len(crlf), r.chunkLine(line)
}

// chunkLine takes a line between the data of chunks.
func (r *response) chunkLine(line []byte) error {
	switch {
	case bytes.ContainsAny(line, "\r\n"):
		return errors.New("a chunk head with a bare CR or LF")
	case r.chunk == chunkTrailer:
		r.done = len(line) == 0
	case r.chunk == chunkDataEnd && len(line) > 0:
		return fmt.Errorf("%q behind the data of a chunk", clip(line))
	case r.chunk == chunkDataEnd:
		r.chunk = chunkSize
	default:
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(digits), 16, 31)
		if err != nil {
			return fmt.Errorf("%q is no size of a chunk", clip(line))
		}
		r.left, r.chunk = int(n), chunkData
		if n == 0 {
			r.chunk = chunkTrailer
		}
	}
	return nil
}

// message returns the JSON-RPC message of a complete response: its body, or
// the last event of its stream that has data.
func (r *response) message() ([]byte, error) {
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d: %s", r.status, clip(bytes.TrimSpace(r.body)))
	}
	if !r.events {
		return r.body, nil
	}
	var last []byte
	for data := range eventData(r.body) {
		last = data
	}
	if last == nil {
		return nil, fmt.Errorf("an event stream without a message: %q", clip(r.body))
	}
	return last, nil
}

// eventData yields the data of each complete event in stream that has any
// (WHATWG HTML 9.2). Servers here write one data line an event.
func eventData(stream []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var data []byte
		for line := range bytes.Lines(stream) {
			if line[len(line)-1] != '\n' {
				return
			}
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				if len(data) > 0 && !yield(data) {
					return
				}
				data = nil
			} else if d, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				data = append(data, bytes.TrimPrefix(d, []byte(" "))...)
			}
		}
	}
}
