package server

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestRosterAgainstTwin drives a roster and a map with the same moves.
func TestRosterAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r roster
		open := map[ConnID]bool{}
		slot := rapid.Custom(func(t *rapid.T) [2]int {
			return [2]int{rapid.SampledFrom([]int{0, 1, loopsMax - 1}).Draw(t, "loop"),
				rapid.SampledFrom([]int{0, 1, chunkSlots, chunkSlots * pagesChunks, 1<<slotBits - 1}).Draw(t, "index")}
		})
		gen := rapid.Uint32Range(1, 3)
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				at := slot.Draw(t, "slot")
				for h := range open {
					if l, i, _ := split(h); l == at[0] && i == at[1] {
						t.Skip("taken")
					}
				}
				h := join(at[0], at[1], gen.Draw(t, "gen"))
				r.add(h)
				open[h] = true
			},
			"close": func(t *rapid.T) {
				at := slot.Draw(t, "slot")
				h := join(at[0], at[1], gen.Draw(t, "gen"))
				r.remove(h)
				delete(open, h)
			},
			"": func(t *rapid.T) {
				seen := map[ConnID]bool{}
				r.each(func(h ConnID) bool { seen[h] = true; return true })
				if len(seen) != len(open) || r.open.Load() != int64(len(open)) {
					t.Fatalf("%d seen, %d counted, twin %d", len(seen), r.open.Load(), len(open))
				}
				for h := range open {
					if !seen[h] || !r.has(h) || r.has(h+3) {
						t.Fatalf("%x: seen %v, has %v", h, seen[h], r.has(h))
					}
				}
			},
		})
	})
}

func TestRosterStops(t *testing.T) {
	var r roster
	for i := range 10 {
		r.add(join(0, i, 1))
	}
	n := 0
	r.each(func(ConnID) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("went on to %d", n)
	}
	if r.slot(join(loopsMax, 0, 1), true) != nil {
		t.Error("a loop that cannot be")
	}
	if r.has(0) {
		t.Error("has the handle that names none")
	}
}

// TestRosterConcurrent lets every loop write its own slots while others look.
func TestRosterConcurrent(t *testing.T) {
	var r roster
	var wg sync.WaitGroup
	for l := range 4 {
		wg.Go(func() {
			for gen := uint32(1); gen < 200; gen++ {
				for i := range 50 {
					r.add(join(l, i*chunkSlots/10, gen))
				}
				r.each(func(ConnID) bool { return true })
				for i := range 50 {
					r.remove(join(l, i*chunkSlots/10, gen))
				}
			}
		})
	}
	wg.Wait()
	if n := r.open.Load(); n != 0 {
		t.Errorf("%d left", n)
	}
}
