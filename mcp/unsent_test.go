package mcp

import (
	"strings"
	"testing"
)

// An event that waits for Commit is in the log at once and on the stream after
// Commit, in order with what else is sent, and once.
func TestCommitWritesInOrder(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, _ := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.host.take(10)
	spread := func(method string) *Spread {
		sp := b.Spread(&Publication{Audience: ToSessions, Method: method}, Origin{})
		sp.Later = true
		for !sp.Step(1) {
		}
		return sp
	}
	first := spread("notifications/a")
	if out := b.host.take(10); out != "" {
		t.Fatalf("written before Commit: %q", out)
	}
	second := spread("notifications/b")
	second.Commit()
	if out := b.host.take(10); !strings.Contains(out, "/a") || strings.Index(out, "/a") > strings.Index(out, "/b") {
		t.Errorf("after Commit: %q", out)
	}
	first.Commit()
	if out := b.host.take(10); out != "" {
		t.Errorf("written twice: %q", out)
	}
	// A stream that is opened meanwhile has had it.
	third := spread("notifications/c")
	b.getAfter(11, header, "1-2")
	third.Commit()
	if out := b.host.take(11); strings.Count(out, "/c") != 1 {
		t.Errorf("replay and Commit: %q", out)
	}
}
