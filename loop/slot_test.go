package loop

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestSlotSize(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != slotBytes {
		t.Fatalf("a slot is %d bytes, the budget is %d", n, slotBytes)
	}
}

// TestWheelAgainstTwin drives the wheel and a map of deadlines with the same
// random moves: whatever is due by the map must have expired by the wheel, not
// before its tick and at most at the tick after.
func TestWheelAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := new(slab)
		w := &wheel{slots: b}
		twin := map[int]uint32{}
		for range 50 {
			b.alloc()
		}
		now := uint32(0)
		expire := func(i int, s *slot) {
			due, ok := twin[i]
			if !ok || int32(due-now) > 0 {
				t.Fatalf("slot %d expired at %d, due %d (%v)", i, now, due, ok)
			}
			delete(twin, i)
		}
		for range rapid.IntRange(1, 300).Draw(t, "moves") {
			i := rapid.IntRange(0, 49).Draw(t, "slot")
			s := b.at(i)
			switch rapid.IntRange(0, 4).Draw(t, "move") {
			case 0:
				if _, linked := twin[i]; !linked {
					due := now + rapid.Uint32Range(1, 2000).Draw(t, "due")
					w.arm(i, s, due)
					twin[i] = due
				}
			case 1:
				w.disarm(s)
				delete(twin, i)
			case 2:
				if due, linked := twin[i]; linked { // activity: later, without relinking
					s.due = due + rapid.Uint32Range(0, 1000).Draw(t, "more")
					twin[i] = s.due
				}
			case 3:
				if _, linked := twin[i]; linked {
					due := now + rapid.Uint32Range(1, 600).Draw(t, "sooner")
					w.sooner(i, s, due)
					twin[i] = min(twin[i], due)
				}
			case 4:
				now += rapid.Uint32Range(1, 700).Draw(t, "ticks")
				w.advance(now, expire)
				for i, due := range twin {
					if int32(due-now) <= 0 {
						t.Fatalf("slot %d was due at %d and has not expired at %d", i, due, now)
					}
				}
			}
		}
	})
}

// TestSlabReusesSlots checks that a freed slot comes back with another
// generation and that no slot is handed out twice.
func TestSlabReusesSlots(t *testing.T) {
	b := new(slab)
	inUse := map[int]uint32{}
	rapid.Check(t, func(t *rapid.T) {
		if rapid.Bool().Draw(t, "alloc") || len(inUse) == 0 {
			i := b.alloc()
			if _, twice := inUse[i]; twice {
				t.Fatalf("slot %d was handed out twice", i)
			}
			inUse[i] = stateGen(b.at(i).state.Load())
			return
		}
		for i, gen := range inUse {
			b.retire(i, b.at(i))
			if stateGen(b.at(i).state.Load()) == gen {
				t.Fatalf("slot %d kept its generation", i)
			}
			delete(inUse, i)
			break
		}
	})
}

func TestHistogramQuantile(t *testing.T) {
	var h histogram
	for range 99 {
		h.observe(3000) // 3 µs
	}
	h.observe(5e6) // 5 ms
	var s Histogram
	h.addTo(&s)
	if q := s.Quantile(0.5); q != 4000 {
		t.Errorf("median %v, want below 4 µs", q)
	}
	if q := s.Quantile(0.999); q < 5e6 || q > 16e6 {
		t.Errorf("p99.9 %v, want about 5 ms", q)
	}
}
