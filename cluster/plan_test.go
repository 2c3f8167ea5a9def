package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// crewView is what process 0 of node a sees of nodes with two workers each.
func crewView(version uint64, others ...string) *View {
	v := smallView(version, others...)
	for i := range v.Nodes {
		n := &v.Nodes[i]
		n.Workers = append(n.Workers, WorkerInfo{Worker: 1, Incarnation: n.Incarnation + 100, State: Alive})
	}
	return v
}

// A plan that takes over what has not changed since the one before is the plan
// that is computed anew.
func TestPlanFromFormer(t *testing.T) {
	c, _, _ := strangers()
	rng := rand.New(rand.NewPCG(1, 2))
	var former *plan
	same := 0
	for round := range 200 {
		v := crewView(uint64(round+1), "b", "c", "d", "e")
		for i := range v.Nodes {
			n := &v.Nodes[i]
			n.Draining = rng.IntN(8) == 0
			if i > 0 && rng.IntN(8) == 0 {
				n.State = Dead
			}
			if w := &n.Workers[1]; rng.IntN(4) == 0 {
				w.Incarnation += uint64(rng.IntN(2)) << 8 // it was started again
				w.State = []NodeState{Alive, Suspect, Dead}[rng.IntN(3)]
			}
		}
		if round%3 == 1 {
			v = former.view
		}
		p, anew := newPlan(c, v, former), newPlan(c, v, nil)
		if p.same {
			same++
		}
		if !slices.Equal(p.rank, anew.rank) {
			t.Fatalf("round %d: other ranks", round)
		}
		for part := range uint16(partitions) {
			if !slices.Equal(p.of(part), anew.of(part)) {
				t.Fatalf("round %d: partition %d is copied to %v, want %v", round, part, p.of(part), anew.of(part))
			}
			for i, n := range p.nodes {
				if n.worker(part) != anew.nodes[i].worker(part) {
					t.Fatalf("round %d: partition %d is with another worker of %s", round, part, n.name)
				}
			}
		}
		former = p
	}
	if same < 60 || same > 190 {
		t.Errorf("%d of 200 plans are as the one before", same)
	}
}

// BenchmarkPlan computes the plan of four nodes: anew, when a worker has been
// started again, and when nothing that matters has changed.
func BenchmarkPlan(b *testing.B) {
	for _, workers := range []int{1, 2} {
		c, _, _ := strangers()
		view := smallView
		if workers == 2 {
			view = crewView
		}
		v, other := view(1, "b", "c", "d"), view(2, "b", "c", "d")
		last := &other.Nodes[3].Workers[workers-1]
		last.Incarnation += 1000
		former := newPlan(c, v, nil)
		for _, s := range []struct {
			name   string
			v      *View
			former *plan
		}{{"anew", v, nil}, {"restart", other, former}, {"same", v, former}} {
			b.Run(fmt.Sprintf("workers=%d/%s", workers, s.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					newPlan(c, s.v, s.former)
				}
			})
		}
	}
}
