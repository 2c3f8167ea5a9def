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
	"github.com/rookery-server/rookery/codec"
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

// TestForwardStreamingResponse: a response that becomes a stream, a question in
// it that is answered by way of the third server, and one whose client is sent
// away and takes it up again elsewhere.
func TestForwardStreamingResponse(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		_, servers := startFleet(t, 3, quickTicks(o), fleetTools(t, block))
		first := dial(t, servers[0].HTTPAddr())
		first.send(post(strings.Replace(initialize, `"capabilities":{}`, `"capabilities":{"roots":{}}`, 1)))
		id := "Mcp-Session-Id: " + first.response("POST").Header.Get("Mcp-Session-Id")

		p := dial(t, servers[1].HTTPAddr())
		p.send(post(call(1, "stream"), id))
		for i := range 3 {
			p.until(fmt.Sprint("part ", i))
		}
		p.until(": keep-alive") // by the home
		block <- struct{}{}
		p.until("streamed")
		p.until("0")
		p.line()

		p.send(post(call(2, "roots"), id))
		question := p.until("roots/list")
		answer := dial(t, servers[2].HTTPAddr())
		answer.send(post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, questionID(question)), id))
		if r := answer.response("POST"); r.StatusCode != 202 {
			t.Errorf("answer: %s", r.Status)
		}
		p.until("0 roots")
		p.until("0")
		p.line()

		p.send(post(call(3, "later"), id))
		event := strings.TrimPrefix(p.until("id: "), "id: ")
		p.until("retry: 1")
		p.rest()
		again := dial(t, servers[2].HTTPAddr())
		again.send(getStream + id + "\r\nLast-Event-ID: " + event + "\r\n\r\n")
		again.until(": keep-alive")
		block <- struct{}{}
		again.until("later")
		again.rest()
		nothingLeft(t, servers)
	})
}

// questionID returns the raw id of a question in the data of an event.
func questionID(data string) string {
	var env codec.Envelope
	msg := []byte(strings.TrimPrefix(data, "data: "))
	if codec.ParseEnvelope(msg, nil, &env) != nil {
		return "none"
	}
	return string(env.ID.Of(msg))
}

// TestForwardedStreamStays: a GET stream of a session that does not move. It is
// kept alive by the server with the connection, carries what the home sends, and
// its end reaches the home.
func TestForwardedStreamStays(t *testing.T) {
	for _, version := range []string{"1.1", "1.0"} {
		t.Run(version, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, o Options) {
				net, servers := startFleet(t, 2, quickTicks(o), fleetTools(t, nil))
				net.cores[0].stay()
				id := dial(t, servers[0].HTTPAddr()).begin()
				p := dial(t, servers[1].HTTPAddr())
				p.send(strings.Replace(getStream, "1.1", version, 1) + id + "\r\n\r\n")
				p.until(":")
				eventually(t, "the stream is open", func() bool { return servers[0].Stats().MCP.StreamsOpened == 1 })
				p.until(": keep-alive")
				p.until(": keep-alive")
				ref := refOf(t, servers[0], id)
				if err := servers[0].MCP().Notify(ref, "notifications/x", map[string]int{"n": 1}); err != nil {
					t.Fatal(err)
				}
				p.until(`"n":1`)
				if n := servers[0].Stats().MCP.StreamsClosed; n != 0 {
					t.Errorf("%d closed", n)
				}
				p.c.Close()
				eventually(t, "the home knows", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
				nothingLeft(t, servers)
			})
		})
	}
}

// TestForwardedStreamMoves: the session comes to where its client opens a
// stream, with its subscriptions and events, and the same connection goes on.
func TestForwardedStreamMoves(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		_, servers := startFleet(t, 3, quickTicks(o), fleetTools(t, nil))
		a := dial(t, servers[0].HTTPAddr())
		id := a.begin()
		a.send(post(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`, id))
		a.response("POST")
		p := dial(t, servers[1].HTTPAddr())
		p.send(getStream + id + "\r\n\r\n")
		event := strings.TrimPrefix(p.until("id: "), "id: ")
		home := func(i int) func() bool {
			return func() bool {
				sid, _ := session.ParseID([]byte(strings.TrimPrefix(id, "Mcp-Session-Id: ")))
				ref, ok := servers[i].sessions.Find(sid)
				rec, there := servers[i].sessions.Load(ref)
				return ok && there && rec.Home == 0
			}
		}
		eventually(t, "the session moves", home(1))
		if n := servers[2].MCP().ResourceUpdated("a:b"); n != 1 {
			t.Errorf("told %d", n)
		}
		p.until("notifications/resources/updated")
		p.until(": keep-alive") // by mcp now
		eventually(t, "nothing is remote", func() bool { return servers[0].cluster.remotes.len() == 0 && servers[1].cluster.forwards.len() == 0 })
		// It goes on to the third, which knows what was sent.
		p.c.Close()
		q := dial(t, servers[2].HTTPAddr())
		q.send(getStream + id + "\r\nLast-Event-ID: " + event + "\r\n\r\n")
		q.until("notifications/resources/updated")
		eventually(t, "it moves on", home(2))
		a.send(post(call(4, "worker"), id)) // the first knows where it is
		if r := a.response("POST"); !strings.Contains(r.body, `\"n\":4`) {
			t.Errorf("%s %s", r.Status, r.body)
		}
		q.c.Close()
		eventually(t, "the stream ends", func() bool { st := servers[2].Stats().MCP; return st.StreamsOpened == st.StreamsClosed })
		if n := servers[0].MCP().ResourceUpdated("a:b"); n != 1 || servers[2].Stats().MCP.Kept != 1 {
			t.Errorf("told %d, kept %d", n, servers[2].Stats().MCP.Kept)
		}
		nothingLeft(t, servers)
	})
}

