package e2e

import (
	"strings"
	"testing"
	"time"
)

// openStream returns a client with an open GET stream of a session.
func openStream(t *testing.T, n *node) *client {
	t.Helper()
	c := dial(t, n.http)
	if err := askStream(c); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Proxies and old clients: keep-alive comments on an idle stream, no buffering
// in front, close-delimited under HTTP/1.0.
func TestStreamForProxies(t *testing.T) {
	n := startNode(t, "--keep-alive", "1s")
	c := openStream(t, n)
	deadline := time.Now().Add(stepPatience)
	for line := ""; !strings.HasPrefix(line, ":"); {
		if time.Now().After(deadline) {
			t.Fatal("no keep-alive comment")
		}
		line = c.line()
	}
}
