package wire

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// HeadMax and BodyMax bound what a server may make us keep.
const (
	HeadMax = 16 << 10
	BodyMax = 1 << 20
)

// Response is one HTTP/1.1 response as far as it has arrived. It is our own
// reader, deliberately not net/http's: strict, small, and made to be fed by an
// event loop. The zero value waits for a status line.
type Response struct {
	Status  int
	Session string        // Mcp-Session-Id
	Events  bool          // the body is an event stream
	Close   bool          // the server closes after this response
	After   time.Duration // Retry-After
	Body    []byte        // decoded; reused by Reset
	Head    bool          // the head is complete
	Done    bool          // the body is complete
	chunked bool
	open    bool // only the end of the connection ends the body
	left    int  // bytes missing of the body or of the chunk
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

// Reset makes r ready for the next response and keeps the body's memory.
func (r *Response) Reset() { *r = Response{Body: r.Body[:0]} }

// Feed takes in, bytes as they came, and returns how many it used; the rest
// must be offered again with more behind it. Once r.Done it uses nothing.
func (r *Response) Feed(in []byte) (used int, err error) {
	if !r.Head {
		n, err := r.feedHead(in)
		if n == 0 || err != nil {
			return 0, err
		}
		used = n
	}
	for !r.Done {
		n, err := r.feedBody(in[used:])
		if err != nil {
			return used, err
		}
		if n == 0 && !r.Done {
			return used, nil
		}
		used += n
		if len(r.Body) > BodyMax {
			return used, fmt.Errorf("a response of more than %d bytes", BodyMax)
		}
	}
	return used, nil
}

// Stream returns the response of an event stream at rest, so that who holds very
// many streams keeps one bit for each of them instead of a Response.
func Stream(chunked bool) Response {
	return Response{Status: http.StatusOK, Events: true, Head: true, chunked: chunked, open: !chunked}
}

// Resting reports whether r is a stream between two chunks with an empty Body,
// which is all that Stream(chunked) knows.
func (r *Response) Resting() (chunked, ok bool) {
	return r.chunked, r.Head && !r.Done && r.Events && len(r.Body) == 0 && (r.open || r.chunked && r.chunk == chunkSize)
}

func (r *Response) feedHead(in []byte) (int, error) {
	end := bytes.Index(in, headEnd)
	if end < 0 {
		if len(in) > HeadMax {
			return 0, fmt.Errorf("a response head of more than %d bytes", HeadMax)
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

func (r *Response) statusLine(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 {
		return fmt.Errorf("%q is no HTTP/1.1 status line", Clip(line))
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < 100 || status > 599 {
		return fmt.Errorf("%q is no HTTP/1.1 status line", Clip(line))
	}
	r.Status = status
	return nil
}

func (r *Response) header(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("%q is no header", Clip(line))
	}
	value = bytes.Trim(value, " \t")
	is := func(want string) bool { return len(name) == len(want) && bytes.EqualFold(name, []byte(want)) }
	switch {
	case is("Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || (r.left >= 0 && r.left != int(n)) {
			return fmt.Errorf("Content-Length %q is no length", Clip(value))
		}
		r.left = int(n)
	case is("Transfer-Encoding"):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return fmt.Errorf("Transfer-Encoding %q is unknown", Clip(value))
		}
		r.chunked = true
	case is("Content-Type"):
		r.Events = bytes.HasPrefix(value, []byte("text/event-stream"))
	case is("Connection"):
		r.Close = bytes.EqualFold(value, []byte("close"))
	case is("Mcp-Session-Id"):
		r.Session = string(value)
	case is("Retry-After"):
		seconds, err := strconv.ParseUint(string(value), 10, 16)
		if err != nil {
			return fmt.Errorf("Retry-After %q is no number of seconds", Clip(value))
		}
		r.After = time.Duration(seconds) * time.Second
	}
	return nil
}

// framing decides how the body ends (RFC 9112, 6.3).
func (r *Response) framing() error {
	r.Head = true
	switch {
	case r.chunked && r.left >= 0:
		return errors.New("a response with both Content-Length and Transfer-Encoding")
	case r.Status < 200 || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified:
		r.Done = true
	case r.chunked:
	case r.left == 0:
		r.Done = true
	case r.left < 0 && r.Events:
		r.open = true
	case r.left < 0:
		return fmt.Errorf("a response (status %d) whose end only a close can tell", r.Status)
	}
	return nil
}

func (r *Response) feedBody(in []byte) (int, error) {
	if r.open {
		r.Body = append(r.Body, in...)
		return len(in), nil
	}
	if !r.chunked || r.chunk == chunkData {
		n := min(len(in), r.left)
		r.Body = append(r.Body, in[:n]...)
		if r.left -= n; r.left == 0 {
			r.Done, r.chunk = !r.chunked, chunkDataEnd
		}
		return n, nil
	}
	line, _, ok := bytes.Cut(in, crlf)
	if !ok {
		if len(in) > HeadMax {
			return 0, errors.New("a chunk head without end")
		}
		return 0, nil
	}
	return len(line) + len(crlf), r.chunkLine(line)
}

// chunkLine takes a line between the data of chunks.
func (r *Response) chunkLine(line []byte) error {
	switch {
	case bytes.ContainsAny(line, "\r\n"):
		return errors.New("a chunk head with a bare CR or LF")
	case r.chunk == chunkTrailer:
		r.Done = len(line) == 0
	case r.chunk == chunkDataEnd && len(line) > 0:
		return fmt.Errorf("%q behind the data of a chunk", Clip(line))
	case r.chunk == chunkDataEnd:
		r.chunk = chunkSize
	default:
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(digits), 16, 31)
		if err != nil {
			return fmt.Errorf("%q is no size of a chunk", Clip(line))
		}
		r.left, r.chunk = int(n), chunkData
		if n == 0 {
			r.chunk = chunkTrailer
		}
	}
	return nil
}

// Message returns the JSON-RPC message of a complete response: its body, or
// the last event of its stream that has data.
func (r *Response) Message() ([]byte, error) {
	if r.Status != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d: %s", r.Status, Clip(bytes.TrimSpace(r.Body)))
	}
	if !r.Events {
		return r.Body, nil
	}
	var last []byte
	for data := range EventData(r.Body) {
		last = data
	}
	if last == nil {
		return nil, fmt.Errorf("an event stream without a message: %q", Clip(r.Body))
	}
	return last, nil
}

// EventData yields the data of each complete event in stream that has any
// (WHATWG HTML 9.2). Servers here write one data line an event.
func EventData(stream []byte) iter.Seq[[]byte] {
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

// Event is one event of a stream. Its slices are parts of the stream.
type Event struct {
	ID    []byte        // nil: it has none
	Data  []byte        // of its last data line
	Retry time.Duration // 0: not said
}

// NextEvent reads the first event in stream and returns how long it is; 0: no
// event is complete. An event may be a comment alone.
func NextEvent(stream []byte) (e Event, length int) {
	for length < len(stream) {
		end := bytes.IndexByte(stream[length:], '\n')
		if end < 0 {
			break
		}
		line := bytes.TrimSuffix(stream[length:length+end], crlf[:1])
		length += end + 1
		if len(line) == 0 {
			return e, length
		}
		if value, ok := field(line, "data:"); ok {
			e.Data = value
		} else if value, ok := field(line, "id:"); ok {
			e.ID = value
		} else if value, ok := field(line, "retry:"); ok {
			if n, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				e.Retry = time.Duration(n) * time.Millisecond
			}
		}
	}
	return Event{}, 0
}

func field(line []byte, name string) ([]byte, bool) {
	value, ok := bytes.CutPrefix(line, []byte(name))
	return bytes.TrimPrefix(value, []byte(" ")), ok
}
