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
	second.Commit(1)
	if out := b.host.take(10); !strings.Contains(out, "/a") || strings.Index(out, "/a") > strings.Index(out, "/b") {
		t.Errorf("after Commit: %q", out)
	}
	first.Commit(1)
	if out := b.host.take(10); out != "" {
		t.Errorf("written twice: %q", out)
	}
	// A stream that is opened meanwhile has had it.
	third := spread("notifications/c")
	b.getAfter(11, header, "1-2")
	third.Commit(1)
	if out := b.host.take(11); strings.Count(out, "/c") != 1 {
		t.Errorf("replay and Commit: %q", out)
	}
}

// newSpread begins a walk and brings it to its end.
func newSpread(b *fakePeer, method string) *Spread {
	sp := b.Spread(&Publication{Audience: ToSessions, Method: method}, Origin{})
	sp.Later = true
	for !sp.Step(1) {
		continue
	}
	return sp
}

// Events that wait are written even if the log has let them go by then, and each
// on the stream that it was for.
func TestCommitWithoutLog(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	b.events.max = 1
	header, _ := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.host.take(10)
	walks := []*Spread{newSpread(b, "notifications/a"), newSpread(b, "notifications/b"), newSpread(b, "notifications/c")}
	b.get(t, 11, header)
	b.host.take(11)
	walks = append(walks, newSpread(b, "notifications/d"), newSpread(b, "notifications/e"))
	for _, sp := range walks {
		if n, done := sp.Commit(1); n != 1 || !done {
			t.Errorf("Commit: %d, %v", n, done)
		}
	}
	var got []string
	for _, st := range []StreamID{10, 11} {
		for _, line := range strings.Split(b.host.take(st), "\n") {
			if _, method, ok := strings.Cut(line, "notifications/"); ok {
				got = append(got, method[:1])
			}
		}
	}
	if want := "a b c d e"; strings.Join(got, " ") != want {
		t.Errorf("written: %q, want %q", got, want)
	}
	if n := len(b.unsent.m) + len(b.unsent.beside); n != 0 {
		t.Errorf("%d streams still wait", n)
	}
}

// A session that ends takes with it what it waits for.
func TestUnsentEndsWithSession(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.host.take(10)
	sp := newSpread(b, "notifications/a")
	b.Demote(ref, 2, 1)
	b.host.take(10)
	if len(b.unsent.m) != 0 {
		t.Error("it waits still")
	}
	if n, done := sp.Commit(5); n != 1 || !done || strings.Contains(b.host.take(10), "/a") {
		t.Errorf("Commit: %d, %v", n, done)
	}
}

// Commit writes the events up to a number and leaves those behind it to wait.
func TestCommitUpToANumber(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.host.take(10)
	for n := range 3 {
		sp := b.Spread(&Publication{Audience: ToSession, Method: "n/" + string('0'+byte(n))}, Origin{Peer: 9, Seq: uint64(n) + 1}).Only(ref)
		sp.Later = true
		for !sp.Step(1) {
		}
	}
	for _, c := range []struct {
		last  uint32
		heard []string
	}{{0, nil}, {2, []string{"n/0", "n/1"}}, {2, nil}, {3, []string{"n/2"}}, {9, nil}} {
		b.Commit(ref, c.last)
		out := b.host.take(10)
		for _, text := range c.heard {
			if !strings.Contains(out, text) {
				t.Errorf("up to %d: %s is missing: %q", c.last, text, out)
			}
		}
		if strings.Count(out, `"method"`) != len(c.heard) {
			t.Errorf("up to %d: %q", c.last, out)
		}
	}
}
