package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// post returns a POST of one message to the endpoint.
func post(body string, headers ...string) string {
	return fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n%s\r\n%s",
		len(body), headerLines(headers), body)
}

func headerLines(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return strings.Join(headers, "\r\n") + "\r\n"
}

// response is a response read to its end.
type response struct {
	*http.Response
	body string
}

func (p *peer) response(method string) response {
	p.t.Helper()
	r, err := http.ReadResponse(p.br, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("read response: %v", err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatalf("read body: %v", err)
	}
	return response{r, string(b)}
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// begin opens a session and returns the header that names it.
func (p *peer) begin() string {
	p.t.Helper()
	p.send(post(initialize))
	r := p.response("POST")
	id := r.Header.Get("Mcp-Session-Id")
	if r.StatusCode != 200 || id == "" {
		p.t.Fatalf("initialize: %s %v", r.Status, r.Header)
	}
	p.send(post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "Mcp-Session-Id: "+id))
	if r := p.response("POST"); r.StatusCode != 202 {
		p.t.Fatalf("initialized: %s", r.Status)
	}
	return "Mcp-Session-Id: " + id
}

// testTools registers what the tests of this file call.
func testTools(t *testing.T, block <-chan struct{}) func(s *Server) {
	return func(s *Server) {
		for _, tool := range []mcp.Tool{
			{Name: "block", Handle: func(ctx context.Context, _ *mcp.Call) (*mcp.ToolResult, error) {
				select {
				case <-block:
				case <-ctx.Done():
				}
				return mcp.Text("unblocked"), nil
			}},
			{Name: "panic", Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) { panic("secret text") }},
			{Name: "inline", Inline: true, Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text("inline"), nil
			}},
			{Name: "worker", Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text(string(c.Arguments())), nil
			}},
		} {
			if err := s.MCP().AddTool(tool); err != nil {
				t.Error(err)
			}
		}
	}
}

