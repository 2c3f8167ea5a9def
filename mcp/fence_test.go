package mcp

import (
	"errors"
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

// What is kept back because the process has lapsed is not passed by on a stream
// that its client has opened when Fence had been there: that ends as well.
func TestFenceEndsLaterStreams(t *testing.T) {
	for _, later := range []bool{false, true} {
		lapsed := false
		events := newFakeEvents()
		b := newTestbed(func(o *Options) { o.Events, o.Lapsed = events, func() bool { return lapsed } })
		header, ref := b.newSession(t, 1, "2025-11-25")
		b.get(t, 10, header)
		lapsed = true
		b.Fence()
		b.get(t, 11, header)
		b.host.take(11)
		if later { // noted before, and to be written now
			lapsed = false
		}
		sp := b.Spread(&Publication{Audience: ToSessions, Method: "notifications/kept"}, Origin{Peer: 7, Seq: 1})
		sp.Later = true
		for !sp.Step(10) {
		}
		lapsed = true
		if _, done := sp.Commit(10); !done {
			t.Fatal("not committed")
		}
		lapsed = false
		if err := b.Notify(ref, "notifications/next", nil); err != nil {
			t.Fatal(err)
		}
		if out := b.host.take(11); out != "" || !b.host.ended[11] {
			t.Errorf("later %v: wrote %q, ended %v", later, out, b.host.ended[11])
		}
		out := b.getAfter(12, header, "2-0")
		if strings.Count(out, "notifications/kept\"") != 1 || strings.Count(out, "notifications/next\"") != 1 {
			t.Errorf("later %v: kept: %q", later, out)
		}
	}
}

// A session that had a newer home elsewhere all the time: nothing is written to
// its client until that home knows what the client has had.
func TestDismiss(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(b *fakePeer, ref uint64)
		want string
	}{
		{"ready", func(b *fakePeer, ref uint64) { b.Dismiss(ref, true) }, "retry: 100\n"},
		{"not ready", func(b *fakePeer, ref uint64) { b.Dismiss(ref, false) }, "retry: 1000\n"},
		{"home again", func(b *fakePeer, ref uint64) {
			b.Promote(ref, 2, true)
			b.Dismiss(ref, true)
		}, "retry: 100\n"},
		{"ended", func(b *fakePeer, ref uint64) {
			last, _ := b.sessions.Delete(ref)
			b.SessionEnded(ref, last)
		}, "0\r\n"},
	} {
		b := newFakeCluster(1).beds[0]
		header, ref := b.newSession(t, 1, "2025-11-25")
		b.get(t, 10, header)
		b.get(t, 11, header)
		for _, st := range []StreamID{10, 11} {
			b.host.take(st)
		}
		if !b.Demote(ref, 7, 1) {
			t.Fatal(c.name)
		}
		if err := b.sendToSession(ref, newNotice([]byte("{}"))); !errors.Is(err, ErrMoved) {
			t.Error(c.name, err)
		}
		for _, st := range []StreamID{10, 11} {
			if out := b.host.take(st); out != "" || b.host.ended[st] {
				t.Errorf("%s: %q before the end, ended %v", c.name, out, b.host.ended[st])
			}
		}
		c.end(b, ref)
		b.Dismiss(ref, true) // once more: they are gone
		for _, st := range []StreamID{10, 11} {
			if out := b.host.take(st); strings.Count(out, c.want) != 1 || strings.Count(out, "0\r\n\r\n") != 1 || !b.host.ended[st] {
				t.Errorf("%s: stream %d: %q, ended %v", c.name, st, out, b.host.ended[st])
			}
		}
	}
}
