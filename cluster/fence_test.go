package cluster

import (
	"fmt"
	"testing"
	"time"
)

// Two processes that take each other for the home of a session find out with the
// next request for it, and the one that has a copy takes it over.
func TestCoreNobodyIsHome(t *testing.T) {
	for _, test := range []struct {
		name          string
		home, another uint32 // what is added to the record of the home, and of the first copy
	}{
		{"two copies", 0, 0},
		{"the home has a pointer", homePointer, 0},
		{"the copy has become a pointer", 0, homePointer},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestCores(t, 4, true)
			home := w.procs[0]
			text, id, ref := home.session()
			w.recover(200 * time.Millisecond)
			var copies []*proc
			for _, p := range w.procs[1:] {
				if p.store.byID[id] != nil {
					copies = append(copies, p)
				}
			}
			if len(copies) == 0 {
				t.Fatal("no copies")
			}
			other, _ := copies[0].store.Find(id)
			home.says(t, ref, copies[0], test.home)
			copies[0].says(t, other, home, test.another)

			asks := []*proc{home, copies[0]}
			var all []*answers
			for _, p := range asks {
				all = append(all, p.ask("call "+text+" - -"))
			}
			w.recover(HoldTimeoutDefault)
			for i, a := range all {
				if len(a.lines) == 0 || a.lines[0] != "ok" {
					t.Errorf("%v answered %q", asks[i].id, a)
				}
			}
			if n := w.homesOf(id); n != 1 {
				t.Errorf("%d homes", n)
			}
			w.ok(t)
		})
	}
}

// says makes a record say that its home is another process.
func (p *proc) says(t *testing.T, ref uint64, home *proc, mark uint32) {
	t.Helper()
	var now Snapshot
	if !p.store.Export(ref, func(full *Snapshot) { now = full.clone() }) {
		t.Fatal("no session")
	}
	now.Home = p.core.linkOf(home.id.Incarnation).num | mark
	if _, ok := p.store.Replace(ref, &now); !ok {
		t.Fatal("not replaced")
	}
}

// homesOf returns how many processes are home of a session.
func (w *world) homesOf(id ID) (n int) {
	for _, p := range w.live() {
		if s := p.store.byID[id]; s != nil && s.Home == 0 {
			n++
		}
	}
	return n
}

// holder returns the first process but p that has a copy of a session.
func (w *world) holder(t *testing.T, id ID, p *proc) *proc {
	t.Helper()
	for _, q := range w.live() {
		if s := q.store.byID[id]; q != p && s != nil && !s.isPointer() && s.Home != 0 {
			return q
		}
	}
	t.Fatal("no copies")
	return nil
}

// What is acknowledged while nobody is home of a session reaches its client, however
// long ago it was, once and in its order; what was before that is not sent again.
func TestCoreHomelessMissesNothing(t *testing.T) {
	w := newTestCores(t, 4, true)
	home := w.procs[0]
	text, id, ref := home.session()
	home.ask("get " + text + " - -")
	w.recover(100 * time.Millisecond)
	copied := w.holder(t, id, home)
	var outs []*Outgoing
	publish := func(n int) {
		for range n {
			out, err := w.procs[len(outs)%4].core.StartPublish(fmt.Appendf(nil, "all e%d", len(outs)), "")
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, out)
			w.recover(20 * time.Millisecond)
		}
	}
	publish(8)
	w.recover(5 * time.Second)
	s, _ := home.store.Load(ref)
	other, _ := copied.store.Find(id)
	home.says(t, ref, copied, 0)
	copied.says(t, other, home, 0)
	for _, p := range w.procs {
		p.core.tidy.next = w.now + time.Hour // or that finds it
	}
	publish(20)
	w.recover(10 * time.Second)
	for i, out := range outs {
		if _, err := out.Result(); !isDone(out.done) || err != nil {
			t.Fatalf("e%d: through %v, %v", i, isDone(out.done), err)
		}
	}
	if n := w.homesOf(id); n != 0 {
		t.Fatalf("%d homes", n)
	}
	copied.ask("call " + text)
	w.recover(HoldTimeoutDefault)
	is := w.homeAt(id)
	if is == nil {
		t.Fatal("nobody has taken it over")
	}
	log := is.store.byID[id].log
	if len(log.Events) != len(outs) {
		t.Errorf("%d events in the log, not %d", len(log.Events), len(outs))
	}
	latest := [4]int{-1, -1, -1, -1}
	for _, e := range log.Events {
		i := 0
		fmt.Sscanf(string(e.Msg), "e%d", &i)
		if again := e.Seq>>epochBits > s.Epoch>>movesBits; again != (i >= 8) || i < latest[i%4] {
			t.Errorf("%s has number %x, behind e%d", e.Msg, e.Seq, latest[i%4])
		}
		latest[i%4] = i
	}
	w.ok(t)
}

