package server

import (
	"regexp"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/session"
)

// TestResumeOverTCP loses the connection of a TCP session that may be taken up
// again, and takes it up on the same server and on another.
func TestResumeOverTCP(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		_, servers := startFleet(t, 2, o, fleetTools(t, nil))
		const begin = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"_meta":{"rookery/resume":{`
		p := dial(t, servers[0].TCPAddr())
		m := regexp.MustCompile(`"sessionId":"([0-9a-f]{32})"`).FindStringSubmatch(p.ask(begin + `}}}}`))
		if m == nil {
			t.Fatal("no session id")
		}
		p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
		p.ask(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`)
		servers[0].MCP().ResourceUpdated("a:b")
		if got := p.line(); !strings.Contains(got, `"rookery/eventId":"1-1"`) {
			t.Errorf("got %s", got)
		}
		p.c.Close()
		ref := session.Ref(refOf(t, servers[0], m[1]))
		eventually(t, "the connection is gone", func() bool {
			r, ok := servers[0].sessions.Load(ref)
			return ok && r.Stream == 0
		})
		for i, s := range []*Server{servers[0], servers[1], servers[0]} {
			n := string(rune('1' + i))
			next := string(rune('2' + i))
			home := servers[0]
			if i == 2 {
				home = servers[1]
			}
			home.MCP().ResourceUpdated("a:b")
			p := dial(t, s.TCPAddr())
			if got := p.ask(begin + `"sessionId":"` + m[1] + `","lastEventId":"1-` + n + `"}}}}`); !strings.Contains(got, `"result"`) {
				t.Fatalf("time %d: %s", i, got)
			}
			if got := p.line(); !strings.Contains(got, `"rookery/eventId":"1-`+next+`"`) {
				t.Errorf("time %d: %s", i, got)
			}
			if got := p.ask(`{"jsonrpc":"2.0","id":2,"method":"ping"}`); got != `{"jsonrpc":"2.0","id":2,"result":{}}` {
				t.Errorf("time %d: %s", i, got)
			}
		}
		p = dial(t, servers[1].TCPAddr())
		if got := p.ask(begin + `"sessionId":"00000000000000000000000000000009"}}}}`); !strings.Contains(got, "-32001") {
			t.Errorf("got %s", got)
		}
		nothingLeft(t, servers)
	})
}
