package mcp

import (
	"strings"
	"testing"
)

// A process that was stopped writes nothing to the streams of its sessions until
// it has ended them; what came meanwhile is kept for the clients.
func TestFence(t *testing.T) {
	lapsed := false
	events := newFakeEvents()
	b := newTestbed(func(o *Options) { o.Events, o.Lapsed = events, func() bool { return lapsed } })
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.host.take(10)
	lapsed = true
	if err := b.Notify(ref, "notifications/late", nil); err != nil {
		t.Fatal(err)
	}
	if out := b.host.take(10); out != "" {
		t.Fatalf("written before the fence: %q", out)
	}
	b.Fence()
	lapsed = false
	if err := b.Notify(ref, "notifications/later", nil); err != nil {
		t.Fatal(err)
	}
	if out := b.host.take(10); out != "" {
		t.Errorf("written to an ended stream: %q", out)
	}
	out := b.getAfter(11, header, "1-0")
	if strings.Count(out, "notifications/late\"") != 1 || strings.Count(out, "notifications/later\"") != 1 {
		t.Errorf("kept: %q", out)
	}
}
