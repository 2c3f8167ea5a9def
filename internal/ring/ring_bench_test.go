package ring

import (
	"runtime"
	"sync"
	"testing"
)

// task has the size of what a loop hands to a worker.
type task struct {
	conn uint64
	_    [2]uint64
}

// BenchmarkPushPop is one goroutine alone: the cost without contention.
func BenchmarkPushPop(b *testing.B) {
	b.Run("rookery", func(b *testing.B) {
		q := New[task](1024)
		b.ReportAllocs()
		for b.Loop() {
			q.TryPush(task{conn: 1})
			q.TryPop()
		}
	})
	b.Run("chan", func(b *testing.B) {
		q := make(chan task, 1024)
		b.ReportAllocs()
		for b.Loop() {
			q <- task{conn: 1}
			<-q
		}
	})
}

// BenchmarkHandOff moves b.N values from one goroutine to another.
func BenchmarkHandOff(b *testing.B) {
	b.Run("rookery", func(b *testing.B) {
		q := New[task](1024)
		var sum uint64
		var wg sync.WaitGroup
		b.ReportAllocs()
		b.ResetTimer()
		wg.Go(func() {
			for n := 0; n < b.N; {
				if v, ok := q.TryPop(); ok {
					sum += v.conn
					n++
				} else {
					runtime.Gosched()
				}
			}
		})
		for n := 0; n < b.N; {
			if q.TryPush(task{conn: 1}) {
				n++
			} else {
				runtime.Gosched()
			}
		}
		wg.Wait()
		if sum != uint64(b.N) {
			b.Fatalf("%d of %d arrived", sum, b.N)
		}
	})
	b.Run("chan", func(b *testing.B) {
		q := make(chan task, 1024)
		var sum uint64
		var wg sync.WaitGroup
		b.ReportAllocs()
		b.ResetTimer()
		wg.Go(func() {
			for v := range q {
				sum += v.conn
			}
		})
		for range b.N {
			q <- task{conn: 1}
		}
		close(q)
		wg.Wait()
		if sum != uint64(b.N) {
			b.Fatalf("%d of %d arrived", sum, b.N)
		}
	})
}

// BenchmarkContended has every core push and pop on the same queue. An operation
// is a push and a pop that succeeded.
func BenchmarkContended(b *testing.B) {
	b.Run("rookery", func(b *testing.B) {
		q := New[task](1024)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				for !q.TryPush(task{conn: 1}) {
					runtime.Gosched()
				}
				for {
					if _, ok := q.TryPop(); ok {
						break
					}
					runtime.Gosched()
				}
			}
		})
	})
	b.Run("chan", func(b *testing.B) {
		q := make(chan task, 1024)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				q <- task{conn: 1}
				<-q
			}
		})
	})
}
