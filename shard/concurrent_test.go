package shard

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// history is what one writer has done to its key, for readers to check against:
// operation number n leaves the key present with value n if n is odd, absent if
// n is even. started is set before an operation, done after it.
type history struct{ started, done atomic.Uint64 }

// readBetween checks one Get against the history: what it saw must have been
// true at some moment of the call, and not before what this reader saw last.
func (h *history) readBetween(t *testing.T, m *Map, k Key, last *uint64) {
	low := max(h.done.Load(), *last)
	v, ok := m.Get(k)
	high := h.started.Load()
	switch {
	case !ok && low%2 == 1 && high == low:
		t.Errorf("key %x: absent, present since operation %d", k, low)
	case !ok:
		*last = low + low%2
	case v%2 == 0 || v < low || v > high:
		t.Errorf("key %x: operation %d seen, want %d to %d", k, v, low, high)
	default:
		*last = v
	}
}

// TestLinearizable has writers that own their keys, readers that check every
// answer against the writers' histories, and somebody who makes buckets split,
// shrink and be rebuilt all the while.
func TestLinearizable(t *testing.T) {
	const writers, readers, keysEach = 3, 3, 40
	steps := 200_000
	if raceEnabled || testing.Short() {
		steps = 20_000
	}
	m := New(0)
	keys := randomKeys(writers * keysEach)
	histories := make([]history, len(keys))
	var stop atomic.Bool
	var writing, rest sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range steps {
				i := w*keysEach + rng.IntN(keysEach)
				write(t, m, keys[i], &histories[i], rng.IntN(3))
			}
		})
	}
	for r := range readers {
		rest.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(r)))
			last := make([]uint64, len(keys))
			for !stop.Load() && !t.Failed() {
				i := rng.IntN(len(keys))
				histories[i].readBetween(t, m, keys[i], &last[i])
			}
		})
	}
	rest.Go(func() { churn(m, 4000, &stop) })
	writing.Wait()
	stop.Store(true)
	rest.Wait()
	checkInvariants(t, m)
}

// write does the next operation on a key whose only writer is the caller.
func write(t *testing.T, m *Map, k Key, h *history, kind int) {
	n := h.done.Load() + 1
	if n%2 == 1 && n > 1 && kind == 0 {
		n-- // operations that change nothing
		if m.CompareAndDelete(k, n-1) {
			t.Errorf("key %x removed twice", k)
		}
		return
	}
	h.started.Store(n)
	var ok bool
	switch {
	case n%2 == 1 && kind == 1:
		ok = m.Insert(k, n)
	case n%2 == 1:
		_, replaced := m.Put(k, n)
		ok = !replaced
	case kind == 1:
		ok = m.CompareAndDelete(k, n-1)
	default:
		old, present := m.Delete(k)
		ok = present && old == n-1
	}
	if !ok {
		t.Errorf("operation %d on key %x: the map does not know operation %d", n, k, n-1)
	}
	h.done.Store(n)
}

// churn inserts n random keys and removes them again, over and over.
func churn(m *Map, n int, stop *atomic.Bool) {
	for !stop.Load() {
		keys := randomKeys(n)
		for _, k := range keys {
			m.Insert(k, 0)
		}
		for _, k := range keys {
			m.Delete(k)
		}
	}
}

// TestPutReplacesInPlace has values of present keys change while they are read:
// they are never absent and never go back.
func TestPutReplacesInPlace(t *testing.T) {
	m := New(0)
	keys := randomKeys(64)
	for _, k := range keys {
		m.Put(k, 0)
	}
	rounds := uint64(2000)
	if raceEnabled {
		rounds = 400
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			last := make([]uint64, len(keys))
			for !stop.Load() && !t.Failed() {
				for i, k := range keys {
					v, ok := m.Get(k)
					if !ok || v < last[i] {
						t.Errorf("key %d: %d, %v after %d", i, v, ok, last[i])
					}
					last[i] = v
				}
			}
		})
	}
	wg.Go(func() { churn(m, 3000, &stop) })
	for v := uint64(1); v <= rounds; v++ {
		for _, k := range keys {
			if old, replaced := m.Put(k, v); !replaced || old != v-1 {
				t.Errorf("Put = %d, %v, want %d", old, replaced, v-1)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestOneWins has several goroutines claim and release the same keys.
func TestOneWins(t *testing.T) {
	m := New(0)
	const workers, rounds = 4, 5000
	keys := randomKeys(8)
	holders := make([]atomic.Int32, len(keys))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(w)))
			for range rounds {
				i := rng.IntN(len(keys))
				if !m.Insert(keys[i], uint64(w)) {
					m.CompareAndDelete(keys[i], workers) // nobody's value
					continue
				}
				if n := holders[i].Add(1); n != 1 {
					t.Errorf("%d hold key %d", n, i)
				}
				holders[i].Add(-1)
				if !m.CompareAndDelete(keys[i], uint64(w)) {
					t.Errorf("key %d was taken from its holder", i)
				}
			}
		})
	}
	wg.Wait()
	if m.Len() != 0 {
		t.Errorf("%d keys left", m.Len())
	}
}

// TestRangeBesideWriters checks the promise of Range and the bounds of Len while
// buckets split and shrink.
func TestRangeBesideWriters(t *testing.T) {
	const stable, passing = 3000, 6000
	m := New(0)
	index := map[Key]int{}
	for i, k := range randomKeys(stable) {
		index[k] = i
		m.Put(k, uint64(i))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { churn(m, passing/2, &stop) })
	}
	for range 30 {
		got := collect(t, m)
		for k, i := range index {
			if v, ok := got[k]; !ok || v != uint64(i) {
				t.Errorf("stable key %d: %d, %v", i, v, ok)
			}
		}
		if n := m.Len(); n < stable || n > stable+2*passing {
			t.Errorf("Len = %d, want %d to %d", n, stable, stable+2*passing)
		}
		if n := len(got); n > stable+2*passing {
			t.Errorf("Range gave %d keys", n)
		}
	}
	stop.Store(true)
	wg.Wait()
	if m.Len() != stable {
		t.Errorf("Len = %d at the end", m.Len())
	}
	checkInvariants(t, m)
}
