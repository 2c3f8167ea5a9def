package cluster

import (
	"testing"
	"time"
)

// The client of a session that has a newer home is sent there when that home has
// what the client was sent here, and not for ever later.
func TestCoreDismisses(t *testing.T) {
	for _, reached := range []bool{true, false} {
		w := newTestCores(t, 4, true)
		p := w.procs[0]
		text, id, ref := p.session()
		a := p.ask("get " + text + " - -")
		w.recover(100 * time.Millisecond)
		if err := p.store.SpreadTo(ref, []byte("one event"), Origin{1, 2}, false); err != nil {
			t.Fatal(err)
		}
		p.core.late.add(ref)
		w.recover(100 * time.Millisecond)
		// Another one says that it is home since a takeover.
		var home *Link
		for l, e := range p.links {
			if home == nil && e != nil {
				home = l
			}
		}
		if !reached {
			w.block(p.id.Node, home.peer.Node, true)
		}
		s, _ := p.store.Load(ref)
		lock := p.core.locked(id)
		p.core.pointTo(ref, &s, home, takeoverEpoch(s.Epoch, 3))
		lock.Unlock()
		if last := a.lines[len(a.lines)-1]; last == "goodbye" {
			t.Fatalf("sent away at once: %v", a)
		}
		if n := p.core.merging.of[id]; n != 1 {
			t.Fatalf("%d merges", n)
		}
		w.recover(dismissMax / 2)
		if reached { // nobody knows the session as its own: the word of that ends it
			p.core.mu.Lock()
			for _, m := range p.core.merging.m {
				p.core.merging.ended(p.core, m)
			}
			p.core.mu.Unlock()
			w.recover(50 * time.Millisecond)
		} else if a.conn.open {
			w.recover(dismissMax)
		}
		later := len(a.lines) > 1 && a.lines[len(a.lines)-3] == "later"
		if a.conn.open || later == reached || len(p.core.dismissing.list) != 0 {
			t.Errorf("reached %v: open %v, %v", reached, a.conn.open, a)
		}
	}
}
