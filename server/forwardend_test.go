package server

import (
	"strings"
	"testing"
)

// TestForwardShutdownOfHome: what is served for other servers' clients finishes.
func TestForwardShutdownOfHome(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		block := make(chan struct{})
		_, servers := startFleet(t, 2, o, fleetTools(t, block))
		p := dial(t, servers[1].HTTPAddr())
		id := dial(t, servers[0].HTTPAddr()).begin()
		p.send(post(call(1, "block"), id))
		eventually(t, "it runs", func() bool { return servers[0].Stats().InFlight == 1 })
		ended := make(chan error, 1)
		go func() { ended <- servers[0].Shutdown(within(t)) }()
		eventually(t, "no connection is left", func() bool { return servers[0].Stats().Loop.Open == 0 })
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
	})
}

// TestForwardSlowClient: a client that does not read a stream from elsewhere is
// closed by the server with the connection, and the home hears of it.
func TestForwardSlowClient(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Loop.OutHigh, o.Loop.OutLow, o.Loop.OutMax = 32<<10, 16<<10, 64<<10
		fleet, servers := startFleet(t, 2, o, fleetTools(t, nil))
		fleet.cores[0].stay()
		id := dial(t, servers[0].HTTPAddr()).begin()
		p := dial(t, servers[1].HTTPAddr())
		p.send(getStream + id + "\r\n\r\n")
		p.until("id: ")
		eventually(t, "the stream is open", func() bool { return servers[1].streaming() == 1 })
		ref := refOf(t, servers[0], id)
		text := strings.Repeat("x", 64<<10)
		eventually(t, "closed as slow", func() bool {
			if err := servers[0].MCP().Notify(ref, "notifications/x", map[string]string{"text": text}); err != nil {
				t.Fatal(err)
			}
			return servers[0].Stats().MCP.StreamsClosed == 1
		})
		nothingLeft(t, servers)
	})
}
