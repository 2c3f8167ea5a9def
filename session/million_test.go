package session

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// filled is what filling a table has shown.
type filled struct {
	heapEach      float64 // growth of the live heap, bytes a session
	kept          float64 // Bytes, a session
	create, worst time.Duration
	load, sweep   time.Duration // one session
	cycle, pause  time.Duration // garbage collection: median of 5, longest stop of the world
	remove        time.Duration
}

func (f filled) String() string {
	return fmt.Sprintf("%.1f B each (Bytes: %.1f), Create mean %v, worst %v, Load in order %v, Sweep %v, Delete %v, GC cycle %v, worst GC pause %v",
		f.heapEach, f.kept, f.create, f.worst, f.load, f.sweep, f.remove, f.cycle, f.pause)
}

// fill drives a table through n sessions.
func fill(tb testing.TB, n int) (f filled) {
	refs := make([]Ref, n)
	each := func(since time.Time) time.Duration { return time.Since(since) / time.Duration(n) }
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := NewTable(Options{Max: n, IdleTimeout: time.Hour})

	start := time.Now()
	for i := range refs {
		one := time.Now()
		_, ref, err := table.Create(Record{Client: uint32(i)})
		f.worst = max(f.worst, time.Since(one))
		if err != nil {
			tb.Fatal(err)
		}
		refs[i] = ref
	}
	f.create = each(start)

	f.cycle, f.pause = collectGarbage()
	runtime.ReadMemStats(&after)
	f.heapEach = float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(n)
	f.kept = float64(table.Bytes()) / float64(n)

	start = time.Now()
	for i, ref := range refs {
		if r, ok := table.Load(ref); !ok || r.Client != uint32(i) {
			tb.Fatalf("session %d: %+v, %v", i, r, ok)
		}
	}
	f.load = each(start)

	start = time.Now()
	if removed := table.Sweep(n, nil, nil); removed != 0 {
		tb.Fatalf("Sweep removed %d", removed)
	}
	f.sweep = each(start)

	start = time.Now()
	for _, ref := range refs {
		if _, ok := table.Delete(ref); !ok {
			tb.Fatalf("%x is gone", uint64(ref))
		}
	}
	f.remove = each(start)
	return f
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

const bytesEachMax = 136

// skipSize skips what one goroutine does very often: the race detector makes
// that ten times as long and finds nothing in it.
func skipSize(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("of sheer size, in one goroutine")
	}
}

// TestMillion drives the table at a million sessions and holds it to its budget
// of bytes. The times it prints are for the reader: a shared machine is no judge.
func TestMillion(t *testing.T) {
	skipSize(t)
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	}
	f := fill(t, n)
	t.Logf("%d sessions: %v", n, f)
	if f.kept > bytesEachMax {
		t.Errorf("Bytes says %.1f a session, more than %d", f.kept, bytesEachMax)
	}
	if f.heapEach > bytesEachMax {
		t.Errorf("%.1f bytes a session on the heap, more than %d", f.heapEach, bytesEachMax)
	}
	if f.heapEach > f.kept*1.1 || f.heapEach < f.kept*0.9 {
		t.Errorf("Bytes says %.1f a session, the heap %.1f", f.kept, f.heapEach)
	}
}

// The budget holds from a thousand sessions up; an empty table pays for nothing
// but itself.
func TestBytesOfSmallTables(t *testing.T) {
	skipSize(t)
	table := NewTable(Options{Max: 1 << 30})
	if n := table.Bytes(); n > 8192 {
		t.Errorf("an empty table holds %d bytes", n)
	}
	worst, worstAt := 0.0, 0
	for n := 1; n <= 50_000; n++ {
		mustCreate(t, table, Record{})
		if n >= 1000 && n%50 == 0 {
			if each := float64(table.Bytes()) / float64(n); each > worst {
				worst, worstAt = each, n
			}
		}
	}
	t.Logf("at worst %.1f bytes a session, at %d", worst, worstAt)
	if worst > bytesEachMax {
		t.Errorf("%.1f bytes a session at %d, more than %d", worst, worstAt, bytesEachMax)
	}
}

// A table that was emptied and filled again, over and over, does not grow.
func TestReuseDoesNotGrow(t *testing.T) {
	skipSize(t)
	table := NewTable(Options{})
	var refs []Ref
	const n = 5000
	peak := int64(0)
	for round := range 10 {
		for range n {
			_, ref := mustCreate(t, table, Record{})
			refs = append(refs, ref)
		}
		if round == 0 {
			peak = table.Bytes()
		}
		if got := table.Bytes(); got > peak*11/10 {
			t.Errorf("round %d: %d bytes, %d at first", round, got, peak)
		}
		for _, ref := range refs {
			table.Delete(ref)
		}
		refs = refs[:0]
	}
}
