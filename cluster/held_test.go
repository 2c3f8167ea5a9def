package cluster

import (
	"slices"
	"testing"
	"time"
)

// heldCluster is a process with a session whose client listens, and one that was
// dead in its view and is alive again.
func heldCluster(t *testing.T, acked bool) (w *world, p, q *proc, l *Link, heard func() []string) {
	w = newTestCores(t, 4, acked)
	p, q = w.procs[0], w.procs[1]
	text, _, ref := p.session()
	p.ask("get " + text + " - -")
	w.recover(100 * time.Millisecond)
	l = p.core.linkOf(q.id.Incarnation)
	l.judged(false, w.now)
	l.judged(true, w.now)
	return w, p, q, l, func() (all []string) {
		for _, e := range p.store.byRef[ref].log.Events {
			all = append(all, string(e.Msg))
		}
		return all
	}
}

// What a peer that was dead in our view publishes, and nobody waits for, is spread
// when all that were away have said that they have nothing more to bring, in its
// order: also what it publishes behind its greeting. Until then sessions that leave
// do not have it.
func TestHeldBack(t *testing.T) {
	for _, says := range []bool{true, false} {
		w, p, q, l, heard := heldCluster(t, false)
		publish := func(what string) {
			if _, err := q.core.StartPublish([]byte("all "+what), ""); err != nil {
				t.Fatal(err)
			}
		}
		inc := q.id.Incarnation
		seen := p.core.spread.seen[inc]
		publish("first")
		publish("second")
		q.core.greet(q.core.linkOf(p.id.Incarnation))
		publish("third")
		w.recover(100 * time.Millisecond)
		if got := heard(); len(got) > 0 || len(p.core.spread.held.of[l]) != 4 {
			t.Fatalf("heard %q, %d held", got, len(p.core.spread.held.of[l]))
		}
		if now := p.core.spread.seen[inc]; now != seen {
			t.Errorf("what was held back counts as spread: up to %d", now)
		}
		if says {
			p.core.greet(l) // it has nothing to bring, and says so
			w.recover(100 * time.Millisecond)
		} else {
			w.recover(gatherMax)
		}
		if got, want := heard(), []string{"first", "second", "third"}; !slices.Equal(got, want) {
			t.Errorf("says %v: heard %q", says, got)
		}
		if now := p.core.spread.seen[inc]; now != seen+3 || len(p.core.spread.held.of) > 0 {
			t.Errorf("spread up to %d of %d, %d held", now, seen+3, len(p.core.spread.held.of))
		}
		w.ok(t)
	}
}

// Nothing is held back for longer than heldMax, also of a peer that stays dead in
// our view.
func TestHeldBackIsBounded(t *testing.T) {
	w, _, q, l, heard := heldCluster(t, false)
	l.judged(false, w.now)
	if _, err := q.core.StartPublish([]byte("all of the dead"), ""); err != nil {
		t.Fatal(err)
	}
	w.recover(heldMax / 2)
	if got := heard(); len(got) > 0 {
		t.Fatalf("heard %q", got)
	}
	w.recover(heldMax)
	if got := heard(); len(got) != 1 {
		t.Fatalf("heard %q", got)
	}
	w.ok(t)
}

// A publication that is to be acknowledged is refused meanwhile, whoever it is of,
// and is through when it has come again.
func TestPublicationsAreRefusedWhileAPeerOwes(t *testing.T) {
	w, p, q, l, heard := heldCluster(t, true)
	q.core.greet(q.core.linkOf(p.id.Incarnation))
	w.recover(50 * time.Millisecond)
	var outs []*Outgoing
	for _, x := range []*proc{p, q, w.procs[2]} {
		out, err := x.core.StartPublish([]byte("all of "+x.id.Node), "")
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, out)
	}
	w.recover(100 * time.Millisecond)
	if got := heard(); len(got) > 0 || p.core.count.refused.Load() == 0 {
		t.Fatalf("heard %q, %d refused", got, p.core.count.refused.Load())
	}
	p.core.greet(l)
	w.recover(200 * time.Millisecond)
	for _, out := range outs {
		if _, err := out.Result(); !isDone(out.done) || err != nil {
			t.Errorf("%s: done %v, %v", out.payload, isDone(out.done), err)
		}
	}
	if got := heard(); len(got) != 3 {
		t.Errorf("heard %q", got)
	}
	w.ok(t)
}
