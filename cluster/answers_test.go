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
		{"get", false, true, false},
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
			if got := after(HoldTimeoutDefault); got != refused {
				t.Errorf("in the end: %q, want %q", got, refused)
			}
		})
	}
}
