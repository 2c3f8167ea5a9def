package e2e

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Listeners on IPv6 and on unix sockets; one that a killed node left behind
// does not keep the next from starting.
func TestAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rookery.sock")
	args := []string{"--tcp", "unix:" + path}
	if v6, err := net.Listen("tcp", "[::1]:0"); err == nil {
		v6.Close()
		args = append(args, "--http", "[::1]:0")
	} else {
		t.Logf("no IPv6 here: %v", err)
	}
	n := startNode(t, args...)
	aliveUnix(t, path)
	if err := askStream(dial(t, n.http).Conn); err != nil {
		t.Errorf("http at %s: %v", n.http, err)
	}
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-n.ended

	n = startNode(t, args...)
	aliveUnix(t, path)
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind by a node that ended well")
	}
}

func aliveUnix(t *testing.T, path string) {
	t.Helper()
	c, err := net.DialTimeout("unix", path, stepPatience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(stepPatience)); err != nil {
		t.Fatal(err)
	}
	alive(t, &client{t, c, bufio.NewReader(c)})
}

// A second node on the same port is refused, not given half of the clients.
func TestTwoNodesDoNotShareAPort(t *testing.T) {
	first := startNode(t)
	second := startFailing(t, "serve", "--tcp", first.tcp, "--http", "", "--admin", "", "--gossip=", "--peer=")
	if !strings.Contains(second, "is in use by process") || !strings.Contains(second, "or choose another address with --tcp") {
		t.Errorf("the second node says: %s", second)
	}
	alive(t, dial(t, first.tcp))
}
