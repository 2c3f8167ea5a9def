package server

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const getStream = "GET /mcp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"

// TestHTTPStreamBehindBusy: a stream asked for behind a request that a worker
// still has opens when that one is answered, and is a stream like any other.
func TestHTTPStreamBehindBusy(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Loop.KeepAlive, o.Loop.TickEvery = 50*time.Millisecond, 10*time.Millisecond
		block := make(chan struct{})
		s := startServer(t, o, testTools(t, block))
		if err := s.MCP().AddResource(testResource); err != nil {
			t.Fatal(err)
		}
		p := dial(t, s.HTTPAddr())
		session := p.begin()
		p.send(post(call(1, "block"), session) + post(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`, session) +
			getStream + session + "\r\n\r\n")
		eventually(t, "the call runs and the stream waits", func() bool { st := s.Stats(); return st.InFlight == 1 && st.Loop.Held == 1 })
		close(block)
		if r := p.response("POST"); !strings.Contains(r.body, "unblocked") {
			t.Errorf("got %s", r.body)
		}
		if r := p.response("POST"); !strings.Contains(r.body, `"id":2`) {
			t.Errorf("got %s", r.body)
		}
		if got := p.line(); got != "HTTP/1.1 200 OK\r" {
			t.Fatalf("stream: %q", got)
		}
		eventually(t, "told", func() bool { return s.MCP().ResourceUpdated("a:b") == 1 })
		p.until("notifications/resources/updated")
		p.until(":") // a comment keeps it alive
		p.c.Close()
		eventually(t, "the stream ends", func() bool { return s.Stats().Loop.Open == 0 })
		if n := s.MCP().ResourceUpdated("a:b"); n != 1 || s.Stats().MCP.Kept != 1 {
			t.Errorf("told %d, kept for %d, want 1: the client may come back", n, s.Stats().MCP.Kept)
		}
	})
}

// TestHTTPRefusedBehindBusy: what waited turns out to open no stream; the
// connection goes on with what stands behind it, or closes if it was to.
func TestHTTPRefusedBehindBusy(t *testing.T) {
	t.Parallel() // it mostly waits
	const unknown = "Mcp-Session-Id: 00000000000000000000000000000000\r\n"
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		block := make(chan struct{}, 2)
		s := startServer(t, o, testTools(t, block))
		for _, header := range []string{"", "Connection: close\r\n"} {
			p := dial(t, s.HTTPAddr())
			session := p.begin()
			p.send(post(call(1, "block"), session) + getStream + unknown + header + "\r\n" + "GET /behind HTTP/1.1\r\nHost: x\r\n\r\n")
			eventually(t, "waits", func() bool { return s.Stats().Loop.Held == 1 })
			block <- struct{}{}
			p.response("POST")
			if r := p.response("GET"); r.StatusCode != 404 || strings.Contains(r.body, "MCP is at") {
				t.Errorf("refused with %s %s", r.Status, r.body)
			}
			if header != "" {
				if got := p.rest(); got != "" {
					t.Errorf("behind it: %q", got)
				}
			} else if r := p.response("GET"); !strings.Contains(r.body, "MCP is at") {
				t.Errorf("behind it: %s %s", r.Status, r.body)
			}
			eventually(t, "not held", func() bool { return s.Stats().Loop.Held == 0 })
		}
	})
}

// TestHTTPLeavesWhileStreamWaits: the client goes before its stream can open.
func TestHTTPLeavesWhileStreamWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		block := make(chan struct{})
		s := startServer(t, o, testTools(t, block))
		p := dial(t, s.HTTPAddr())
		session := p.begin()
		p.send(post(call(1, "block"), session) + getStream + session + "\r\n\r\n")
		eventually(t, "waits", func() bool { return s.Stats().Loop.Held == 1 })
		p.c.Close()
		eventually(t, "closed", func() bool { return s.Stats().Loop.Open == 0 })
		close(block)
		eventually(t, "the call ends", func() bool { return s.Stats().InFlight == 0 })
		eventually(t, "nothing is left", func() bool {
			st := s.Stats().MCP
			return st.StreamsOpened == st.StreamsClosed && st.Listens == 0
		})
	})
}

// TestHTTPStreamRightBehindResponse reuses a connection the moment a response
// has come, when its worker may not have let go of it.
func TestHTTPStreamRightBehindResponse(t *testing.T) {
	const rounds = 200
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testTools(t, nil))
		session := dial(t, s.HTTPAddr()).begin()
		for i := range rounds {
			p := dial(t, s.HTTPAddr())
			p.send(post(call(1, "worker"), session))
			p.response("POST")
			p.send(getStream + session + "\r\n\r\n")
			if got := p.line(); got != "HTTP/1.1 200 OK\r" {
				t.Fatalf("round %d: %q", i, got)
			}
			p.c.Close()
		}
	})
}

// TestAheadAgainstTwin drives ahead and a plain count with the same moves.
func TestAheadAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a ahead
		const h = ConnID(1<<32 | 7)
		count, kept, opening, word := 0, "", false, uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				if kept != "" || opening || word != 0 {
					t.Skip("on hold")
				}
				a.enter(h)
				count++
			},
			"wait": func(t *rapid.T) {
				if kept != "" || opening || word != 0 {
					t.Skip("on hold")
				}
				if ok := a.wait(h, []byte("r")); ok != (count > 0) {
					t.Fatalf("wait: %v with %d ahead", ok, count)
				} else if ok {
					kept = "r"
				}
			},
			"leave": func(t *rapid.T) {
				if count == 0 {
					t.Skip("nothing to leave")
				}
				count--
				want := ""
				if count == 0 {
					want, kept = kept, ""
					opening = want != ""
				}
				if got := string(a.leave(h)); got != want {
					t.Fatalf("leave: %q, want %q", got, want)
				}
			},
			"opened": func(t *rapid.T) {
				if !opening {
					t.Skip("nothing opens")
				}
				opening, word = false, rapid.SampledFrom([]uint64{0, 5}).Draw(t, "word")
				if !a.opened(h, word) {
					t.Fatal("gone")
				}
			},
			"close": func(t *rapid.T) {
				if got := a.forget(h); got != word {
					t.Fatalf("word %d, want %d", got, word)
				}
				if opening && a.opened(h, 9) {
					t.Fatal("opened on a closed connection")
				}
				for ; count > 0; count-- {
					if a.leave(h) != nil {
						t.Fatal("kept on a closed connection")
					}
				}
				kept, opening, word = "", false, 0
			},
			"": func(t *rapid.T) {
				if a.any(h) != (count > 0) || a.any(h+1) {
					t.Fatalf("any: %v with %d", a.any(h), count)
				}
			},
		})
		a.forget(h)
		if n := len(a.of(h).conn); n != 0 {
			t.Fatalf("%d entries left", n)
		}
	})
}
