package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// session is an MCP client written out, for what the official clients hide:
// which stream a message came on, under which id.
type session struct {
	t    *testing.T
	url  string
	id   string        // Mcp-Session-Id
	next atomic.Uint64 // id of the latest request
}

// newSession opens a session of 2025-11-25.
func newSession(t *testing.T, url string) *session {
	t.Helper()
	s := &session{t: t, url: url}
	status, head, body, err := s.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
	s.id = head.Get("Mcp-Session-Id")
	if err != nil || status != http.StatusOK || s.id == "" || !bytes.Contains(body, []byte(`"result"`)) {
		t.Fatalf("initialize: status %d, %v, session %q, %s", status, err, s.id, body)
	}
	status, _, _, err = s.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err != nil || status != http.StatusAccepted {
		t.Fatalf("initialized: status %d, %v", status, err)
	}
	return s
}

// request prepares an HTTP request of the session.
func (s *session) request(method string, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url, body)
	if err != nil {
		panic(err) // method and URL are ours
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	if s.id != "" {
		req.Header.Set("Mcp-Session-Id", s.id)
	}
	return req
}

// post sends one message and returns the response with its whole body.
func (s *session) post(message string) (status int, head http.Header, body []byte, err error) {
	r, err := http.DefaultClient.Do(s.request(http.MethodPost, strings.NewReader(message)))
	if err != nil {
		return 0, nil, nil, err
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	return r.StatusCode, r.Header, body, err
}

// ask sends a request and returns its result from a JSON response.
func (s *session) ask(method, params string) (json.RawMessage, error) {
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, s.next.Add(1), method, params)
	status, _, body, err := s.post(message)
	if err != nil {
		return nil, err
	}
	var reply struct{ Result json.RawMessage }
	if err := json.Unmarshal(body, &reply); err != nil || reply.Result == nil {
		return nil, fmt.Errorf("%s: status %d, %s", message, status, body)
	}
	return reply.Result, nil
}

// call is ask for one that must go well.
func (s *session) call(method, params string) json.RawMessage {
	s.t.Helper()
	result, err := s.ask(method, params)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *session) subscribe(uri string) {
	s.t.Helper()
	s.call("resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri))
}

// tryTouch changes a resource of the demo.
func (s *session) tryTouch(uri string) error {
	_, err := s.ask("tools/call", fmt.Sprintf(`{"name":"touch","arguments":{"uri":%q}}`, uri))
	return err
}

func (s *session) touch(uri string) {
	s.t.Helper()
	if err := s.tryTouch(uri); err != nil {
		s.t.Fatal(err)
	}
}

// event is one event of a stream; comments are skipped.
type event struct {
	id, data, retry string
}

// message is what a test looks at in a JSON-RPC message.
type message struct {
	ID     json.RawMessage
	Method string
	Params struct {
		URI           string
		Progress      float64
		ProgressToken string
		Meta          map[string]json.RawMessage `json:"_meta"`
	}
	Result json.RawMessage
}

// sse is an open stream of events on a connection of its own.
type sse struct {
	t      *testing.T
	conn   net.Conn
	body   io.ReadCloser
	events *bufio.Reader
}

// open sends a GET, with lastEventID unless that is "", and returns the stream
// or, if the status is not 200, nil.
func (s *session) open(lastEventID string) (*sse, int) {
	s.t.Helper()
	req := s.request(http.MethodGet, nil)
	req.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	return openSSE(s.t, req)
}

// resume is open for one that must go well.
func (s *session) resume(lastEventID string) *sse {
	s.t.Helper()
	st, status := s.open(lastEventID)
	if st == nil {
		s.t.Fatalf("GET after %q: status %d", lastEventID, status)
	}
	return st
}

// openSSE sends req on a new connection.
func openSSE(t *testing.T, req *http.Request) (*sse, int) {
	t.Helper()
	return openOn(t, &http.Transport{DisableKeepAlives: true, DialContext: new(net.Dialer).DialContext}, req)
}

// openOn sends req on the connection that transport dials.
func openOn(t *testing.T, transport *http.Transport, req *http.Request) (*sse, int) {
	t.Helper()
	st := &sse{t: t}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		st.conn = c
		return c, err
	}
	r, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		r.Body.Close()
		return nil, r.StatusCode
	}
	if err := st.conn.SetReadDeadline(time.Now().Add(stepPatience)); err != nil {
		t.Fatal(err)
	}
	st.body, st.events = r.Body, bufio.NewReader(r.Body)
	return st, r.StatusCode
}

// cut breaks the connection the hard way: with a reset, as a lost network does.
func (st *sse) cut() {
	st.t.Helper()
	if tcp, ok := st.conn.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			st.t.Fatal(err)
		}
	}
	if err := st.conn.Close(); err != nil {
		st.t.Fatal(err)
	}
}

// read returns the next event; io.EOF where the server ended the stream.
func (st *sse) read() (event, error) {
	var e event
	for seen := false; ; {
		line, err := st.events.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n" && seen:
			return e, nil
		case name == "id":
			e.id, seen = value, true
		case name == "data":
			e.data, seen = value, true
		case name == "retry":
			e.retry, seen = value, true
		}
	}
}

// event returns the next event.
func (st *sse) event() event {
	st.t.Helper()
	e, err := st.read()
	if err != nil {
		st.t.Fatalf("the stream broke off: %v", err)
	}
	return e
}

// message returns the next event that carries a message, and its id.
func (st *sse) message() (m message, id string) {
	st.t.Helper()
	e := st.event()
	for e.data == "" {
		e = st.event()
	}
	if err := json.Unmarshal([]byte(e.data), &m); err != nil {
		st.t.Fatalf("%v in %s", err, e.data)
	}
	return m, e.id
}

// rest returns the methods of what else arrives until nothing does for a while,
// or the stream ends; an event that only asks for a time to wait is none.
func (st *sse) rest() (methods []string) {
	st.t.Helper()
	for {
		if err := st.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			st.t.Fatal(err)
		}
		e, err := st.read()
		if err != nil {
			return methods
		}
		if e.data == "" {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			st.t.Fatalf("%v in %s", err, e.data)
		}
		methods = append(methods, m.Method)
	}
}

// quiet requires that nothing more arrives for a while.
func (st *sse) quiet() {
	st.t.Helper()
	if more := st.rest(); len(more) > 0 {
		st.t.Errorf("too many events: %v", more)
	}
}
