package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// However many sessions are fenced at once, the log has one line for each peer.
func TestTally(t *testing.T) {
	c, b, store := strangers()
	other := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
	var out bytes.Buffer
	c.log = slog.New(slog.NewTextHandler(&out, nil))
	for range 300 {
		c.fencedBy(b)
		c.Step()
	}
	c.fencedBy(other)
	if out.Len() > 0 {
		t.Errorf("too early: %s", &out)
	}
	store.p.w.recover(2 * tallyEvery)
	c.Step()
	store.p.w.recover(2 * tallyEvery)
	c.Step()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "home=b/0 sessions=300") || !strings.Contains(lines[1], "home=c/0 sessions=1") {
		t.Errorf("log: %s", &out)
	}
	if n := c.Stats().Fenced; n != 301 {
		t.Errorf("%d counted", n)
	}
}
