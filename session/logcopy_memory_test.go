package session

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// A node of a cluster with three copies of each session holds two sessions of
// others for each of its own.
const benchCopies = 100_000

// copiesHeld is a table and a store full of copies, and what one costs.
type copiesHeld struct {
	table *Table
	e     *Events
	heap  float64 // growth of the live heap, bytes a copy
	told  float64 // Bytes of both, a copy
}

// holdCopies fills a table and a store as copies come in: a record under the id
// that its home drew, a log, and so many events that went to all sessions.
func holdCopies(tb testing.TB, copies, events int) copiesHeld {
	var before, after runtime.MemStats
	rng := rand.New(rand.NewPCG(19, 0))
	runtime.GC()
	runtime.ReadMemStats(&before)
	h := copiesHeld{table: NewTable(Options{Max: copies}), e: NewEvents(EventsOptions{Budget: 1 << 30})}
	bodies := make([]uint32, events)
	for i := range bodies {
		bodies[i] = h.e.KeepAs(from(uint64(i+1)), make([]byte, benchBody))
	}
	for range copies {
		log := h.e.Lift(0, 1)
		for i, body := range bodies {
			if _, added := h.e.AppendAt(log, get, uint32(i+2), body); !added {
				tb.Fatal("an event was not added")
			}
		}
		var id ID
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		if _, err := h.table.Adopt(id, Record{Log: log, Epoch: 1, Home: 3, Gets: 1}); err != nil {
			tb.Fatal(err)
		}
	}
	for _, body := range bodies {
		h.e.Release(body)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	h.heap = float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(copies)
	h.told = float64(h.table.Bytes()+h.e.Stats().Bytes) / float64(copies)
	return h
}

// What a copy may cost: a session, the head of a log with some slack, and an
// entry for each event.
const (
	copyEachMax      = bytesEachMax + 34
	copyEventEachMax = 17
)

func TestBytesOfCopies(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps shadow memory on the heap")
	}
	for _, events := range []int{0, 4} {
		h := holdCopies(t, benchCopies, events)
		t.Logf("%d events: %.1f bytes a copy on the heap, %.1f by Bytes", events, h.heap, h.told)
		if most := float64(copyEachMax + events*copyEventEachMax); h.told > most {
			t.Errorf("%d events: %.1f bytes a copy, more than %.0f", events, h.told, most)
		}
		if h.heap > h.told*1.02 || h.heap < h.told*0.98 {
			t.Errorf("%d events: %.1f bytes a copy on the heap, %.1f by Bytes", events, h.heap, h.told)
		}
		runtime.KeepAlive(h)
	}
}

// BenchmarkCopies reports what a copy of a session costs: record, place in the
// registry and head of a log, without events and with 4 that went to all.
func BenchmarkCopies(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
	}{{"no-events", 0}, {"4-shared-events", 4}} {
		b.Run(c.name, func(b *testing.B) {
			var h copiesHeld
			for b.Loop() {
				h = holdCopies(b, benchCopies, c.events)
			}
			b.ReportMetric(h.heap, "B/copy")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchCopies, "ns/copy")
			b.ReportMetric(0, "ns/op")
			runtime.KeepAlive(h)
		})
	}
}

func BenchmarkLogCopy(b *testing.B) {
	msg := make([]byte, benchBody)
	b.Run("AppendAt-shared-16", func(b *testing.B) { benchmarkAppendAt(b, benchEvents, msg) })
	b.Run("AppendAt-shared-256", func(b *testing.B) { benchmarkAppendAt(b, 256, msg) })
	b.Run("KeepAs-shared", func(b *testing.B) {
		r := retain(b, false)
		stored := r.e.bodies.origins.Load()
		parallel(b, int(stored), func(i int) { r.e.Release(r.e.KeepAs(Origin{Seq: uint64(i + 1)}, nil)) })
	})
	b.Run("Has-16", func(b *testing.B) {
		r := retain(b, true)
		o := Origin{Seq: benchEvents} // the last one of each log
		parallel(b, benchLogs, func(i int) {
			if !r.e.Has(r.logs[i], o) {
				b.Error("the event is not there")
			}
		})
	})
	b.Run("Has-not-stored", func(b *testing.B) {
		r := retain(b, true)
		parallel(b, benchLogs, func(i int) {
			if r.e.Has(r.logs[i], from(1)) {
				b.Error("an event that nobody has sent")
			}
		})
	})
}

// benchmarkAppendAt brings one message after another to all of 1,000 logs that
// keep so many events, in the order in which they were drawn.
func benchmarkAppendAt(b *testing.B, count int, msg []byte) {
	const logs = 1000
	e := NewEvents(EventsOptions{Count: count, Budget: 1 << 30})
	numbers := make([]uint32, logs)
	for i := range numbers {
		numbers[i] = e.Lift(0, 0)
	}
	body, seq := uint32(0), uint32(0)
	bring := func(i int) {
		if i == 0 {
			e.Release(body)
			body = e.Keep(msg)
			seq++
		}
		e.AppendAt(numbers[i], get, seq, body)
	}
	for i := range logs * (count + 1) {
		bring(i % logs)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		bring(i)
		if i++; i == logs {
			i = 0
		}
	}
}
