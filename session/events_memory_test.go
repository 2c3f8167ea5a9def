package session

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"testing"
)

// The load of issue 3: sessions that each retain 16 events of 150 bytes.
const (
	benchLogs   = 15_000
	benchEvents = 16
	benchBody   = 150
)

// retained is a store under that load and what it costs.
type retained struct {
	e    *Events
	logs []uint32
	heap float64 // growth of the live heap, bytes an event
	told float64 // Stats.Bytes, an event
}

// retain fills a store; shared says whether an event goes to all logs or each
// log has its own.
func retain(tb testing.TB, shared bool) retained {
	var before, after runtime.MemStats
	r := retained{logs: make([]uint32, benchLogs)}
	msg := make([]byte, benchBody)
	runtime.GC()
	runtime.ReadMemStats(&before)
	r.e = NewEvents(EventsOptions{Budget: 1 << 30})
	for n := range benchEvents {
		body := r.e.Keep(msg)
		for i := range r.logs {
			if !shared {
				binary.LittleEndian.PutUint32(msg, uint32(n*benchLogs+i))
				r.e.Release(body)
				body = r.e.Keep(msg)
			}
			r.logs[i], _ = r.e.Append(r.logs[i], get, body)
		}
		r.e.Release(body)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	st := r.e.Stats()
	if want := int64(benchLogs * benchEvents); st.Events != want || st.Logs != benchLogs {
		tb.Fatalf("Stats = %+v, want %d events", st, want)
	}
	events := float64(st.Events)
	r.heap = float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / events
	r.told = float64(st.Bytes) / events
	return r
}

// What an event may cost: an entry of 16 bytes, a sixteenth of a log's head of 32
// and some slack when the message is shared; a slot of 56, a
// bucket of 4 and the message in steps of 16 besides when it is not.
const (
	sharedEachMax   = 19
	distinctEachMax = sharedEachMax + 56 + 4 + 160 + 1.5
)

func TestBytesOfEvents(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps shadow memory on the heap")
	}
	for _, c := range []struct {
		name   string
		shared bool
		most   float64
	}{
		{"shared", true, sharedEachMax},
		{"distinct", false, distinctEachMax},
	} {
		r := retain(t, c.shared)
		t.Logf("%s: %.1f bytes an event on the heap, %.1f by Stats", c.name, r.heap, r.told)
		if r.told > c.most {
			t.Errorf("%s: Stats says %.1f bytes an event, more than %.1f", c.name, r.told, c.most)
		}
		if r.heap > r.told*1.02 || r.heap < r.told*0.98 {
			t.Errorf("%s: %.1f bytes an event on the heap, %.1f by Stats", c.name, r.heap, r.told)
		}
		runtime.KeepAlive(r)
	}
}

// BenchmarkRetained reports the memory of 15,000 logs with 16 events of 150
// bytes each.
func BenchmarkRetained(b *testing.B) {
	for _, c := range []struct {
		name   string
		shared bool
	}{{"shared", true}, {"distinct", false}} {
		b.Run(c.name, func(b *testing.B) {
			var r retained
			for b.Loop() {
				r = retain(b, c.shared)
			}
			cycle, pause := collectGarbage()
			b.ReportMetric(r.heap*benchLogs*benchEvents/(1<<20), "MiB")
			b.ReportMetric(r.heap, "B/event")
			b.ReportMetric(r.heap*benchEvents, "B/log")
			b.ReportMetric(float64(cycle.Microseconds())/1000, "GC-cycle-ms")
			b.ReportMetric(float64(pause.Microseconds()), "GC-pause-µs")
			runtime.KeepAlive(r)
		})
	}
}

func BenchmarkEvents(b *testing.B) {
	msg := make([]byte, benchBody)
	b.Run("Append-shared", func(b *testing.B) {
		r := retain(b, true)
		body := r.e.Keep(msg)
		parallel(b, benchLogs, func(i int) { r.e.Append(r.logs[i], get, body) })
	})
	b.Run("Keep-Append-Release", func(b *testing.B) {
		r := retain(b, true)
		parallel(b, benchLogs, func(i int) {
			body := r.e.Keep(msg)
			r.e.Append(r.logs[i], get, body)
			r.e.Release(body)
		})
	})
	b.Run("Append-beyond-the-budget", func(b *testing.B) {
		e := NewEvents(EventsOptions{Budget: 1 << 20})
		logs := make([]uint32, benchLogs)
		for i := range logs {
			logs[i], _ = e.Draw(0)
		}
		parallel(b, benchLogs, func(i int) {
			body := e.Keep(msg)
			e.Append(logs[i], get, body)
			e.Release(body)
		})
	})
	b.Run("Since-16", func(b *testing.B) {
		r := retain(b, true)
		var seen atomic.Int64
		parallel(b, benchLogs, func(i int) {
			n := 0
			if !r.e.Since(r.logs[i], get, 0, func(uint32, []byte) { n++ }) || n != benchEvents {
				seen.Add(1)
			}
		})
		if seen.Load() != 0 {
			b.Errorf("%d replays were wrong", seen.Load())
		}
	})
	b.Run("Sweep", func(b *testing.B) {
		r := retain(b, true)
		b.ReportAllocs()
		b.ResetTimer()
		for b.Loop() {
			r.e.Sweep(benchLogs)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchLogs, "ns/log")
	})
}
