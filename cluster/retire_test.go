package cluster

import (
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// What links hold does not grow with each process that ever was: of one whose
// place has another tenant nothing is kept but its number, and the cluster works
// on.
func TestCoreRetires(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	id, _, _ := p.session()
	p.ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	for range 5 {
		last := w.procs[len(w.procs)-1]
		w.kill(last, false)
		w.recover(time.Second)
		w.startNode(last.id.Node)
		w.recover(2 * time.Second)
	}
	held := 0
	for _, l := range p.core.links {
		l.mu.Lock()
		pending := 0
		for lane := range batch.Lane(batch.Lanes) {
			_, bytes := l.m.Pending(lane)
			pending += bytes
		}
		if l.parts != nil || pending > 0 {
			held++
			if !l.alive.Load() {
				t.Errorf("the link to %v of before holds partitions: %v, and %d bytes", l.peer.PeerID, l.parts != nil, pending)
			}
		}
		l.mu.Unlock()
	}
	if len(p.core.links) != 8 || held != 3 {
		t.Errorf("%d links, %d hold something", len(p.core.links), held)
	}
	a := w.procs[len(w.procs)-1].ask("call " + id)
	w.recover(200 * time.Millisecond)
	if a.String() != "ok" {
		t.Errorf("answer %q", a)
	}
	w.checkCopies()
	w.ok(t)
}

// A stream on a connection of a peer that was dead in its home's view, and never
// thought so itself, ends: its client takes it up again.
func TestCoreEndsStreamsOfWhoReturns(t *testing.T) {
	w := newTestCores(t, 4, true)
	p, q := w.procs[0], w.procs[1]
	for _, each := range w.procs { // what is served on a draining node stays where it is
		each.draining[q.id.Node] = true
		each.see()
	}
	w.recover(200 * time.Millisecond)
	id, key, _ := p.session()
	a := q.ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	if w.homeAt(key) != p || !a.conn.open {
		t.Fatalf("at home at %v, open %v: %s", w.homeAt(key).id, a.conn.open, a)
	}
	w.block(q.id.Node, p.id.Node, true)
	w.recover(2 * time.Second)
	if p.alive()[q.id] || !q.alive()[p.id] || !a.conn.open {
		t.Fatalf("seen alive: %v and %v, open %v", p.alive()[q.id], q.alive()[p.id], a.conn.open)
	}
	w.block(q.id.Node, p.id.Node, false)
	w.recover(time.Second)
	if a.conn.open {
		t.Error("nobody writes to the stream, and it is open")
	}
	w.checkQuiet(q)
	w.ok(t)
}
