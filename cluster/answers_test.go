package cluster

import (
	"fmt"
	"testing"
	"time"
)

// A client is told at once what became of its request, also while a publication
// is on its way through the sessions.
func TestCoreAnswersWhilePublishing(t *testing.T) {
	c, _, store := strangers()
	c.SetView(smallView(1, "b"))
	c.Step()
	a, _ := nobodys(c, store.p, "call")
	c.SetView(smallView(2))
	c.spread.round.stage = roundFlush // a link does not move
	c.applyView(c.o.Now())
	c.runJobs()
	if store.p.w.recover(100 * time.Millisecond); a.String() != "" {
		t.Errorf("got %q from a job", a)
	}
	c.runAnswers()
	store.p.w.recover(100 * time.Millisecond)
	if want := fmt.Sprint("refused ", RefusedLost); a.String() != want {
		t.Errorf("got %q, want %q", a, want)
	}
}

// What a loss has left to do is waited for once more, by requests that may find
// their session then, and these are not sent twice meanwhile.
func TestCoreHoldsOnAfterLoss(t *testing.T) {
	for _, test := range []struct {
		what  string
		known bool
		loss  bool
		holds bool
	}{
		{"get", true, true, true},
		{"get", true, false, false},
		{"get", false, true, true}, // who was asked has not answered
		{"get", false, false, false},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			c, b, store := strangers()
			store.p.w.recover(time.Second)
			if test.known {
				store.add(&simSession{Session: Session{ID: parseID("9.9"), Epoch: 1, Home: b.num}})
			}
			c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
			c.SetView(smallView(1, "b", "c"))
			c.Step()
			if test.loss {
				c.SetView(smallView(2, "b"))
				c.Step()
			}
			a, r := nobodys(c, store.p, test.what)
			if r.first != b {
				t.Fatalf("%v was asked", r.first)
			}
			sent := b.mark().data
			after := func(d time.Duration) string {
				store.p.w.recover(d)
				for range 3 { // what is found late is said in the next step
					c.Step()
				}
				store.p.w.recover(100 * time.Millisecond)
				return a.String()
			}
			refused := fmt.Sprint("refused ", RefusedUnavailable)
			if got := after(HoldTimeoutDefault + 10*time.Millisecond); got != map[bool]string{false: refused}[test.holds] {
				t.Errorf("after %v: %q", HoldTimeoutDefault, got)
			}
			if b.mark().data != sent {
				t.Error("it was sent again")
			}
			if got := after((settleWaits - 1) * HoldTimeoutDefault); got != refused {
				t.Errorf("in the end: %q, want %q", got, refused)
			}
		})
	}
}

// After a loss a request waits on also when a peer that is not sure is heard only
// after the deadline, and not when all are sure that they do not know its session.
func TestCoreHoldsOnWithWhoIsUnsure(t *testing.T) {
	for _, test := range []struct {
		sure  byte
		holds bool
	}{{notSure, true}, {notKnown, false}} {
		c, b, store := strangers()
		store.p.w.recover(time.Second)
		c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
		c.SetView(smallView(1, "b", "c"))
		c.Step()
		c.SetView(smallView(2, "b"))
		c.Step()
		a, r := nobodys(c, store.p, "get")
		store.p.w.recover(HoldTimeoutDefault - time.Millisecond)
		c.Step()
		store.p.w.now += 2 * time.Millisecond // and nothing has looked at it since
		for range unsureAgain + 1 {
			b.says(t, kindNotHere, r.num, append([]byte{test.sure}, wordOf(c.plan.Load().hash)...)...)
		}
		c.Step()
		store.p.w.recover(100 * time.Millisecond)
		if held := a.String() == ""; held != test.holds {
			t.Errorf("%d: answered %q", test.sure, a)
		}
	}
}

// A request that a loss sends elsewhere is sent there also when a process that was
// busy with the loss looks at it only after the deadline.
func TestCoreTriesLateAfterLoss(t *testing.T) {
	c, b, store := strangers()
	store.p.w.recover(time.Second)
	c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
	c.SetView(smallView(1, "b", "c"))
	c.Step()
	a, r := nobodys(c, store.p, "get")
	other := c.linkOf(3)
	if r.at == other {
		b, other = other, b
	}
	c.SetView(smallView(2, b.peer.Node))
	c.mu.Lock()
	r.at = other
	c.mu.Unlock()
	c.applyView(c.o.Now())
	store.p.w.now += HoldTimeoutDefault + time.Second
	c.Step()
	store.p.w.recover(100 * time.Millisecond)
	if a.String() != "" || r.at != b {
		t.Errorf("answered %q, and %v was asked", a, r.at)
	}
}
