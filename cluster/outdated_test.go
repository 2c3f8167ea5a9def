package cluster

import (
	"testing"
	"time"
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
