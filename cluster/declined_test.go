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
		to.in.digests(&partitionSet{})
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
