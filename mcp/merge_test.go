package mcp

import (
	"strings"
	"testing"
)

// A session that was taken over gets events of its former home late. Its client
// gets each once: in the old place if it has not come yet, not at all if its
// last event id says that it has it, as a new one otherwise.
func TestMergeAfterTakeover(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	if !b.Demote(ref, 7, 1) || !b.Promote(ref, 2, false) {
		t.Fatal("not taken over")
	}
	merge := func(n uint32) bool {
		msg := `{"jsonrpc":"2.0","method":"late","params":{"n":` + string('0'+byte(n)) + `}}`
		return b.Merge(ref, 1, n, Origin{Peer: 9, Seq: uint64(n)}, []byte(msg))
	}
	if !merge(7) || merge(7) {
		t.Error("an event in its old place: once")
	}
	// 9 of publisher 8 comes behind 4 of the same, which is here already.
	b.Merge(ref, 1, 20, Origin{Peer: 8, Seq: 4}, []byte(`{"jsonrpc":"2.0","method":"late","params":{"k":4}}`))
	b.Merge(ref, 1, 10, Origin{Peer: 8, Seq: 9}, []byte(`{"jsonrpc":"2.0","method":"late","params":{"k":9}}`))
	// The client has seen up to 6: 5 and 6 are not sent when they come.
	b.getAfter(11, header, "1-6")
	merge(5)
	merge(6)
	if merge(5) {
		t.Error("its identity is forgotten: another way would bring it again")
	}
	if !merge(8) {
		t.Error("8 is new to the client")
	}
	out := b.host.take(11)
	if strings.Index(out, `"k":4`) > strings.Index(out, `"k":9`) {
		t.Errorf("out of order: %q", out)
	}
	for text, want := range map[string]int{`"n":5`: 0, `"n":6`: 0, `"n":7`: 1, `"n":8`: 1} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("%s came %d times, want %d: %q", text, got, want, out)
		}
	}
}

// An event that came to the new home by another way takes the place it has at the
// former one: a client that had it from there does not get it again.
func TestMergeRenumbers(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	if !b.Demote(ref, 7, 1) || !b.Promote(ref, 2, false) {
		t.Fatal("not taken over")
	}
	o := Origin{Peer: 9, Seq: 3}
	sp := b.Spread(&Publication{Audience: ToSessions, Method: "notifications/again"}, o)
	for !sp.Step(1) {
	}
	if b.Merge(ref, 1, 6, o, []byte(`{"jsonrpc":"2.0","method":"notifications/again"}`)) {
		t.Error("it was there")
	}
	b.getAfter(11, header, "1-6")
	if out := b.host.take(11); strings.Contains(out, "again") || !strings.Contains(out, "200 OK") {
		t.Errorf("the client had it: %q", out)
	}
	// Published once more it is still known.
	sp = b.Spread(&Publication{Audience: ToSessions, Method: "notifications/again"}, o)
	sp.Again = true
	for !sp.Step(1) {
	}
	if out := b.host.take(11); strings.Contains(out, "again") {
		t.Errorf("sent again: %q", out)
	}
}
