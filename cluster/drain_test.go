package cluster

import (
	"testing"
	"time"
)

// While one of two nodes drains it holds copies for the other: what is published
// is acknowledged, and nothing is lost should the other die. The last node takes
// over although it drains; it gives away nothing to another that drains.
func TestCoreDrainsOneOfTwo(t *testing.T) {
	w := newTestCores(t, 2, true)
	p, q := w.procs[0], w.procs[1]
	for range 20 {
		id, _, _ := p.session()
		p.ask("get " + id + " - -")
	}
	w.recover(200 * time.Millisecond)
	published := func(when string) {
		t.Helper()
		for _, at := range w.live() {
			out, err := at.core.StartPublish([]byte("all "+when), "")
			if err != nil {
				t.Fatal(err)
			}
			w.recover(500 * time.Millisecond)
			if !isDone(out.done) || out.err != nil {
				t.Errorf("published at %s %s: done %v, %v", at.id, when, isDone(out.done), out.err)
			}
		}
	}
	drain := func(node string) {
		for _, at := range w.procs {
			at.draining[node] = true
			at.see()
		}
		w.recover(200 * time.Millisecond)
	}
	drain("n1")
	published("at first")
	done := p.core.startMove(1000, true)
	w.recover(time.Second)
	select {
	case err := <-done:
		if err != nil || p.homes() != 0 {
			t.Errorf("%v, %d left", err, p.homes())
		}
	default:
		t.Errorf("not done, %d left", p.homes())
	}
	published("drained")
	w.checkCopies()
	w.ok(t)
	drain("n2")
	published("both drain")
	_ = q.core.startMove(1000, true)
	w.recover(time.Second)
	if q.homes() != 20 {
		t.Errorf("%d of 20 stayed", q.homes())
	}
	w.kill(q, false)
	w.recover(2 * time.Second)
	if p.homes() != 20 {
		t.Errorf("%d of 20 live", p.homes())
	}
}
