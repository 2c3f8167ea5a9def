package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// quickTicks makes keep-alives frequent.
func quickTicks(o Options) Options {
	o.Loop.KeepAlive, o.Loop.TickEvery = 50*time.Millisecond, 10*time.Millisecond
	return o
}

// fleetTools adds to testTools a tool whose response streams, one that asks its
// client, one that sends its client away, and a resource.
func fleetTools(t *testing.T, block chan struct{}) func(s *Server) {
	return func(s *Server) {
		testTools(t, block)(s)
		for _, tool := range []mcp.Tool{
			{Name: "stream", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				for i := range 3 {
					if err := c.Log(mcp.LevelWarning, "", fmt.Sprint("part ", i)); err != nil {
						return nil, err
					}
				}
				select {
				case <-block:
				case <-ctx.Done():
				}
				return mcp.Text("streamed"), nil
			}},
			{Name: "roots", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				roots, err := c.ListRoots(ctx)
				if err != nil {
					return nil, err
				}
				return mcp.Text(fmt.Sprint(len(roots), " roots")), nil
			}},
			{Name: "later", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				if err := c.CloseStream(time.Millisecond); err != nil {
					return nil, err
				}
				<-block
				return mcp.Text("later"), nil
			}},
			{Name: "large", Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text(strings.Repeat("large ", 1<<18)), nil
			}},
		} {
			if err := s.MCP().AddTool(tool); err != nil {
				t.Error(err)
			}
		}
		if err := s.MCP().AddResource(testResource); err != nil {
			t.Error(err)
		}
	}
}

// refOf returns the session that a header names, as a server knows it.
func refOf(t *testing.T, s *Server, header string) uint64 {
	t.Helper()
	id, ok := session.ParseID([]byte(strings.TrimPrefix(header, "Mcp-Session-Id: ")))
	ref, found := s.sessions.Find(id)
	if !ok || !found {
		t.Fatalf("no session %q here", header)
	}
	return uint64(ref)
}

// nothingLeft waits until no server has anything to do for another.
func nothingLeft(t *testing.T, servers []*Server) {
	t.Helper()
	eventually(t, "nothing is left", func() bool {
		for _, s := range servers {
			if s.cluster.forwards.len() != 0 || s.cluster.remotes.len() != 0 || s.cluster.foreign.running() != 0 || s.Stats().InFlight != 0 {
				return false
			}
		}
		return true
	})
}

// TestForwardRequests: all kinds of requests, sent to where the session is not.
func TestForwardRequests(t *testing.T) {
	tests := []struct {
		name, request, method string
		status                int
		body                  string
	}{
		{"on the loop", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, "POST", 200, `"id":7`},
		{"inline", call(8, "inline"), "POST", 200, "inline"},
		{"on a worker", call(9, "worker"), "POST", 200, `\"n\":9`},
		{"large", call(10, "large"), "POST", 200, strings.Repeat("large ", 1<<18)},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "POST", 202, ""},
		{"malformed", `{"jsonrpc":`, "POST", 400, "-32700"},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		_, servers := startFleet(t, 2, o, fleetTools(t, nil))
		id := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		for _, tt := range tests {
			p.send(post(tt.request, id))
			if r := p.response("POST"); r.StatusCode != tt.status || !strings.Contains(r.body, tt.body) {
				t.Errorf("%s: %s %.200s", tt.name, r.Status, r.body)
			}
		}
		// In pieces, with a trailer, and with the connection to be closed.
		body := call(11, "worker")
		p.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: X\r\n" + id + "\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\nX: y\r\n\r\n", 10, body[:10], len(body)-10, body[10:]))
		if r := p.response("POST"); !strings.Contains(r.body, `\"n\":11`) {
			t.Errorf("chunked: %s %s", r.Status, r.body)
		}
		p.send("DELETE /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + id + "\r\n\r\n")
		if r := p.response("DELETE"); r.StatusCode != 204 {
			t.Errorf("delete: %s", r.Status)
		}
		if got := p.rest(); got != "" {
			t.Errorf("behind it: %q", got)
		}
		p = dial(t, servers[1].HTTPAddr())
		p.send(post(call(12, "worker"), id) + getStream + id + "\r\n\r\n")
		for _, method := range []string{"POST", "GET"} {
			if r := p.response(method); r.StatusCode != 404 || !strings.Contains(r.body, "-32001") {
				t.Errorf("%s: an ended session: %s %s", method, r.Status, r.body)
			}
		}
		nothingLeft(t, servers)
	})
}