// TestForwardedGetWaits: a GET behind requests of its connection, of which the
// last is forwarded too.
func TestForwardedGetWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		_, servers := startFleet(t, 2, o, fleetTools(t, block))
		id := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		p.send(post(call(1, "block"), id) + getStream + id + "\r\n\r\n")
		eventually(t, "it waits", func() bool { return servers[1].Stats().Loop.Held == 1 && servers[0].Stats().InFlight == 1 })
		close(block)
		if r := p.response("POST"); !strings.Contains(r.body, "unblocked") {
			t.Errorf("%s %s", r.Status, r.body)
		}
		p.until("id: ")
		p.c.Close()
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

// TestForwardHomeLost: the home goes while it has a request, a response that has
// begun and a stream.
func TestForwardHomeLost(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		fleet, servers := startFleet(t, 2, o, fleetTools(t, block))
		defer close(block)
		fleet.cores[0].stay()
		id := dial(t, servers[0].HTTPAddr()).begin()
		waits, begun, stream := dial(t, servers[1].HTTPAddr()), dial(t, servers[1].HTTPAddr()), dial(t, servers[1].HTTPAddr())
		waits.send(post(call(1, "block"), id))
		begun.send(post(call(2, "stream"), id))
		begun.until("part 2")
		stream.send(getStream + id + "\r\n\r\n")
		stream.until("id: ")
		eventually(t, "all are away", func() bool { return servers[0].Stats().InFlight == 2 && servers[1].cluster.forwards.len() == 3 })
		fleet.cores[1].lose(1)
		if r := waits.response("POST"); r.StatusCode != 502 || !strings.Contains(r.body, `"id":1`) || r.Close {
			t.Errorf("%s %s", r.Status, r.body)
		}
		begun.rest()
		stream.rest()
		eventually(t, "nothing waits", func() bool { return servers[1].cluster.forwards.len() == 0 })
		// The other side of it: what came from the lost peer ends.
		fleet.cores[0].lose(2)
		eventually(t, "streams are closed", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
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

// TestForwardShutdown: requests that are away finish; streams get a goodbye.
func TestForwardShutdown(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		fleet, servers := startFleet(t, 2, o, fleetTools(t, block))
		fleet.cores[0].stay()
		id := dial(t, servers[0].HTTPAddr()).begin()
		p, stream := dial(t, servers[1].HTTPAddr()), dial(t, servers[1].HTTPAddr())
		p.send(post(call(1, "block"), id))
		stream.send(getStream + id + "\r\n\r\n")
		stream.until("id: ")
		eventually(t, "both are away", func() bool {
			st := servers[0].Stats()
			return st.InFlight == 1 && st.MCP.StreamsOpened == 1 && servers[1].streaming() == 1
		})
		ended := make(chan error, 1)
		go func() { ended <- servers[1].Shutdown(within(t)) }()
		if got := stream.rest(); !strings.HasSuffix(got, "retry: 1000\n\n\r\n0\r\n\r\n") {
			t.Errorf("goodbye: %q", got)
		}
		select {
		case err := <-ended:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		close(block)
		if r := p.response("POST"); !strings.Contains(r.body, "unblocked") {
			t.Errorf("%s %s", r.Status, r.body)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		eventually(t, "the home knows", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
	})
}

// streaming returns how many forwarded streams are open here.
func (s *Server) streaming() (n int) {
	for i := range s.cluster.forwards.shards {
		sh := &s.cluster.forwards.shards[i]
		sh.mu.Lock()
		for _, f := range sh.byToken {
			f.mu.Lock()
			if f.streaming {
				n++
			}
			f.mu.Unlock()
		}
		sh.mu.Unlock()
	}
	return n
}

// TestForwardReplyFindsNoRoom: a stream with a gap ends, and so learns its peer.
func TestForwardReplyFindsNoRoom(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		fleet, servers := startFleet(t, 2, o, fleetTools(t, nil))
		c := fleet.cores[0]
		c.stay()
		id := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		p.send(getStream + id + "\r\n\r\n")
		p.until("id: ")
		eventually(t, "the stream is open", func() bool { return servers[1].streaming() == 1 })
		full := func(on bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.full = on
		}
		full(true)
		ref := refOf(t, servers[0], id)
		if err := servers[0].MCP().Notify(ref, "notifications/x", nil); err != nil {
			t.Errorf("kept for the client: %v", err)
		}
		full(false)
		if err := servers[0].MCP().Notify(ref, "notifications/x", nil); err != nil {
			t.Errorf("kept for the client: %v", err)
		}
		if got := p.rest(); strings.Contains(got, "notifications/x") {
			t.Errorf("behind the gap: %q", got)
		}
		eventually(t, "closed", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
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
		eventually(t, "it is there", func() bool { return servers[1].Stats().Sessions == 1 })
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
	if heldError(cluster.ErrCongested) != cluster.ErrCongested {
		t.Error("other errors stay")
	}
}
