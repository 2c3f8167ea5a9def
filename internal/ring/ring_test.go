package ring

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewRoundsUp(t *testing.T) {
	for _, c := range []struct{ in, want int }{
		{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}, {1024, 1024}, {1025, 2048},
	} {
		q := New[int](c.in)
		if q.Cap() != c.want {
			t.Errorf("New(%d).Cap() = %d, want %d", c.in, q.Cap(), c.want)
		}
		for i := range q.Cap() {
			if !q.TryPush(i) {
				t.Fatalf("New(%d): push %d of %d refused", c.in, i, q.Cap())
			}
		}
		if q.TryPush(-1) {
			t.Errorf("New(%d): push beyond the capacity accepted", c.in)
		}
	}
}

func TestNewPanics(t *testing.T) {
	for _, capacity := range []int{-1, 0, capacityMax + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) did not panic", capacity)
				}
			}()
			New[int](capacity)
		}()
	}
}

// TestAgainstTwin runs random pushes and pops on a queue and on a slice.
func TestAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := New[int](rapid.IntRange(1, 17).Draw(t, "capacity"))
		var twin []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				next++
				want := len(twin) < q.Cap()
				if got := q.TryPush(next); got != want {
					t.Fatalf("TryPush = %v with %d of %d taken", got, len(twin), q.Cap())
				}
				if want {
					twin = append(twin, next)
				}
			},
			"pop": func(t *rapid.T) {
				v, ok := q.TryPop()
				if ok != (len(twin) > 0) {
					t.Fatalf("TryPop ok = %v with %d taken", ok, len(twin))
				}
				if !ok {
					if v != 0 {
						t.Fatalf("TryPop of an empty queue gave %d", v)
					}
					return
				}
				if v != twin[0] {
					t.Fatalf("TryPop = %d, want %d", v, twin[0])
				}
				twin = twin[1:]
			},
			"": func(t *rapid.T) {
				if q.Len() != len(twin) {
					t.Fatalf("Len = %d, want %d", q.Len(), len(twin))
				}
			},
		})
	})
}

// TestLaps sends far more values than fit, so that every slot is reused often.
func TestLaps(t *testing.T) {
	q := New[int](4)
	for i := range 100_000 {
		if !q.TryPush(i) || !q.TryPush(-i) {
			t.Fatal("refused with room left")
		}
		a, _ := q.TryPop()
		b, _ := q.TryPop()
		if a != i || b != -i {
			t.Fatalf("lap %d: got %d, %d", i, a, b)
		}
	}
}

// TestStress moves tagged values between several producers and consumers and
// checks that each arrives exactly once and in the order of its producer.
func TestStress(t *testing.T) {
	const producers, consumers, each = 4, 4, 20_000
	type item struct{ producer, seq int }
	for _, capacity := range []int{2, 8, 1024} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			q := New[item](capacity)
			var delivered atomic.Int64
			counts := make([][]atomic.Uint32, producers)
			var wg sync.WaitGroup
			for p := range producers {
				counts[p] = make([]atomic.Uint32, each)
				wg.Go(func() {
					for i := range each {
						for !q.TryPush(item{p, i}) {
							runtime.Gosched()
						}
					}
				})
			}
			for range consumers {
				wg.Go(func() {
					last := [producers]int{-1, -1, -1, -1}
					for delivered.Load() < producers*each {
						if n := q.Len(); n < 0 || n > q.Cap() {
							t.Errorf("Len = %d of %d", n, q.Cap())
							return
						}
						v, ok := q.TryPop()
						if !ok {
							runtime.Gosched()
							continue
						}
						if v.seq <= last[v.producer] {
							t.Errorf("producer %d: %d after %d", v.producer, v.seq, last[v.producer])
						}
						last[v.producer] = v.seq
						counts[v.producer][v.seq].Add(1)
						delivered.Add(1)
					}
				})
			}
			wg.Wait()
			for p := range counts {
				for i := range counts[p] {
					if n := counts[p][i].Load(); n != 1 {
						t.Fatalf("value %d of producer %d delivered %d times", i, p, n)
					}
				}
			}
			if q.Len() != 0 {
				t.Fatalf("Len = %d at the end", q.Len())
			}
		})
	}
}

// TestPoppedIsCollectable shows that a slot keeps nothing alive: the queue is
// still in use when what it handed out is collected.
func TestPoppedIsCollectable(t *testing.T) {
	q := New[*[64]byte](8)
	var held []weak.Pointer[[64]byte]
	for range q.Cap() {
		v := new([64]byte)
		held = append(held, weak.Make(v))
		q.TryPush(v)
	}
	runtime.GC()
	for i, w := range held {
		if w.Value() == nil {
			t.Fatalf("value %d was collected while queued", i)
		}
	}
	for range q.Cap() {
		if _, ok := q.TryPop(); !ok {
			t.Fatal("queue ran dry")
		}
	}
	runtime.GC()
	for i, w := range held {
		if w.Value() != nil {
			t.Errorf("value %d is still held by its slot", i)
		}
	}
	runtime.KeepAlive(q)
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	type task struct {
		a uint64
		_ [3]uint64
	}
	q := New[task](64)
	if n := testing.AllocsPerRun(1000, func() {
		q.TryPush(task{a: 1})
		q.TryPop()
	}); n != 0 {
		t.Errorf("push and pop: %v allocations, want 0", n)
	}
}