// TestForwardInTurn: requests behind one that was forwarded wait for it, and a
// notification among them takes effect at once.
func TestForwardInTurn(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		_, servers := startFleet(t, 2, o, fleetTools(t, block))
		there := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		here := dial(t, servers[1].HTTPAddr()).begin()
		p.send(post(call(1, "block"), there) + post(call(2, "worker"), here) +
			post(`{"jsonrpc":"2.0","id":3,"method":"ping"}`, here) + post(call(4, "worker"), there))
		eventually(t, "the first runs", func() bool { return servers[0].Stats().InFlight == 1 })
		p.send(post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, there) + post(call(5, "worker"), there))
		for i, want := range []string{"-32800", `"id":2`, `"id":3`, `"id":4`, "", `"id":5`} {
			if r := p.response("POST"); !strings.Contains(r.body, want) || i == 4 && r.StatusCode != 202 {
				t.Errorf("response %d: %s %s", i, r.Status, r.body)
			}
		}
		nothingLeft(t, servers)
	})
}

// TestForwardClientGone: the client goes while its request is away.
func TestForwardClientGone(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		_, servers := startFleet(t, 2, o, fleetTools(t, block))
		id := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		p.send(post(call(1, "stream"), id))
		event := strings.TrimPrefix(p.until("id: "), "id: ")
		if err := p.c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		p.c.Close()
		eventually(t, "nobody waits", func() bool { return servers[1].cluster.forwards.len() == 0 && servers[1].Stats().Loop.Open == 0 })
		close(block)
		nothingLeft(t, servers)
		again := dial(t, servers[1].HTTPAddr()) // the call went on
		again.send(getStream + id + "\r\nLast-Event-ID: " + event + "\r\n\r\n")
		again.until("streamed")
		again.until("0")
		nothingLeft(t, servers)
	})
}

// TestForwardRefused: what is said of sessions that cannot be reached.
func TestForwardRefused(t *testing.T) {
	tests := []struct {
		why    cluster.Refusal
		status int
		retry  string
	}{
		{cluster.RefusedUnknown, 404, ""},
		{cluster.RefusedUnavailable, 503, "1"},
		{cluster.RefusedBusy, 503, "1"},
		{cluster.RefusedLost, 502, ""},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		fleet, servers := startFleet(t, 1, o, nil)
		const id = "Mcp-Session-Id: 00000000000000000000000000000001"
		refuse := func(why cluster.Refusal) {
			c := fleet.cores[0]
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refuse = why
		}
		p := dial(t, servers[0].HTTPAddr())
		for _, tt := range tests {
			for _, in := range []struct{ method, request string }{
				{"POST", post(call(7, "t"), id)}, {"GET", getStream + id + "\r\n\r\n"},
				{"DELETE", "DELETE /mcp HTTP/1.1\r\nHost: x\r\n" + id + "\r\n\r\n"},
			} {
				refuse(tt.why)
				p.send(in.request)
				r := p.response(in.method)
				if r.StatusCode != tt.status || r.Header.Get("Retry-After") != tt.retry || !strings.Contains(r.body, `"error"`) {
					t.Errorf("%s refused for %d: %s %v %s", in.method, tt.why, r.Status, r.Header, r.body)
				}
			}
		}
		for _, method := range []string{"GET", "DELETE"} {
			q := dial(t, servers[0].HTTPAddr())
			refuse(cluster.RefusedBusy)
			q.send(method + " /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + id + "\r\n\r\n")
			if r := q.response(method); r.StatusCode != 503 || !r.Close {
				t.Errorf("%s: %s", method, r.Status)
			}
			q.rest()
		}
		nothingLeft(t, servers)
	})
}

// TestLateForward: a request reaches its worker after its session has moved.
func TestLateForward(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		fleet, servers := startFleet(t, 2, o, fleetTools(t, block))
		p := dial(t, servers[0].HTTPAddr())
		id, other := p.begin(), dial(t, servers[0].HTTPAddr()).begin()
		p.send(post(call(1, "block"), other) + post(call(2, "worker"), id) + getStream + id + "\r\n\r\n")
		eventually(t, "they wait", func() bool { return servers[0].Stats().InFlight == 1 && servers[0].Stats().Loop.Held == 1 })
		moved := make(chan bool)
		fleet.cores[0].inbox <- func() { moved <- fleet.cores[0].handOver(refOf(t, servers[0], id), 2) }
		if !<-moved {
			t.Fatal("not moved")
		}
		eventually(t, "it is at home there", func() bool { return isHome(servers[1], id) })
		close(block)
		p.response("POST")
		if r := p.response("POST"); !strings.Contains(r.body, `\"n\":2`) {
			t.Errorf("%s %s", r.Status, r.body)
		}
		p.until("id: ")
		p.c.Close()
		nothingLeft(t, servers)
		if n := servers[1].cluster.count.served.Get(); n != 2 {
			t.Errorf("%d requests served there, want 2", n)
		}
	})
}

