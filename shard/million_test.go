package shard

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/puzpuzpuz/xsync/v4"
)

// filled is what filling a map with keys, one after the other, has shown.
type filled struct {
	heapPerKey  float64       // growth of the live heap, bytes
	mean        time.Duration // one insertion
	p999, worst time.Duration // single insertions; in 1 of 200 a table is rebuilt
	gcCycle     time.Duration // a whole collection with the map live, median of 5
	gcPause     time.Duration // its longest stop of the world, worst of those 5
}

func (f filled) String() string {
	return fmt.Sprintf("%.1f B/key, insert mean %v, p99.9 %v, worst %v, GC cycle %v, worst GC pause %v",
		f.heapPerKey, f.mean, f.p999, f.worst, f.gcCycle, f.gcPause)
}

// fill inserts all keys, taking the time of each, and keeps m alive meanwhile.
func fill(keys []Key, m any, insert func(k Key, v uint64)) filled {
	took := make([]time.Duration, len(keys))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	for i, k := range keys {
		start := time.Now()
		insert(k, uint64(i))
		took[i] = time.Since(start)
	}
	total := time.Since(begin)
	cycle, pause := collectGarbage()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(m)
	slices.Sort(took)
	return filled{
		heapPerKey: float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(len(keys)),
		mean:       total / time.Duration(len(keys)),
		p999:       took[len(took)-1-len(took)/1000],
		worst:      took[len(took)-1],
		gcCycle:    cycle,
		gcPause:    pause,
	}
}

// collectGarbage runs five collections and returns the median time of one and
// the longest stop of the world.
func collectGarbage() (cycle, pause time.Duration) {
	var cycles []time.Duration
	for range 5 {
		start := time.Now()
		runtime.GC()
		cycles = append(cycles, time.Since(start))
	}
	slices.Sort(cycles)
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	return cycles[2], slices.Max(stats.Pause[:5])
}

// TestMillion drives the map at a million keys and holds it to its budget of
// bytes. The times it prints are for the reader: a shared machine is no judge.
func TestMillion(t *testing.T) {
	skipSize(t)
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	keys := randomKeys(n)
	m := New(0)
	f := fill(keys, m, func(k Key, v uint64) { m.Insert(k, v) })
	t.Logf("%d keys: %v", n, f)
	if m.Len() != n {
		t.Errorf("Len = %d", m.Len())
	}
	for i, k := range keys {
		if v, ok := m.Get(k); !ok || v != uint64(i) {
			t.Fatalf("key %d: %d, %v", i, v, ok)
		}
	}
	checkInvariants(t, m)
	kept := float64(m.Bytes()) / float64(n)
	t.Logf("Bytes says %.1f a key; %d buckets' directory has %d entries", kept, countBuckets(m), len(m.dir.load().entries()))
	if kept > 64 {
		t.Errorf("Bytes says %.1f a key, more than 64", kept)
	}
	if f.heapPerKey > 64 {
		t.Errorf("%.1f bytes a key on the heap, more than 64", f.heapPerKey)
	}
	if f.heapPerKey > kept*1.1 || f.heapPerKey < kept*0.9 {
		t.Errorf("Bytes says %.1f a key, the heap %.1f", kept, f.heapPerKey)
	}
	start := time.Now()
	seen := 0
	m.Range(func(Key, uint64) bool { seen++; return true })
	ranged := time.Since(start)
	start = time.Now()
	m.Len()
	t.Logf("Range over %d keys took %v, Len %v", seen, ranged, time.Since(start))
	for i, k := range keys {
		if !m.CompareAndDelete(k, uint64(i)) {
			t.Fatalf("key %d was not removed", i)
		}
	}
	t.Logf("emptied: %.2f bytes for each key of the peak", float64(m.Bytes())/float64(n))
	if left := m.Bytes(); left > int64(2*n) {
		t.Errorf("%d bytes left of an emptied map, more than 2 for each key of the peak", left)
	}
}

func countBuckets(m *Map) (n int) {
	m.dir.load().each(func(*bucket) { n++ })
	return n
}

// BenchmarkMillion fills maps of several kinds with a million keys.
func BenchmarkMillion(b *testing.B) {
	keys := randomKeys(1_000_000)
	for _, kind := range []struct {
		name string
		make func() (m any, insert func(Key, uint64))
	}{
		{"rookery", func() (any, func(Key, uint64)) {
			m := New(0)
			return m, func(k Key, v uint64) { m.Put(k, v) }
		}},
		{"xsync", func() (any, func(Key, uint64)) {
			m := xsync.NewMap[Key, uint64]()
			return m, m.Store
		}},
		{"syncmap", func() (any, func(Key, uint64)) {
			m := new(sync.Map)
			return m, func(k Key, v uint64) { m.Store(k, v) }
		}},
		{"rwmutex", func() (any, func(Key, uint64)) {
			var mu sync.RWMutex
			m := make(map[Key]uint64)
			return m, func(k Key, v uint64) {
				mu.Lock()
				m[k] = v
				mu.Unlock()
			}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			var runs []filled
			for b.Loop() {
				m, insert := kind.make()
				runs = append(runs, fill(keys, m, insert))
			}
			// The median of the runs: other processes own the extremes.
			report := func(unit string, of func(filled) float64) {
				var all []float64
				for _, f := range runs {
					all = append(all, of(f))
				}
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2], unit)
			}
			report("B/key", func(f filled) float64 { return f.heapPerKey })
			report("ns/insert", func(f filled) float64 { return float64(f.mean.Nanoseconds()) })
			report("p99.9-insert-µs", func(f filled) float64 { return float64(f.p999.Nanoseconds()) / 1000 })
			report("worst-insert-µs", func(f filled) float64 { return float64(f.worst.Microseconds()) })
			report("GC-cycle-ms", func(f filled) float64 { return float64(f.gcCycle.Microseconds()) / 1000 })
			report("GC-pause-µs", func(f filled) float64 { return float64(f.gcPause.Microseconds()) })
			b.ReportMetric(0, "ns/op")
		})
	}
}
