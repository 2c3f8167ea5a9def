package loop

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestMillionSlots drives slab and wheel with a million connections' records,
// without sockets. The budget on bytes holds; the times are printed only.
//
//	go test ./loop -run TestMillionSlots -v
func TestMillionSlots(t *testing.T) {
	if testing.Short() {
		t.Skip("short: needs 60 MB and half a second")
	}
	const n = 1_000_000
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := heapBytes()
	b := new(slab)
	w := &wheel{slots: b}
	start := time.Now()
	worst := time.Duration(0)
	for k := range n {
		at := time.Now()
		i := b.alloc()
		w.arm(i, b.at(i), uint32(1+k%6000))
		worst = max(worst, time.Since(at))
	}
	filled := time.Since(start)
	per := float64(heapBytes()-before) / n
	t.Logf("%.2f B a connection; %v to open, worst %v", per, filled/n, worst)
	if per > slotBytes+1.5 {
		t.Errorf("%.2f B a connection, budget %d B", per, slotBytes)
	}
	t.Logf("collector with these slots: cycle %v, pauses %v", gcCycle(), lastPauses())

	start = time.Now()
	expired, worst := 0, time.Duration(0)
	for tick := range uint32(6000) {
		at := time.Now()
		w.advance(tick+1, func(int, *slot) { expired++ })
		worst = max(worst, time.Since(at))
	}
	if expired != n {
		t.Errorf("%d of %d deadlines expired", expired, n)
	}
	t.Logf("wheel: %v a tick with %d deadlines, worst %v", time.Since(start)/6000, n, worst)
	runtime.KeepAlive(b)
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func gcCycle() time.Duration {
	start := time.Now()
	runtime.GC()
	return time.Since(start)
}

func lastPauses() []time.Duration {
	var s debug.GCStats
	debug.ReadGCStats(&s)
	return s.Pause[:min(3, len(s.Pause))]
}