// TestForwardQueueFull: what finds no room at the home is told so.
func TestForwardQueueFull(t *testing.T) {
	o := Options{Workers: 1}
	block := make(chan struct{})
	_, servers := startFleet(t, 2, o, fleetTools(t, block))
	id := dial(t, servers[0].HTTPAddr()).begin()
	servers[0].cluster.foreign.mu.Lock()
	servers[0].cluster.foreign.queue = servers[0].cluster.foreign.queue[:1]
	servers[0].cluster.foreign.mu.Unlock()
	first, second, third := dial(t, servers[1].HTTPAddr()), dial(t, servers[1].HTTPAddr()), dial(t, servers[1].HTTPAddr())
	first.send(post(call(1, "block"), id))
	eventually(t, "the only worker is busy", func() bool { return servers[0].Stats().InFlight == 1 })
	second.send(post(call(2, "worker"), id))
	eventually(t, "one waits", func() bool { return servers[0].cluster.foreign.len() == 1 })
	third.send(post(call(3, "worker"), id))
	if r := third.response("POST"); r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || !strings.Contains(r.body, `"id":3`) {
		t.Errorf("%s %s", r.Status, r.body)
	}
	close(block)
	for _, p := range []*peer{first, second} {
		if r := p.response("POST"); r.StatusCode != 200 {
			t.Errorf("%s %s", r.Status, r.body)
		}
	}
	nothingLeft(t, servers)
}

// TestHooks: what the cluster is told of a session, and when.
func TestHooks(t *testing.T) {
	fleet, servers := startFleet(t, 1, Options{}, fleetTools(t, nil))
	c := fleet.cores[0]
	p := dial(t, servers[0].HTTPAddr())
	want := func(what string, hooks ...string) {
		t.Helper()
		if got := c.hooks(); !slices.Equal(got, hooks) {
			t.Errorf("%s: told %q, want %q", what, got, hooks)
		}
	}
	p.send(post(initialize))
	id := "Mcp-Session-Id: " + p.response("POST").Header.Get("Mcp-Session-Id")
	want("initialize", "opened")
	do := func(body string) {
		t.Helper()
		p.send(post(body, id))
		p.response("POST")
	}
	do(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	want("initialized", "changed")
	do(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	want("a request")
	do(`{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"error"}}`)
	want("level", "changed")
	do(`{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"a:b"}}`)
	want("subscribe", "subscribed a:b true")
	q := dial(t, servers[0].HTTPAddr())
	q.send(getStream + id + "\r\n\r\n")
	q.until("id: ")
	want("a stream: its number", "changed")
	servers[0].MCP().ResourceUpdated("a:b")
	want("an event", `noted 1 1 {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}`)
	q.c.Close()
	eventually(t, "closed", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
	want("a closed stream")
	p.send("DELETE /mcp HTTP/1.1\r\nHost: x\r\n" + id + "\r\n\r\n")
	p.response("DELETE")
	want("delete", "ended")
	tcp := dial(t, servers[0].TCPAddr())
	tcp.ask(initialize)
	tcp.c.Close()
	eventually(t, "ended", func() bool { return servers[0].Stats().Sessions == 0 })
	want("a session of TCP")
}

// TestPublishThroughCluster: errors and keys.
func TestPublishThroughCluster(t *testing.T) {
	fleet, servers := startFleet(t, 1, Options{}, fleetTools(t, nil))
	var keys []string
	fleet.cores[0].publish = func(_ []byte, key string) (int, error) {
		keys = append(keys, key)
		return 3, fmt.Errorf("wrapped: %w", cluster.ErrNotHeld)
	}
	m := servers[0].MCP()
	for _, key := range []string{"", "k", "k", "l"} {
		if n, err := m.ResourceUpdatedKey(within(t), key, "a:b"); n != 3 || !errors.Is(err, mcp.ErrNotHeld) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if _, err := m.PublishKey(within(t), "k", "a:b", "notifications/x", nil); !errors.Is(err, mcp.ErrNotHeld) {
		t.Error(err)
	}
	if keys[0] != "" || keys[1] == "" || keys[1] != keys[2] || keys[3] == keys[1] || keys[4] == keys[1] {
		t.Errorf("keys %q", keys)
	}
	if !errors.Is(heldError(cluster.ErrCongested), cluster.ErrCongested) {
		t.Error("other errors stay")
	}
}
