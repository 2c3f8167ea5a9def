package cluster

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// A process that goes in the ordinary way finishes what it has taken, and what
// it has not taken is served where the session goes, once.
func TestCoreStopsServing(t *testing.T) {
	w := newTestCores(t, 4, true)
	p, q := w.procs[0], w.procs[1]
	id, key, _ := p.session()
	w.recover(100 * time.Millisecond)
	taken := q.ask("call " + id)
	for n := 0; n < 1000 && !q.core.routes.sorted()[0].taken; n++ {
		w.recover(10 * time.Microsecond)
	}
	late := q.ask("call " + id)
	p.core.StopServing()
	w.recover(500 * time.Millisecond)
	if taken.String() != "ok" || late.String() != "" {
		t.Errorf("taken: %q, late: %q", taken, late)
	}
	for _, r := range w.procs {
		r.draining["n1"] = true
		r.see()
	}
	p.core.startMove(1e6, true)
	w.recover(500 * time.Millisecond)
	if late.String() != "ok" {
		t.Errorf("late: %q", late)
	}
	if s := w.homeAt(key).store.byID[key]; s.State>>32 != 3 {
		t.Errorf("state %d after two calls", s.State>>32)
	}
	w.checkQuiet(q)
	w.ok(t)
}

// smallView is what node a sees: itself and others, each with one process.
func smallView(version uint64, others ...string) *View {
	v := &View{Version: version, Self: "a"}
	for i, name := range append([]string{"a"}, others...) {
		inc := uint64(i + 1)
		v.Nodes = append(v.Nodes, Node{Name: name, Incarnation: inc, State: Alive, Workers: []WorkerInfo{{Incarnation: inc, State: Alive}}})
	}
	return v
}

// That a session is gone can be said by peers who agree who else might have it.
func TestCoreUnknownNeedsAgreement(t *testing.T) {
	c, l, store := strangers()
	l.alive.Store(false)
	a := store.p.ask("call 9.9")
	for range 200 {
		c.Step()
		store.p.w.recover(10 * time.Millisecond)
	}
	if want := fmt.Sprint("refused ", RefusedUnavailable); a.String() != want {
		t.Errorf("without a view: got %q, want %q", a, want)
	}
	for _, s := range []struct {
		name      string
		other     uint64 // what the peer's view differs by
		searching bool
		want      Refusal
	}{
		{"agreed", 0, false, RefusedUnknown},
		{"the peer sees others", 1, false, RefusedUnavailable},
		{"others are not found yet", 0, true, RefusedUnavailable},
	} {
		t.Run(s.name, func(t *testing.T) {
			c, l, store := strangers()
			p := store.p
			v := smallView(1, "b")
			v.Searching = s.searching
			c.SetView(v)
			c.Step()
			a := p.ask("call 9.9")
			for range 200 {
				for _, r := range c.routes.sorted() {
					b := append(binary.AppendUvarint([]byte{kindNotHere}, r.num), notKnown)
					if err := l.in.handle(batch.Control, le.AppendUint64(b, c.plan.Load().hash+s.other)); err != nil {
						t.Fatal(err)
					}
				}
				c.Step()
				p.w.recover(10 * time.Millisecond)
			}
			if want := fmt.Sprint("refused ", s.want); a.String() != want {
				t.Errorf("got %q, want %q", a, want)
			}
		})
	}
}

// A request that was sent on by a peer that died may have been lost with it: who
// waits for it hears so, unless the next one has it.
func TestCoreSentOnAndLost(t *testing.T) {
	for _, s := range []struct {
		name  string
		taken bool
		want  string
	}{{"lost", false, fmt.Sprint("refused ", RefusedLost)}, {"arrived", true, ""}} {
		t.Run(s.name, func(t *testing.T) {
			c, b, store := strangers()
			p := store.p
			next := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
			c.SetView(smallView(1, "b", "c"))
			c.Step()
			a := p.ask("call 9.9")
			c.mu.Lock()
			r := c.routes.sorted()[0]
			r.at = b // whoever was asked first
			c.mu.Unlock()
			at := le.AppendUint64(binary.AppendUvarint([]byte{kindAt}, r.num), 3)
			if err := b.in.handle(batch.Control, at); err != nil {
				t.Fatal(err)
			}
			v := smallView(2, "b", "c")
			v.Nodes[1].State, v.Nodes[1].Workers[0].State = Dead, Dead
			c.SetView(v)
			c.Step()
			if s.taken {
				if err := next.in.handle(batch.Control, at); err != nil {
					t.Fatal(err)
				}
			}
			p.w.recover(2 * HoldTimeoutDefault)
			c.Step()
			c.Step() // what the first has left to do
			p.w.recover(100 * time.Millisecond)
			if a.String() != s.want {
				t.Errorf("got %q, want %q", a, s.want)
			}
		})
	}
}

// A process has met the others when each has spoken, or time is over.
func TestCoreMeets(t *testing.T) {
	c, l, _ := strangers()
	step := func(want bool, what string) {
		t.Helper()
		c.Step()
		if c.Met() != want {
			t.Errorf("%s: %v", what, c.Met())
		}
	}
	step(false, "without a view")
	v := smallView(1, "b")
	v.Searching = true
	c.SetView(v)
	step(false, "while it looks for others")
	c.SetView(smallView(2, "b"))
	step(false, "before the other has spoken")
	began := append(binary.AppendUvarint([]byte{kindPublish}, 0), 0, 0, flagBegan)
	if err := l.in.handle(batch.Data, appendOrigin(le.AppendUint64(began, 0), Origin{})); err != nil {
		t.Fatal(err)
	}
	step(true, "then")

	c, _, store := strangers()
	c.SetView(smallView(1, "b"))
	step(false, "again")
	store.p.w.recover(meetMax + time.Second)
	step(true, "in the end")
}
