package cluster

import (
	"strings"
	"testing"
	"time"
)

// A client that has heard more of a lost home than the next one has waits for
// what the other copy brings.
func TestCoreGathers(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	id, key, ref := p.session()
	p.ask("get " + id + " - -")
	w.recover(100 * time.Millisecond)
	if err := p.store.SpreadTo(ref, []byte("one first"), Origin{1, 1}, false); err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	last := p.store.byID[key].log.Last
	next, _ := p.core.plan.Load().successor(partitionOf(key), p.id.Node)
	home := w.procOf(next.peer.PeerID)
	for _, q := range w.live() { // what the home could tell one of the two
		if s := q.store.byID[key]; q != p && q != home && s != nil && !s.isPointer() {
			q.store.Append(s.ref, &Event{Stream: 1, Seq: last + 1, Origin: Origin{1, 2}, Msg: []byte("one second")})
		}
	}
	w.kill(p, false)
	for w.homeAt(key) != home {
		w.recover(time.Millisecond)
	}
	s := home.store.byID[key]
	if !home.core.Gathering(s.ref, last+1) || home.core.Gathering(s.ref, last) {
		t.Error("no word about what may come still")
	}
	after := "get " + id + " 1 " + utoa(last+1)
	a := home.ask(after)
	w.recover(20 * time.Millisecond)
	if !strings.HasPrefix(a.String(), "refused "+utoa(uint32(RefusedUnavailable))) {
		t.Errorf("at first: %s", a)
	}
	w.recover(gatherMax)
	if home.core.Gathering(s.ref, last+1) {
		t.Error("it never ends")
	}
	a = home.ask(after)
	w.recover(100 * time.Millisecond)
	if !strings.HasPrefix(a.String(), "open 1 ") || strings.Contains(a.String(), "second") {
		t.Errorf("then: %s", a)
	}
	w.ok(t)
}

// A client that names what only a home that is cut off can know waits for that as
// long as for any home, once for all that it names: the network may be well again.
func TestCoreExpectsWhoIsCutOff(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	id, key, ref := p.session()
	p.ask("get " + id + " - -")
	if err := p.store.SpreadTo(ref, []byte("one first"), Origin{1, 1}, false); err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	last := p.store.byID[key].log.Last
	others := w.live()[1:]
	apart := func(on bool) {
		for _, q := range others {
			w.block(p.id.Node, q.id.Node, on)
			w.block(q.id.Node, p.id.Node, on)
		}
	}
	next, _ := p.core.plan.Load().successor(partitionOf(key), p.id.Node)
	home := w.procOf(next.peer.PeerID)
	apart(true)
	for s := home.store.byID[key]; s.Home != 0; {
		w.recover(10 * time.Millisecond)
	}
	w.recover(2 * gatherMax)
	now := home.store.byID[key].ref
	for _, seq := range []uint32{last + 3, last + 4} {
		for _, is := range []bool{true, true, false} {
			if home.core.Gathering(now, last) {
				t.Error("waits for what it knew")
			}
			if home.core.Gathering(now, seq) != is {
				t.Errorf("at %s, what may come of %d: not %v", w.now, seq, is)
			}
			w.recover(gatherMax * 2 / 3)
		}
	}
	apart(false)
	w.recover(2 * owedMax)
	if n := len(home.core.gather.m); n != 0 {
		t.Errorf("%d sessions are expected to have more, and nobody is away", n)
	}
	w.ok(t)
}

// Doubt lasts for a while after processes have come or gone, and for as long as
// one is missing.
func TestCoreDoubt(t *testing.T) {
	w := newTestCores(t, 3, true)
	c := w.procs[0].core
	if !c.Doubt() {
		t.Error("none at the beginning")
	}
	w.recover(2 * doubtfulFor)
	if c.Doubt() {
		t.Error("some although all are there")
	}
	w.kill(w.procs[2], false)
	w.recover(2 * doubtfulFor)
	if !c.Doubt() {
		t.Error("none although a node is dead")
	}
	if alone := NewCore(CoreOptions{Self: Peer{PeerID: w.procs[0].id}, Store: w.procs[0].store, Now: func() time.Duration { return time.Hour }}); !alone.Doubt() {
		t.Error("none although nobody was met yet")
	}
	w.ok(t)
}
