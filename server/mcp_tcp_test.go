package server

import (
	"fmt"
	"strings"
	"testing"
)

// TestMCPOverTCP speaks MCP on the JSON-RPC listener, beside other methods.
func TestMCPOverTCP(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			sdkTools(t)(s)
		})
		p := dial(t, s.TCPAddr())
		steps := []struct{ in, want string }{
			{`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `"error"`}, // not initialized
			{`[` + initialize + `]`, `must not be part of a batch`},
			{initialize, `"protocolVersion":"2025-11-25"`},
			{`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"ping"}`, `{"jsonrpc":"2.0","id":2,"result":{}}`},
			{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}`, `"text":"hi"`},
			{marker, marked},
			{`{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"a:b"}}`, `"id":4,"result":{}`},
			{`[{"jsonrpc":"2.0","id":5,"method":"ping"},{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}]`, `[{"jsonrpc":"2.0","id":5,"result":{}},{"jsonrpc":"2.0","id":6,`},
		}
		for _, step := range steps {
			if got := p.ask(step.in); !strings.Contains(got, step.want) {
				t.Errorf("%s\ngot %s\nwant %s", step.in, got, step.want)
			}
		}
		if n := s.MCP().ResourceUpdated("a:b"); n != 1 {
			t.Errorf("delivered to %d", n)
		}
		if got := p.line(); !strings.Contains(got, `"notifications/resources/updated"`) {
			t.Errorf("got %s", got)
		}
		if n := s.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions", n)
		}
		p.c.Close()
		eventually(t, "the session ends with its connection", func() bool { return s.Stats().Sessions == 0 })
	})
}

// TestMCPListenOverTCP opens and cancels subscriptions of the era without
// sessions while a worker is busy with the same connection.
func TestMCPListenOverTCP(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, func(s *Server) {
			waitingMethods(s)
			sdkTools(t)(s)
		})
		p := dial(t, s.TCPAddr())
		p.send(`{"jsonrpc":"2.0","id":"busy","method":"block"}` + "\n")
		p.line()
		got := p.ask(`{"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:b"]},` + meta + `}}`)
		if !strings.Contains(got, "notifications/subscriptions/acknowledged") {
			t.Fatalf("got %s", got)
		}
		if n := s.MCP().ResourceUpdated("a:b"); n != 1 {
			t.Errorf("delivered to %d", n)
		}
		if got := p.line(); !strings.Contains(got, `"notifications/resources/updated"`) {
			t.Errorf("got %s", got)
		}
		if got := p.ask(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"sub"}}`); !strings.Contains(got, `"id":"sub"`) {
			t.Errorf("end of the subscription: %s", got)
		}
		if n := s.MCP().ResourceUpdated("a:b"); n != 0 {
			t.Errorf("delivered to %d after the end", n)
		}
		if got := p.ask(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"busy"}}`); !strings.Contains(got, `"id":"busy"`) {
			t.Errorf("got %s", got)
		}
	})
}

// TestMCPAskOverTCP: MCP's answers, too, come over the connection that waits.
func TestMCPAskOverTCP(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers = 1
		s := startServer(t, o, sdkTools(t))
		p := dial(t, s.TCPAddr())
		p.ask(strings.Replace(initialize, `"capabilities":{}`, `"capabilities":{"elicitation":{}}`, 1))
		p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" + call(7, "ask") + "\n")
		q := p.question()
		if q.Method != "elicitation/create" {
			t.Errorf("asked %s", q.Method)
		}
		got := p.ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":{"action":"accept","content":{"color":"blue"}}}`, q.ID))
		if !strings.Contains(got, `"id":7`) || !strings.Contains(got, "blue") {
			t.Errorf("got %s", got)
		}
		if st := s.Stats(); st.Asks != 0 || st.MCP.AnswersUnknown != 0 {
			t.Errorf("%d asks open, %d answers unknown", st.Asks, st.MCP.AnswersUnknown)
		}
	})
}
