package cluster

import (
	"fmt"
	"testing"
	"time"
)

// A call whose peer is dead because it was silent is answered if that returns
// soon. One whose peer is gone is refused at once.
func TestCoreWaitsForTheSilent(t *testing.T) {
	lost := fmt.Sprint("refused ", RefusedLost)
	for _, test := range []struct {
		name    string
		gone    bool
		left    bool
		answers bool
		soon    string // what its client hears at once
		then    string // and in the end
	}{
		{name: "silent", then: lost},
		{name: "returns", answers: true, then: "event 1"},
		{name: "gone", gone: true, soon: lost, then: lost},
		{name: "left", left: true, soon: lost, then: lost},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, b, store := strangers()
			v := smallView(1, "b")
			c.SetView(v)
			c.Step()
			a, r := nobodys(c, store.p, "call")
			b.says(t, kindAt, r.num, wordOf(2)...)
			v = smallView(2, "b")
			n := &v.Nodes[1]
			if n.State = Dead; test.left {
				n.State = Left
			}
			n.Workers[0].State, n.Workers[0].Gone = Dead, test.gone
			c.SetView(v)
			c.Step()
			c.Step()
			b.says(t, kindAt, r.num, wordOf(2)...) // on its way when it fell silent
			if store.p.w.recover(100 * time.Millisecond); a.String() != test.soon {
				t.Fatalf("at once: got %q, want %q", a, test.soon)
			}
			if test.answers {
				b.says(t, kindReply, r.num, append([]byte{byte(ReplyLast)}, "event 1"...)...)
			}
			store.p.w.recover(HoldTimeoutDefault)
			c.Step()
			c.Step()
			if store.p.w.recover(100 * time.Millisecond); a.String() != test.then {
				t.Errorf("in the end: got %q, want %q", a, test.then)
			}
		})
	}
}

// A peer that had this one dead ends what it cannot answer: a call may have been
// served, and who asks for a stream is taken elsewhere.
func TestCoreUnanswered(t *testing.T) {
	for what, want := range map[string]string{"call": fmt.Sprint("refused ", RefusedLost), "get": ""} {
		t.Run(what, func(t *testing.T) {
			c, b, store := strangers()
			c.SetView(smallView(1, "b"))
			c.Step()
			a, r := nobodys(c, store.p, what)
			sent := b.mark().data
			b.says(t, kindReply, r.num, byte(ReplyClose))
			store.p.w.recover(2 * routeAgain)
			c.Step()
			c.Step()
			if store.p.w.recover(100 * time.Millisecond); a.String() != want {
				t.Errorf("got %q, want %q", a, want)
			}
			if again := b.mark().data > sent; again != (what == "get") {
				t.Errorf("asked again: %t", again)
			}
		})
	}
}

// What a peer ends that was asked before does not concern who is asked now.
func TestCoreUnansweredByAnother(t *testing.T) {
	c, b, store := strangers()
	other := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
	c.SetView(smallView(1, "b", "c"))
	c.Step()
	a, r := nobodys(c, store.p, "get")
	last := b
	if r.at == b {
		last = other
	}
	at, before := r.at, r.at.mark().data
	last.says(t, kindReply, r.num, byte(ReplyClose))
	c.Step()
	if store.p.w.recover(100 * time.Millisecond); a.String() != "" || r.at != at || at.mark().data != before {
		t.Errorf("got %q; it is with %v, was with %v", a, r.at, at)
	}
}
