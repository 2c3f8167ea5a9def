package cluster

import (
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// What a peer asks over a link that was dead in our view is not served until it
// has greeted us, or was alive for long enough: nobody may wait for it any more.
func TestCoreServesNothingOutdated(t *testing.T) {
	w := newTestCores(t, 4, true)
	p, q := w.procs[0], w.procs[1]
	text, id, ref := p.session()
	w.recover(100 * time.Millisecond)
	l := p.core.linkOf(q.id.Incarnation)
	served := func() bool {
		before := p.store.byRef[ref].busy
		p.core.forward(&asked{inc: q.id.Incarnation, num: 99, hops: hopsMax, id: id, msg: []byte("call " + text)}, l)
		return p.store.byRef[ref].busy > before
	}
	if !served() {
		t.Fatal("not served")
	}
	for _, greets := range []bool{false, true} {
		l.judged(false, w.now)
		if served() {
			t.Error("served for who is dead")
		}
		l.judged(true, w.now)
		if served() {
			t.Error("served for who has just returned")
		}
		if greets {
			q.core.greet(q.core.linkOf(p.id.Incarnation))
			w.recover(50 * time.Millisecond)
		} else {
			w.recover(outdatedMax)
		}
		if !served() {
			t.Errorf("greets %v: not served", greets)
		}
	}
	l.judged(false, w.now)
	q.core.greet(q.core.linkOf(p.id.Incarnation))
	w.recover(50 * time.Millisecond)
	if l.judged(true, w.now); !served() {
		t.Error("the greeting was faster than the view: not served")
	}
	w.ok(t)
}

// Nor is what comes by way of one that was dead, also if it has to wait until the
// peer that asks is alive in our view, and the other one is by then.
func TestCoreServesNothingOutdatedThatWaited(t *testing.T) {
	for _, outdated := range []bool{false, true} {
		w := newTestCores(t, 4, true)
		p := w.procs[0]
		text, id, ref := p.session()
		w.recover(100 * time.Millisecond)
		state := p.store.byRef[ref].State // calls change it
		from, via := p.core.linkOf(w.procs[1].id.Incarnation), p.core.linkOf(w.procs[2].id.Incarnation)
		from.alive.Store(false) // and it has greeted us, faster than the view
		if outdated {
			via.judged(false, w.now)
		}
		if err := via.in.handle(batch.Data, appendForward(from.peer.Incarnation, 99, hopsMax, id, []byte("call "+text))); err != nil {
			t.Fatal(err)
		}
		if n := len(p.core.routes.early); n != 1 {
			t.Fatalf("%d wait", n)
		}
		via.said.Store(0) // its greeting
		from.alive.Store(true)
		w.recover(100 * time.Millisecond)
		if n := len(p.core.routes.early); n != 0 {
			t.Fatalf("%d wait", n)
		}
		if served := p.store.byRef[ref].State != state; served == outdated {
			t.Errorf("outdated %v: served %v", outdated, served)
		}
		w.ok(t)
	}
}
