package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/shard"
)

// These tests join a few cores in the simulated network, without chance in what
// happens, and look at one thing each.

// newTestCores returns a cluster of so many nodes that has come to rest.
func newTestCores(t *testing.T, nodes int, acked bool) *world {
	t.Helper()
	w := newWorld(1, false)
	w.cfg = simConfig{nodes: nodes, workers: 1, replicas: 3, acked: acked, delay: time.Millisecond}
	w.begin()
	w.recover(300 * time.Millisecond)
	return w
}

// ok fails the test if the simulation found something wrong.
func (w *world) ok(t *testing.T) {
	t.Helper()
	if w.err != nil {
		t.Fatal(w.err)
	}
}

// session makes one at a process and returns the id and its ref there.
func (p *proc) session() (text string, id ID, ref uint64) {
	text = p.store.create()
	id = parseID(text)
	ref, _ = p.store.Find(id)
	return text, id, ref
}

// ask sends a request to a process, as a client would, and returns the answer.
func (p *proc) ask(msg string) *answers {
	a := &answers{}
	p.last++
	a.conn = &clientConn{c: &client{w: p.w}, p: p, id: p.last, open: true, lost: 1 << 30, answered: func(line string) { a.lines = append(a.lines, line) }}
	p.conns[a.conn.id] = a.conn
	p.store.request(a.conn.id, msg)
	return a
}

type answers struct {
	conn  *clientConn
	lines []string
}

func (a *answers) String() string { return strings.Join(a.lines, "; ") }

func (w *world) homeAt(id ID) *proc {
	for _, p := range w.live() {
		if s := p.store.byID[id]; s != nil && s.Home == 0 {
			return p
		}
	}
	return nil
}

func TestCoreReplicates(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	id, _, ref := p.session()
	for _, msg := range []string{"get " + id + " - -", "sub " + id + " t1", "sub " + id + " t2", "unsub " + id + " t1", "call " + id} {
		p.ask(msg)
		w.recover(100 * time.Millisecond)
	}
	if err := p.store.SpreadTo(ref, []byte("one event"), Origin{1, 2}, false); err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	w.checkCopies()
	w.ok(t)
	p.ask("delete " + id)
	w.recover(100 * time.Millisecond)
	for _, q := range w.procs {
		if len(q.store.byRef) > 0 {
			t.Errorf("%s still has it", q.id)
		}
	}
}

func TestCoreTakesOver(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	id, key, ref := p.session()
	p.ask("get " + id + " - -")
	w.recover(100 * time.Millisecond)
	if err := p.store.SpreadTo(ref, []byte("one first"), Origin{1, 1}, false); err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	w.kill(p, false)
	w.recover(2 * time.Second)
	home := w.homeAt(key)
	if home == nil {
		t.Fatal("no home")
	}
	if s := home.store.byID[key]; s.Epoch>>movesBits>>placeBits != 1 || s.Epoch%(1<<movesBits) != 0 {
		t.Errorf("epoch %x", s.Epoch)
	}
	for _, q := range w.live() {
		if a := q.ask("get " + id + " 1 0"); a != nil {
			w.recover(100 * time.Millisecond)
			if !strings.Contains(a.String(), "event 1 1 first") {
				t.Errorf("%s: %s", q.id, a)
			}
		}
	}
	w.checkCopies()
	w.ok(t)
}

func TestCoreForwards(t *testing.T) {
	w := newTestCores(t, 4, true)
	id, key, _ := w.procs[0].session()
	for _, q := range w.procs { // before and after they hear of it
		a := q.ask("call " + id)
		w.recover(200 * time.Millisecond)
		if a.String() != "ok" {
			t.Errorf("%s: %s", q.id, a)
		}
	}
	if w.homeAt(key) != w.procs[0] {
		t.Error("a request moved the session")
	}
	w.ok(t)
}

func TestCoreRefuses(t *testing.T) {
	w := newTestCores(t, 4, true)
	const nobodys = "1.2"
	a := w.procs[0].ask("get " + nobodys + " 1 1")
	w.recover(200 * time.Millisecond)
	if a.String() != fmt.Sprint("refused ", RefusedUnknown) {
		t.Errorf("nobody's session: %s", a)
	}
	w.kill(w.procs[3], false)
	w.recover(time.Second)
	a = w.procs[0].ask("get " + nobodys + " 1 1")
	w.recover(HoldTimeoutDefault / 2)
	if a.String() != "" {
		t.Errorf("not held: %s", a)
	}
	w.recover(HoldTimeoutDefault)
	if a.String() != fmt.Sprint("refused ", RefusedUnavailable) {
		t.Errorf("a node is away that may know it: %s", a)
	}
	w.checkQuiet(w.procs[0])
	w.ok(t)
}

