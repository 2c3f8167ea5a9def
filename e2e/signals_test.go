package e2e

import (
	"net"
	"strings"
	"testing"
	"time"
)

const (
	waitLong  = `{"jsonrpc":"2.0","id":1,"method":"wait","params":{"ms":60000}}` + "\n"
	waitShort = `{"jsonrpc":"2.0","id":1,"method":"wait","params":{"ms":700}}` + "\n"
)

// inFlight sends a request that takes a while and returns when the node's own
// metrics show it.
func inFlight(t *testing.T, n *node, line string) *client {
	t.Helper()
	c := dial(t, n.tcp)
	c.send(line)
	eventually(t, "call in flight in /metrics", func() bool { return n.metric(t, "rookery_calls_in_flight") >= 1 })
	return c
}

// SIGTERM during a call: no new client, the answer arrives, exit code 0.
func TestDrainFinishesCalls(t *testing.T) {
	n := startNode(t)
	idle := dial(t, n.tcp)
	alive(t, idle)
	busy := inFlight(t, n, waitShort)
	n.signal(t)
	if got := busy.line(); !strings.Contains(got, `"result"`) || !strings.Contains(got, "700") {
		t.Errorf("the call in flight got %s", got)
	}
	if rest := idle.rest(); strings.Contains(rest, "error") {
		t.Errorf("the idle client got %s", rest)
	}
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if c, err := net.Dial("tcp", n.tcp); err == nil {
		c.Close()
		t.Error("a drained node still accepts")
	}
}

// While it drains the node says that it is not ready, and accepts nobody.
func TestDrainIsVisible(t *testing.T) {
	n := startNode(t)
	if code, _ := n.get(t, "/readyz"); code != 200 {
		t.Errorf("/readyz: %d before the drain", code)
	}
	busy := inFlight(t, n, waitShort)
	n.signal(t)
	eventually(t, "/readyz that fails while draining", func() bool { code, _ := n.get(t, "/readyz"); return code == 503 })
	if code, _ := n.get(t, "/livez"); code != 200 {
		t.Errorf("/livez: %d while draining", code)
	}
	busy.line()
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// What is not over by the deadline is cut, and the exit code tells.
func TestDrainDeadline(t *testing.T) {
	n := startNode(t, "--drain-timeout", "300ms")
	inFlight(t, n, waitLong)
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(n.log.String(), "drain-timeout 300ms passed") {
		t.Error("the log does not say that calls were cut")
	}
}

func TestSecondSignalForces(t *testing.T) {
	n := startNode(t, "--drain-timeout", "1m")
	inFlight(t, n, waitLong)
	n.signal(t)
	eventually(t, "first signal in the log", func() bool { return strings.Contains(n.log.String(), "draining") })
	begin := time.Now()
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v to end", took)
	}
}

// Open streams do not hold a drain up.
func TestDrainEndsStreams(t *testing.T) {
	n := startNode(t)
	stream := openStream(t, n)
	n.signal(t)
	rest := stream.rest()
	if !strings.HasSuffix(rest, "0\r\n\r\n") {
		t.Errorf("the stream does not end with the last chunk: %q", rest)
	}
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
