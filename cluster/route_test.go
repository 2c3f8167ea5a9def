package cluster

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// nobodys asks a process for a session that it knows nothing of, and returns the
// request's route.
func nobodys(c *Core, p *proc, what string) (*answers, *route) {
	a := p.ask(what + " 9.9")
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.routes.sorted()
	return a, all[len(all)-1]
}

// says has a peer say something of a request.
func (l *Link) says(t *testing.T, kind byte, num uint64, rest ...byte) {
	t.Helper()
	if err := l.in.handle(batch.Control, append(binary.AppendUvarint([]byte{kind}, num), rest...)); err != nil {
		t.Fatal(err)
	}
}

func wordOf(v uint64) []byte { return le.AppendUint64(nil, v) }

// A request whose way leads through pointers to a peer that does not know the
// session is not sent the same way again: those are asked who hold it.
func TestCoreRoutesPastWhatIsOutOfDate(t *testing.T) {
	for _, what := range []string{"call ", "get "} {
		w := newTestCores(t, 7, true)
		home := w.procs[0]
		id, key, _ := home.session()
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
		first := without[0].core.linkOf(without[1].id.Incarnation)
		before := first.mark().data
		a := without[0].ask(what + id + " - -")
		w.recover(HoldTimeoutDefault)
		if len(a.lines) == 0 || a.lines[0] != "ok" && what == "call " {
			t.Errorf("%s: answered %q", what, a)
		}
		if n := first.mark().data - before; n > 3 {
			t.Errorf("%s: sent %d times to whom what is here names", what, n)
		}
		w.ok(t)
	}
}

// Where a request is follows from what those say who have sent it on, in
// whatever order their words arrive.
func TestCoreSentOnTwice(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprint("last word first: ", early), func(t *testing.T) {
			c, b, store := strangers()
			next := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
			c.Open(Peer{PeerID: PeerID{Node: "d", Incarnation: 4}})
			c.SetView(smallView(1, "b"))
			c.Step()
			a, r := nobodys(c, store.p, "call")
			c.SetView(smallView(2, "b", "c", "d"))
			c.Step()
			if r.first != b {
				t.Fatalf("%v was asked", r.first)
			}
			if early {
				next.says(t, kindAt, r.num, wordOf(4)...)
			}
			b.says(t, kindAt, r.num, wordOf(3)...)
			if !early {
				next.says(t, kindAt, r.num, wordOf(4)...)
			}
			c.SetView(smallView(3, "b", "c"))
			c.Step()
			c.Step() // what the first has left to do
			store.p.w.recover(100 * time.Millisecond)
			if want := fmt.Sprint("refused ", RefusedLost); a.String() != want {
				t.Errorf("the one that has it is lost: got %q, want %q", a, want)
			}
		})
	}
}

// A request that somebody has said to serve is waited for as long as that peer
// lives.
func TestCoreTakenIsWaitedFor(t *testing.T) {
	c, b, store := strangers()
	c.SetView(smallView(1, "b"))
	c.Step()
	a, r := nobodys(c, store.p, "get")
	b.says(t, kindAt, r.num, wordOf(2)...)
	store.p.w.recover(2 * HoldTimeoutDefault)
	c.Step()
	c.Step()
	if a.String() != "" {
		t.Errorf("while it is served: %q", a)
	}
	b.says(t, kindReply, r.num, append([]byte{byte(ReplyLast)}, "event 1"...)...)
	store.p.w.recover(100 * time.Millisecond)
	if a.String() == "" {
		t.Error("the answer did not reach the client")
	}
}

// A peer that was not sure of a session, and is its home by what has been heard
// since, is asked again before others are.
func TestCoreAsksWhoHasBecomeHome(t *testing.T) {
	c, b, store := strangers()
	other := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
	c.SetView(smallView(1, "b"))
	c.Step()
	_, r := nobodys(c, store.p, "call")
	c.SetView(smallView(2, "b", "c"))
	c.Step()
	not := func(l *Link, sure byte) {
		t.Helper()
		l.says(t, kindNotHere, r.num, append([]byte{sure}, wordOf(c.plan.Load().hash)...)...)
	}
	for range unsureAgain {
		not(b, notSure)
		if r.at != b || r.retryAt == 0 {
			t.Fatal("who is not sure is not asked once more")
		}
		store.p.w.recover(2 * routeAgain)
		c.Step()
	}
	if not(b, notSure); r.at != other {
		t.Fatal("nobody else is asked in the end")
	}
	homeIs := func(epoch uint32) {
		t.Helper()
		s := Snapshot{Session: Session{ID: r.id, Epoch: epoch, Home: b.num | homePointer}}
		if ref, ok := c.o.Store.Find(r.id); ok {
			c.o.Store.Replace(ref, &s)
		} else if _, err := c.o.Store.Adopt(&s); err != nil {
			t.Fatal(err)
		}
	}
	homeIs(1 << movesBits)
	if not(other, notKnown); r.at != b {
		t.Error("the home is not asked again")
	}
	if not(b, notSure); r.tried != nil {
		t.Error("the round is not over, and nothing was heard of anybody since")
	}
}

// A session that is being handed over to this process will be at home here in a
// moment: a request waits for that, and is not sent back to its former home.
func TestCoreWaitsForWhatArrives(t *testing.T) {
	c, b, _ := strangers()
	c.SetView(smallView(1, "b"))
	c.Step()
	s := Snapshot{Session: Session{ID: ID{9}, Epoch: 3, State: 4}}
	moved := appendSnapshot(c.spread.appendSeen([]byte{kindMoved, 0, 0}), &s, nil)
	if err := b.in.handle(batch.Data, moved); err != nil {
		t.Fatal(err)
	}
	if f := c.find(ID{9}); !f.arriving {
		t.Fatalf("found %+v", f)
	}
	before := b.mark().data
	c.forward(&asked{inc: 2, num: 1, hops: hopsMax, id: ID{9}, msg: []byte("call")}, b)
	if b.mark().data != before {
		t.Error("a peer's request is sent back")
	}
	c.Step()
	if f := c.find(ID{9}); f.ref == 0 {
		t.Errorf("it has not come home: %+v", f)
	}
}

// A request of a peer that has a link, and is not alive in our view yet, waits:
// its answer would find nobody.
func TestCoreServesWhoIsAlive(t *testing.T) {
	c, _, store := strangers()
	c.SetView(smallView(1, "b"))
	c.Step()
	text := store.create()
	d := c.Open(Peer{PeerID: PeerID{Node: "c", Incarnation: 3}})
	before := d.mark().data
	if err := d.in.handle(batch.Data, appendForward(3, 1, hopsMax, parseID(text), []byte("call "+text+" - -"))); err != nil {
		t.Fatal(err)
	}
	c.Step()
	if n := len(c.routes.early); n != 1 || d.mark().data != before {
		t.Fatalf("%d wait, %d said", n, d.mark().data-before)
	}
	c.SetView(smallView(2, "b", "c"))
	c.Step()
	store.p.w.recover(100 * time.Millisecond)
	c.Step()
	if n := len(c.routes.early); n != 0 || d.mark().data == before {
		t.Errorf("alive: %d wait, %d said", n, d.mark().data-before)
	}
}