// Whoever was home of a session and hears that another one is asks that one. If it
// says the same of us nobody is, and that is found without a request.
func TestCoreFindsOutThatNobodyIsHome(t *testing.T) {
	for at := range 4 {
		findsOut(t, at)
	}
}

func findsOut(t *testing.T, at int) {
	w := newTestCores(t, 4, true)
	home := w.procs[at]
	_, id, ref := home.session()
	w.recover(100 * time.Millisecond)
	copied := w.holder(t, id, home)
	s, _ := home.store.Load(ref)
	l := home.core.linkOf(copied.id.Incarnation)
	for _, p := range w.procs {
		p.core.tidy.next = w.now + time.Hour
	}
	b := le.AppendUint32(appendID(nil, kindStale, id), takeoverEpoch(s.Epoch, 1))
	b = le.AppendUint64(b, l.peer.Incarnation)
	if err := l.in.stale(&reader{left: b[1:]}, 0); err != nil {
		t.Fatal(err)
	}
	if n := w.homesOf(id); n != 0 {
		t.Fatalf("%d homes", n)
	}
	w.recover(100 * time.Millisecond)
	if n := w.homesOf(id); n != 1 || w.homeAt(id) != copied {
		t.Errorf("%s had been home: %d homes", home.id, n)
	}
	w.ok(t)
}

// A peer that has a copy takes a session over when it hears that it is its home
// from one that it was sent to, because the home here is lost.
func TestCoreIsToldThatTheHomeIsLost(t *testing.T) {
	w := newTestCores(t, 4, true)
	home := w.procs[0]
	_, id, _ := home.session()
	w.recover(100 * time.Millisecond)
	copied := w.holder(t, id, home)
	for _, alive := range []bool{true, false} {
		copied.core.linkOf(home.id.Incarnation).alive.Store(alive)
		for _, p := range w.procs[1:] {
			if p != copied {
				copied.core.linkOf(p.id.Incarnation).in.denied(id)
				break
			}
		}
		copied.core.Step()
		if s := copied.store.byID[id]; (s.Home == 0) == alive {
			t.Errorf("home alive %v: taken over %v", alive, s.Home == 0)
		}
	}
}

// A copy that becomes a pointer because its home has handed the session over, to
// another worker of this node, has nothing that the new home lacks.
func TestCoreBringsNothingToWhoHasAll(t *testing.T) {
	w := newWorld(1, false)
	w.cfg = simConfig{nodes: 4, workers: 2, replicas: 3, acked: true, delay: time.Millisecond}
	w.begin()
	w.recover(300 * time.Millisecond)
	home := w.procs[0]
	text, id, _ := home.session()
	home.ask("get " + text + " - -")
	w.recover(100 * time.Millisecond)
	copied := w.holder(t, id, home)
	for i := range 5 {
		if _, err := home.core.StartPublish(fmt.Appendf(nil, "all e%d", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	w.recover(200 * time.Millisecond)
	if n := len(copied.store.byID[id].log.Events); n != 5 {
		t.Fatalf("%d events in the copy", n)
	}
	var beside *proc
	for _, p := range w.procs {
		if p != copied && p.id.Node == copied.id.Node {
			beside = p
		}
	}
	beside.ask("get " + text + " 1 5")
	w.recover(200 * time.Millisecond)
	if s := copied.store.byID[id]; w.homeAt(id) != beside || !s.isPointer() {
		t.Fatalf("at home %v, pointer %v", w.homeAt(id) == beside, s.isPointer())
	}
	if n := copied.core.merging.last; n != 0 {
		t.Errorf("%d messages with events that the home has", n)
	}
	w.ok(t)
}
