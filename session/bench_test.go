package session

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkMillion reports what a million sessions cost.
func BenchmarkMillion(b *testing.B) {
	var f filled
	for b.Loop() {
		f = fill(b, 1_000_000)
	}
	b.ReportMetric(f.heapEach, "B/session")
	b.ReportMetric(float64(f.create.Nanoseconds()), "ns/create")
	b.ReportMetric(float64(f.worst.Microseconds()), "worst-create-µs")
	b.ReportMetric(float64(f.load.Nanoseconds()), "ns/load")
	b.ReportMetric(float64(f.sweep.Nanoseconds()), "ns/sweep")
	b.ReportMetric(float64(f.remove.Nanoseconds()), "ns/delete")
	b.ReportMetric(float64(f.cycle.Microseconds())/1000, "GC-cycle-ms")
	b.ReportMetric(float64(f.pause.Microseconds()), "GC-pause-µs")
	b.ReportMetric(0, "ns/op")
}

// full returns a table with n sessions, their Refs and their ids.
func full(b *testing.B, n int) (*Table, []Ref, []ID) {
	table := NewTable(Options{IdleTimeout: time.Hour})
	refs, ids := make([]Ref, n), make([]ID, n)
	for i := range refs {
		ids[i], refs[i] = mustCreate(b, table, Record{})
	}
	return table, refs, ids
}

// parallel runs call with the numbers below n in random order, on all cores.
func parallel(b *testing.B, n int, call func(i int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var worker atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(1, worker.Add(1)))
		for pb.Next() {
			call(rng.IntN(n))
		}
	})
}

// BenchmarkLoad compares reading through the sequence with reading under the
// lock of the stripe, which would do without one.
func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	table, refs, _ := full(b, n)
	b.Run("sequence", func(b *testing.B) {
		parallel(b, n, func(i int) {
			if _, ok := table.Load(refs[i]); !ok {
				b.Error("gone")
			}
		})
	})
	b.Run("lock", func(b *testing.B) {
		parallel(b, n, func(i int) {
			st := table.lock(refs[i])
			p := table.slot(refs[i].index()).read()
			_ = p.unpack()
			st.mu.Unlock()
		})
	})
	b.Run("beside-updates", func(b *testing.B) {
		parallel(b, n, func(i int) {
			if i%10 == 0 {
				table.Update(refs[i%16], func(r *Record) { r.Topics++ })
			} else if _, ok := table.Load(refs[i%16]); !ok {
				b.Error("gone")
			}
		})
	})
}

func BenchmarkTable(b *testing.B) {
	const n = 100_000
	table, refs, ids := full(b, n)
	b.Run("Find", func(b *testing.B) {
		parallel(b, n, func(i int) {
			if ref, ok := table.Find(ids[i]); !ok || ref != refs[i] {
				b.Error("not found")
			}
		})
	})
	b.Run("Update", func(b *testing.B) {
		parallel(b, n, func(i int) { table.Update(refs[i], func(r *Record) { r.Topics++ }) })
	})
	b.Run("Touch", func(b *testing.B) {
		parallel(b, n, func(i int) { table.Touch(refs[i]) })
	})
	b.Run("CreateDelete", func(b *testing.B) {
		parallel(b, n, func(int) {
			if _, ref, err := table.Create(Record{}); err == nil {
				table.Delete(ref)
			}
		})
	})
}