func call(id int, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"n":%d}}}`, id, tool, id)
}

func TestHTTPElsewhere(t *testing.T) {
	tests := []struct {
		name, in, method string
		status           int
		body             bool
		closes           bool
	}{
		{"unknown path", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 404, true, false},
		{"endpoint with more behind", "GET /mcp/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 404, true, false},
		{"query on another path", "GET /mcpx?y HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 404, true, false},
		{"head", "HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD", 404, false, false},
		{"options *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS", 204, false, false},
		{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET", 404, true, true},
		{"1.0", "GET / HTTP/1.0\r\n\r\n", "GET", 404, true, true},
		{"1.0 kept", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", 404, true, false},
		{"ready", "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 200, true, false},
		{"ready, head", "HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD", 200, false, false},
		{"ready, 1.0", "GET /readyz HTTP/1.0\r\n\r\n", "GET", 200, true, true},
		{"ready, post", "POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST", 405, true, false},
		{"endpoint, head", "HEAD /mcp HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD", 405, false, false},
		{"endpoint, put", "PUT /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "PUT", 405, false, false},
		{"endpoint, preflight", "OPTIONS /mcp HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS", 204, false, false},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, nil)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.HTTPAddr())
				p.send(tt.in)
				r := p.response(tt.method)
				if r.StatusCode != tt.status || (r.body != "") != tt.body {
					t.Errorf("got %s %q", r.Status, r.body)
				}
				if tt.closes {
					if got := p.rest(); got != "" {
						t.Errorf("behind it: %q", got)
					}
					return
				}
				p.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if r := p.response("GET"); r.StatusCode != 404 {
					t.Errorf("the next request: %s", r.Status)
				}
			})
		}
	})
}

// hostileRequests are refused: a status, then the connection closes.
var hostileRequests = []struct {
	name, in string
	status   int
}{
	{"noise", "\x16\x03\x01\x02\x00\x01\x00", 400},
	{"JSON without HTTP", initialize + "\r\n\r\n", 400},
	{"two lengths", "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
	{"length and chunks", "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"space before colon", "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400},
	{"chunk size with a sign", "POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400},
	{"unknown coding", "POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"no host", "GET /mcp HTTP/1.1\r\n\r\n", 400},
	{"bare newlines", "GET /mcp HTTP/1.1\nHost: x\n\n", 400},
	{"version 2", "GET /mcp HTTP/2.0\r\nHost: x\r\n\r\n", 505},
	{"line too long", "GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
	{"too many headers", "GET /mcp HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", 431},
	{"body too large", "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413},
	{"unknown expectation", "POST /mcp HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417},
}

func TestHTTPHostile(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, nil)
		other := dial(t, s.HTTPAddr())
		session := other.begin()
		for _, tt := range hostileRequests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.HTTPAddr())
				p.send(tt.in)
				if r := p.response("GET"); r.StatusCode != tt.status || !r.Close {
					t.Errorf("got %s, close %v: %s", r.Status, r.Close, r.body)
				}
				if got := p.rest(); got != "" {
					t.Errorf("behind it: %q", got)
				}
				other.send(post(`{"jsonrpc":"2.0","id":2,"method":"ping"}`, session))
				if r := other.response("POST"); r.StatusCode != 200 {
					t.Errorf("another client: %s %s", r.Status, r.body)
				}
			})
		}
		if n := s.metrics.malformedRequests.Get(); n != uint64(len(hostileRequests)) {
			t.Errorf("%d malformed requests counted, want %d", n, len(hostileRequests))
		}
	})
}

func TestHTTPContinue(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, nil)
		p := dial(t, s.HTTPAddr())
		m := post(initialize, "Expect: 100-continue")
		head, body, _ := strings.Cut(m, "\r\n\r\n")
		p.send(head + "\r\n\r\n")
		if got := p.line(); got != "HTTP/1.1 100 Continue\r" {
			t.Fatalf("got %q", got)
		}
		p.line()
		p.send(body)
		if r := p.response("POST"); r.StatusCode != 200 {
			t.Errorf("got %s", r.Status)
		}
	})
}

// TestHTTPPipelined sends many requests at once; responses come in order
// though every other one waits for a worker and one of them blocks.
func TestHTTPPipelined(t *testing.T) {
	const n = 60
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		s := startServer(t, o, testTools(t, block))
		p := dial(t, s.HTTPAddr())
		session := p.begin()
		var in strings.Builder
		in.WriteString(post(call(0, "block"), session))
		for i := 1; i < n; i++ {
			in.WriteString(post(call(i, []string{"inline", "worker", "panic"}[i%3]), session))
		}
		in.WriteString("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
		in.WriteString(post(`{"jsonrpc":"2.0","method":"notifications/progress"}`, session))
		in.WriteString("BAD\r\n\r\n")
		p.send(in.String())
		close(block)
		for i := range n {
			r := p.response("POST")
			if r.StatusCode != 200 || !strings.Contains(r.body, fmt.Sprintf(`"id":%d,`, i)) {
				t.Fatalf("response %d: %s %s", i, r.Status, r.body)
			}
			if strings.Contains(r.body, "secret") {
				t.Errorf("leaks: %s", r.body)
			}
		}
		for _, want := range []int{404, 202, 400} {
			if r := p.response("POST"); r.StatusCode != want {
				t.Errorf("got %s, want %d", r.Status, want)
			}
		}
		if got := p.rest(); got != "" {
			t.Errorf("behind the refused one: %q", got)
		}
	})
}

// TestHTTPBehindClose: what is pipelined behind a request that closes the
// connection is not served, whether the close comes from the loop or a worker.
func TestHTTPBehindClose(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		s := startServer(t, o, testTools(t, nil))
		for _, tool := range []string{"inline", "worker"} {
			p := dial(t, s.HTTPAddr())
			session := p.begin()
			p.send(post(call(1, tool), session, "Connection: close") + post(call(2, tool), session))
			if r := p.response("POST"); r.StatusCode != 200 || !r.Close {
				t.Errorf("%s: %s, close %v", tool, r.Status, r.Close)
			}
			if got := p.rest(); got != "" {
				t.Errorf("%s: %q", tool, got)
			}
		}
		eventually(t, "closes are counted as ordinary", func() bool { return s.Stats().Loop.Closed[loop.ReasonDone] == 2 })
	})
}

var testResource = mcp.Resource{URI: "a:b", Name: "x", Read: func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
	return []mcp.ResourceContents{{URI: "a:b", Text: "text"}}, nil
}}

// openStream opens the session's stream on a connection of its own.
func openStream(t *testing.T, s *Server, session string) *peer {
	t.Helper()
	p := dial(t, s.HTTPAddr())
	p.send("GET /mcp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n" + session + "\r\n\r\n")
	if got := p.line(); got != "HTTP/1.1 200 OK\r" {
		t.Fatalf("stream: %q", got)
	}
	return p
}

// until reads lines until one contains text, and returns that.
func (p *peer) until(text string) string {
	p.t.Helper()
	for {
		if line := p.line(); strings.Contains(line, text) {
			return line
		}
	}
}

func TestHTTPStream(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Loop.KeepAlive, o.Loop.TickEvery = 50*time.Millisecond, 10*time.Millisecond
		s := startServer(t, o, testTools(t, nil))
		if err := s.MCP().AddResource(testResource); err != nil {
			t.Fatal(err)
		}
		p := dial(t, s.HTTPAddr())
		session := p.begin()
		stream := openStream(t, s, session)
		eventually(t, "held", func() bool { return s.Stats().Loop.Held == 1 })
		p.send(post(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`, session))
		if r := p.response("POST"); r.StatusCode != 200 || strings.Contains(r.body, "error") {
			t.Fatalf("subscribe: %s %s", r.Status, r.body)
		}
		if n := s.MCP().ResourceUpdated("a:b"); n != 1 {
			t.Errorf("delivered to %d", n)
		}
		stream.until(`"method":"notifications/resources/updated","params":{"uri":"a:b"}`)
		stream.until(":") // a comment keeps it alive
		stream.c.Close()
		eventually(t, "not held", func() bool { return s.Stats().Loop.Held == 0 })
		if n := s.MCP().ResourceUpdated("a:b"); n != 1 || s.Stats().MCP.Kept != 1 {
			t.Errorf("told %d, kept for %d, want 1: the client may come back", n, s.Stats().MCP.Kept)
		}
	})
}
