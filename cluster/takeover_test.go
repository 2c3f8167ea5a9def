package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// Each takeover counts more than the one before and than all moves that the lost
// home may have made since, and no two nodes make the same of it.
func TestTakeoverEpochGrows(t *testing.T) {
	const moves = 1 << movesBits
	for _, epoch := range []uint32{0, 1, moves - 1, moves, moves + 1, 2*moves - 1, 7 * moves} {
		seen := map[uint32]int{}
		for place := range 1 << placeBits {
			next := takeoverEpoch(epoch, place)
			if next>>movesBits>>placeBits != epoch>>movesBits>>placeBits+1 || next%moves != 0 {
				t.Errorf("after epoch %x comes %x at place %d", epoch, next, place)
			}
			if other, ok := seen[next]; ok {
				t.Errorf("after epoch %x comes %x at places %d and %d", epoch, next, other, place)
			}
			seen[next] = place
		}
	}
}

// Who only knows where a session was does not promise that it will be at home
// there: when it was killed with all its copies, callers hear that it is gone.
func TestCoreForgetsWhatIsLost(t *testing.T) {
	w := newWorld(1, false)
	w.cfg = simConfig{nodes: 2, workers: 2, replicas: 3, acked: true, delay: time.Millisecond}
	w.begin()
	w.recover(300 * time.Millisecond)
	p, copied, home, other := w.procs[0], w.procs[1], w.procs[2], w.procs[3]
	var id string
	var key ID
	for {
		id, key, _ = p.session()
		home.ask("get " + id + " - -")
		w.recover(2 * time.Second)
		if s := copied.store.byID[key]; w.homeAt(key) == home && s != nil && !s.isPointer() {
			break
		}
	}
	if s := p.store.byID[key]; s != nil && !s.isPointer() {
		t.Fatalf("%s has a copy too", p.id)
	}
	w.kill(home, false)
	w.kill(copied, false)
	w.recover(2 * time.Second)
	for _, q := range []*proc{p, other} {
		n, err := q.core.startNote(key, []byte("one x"), "")
		if err != nil {
			t.Fatal(err)
		}
		a := q.ask("call " + id)
		w.recover(time.Second)
		if !isDone(n.done) || !errors.Is(n.err, ErrUnknown) {
			t.Errorf("%s: a notification: through %v, %v", q.id, isDone(n.done), n.err)
		}
		if a.String() != fmt.Sprint("refused ", RefusedUnknown) {
			t.Errorf("%s: a request: %s", q.id, a)
		}
		if q.store.byID[key] != nil {
			t.Errorf("%s: remembers it", q.id)
		}
		w.checkQuiet(q)
	}
	w.ok(t)
}

// Who has a copy of a session whose home is lost does not call it unknown because
// the peer that is to take it over has just forgotten where it was: the copy is
// taken over here, a little later.
func TestCoreKnowsWhatWaitsForTakeover(t *testing.T) {
	w := newWorld(1, false)
	w.cfg = simConfig{nodes: 3, workers: 2, replicas: 3, acked: true, delay: time.Millisecond}
	w.begin()
	w.recover(300 * time.Millisecond)
	home := w.procs[0]
	id, key, _ := home.session()
	w.recover(300 * time.Millisecond)
	next, _ := home.core.plan.Load().successor(partitionOf(key), home.id.Node)
	first := w.procOf(next.peer.PeerID)
	first.store.byID[key].Home |= homePointer // as if a worker of its node that died too had the copy
	var holder *proc
	for _, q := range w.procs[2:] {
		if s := q.store.byID[key]; s != nil && !s.isPointer() {
			holder = q
		}
	}
	w.kill(home, false)
	for _, q := range w.live() {
		if q != first {
			q.known[home.id].state, q.known[home.id].heard = Dead, -time.Hour
			q.see()
		}
	}
	for n := 0; first.store.byID[key] != nil && n < 1000; n++ {
		w.recover(time.Millisecond)
	}
	if s := holder.store.byID[key]; s == nil || s.Home == 0 || first.store.byID[key] != nil {
		t.Fatal("nobody waits for a takeover")
	}
	a := holder.ask("call " + id)
	w.recover(time.Second)
	if a.String() != "ok" || w.homeAt(key) != holder {
		t.Errorf("%s", a)
	}
	w.ok(t)
}

// Who is asked to take a session over leaves it to a home that has just spoken,
// although it is dead in the view here: it is about to return.
func TestCoreLeavesSessionsToWhoSpeaks(t *testing.T) {
	w := newTestCores(t, 4, true)
	home := w.procs[0]
	_, key, _ := home.session()
	w.recover(200 * time.Millisecond)
	var holder, asker *proc
	for _, q := range w.procs[1:] {
		if q.store.byID[key] != nil {
			holder = q
		} else {
			asker = q
		}
	}
	c := holder.core
	l := c.linkOf(home.id.Incarnation)
	l.alive.Store(false)
	c.homeIs(l)
	ask := func() {
		msg := &reader{left: appendOrphans(orphanTake, []ID{key})[1:]}
		if err := c.linkOf(asker.id.Incarnation).in.orphan(msg, batch.Data); err != nil {
			t.Fatal(err)
		}
		w.recover(time.Millisecond)
	}
	ask()
	if s := holder.store.byID[key]; s.Home == 0 {
		t.Error("taken from a home that speaks")
	}
	c.taking.doubt.Store(false) // a pass that was impatient
	ask()
	if s := holder.store.byID[key]; s.Home != 0 {
		t.Error("left to a home that is dead")
	}
}