func TestCorePublishes(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	var all []*answers
	for _, q := range w.procs {
		id, _, _ := q.session()
		all = append(all, q.ask("get "+id+" - -"))
	}
	w.recover(200 * time.Millisecond)
	out, err := p.core.StartPublish([]byte("all hello"), "key")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if n, err := out.Result(); !isDone(out.done) || n != 4 || err != nil {
		t.Errorf("through %v: %d, %v", isDone(out.done), n, err)
	}
	// Once more with the same key: nobody hears it again.
	if _, err = p.core.StartPublish([]byte("all hello"), "key"); err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	for i, a := range all {
		if n := strings.Count(a.String(), "hello"); n != 1 {
			t.Errorf("client of %s has it %d times", w.procs[i].id, n)
		}
	}
	for _, q := range w.procs {
		w.checkQuiet(q)
	}
	w.ok(t)
}

func TestCorePublishNotHeld(t *testing.T) {
	w := newTestCores(t, 2, true)
	id, _, _ := w.procs[0].session()
	w.procs[0].ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	w.block("n1", "n2", true)
	out, err := w.procs[0].core.StartPublish([]byte("all hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if isDone(out.done) {
		t.Error("acknowledged without a copy")
	}
	w.recover(AckTimeoutDefault)
	if _, err := out.Result(); !isDone(out.done) || err != nil && !errors.Is(err, ErrNotHeld) {
		t.Errorf("through %v: %v", isDone(out.done), err)
	}
	w.ok(t)
}

// TestCorePublishGivenUp: one that is given up has those behind it not spread
// again.
func TestCorePublishGivenUp(t *testing.T) {
	w := newTestCores(t, 2, true)
	w.block("n1", "n2", true)
	c := w.procs[0].core
	var outs [2]*Outgoing
	for i := range outs {
		var err error
		if outs[i], err = c.StartPublish([]byte("all hello"), ""); err != nil {
			t.Fatal(err)
		}
		w.recover(AckTimeoutDefault / 2)
	}
	w.recover(300 * time.Millisecond)
	if !isDone(outs[0].done) || isDone(outs[1].done) {
		t.Errorf("through %v, %v", isDone(outs[0].done), isDone(outs[1].done))
	}
	if len(c.spread.waits) != 1 {
		t.Errorf("%d wait for copies", len(c.spread.waits))
	}
}

func TestCorePublishAsync(t *testing.T) {
	w := newTestCores(t, 2, false)
	w.block("n1", "n2", true)
	out, err := w.procs[0].core.StartPublish([]byte("all hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	if _, err := out.Result(); !isDone(out.done) || err != nil {
		t.Errorf("through %v: %v", isDone(out.done), err)
	}
	w.ok(t)
}

func TestCoreNotifies(t *testing.T) {
	w := newTestCores(t, 4, true)
	id, key, _ := w.procs[1].session()
	a := w.procs[1].ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	for i, q := range w.procs {
		n, err := q.core.startNote(key, fmt.Appendf(nil, "one n%d.", i), "")
		if err != nil {
			t.Fatal(err)
		}
		w.recover(200 * time.Millisecond)
		if !isDone(n.done) || n.err != nil || strings.Count(a.String(), fmt.Sprintf("n%d.", i)) != 1 {
			t.Errorf("%s: %v %v: %s", q.id, isDone(n.done), n.err, a)
		}
	}
	n, err := w.procs[0].core.startNote(ID{1}, []byte("one x"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if !isDone(n.done) || !errors.Is(n.err, ErrUnknown) {
		t.Errorf("nobody's session: %v", n.err)
	}
	w.ok(t)
}

func TestCoreHandsOver(t *testing.T) {
	w := newTestCores(t, 4, true)
	id, key, _ := w.procs[0].session()
	a := w.procs[2].ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	if w.homeAt(key) != w.procs[2] {
		t.Fatal("it did not move to its stream")
	}
	if _, err := w.procs[1].core.StartPublish([]byte("all hello"), ""); err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if !strings.Contains(a.String(), "hello") || !a.conn.open {
		t.Errorf("the stream did not come along: %s", a)
	}
	w.recover(10 * time.Second)
	w.checkCopies()
	w.ok(t)
}

func TestCoreFetches(t *testing.T) {
	w := newTestCores(t, 4, true)
	_, key, _ := w.procs[0].session()
	w.recover(100 * time.Millisecond)
	f := w.procs[3].core.startFetch(key)
	w.recover(200 * time.Millisecond)
	if !isDone(f.done) || f.err != nil || w.homeAt(key) != w.procs[3] {
		t.Errorf("fetched %v: %v", isDone(f.done), f.err)
	}
	f = w.procs[3].core.startFetch(ID{1})
	w.recover(2 * HoldTimeoutDefault)
	if !isDone(f.done) || !errors.Is(f.err, ErrUnknown) {
		t.Errorf("nobody's session: %v", f.err)
	}
	w.kill(w.procs[1], false)
	w.recover(time.Second)
	f = w.procs[3].core.startFetch(ID{1})
	w.recover(2 * HoldTimeoutDefault)
	if !isDone(f.done) || errors.Is(f.err, ErrUnknown) {
		t.Errorf("somebody is away who may have it: %v", f.err)
	}
	if t3 := &w.procs[3].core.fetches; t3.n+len(t3.m)+len(t3.denied) != 0 {
		t.Errorf("%d, %d, %d are left over", t3.n, len(t3.m), len(t3.denied))
	}
	w.ok(t)
}

// A session that its home does not give away is not called unknown, though others
// know nothing of it.
func TestCoreFetchesFromWhoDoesNotGiveIt(t *testing.T) {
	w := newTestCores(t, 4, true)
	_, key, _ := w.procs[0].session()
	w.recover(100 * time.Millisecond)
	w.procs[0].store.byID[key].busy = 1
	f := w.procs[3].core.startFetch(key)
	w.recover(2 * HoldTimeoutDefault)
	if !isDone(f.done) || f.err == nil || errors.Is(f.err, ErrUnknown) {
		t.Errorf("fetched %v: %v", isDone(f.done), f.err)
	}
	w.ok(t)
}

func TestCoreDrains(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	for range 20 {
		id, _, _ := p.session()
		p.ask("get " + id + " - -")
	}
	w.recover(200 * time.Millisecond)
	for _, q := range w.procs {
		q.draining["n1"] = true
		q.see()
	}
	w.recover(200 * time.Millisecond)
	done := p.core.startMove(40, true)
	w.recover(250 * time.Millisecond)
	if n := p.homes(); n < 5 || n > 15 {
		t.Errorf("%d left after a quarter of a second at 40 a second", n)
	}
	w.recover(time.Second)
	select {
	case err := <-done:
		if err != nil || p.homes() != 0 {
			t.Errorf("%v, %d left", err, p.homes())
		}
	default:
		t.Errorf("not done, %d left", p.homes())
	}
	w.ok(t)
}

func (p *proc) homes() (n int) {
	for _, s := range p.store.byRef {
		if s.Home == 0 {
			n++
		}
	}
	return n
}

// A copy that differs is noticed by its digest and brought again.
func TestCoreRepairs(t *testing.T) {
	w := newTestCores(t, 3, true)
	_, key, _ := w.procs[0].session()
	w.recover(100 * time.Millisecond)
	for _, l := range w.procs[0].core.plan.Load().of(shard.PartitionOf(shard.Key(key))) {
		w.procOf(l.peer.PeerID).store.byID[key].State++
	}
	w.recover(10 * time.Second)
	w.checkCopies()
	w.ok(t)
	if n := w.procs[0].core.Stats().Repaired; n == 0 {
		t.Error("not counted")
	}
}

// A notification finds a session whose home drains and whose copies are not made
// yet: nobody who is to know it does, and all are asked.
func TestCoreNotifiesWhoeverHasIt(t *testing.T) {
	w := newTestCores(t, 3, true)
	id, key, _ := w.procs[0].session()
	a := w.procs[0].ask("get " + id + " - -")
	for _, q := range w.procs {
		q.draining["n1"] = true
		q.see()
	}
	w.recover(200 * time.Millisecond)
	for _, q := range w.procs[1:] {
		q.store.remove(q.store.byID[key])
	}
	n, err := w.procs[2].core.startNote(key, []byte("one hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if !isDone(n.done) || n.err != nil || strings.Count(a.String(), "hello") != 1 {
		t.Errorf("through %v, %v: %s", isDone(n.done), n.err, a)
	}
	w.ok(t)
}

// A notification finds a session although what is here of it leads astray, by as
// many peers as it is sent on at most: whoever holds it is asked.
func TestCoreNotifiesPastWhatIsOutOfDate(t *testing.T) {
	w := newTestCores(t, 7, true)
	home := w.procs[0]
	id, key, _ := home.session()
	a := home.ask("get " + id + " - -")
	w.recover(200 * time.Millisecond)
	var without []*proc
	for _, q := range w.procs[1:] {
		if q.store.byID[key] == nil {
			without = append(without, q)
		}
	}
	if len(without) <= hopsMax {
		t.Fatalf("%d have nothing of it", len(without))
	}
	for i, q := range without[:hopsMax] {
		next := q.core.linkOf(without[i+1].id.Incarnation)
		old := Snapshot{Session: Session{ID: key, Home: next.num | homePointer}}
		if _, err := q.store.Adopt(&old); err != nil {
			t.Fatal(err)
		}
	}
	n, err := without[0].core.startNote(key, []byte("one hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.recover(200 * time.Millisecond)
	if !isDone(n.done) || n.err != nil || strings.Count(a.String(), "hello") != 1 {
		t.Errorf("through %v, %v: %s", isDone(n.done), n.err, a)
	}
	w.ok(t)
}
