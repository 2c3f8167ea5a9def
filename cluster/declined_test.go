package cluster

import (
	"testing"
	"time"
)

// decline has a session handed over from one process to another that does not
// take it: it has spread what the first one has not, and no longer knows what that
// was. While it is on its way meanwhile is run.
func decline(t *testing.T, meanwhile func(from *proc, ref uint64, to *Link)) (w *world, id ID) {
	t.Helper()
	w = newTestCores(t, 4, true)
	from, to := w.procs[0], w.procs[1]
	_, id, ref := from.session()
	w.recover(100 * time.Millisecond)
	const publisher = 77
	from.core.spread.seen[publisher], to.core.spread.seen[publisher] = 1, 9
	for _, p := range w.procs {
		p.core.tidy.next = w.now + time.Hour
	}
	l := from.core.linkOf(to.id.Incarnation)
	if !from.core.handOver(ref, l) {
		t.Fatal("not handed over")
	}
	meanwhile(from, ref, l)
	w.recover(100 * time.Millisecond)
	return w, id
}

// A session that is on its way is kept here until it has arrived, also if who it
// goes to says that it keeps no copies of it here: it may come back, and is at home
// here then. Once it became a pointer, nobody took it back, and each of the two said
// that the other was its home.
func TestCoreKeepsWhatMayComeBack(t *testing.T) {
	w, id := decline(t, func(from *proc, ref uint64, to *Link) {
		to.in.bind(5, ref) // it was at home there before
		to.in.addTo(newDigests(&partitionSet{}), &partitionSet{})
	})
	if w.homeAt(id) != w.procs[0] {
		t.Error("not taken back")
	}
	w.recover(5 * time.Second)
	w.checkCopies()
	w.checkQuiet(w.procs[0])
	w.ok(t)
}

// What is here decides whether a session is taken back that was declined: if only
// a pointer is left, who has declined it has all of it, and takes it over. If it has
// a newer home, it stays there.
func TestCoreTakesBackWhatNobodyHas(t *testing.T) {
	w, id := decline(t, func(from *proc, ref uint64, to *Link) {
		from.says(t, ref, from.w.procs[1], homePointer)
	})
	if w.homeAt(id) != w.procs[1] {
		t.Error("a pointer: not taken over")
	}
	w.ok(t)
	w, id = decline(t, func(from *proc, ref uint64, to *Link) {
		s, _ := from.store.Load(ref)
		from.core.settled(id, s.Epoch) // by whatever
	})
	if w.homeAt(id) != w.procs[0] {
		t.Error("no departure: not taken back")
	}
	w.ok(t)
	w, id = decline(t, func(from *proc, ref uint64, to *Link) { from.says(t, ref, from.w.procs[2], 0) })
	if w.homeAt(id) == w.procs[0] {
		t.Error("a newer home: taken back")
	}
}

// leavingStore is one whose session leaves before it is exported.
type leavingStore struct {
	Store
	leave func()
}

func (s *leavingStore) Export(ref uint64, f func(*Snapshot)) bool {
	if leave := s.leave; leave != nil {
		s.leave = nil
		leave()
	}
	return s.Store.Export(ref, f)
}

// Who tells others that it is home of a session, and hears meanwhile that another
// one is, does not say that it is home in the epoch of that one. If it were the
// greater peer, that would give way to it, and each would name the other.
func TestCoreDoesNotOpenWhatHasLeft(t *testing.T) {
	for name, opens := range map[string]func(c *Core, ref uint64, s Session, to *Link){
		"at once": func(c *Core, ref uint64, s Session, to *Link) { c.Opened(ref) },
		"in a fill": func(c *Core, ref uint64, s Session, to *Link) {
			part := partitionOf(s.ID)
			to.mu.Lock()
			to.parts[part].state, to.filled = partFilling, make([]uint64, partitions)
			to.filling++
			to.mu.Unlock()
			c.fill.links, c.fill.pending = []*Link{to}, true
			c.fill.send(c, ref, &s)
		},
	} {
		w := newTestCores(t, 4, true)
		home := w.procs[3] // the greatest
		_, id, ref := home.session()
		w.recover(100 * time.Millisecond)
		copied := w.holder(t, id, home)
		c, l := home.core, home.core.linkOf(copied.id.Incarnation)
		s, _ := home.store.Load(ref)
		other, _ := copied.store.Find(id)
		epoch := takeoverEpoch(s.Epoch, 0)
		c.o.Store = &leavingStore{home.store, func() {
			if !copied.store.Promote(other, epoch, true) {
				t.Error("not taken over")
			}
			b := le.AppendUint32(appendID(nil, kindStale, id), epoch)
			if err := l.in.stale(&reader{left: le.AppendUint64(b, l.peer.Incarnation)[1:]}, 0); err != nil {
				t.Error(err)
			}
		}}
		opens(c, ref, s, l)
		if n := w.homesOf(id); n != 1 {
			t.Fatalf("%s: %d homes", name, n)
		}
		w.recover(10 * time.Millisecond)
		if w.homeAt(id) != copied || copied.store.byID[id].Epoch != epoch {
			t.Errorf("%s: it was taken from its new home", name)
		}
	}
}
