package cluster

import (
	"testing"
	"time"
)

// A peer that was dead in our view may have events of sessions that were taken
// over meanwhile, until it says that it has none, or not any more.
func TestCoreWaitsForAmends(t *testing.T) {
	for _, has := range []bool{false, true} {
		w := newTestCores(t, 4, true)
		p, q := w.procs[0], w.procs[1]
		w.recover(100 * time.Millisecond)
		if p.core.owing() {
			t.Fatal("nobody was away")
		}
		if has { // and cannot bring them anywhere
			q.core.merge(q.core.linkOf(p.id.Incarnation), ID{1}, []Event{{Stream: 1, Seq: 1, Origin: Origin{1, 2}, Msg: []byte("x")}})
		}
		l := p.core.linkOf(q.id.Incarnation)
		l.judged(false, w.now)
		if p.core.owing() {
			t.Error("the dead owe nothing: they are not waited for")
		}
		l.judged(true, w.now)
		if !p.core.owing() || !p.core.Gathering(1, 1) {
			t.Error("who has returned is not waited for")
		}
		p.core.greet(l)
		w.recover(200 * time.Millisecond)
		if p.core.owing() != has {
			t.Errorf("has something %v: owing %v", has, p.core.owing())
		}
		w.recover(owedMax)
		if p.core.owing() {
			t.Error("waited for in vain")
		}
		if len(q.core.amends.asked) == 0 == has {
			t.Errorf("has something %v: %d wait", has, len(q.core.amends.asked))
		}
		w.ok(t)
	}
}

// What a peer that has returned owes is due from its greeting on: before, its link
// may not be up.
func TestCoreCountsFromTheGreeting(t *testing.T) {
	l := newTestCores(t, 2, true).procs[0].core.links[0]
	owes := func() time.Duration { return time.Duration(l.owes.Load()) }
	now := time.Minute
	l.judged(false, now)
	if l.greets(now); owes() != 0 {
		t.Error("the dead owe nothing")
	}
	l.judged(true, now)
	if want := now + gatherMax; owes() != want {
		t.Errorf("its greeting was faster than the view: until %v, not %v", owes(), want)
	}
	l.judged(false, now)
	l.judged(true, now)
	if want := now + owedMax; owes() != want {
		t.Errorf("it has not greeted us: until %v, not %v", owes(), want)
	}
	now += 3 * time.Second
	if l.greets(now); owes() != now+owedMax-3*time.Second {
		t.Errorf("a greeting makes it longer: until %v", owes())
	}
	l.judged(false, now)
	l.judged(true, now)
	now += time.Second
	if l.greets(now); owes() != now+gatherMax {
		t.Errorf("it has greeted us: until %v, not %v", owes(), now+gatherMax)
	}
}

// A greeting may be faster than the view in which its peer is alive: it is answered
// then, and not forgotten. One that does not return is.
func TestCoreMakesAmendsToWhomItSeesLater(t *testing.T) {
	for _, returns := range []bool{true, false} {
		w := newTestCores(t, 4, true)
		p, q := w.procs[0], w.procs[1]
		w.recover(100 * time.Millisecond)
		l, back := p.core.linkOf(q.id.Incarnation), q.core.linkOf(p.id.Incarnation)
		back.alive.Store(false)
		l.judged(false, w.now)
		l.judged(true, w.now)
		p.core.greet(l)
		w.recover(100 * time.Millisecond)
		if !p.core.owing() || len(q.core.amends.asked) != 1 {
			t.Fatalf("owing %v, %d wait", p.core.owing(), len(q.core.amends.asked))
		}
		if returns {
			back.alive.Store(true)
			w.recover(100 * time.Millisecond)
			if p.core.owing() {
				t.Error("it has nothing to bring, and has not said so")
			}
		} else {
			w.recover(gatherMax)
		}
		if n := len(q.core.amends.asked); n != 0 {
			t.Errorf("returns %v: %d wait", returns, n)
		}
		w.ok(t)
	}
}

// A copy that hears of a newer home tells the one that it knew: a split has ended,
// and nobody else may know both.
func TestCoreTellsTheFormerHome(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	_, id, ref := p.session()
	w.recover(100 * time.Millisecond)
	var q *proc // has a copy
	for _, x := range w.procs[1:] {
		if s := x.store.byID[id]; s != nil && !s.isPointer() {
			q = x
		}
	}
	s, _ := p.store.Load(ref)
	var other *Link
	for _, x := range w.procs[1:] {
		if x != q {
			other = q.core.linkOf(x.id.Incarnation)
		}
	}
	b := le.AppendUint32(appendID(nil, kindStale, id), takeoverEpoch(s.Epoch, 3))
	b = le.AppendUint64(b, other.peer.Incarnation)
	if err := other.in.stale(&reader{left: b[1:]}, 0); err != nil {
		t.Fatal(err)
	}
	w.recover(50 * time.Millisecond)
	if s, _ := p.store.Load(ref); s.Home == 0 {
		t.Error("the former home has not heard of it")
	}
	w.ok(t)
}
