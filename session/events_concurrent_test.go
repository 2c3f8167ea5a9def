package session

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const logsEach = 8 // of one writer

// ledger is what one writer has appended to one log: all that Since may say.
type ledger struct {
	log    uint32
	last   uint32
	events []twinEvent // with the body nil for a lost one
}

// TestEventsBesideEachOther has 8 writers publish shared and own messages to
// logs of their own, beyond one limit or the other, beside a sweeper and readers
// of everybody's logs. Whatever Since covers is complete and in order.
func TestEventsBesideEachOther(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     EventsOptions
		taken func(EventsStats) uint64
	}{
		{"count", EventsOptions{Count: 5}, func(st EventsStats) uint64 { return st.EvictedCount }},
		{"bytes", EventsOptions{Bytes: 200}, func(st EventsStats) uint64 { return st.EvictedBytes }},
		{"age", EventsOptions{Age: 50 * time.Second}, func(st EventsStats) uint64 { return st.EvictedAge }},
		{"budget", EventsOptions{Budget: 8000}, func(st EventsStats) uint64 { return st.EvictedBudget }},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := besideEachOther(t, c.o)
			if c.taken(st) == 0 {
				t.Errorf("the limit was never reached: %+v", st)
			}
		})
	}
}

func besideEachOther(t *testing.T, o EventsOptions) EventsStats {
	const writers = 8
	rounds := 2000
	if raceEnabled {
		rounds = 400
	}
	c := new(clock)
	o.Now = c.now
	e := NewEvents(o)
	var covered, uncovered atomic.Int64
	var stop atomic.Bool
	var numbers [writers * logsEach]atomic.Uint32 // logs as strangers see them, dropped ones too
	var writing, others sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			var books [logsEach]ledger
			for range rounds {
				c.move(time.Second)
				writeRound(t, e, rng, &books)
				for i := range books {
					numbers[w*logsEach+i].Store(books[i].log)
				}
				if books[rng.IntN(logsEach)].check(t, e, rng) {
					covered.Add(1)
				} else {
					uncovered.Add(1)
				}
			}
			for i := range books {
				e.Drop(books[i].log)
			}
		})
	}
	others.Go(func() {
		for !stop.Load() {
			e.Sweep(20)
			e.Stats()
		}
	})
	others.Go(func() {
		rng := rand.New(rand.NewPCG(8, 0))
		for !stop.Load() {
			readStranger(t, e, numbers[rng.IntN(len(numbers))].Load())
		}
	})
	writing.Wait()
	stop.Store(true)
	others.Wait()
	if covered.Load() == 0 || uncovered.Load() == 0 {
		t.Errorf("covered %d times, not covered %d times: nothing was tried", covered.Load(), uncovered.Load())
	}
	st, b := e.Stats(), &e.bodies
	if st.Logs != 0 || st.Events != 0 || st.Bodies != 0 || b.used.Load() != 0 || b.condemned.Load() != 0 || b.held != 0 {
		t.Errorf("left behind: %+v, %d used, %d condemned, %d held", st, b.used.Load(), b.condemned.Load(), b.held)
	}
	return st
}

// writeRound publishes one message to some of the logs and now and then ends one.
func writeRound(t *testing.T, e *Events, rng *rand.Rand, books *[logsEach]ledger) {
	msg := make([]byte, 8+rng.IntN(60))
	n := rng.Uint64()
	binary.LittleEndian.PutUint64(msg, n)
	body := e.Keep(msg)
	if rng.IntN(50) == 0 {
		e.Release(body)
		body = 0
	}
	stream := uint32(1+rng.IntN(2)) | uint32(rng.IntN(2))<<31
	for i := range books {
		b := &books[i]
		if rng.IntN(3) == 0 {
			continue
		}
		if rng.IntN(500) == 0 {
			e.Drop(b.log)
			*b = ledger{}
		}
		log, seq := e.Append(b.log, stream, body)
		if seq != b.last+1 || b.log != 0 && log != b.log {
			t.Errorf("Append = %x, %d after %x, %d", log, seq, b.log, b.last)
		}
		ev := twinEvent{seq: seq, stream: stream}
		if body != 0 {
			ev.body = &twinBody{msg: string(msg)}
		}
		b.log, b.last = log, seq
		b.events = append(b.events, ev)
	}
	e.Release(body)
}

// check asks for what came after some number and reports whether it was covered.
func (b *ledger) check(t *testing.T, e *Events, rng *rand.Rand) bool {
	if b.log == 0 {
		return true
	}
	stream := uint32(1+rng.IntN(2)) | uint32(rng.IntN(2))<<31
	after := b.last - min(b.last, uint32(rng.IntN(6)))
	var want []twinEvent
	for i := len(b.events) - 1; i >= 0 && b.events[i].seq > after; i-- {
		if b.events[i].stream == stream {
			want = append(want, b.events[i])
		}
	}
	ok := e.Since(b.log, stream, after, func(seq uint32, msg []byte) {
		if len(want) == 0 {
			t.Errorf("an event too many: %d", seq)
			return
		}
		next := want[len(want)-1]
		want = want[:len(want)-1]
		if next.seq != seq || next.body == nil || next.body.msg != string(msg) {
			t.Errorf("event %d is %q, want %+v", seq, msg, next)
		}
	})
	if ok && len(want) != 0 {
		t.Errorf("covered, but %d events are missing", len(want))
	}
	return ok
}

// readStranger reads a log that others write and drop: events are in order, and
// the log is whole.
func readStranger(t *testing.T, e *Events, log uint32) {
	if log == 0 {
		return
	}
	last := uint32(0)
	e.Since(log, 1, 0, func(seq uint32, msg []byte) {
		if seq <= last || len(msg) < 8 {
			t.Errorf("event %d of %d bytes after %d", seq, len(msg), last)
		}
		last = seq
	})
	e.Drop(copyLog(t, e, log, e))
}
