package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/session"
)

// TestForwardStreamingResponse: a response that becomes a stream, a question in
// it that is answered by way of the third server, and one whose client is sent
// away and takes it up again elsewhere.
func TestForwardStreamingResponse(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
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
		home := func(i int) func() bool { return func() bool { return isHome(servers[i], id) } }
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

// TestForwardedStreamMovesLater: sessions that could not follow their clients when
// those came do so later, unless the client has gone by then.
func TestForwardedStreamMovesLater(t *testing.T) {
	net, servers := startFleet(t, 2, quickTicks(Options{}), fleetTools(t, nil))
	net.cores[0].settles(true)
	var ids [2]string
	var clients [2]*peer
	for i := range ids {
		ids[i] = dial(t, servers[0].HTTPAddr()).begin()
		clients[i] = dial(t, servers[1].HTTPAddr())
		clients[i].send(getStream + ids[i] + "\r\n\r\n")
		clients[i].until("id: ")
	}
	clients[1].c.Close()
	eventually(t, "the second has gone", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
	servers[0].cluster.tidy()
	clients[0].until(": keep-alive") // by the home
	if !isHome(servers[0], ids[0]) {
		t.Fatal("moved before it was to")
	}
	net.cores[0].settles(false)
	eventually(t, "the first session follows", func() bool { return isHome(servers[1], ids[0]) })
	if late := servers[0].cluster.remotes.takeLate(2); len(late) != 0 || !isHome(servers[0], ids[1]) {
		t.Errorf("%d are to be moved yet; the second is at home where its client is not: %v", len(late), !isHome(servers[0], ids[1]))
	}
	clients[0].until(": keep-alive")
	clients[0].c.Close()
	nothingLeft(t, servers)
}

// isHome reports whether a session is at home at s.
func isHome(s *Server, header string) bool {
	id, _ := session.ParseID([]byte(strings.TrimPrefix(header, "Mcp-Session-Id: ")))
	ref, ok := s.sessions.Find(id)
	rec, there := s.sessions.Load(ref)
	return ok && there && rec.Home == 0
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

// TestForwardReplyFindsNoRoom: a stream with a gap ends, and so learns its peer.
func TestForwardReplyFindsNoRoom(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
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

// questionID returns the raw id of a question in the data of an event.
func questionID(data string) string {
	var env codec.Envelope
	msg := []byte(strings.TrimPrefix(data, "data: "))
	if codec.ParseEnvelope(msg, nil, &env) != nil {
		return "none"
	}
	return string(env.ID.Of(msg))
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
