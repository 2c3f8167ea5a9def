package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A process that has begun learns the names of nodes that died before, so that its
// place is no other node's.
func TestCoreLearnsTheNamesOfTheDead(t *testing.T) {
	w := newTestCores(t, 4, true)
	w.kill(w.procs[1], false)
	w.kill(w.procs[3], false)
	w.recover(2 * time.Second)
	w.startNode("n4")
	w.recover(time.Second)
	begun := w.procs[4]
	if got := begun.core.roster; !slices.Equal(got, []string{"n1", "n2", "n3", "n4"}) {
		t.Errorf("it knows of %q", got)
	}
	if a, b := begun.core.place(), w.procs[2].core.place(); a != 3 || b != 2 {
		t.Errorf("places %d and %d", a, b)
	}
	w.ok(t)
}

func TestRosterIsBounded(t *testing.T) {
	var r roster
	for i := range rosterMax + 10 {
		r.add(fmt.Sprint("n", i))
	}
	if len(r) != rosterMax || !slices.IsSorted(r) {
		t.Errorf("%d names, sorted %v", len(r), slices.IsSorted(r))
	}
	whole := r.append(nil)
	for n := range len(whole) { // cut anywhere, it ends there
		var got roster
		got.read(whole[:n])
		if len(got) > len(r) {
			t.Fatalf("%d names of %d bytes", len(got), n)
		}
	}
	var got roster
	got.read(roster{string(make([]byte, nodeNameMax+1)), "short"}.append(nil))
	if !slices.Equal(got, []string{"short"}) {
		t.Errorf("names %q", got)
	}
}
