package session

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestCountOfALog(t *testing.T) {
	e := NewEvents(EventsOptions{Count: 3})
	log, _ := put(e, 0, post, "a")
	for _, msg := range []string{"b", "c", "d"} {
		put(e, log, get, msg)
	}
	// a is gone, and held against its kind only.
	wantSince(t, e, log, post, 0, "not covered")
	wantSince(t, e, log, post, 1, "")
	wantSince(t, e, log, get, 0, "2:b 3:c 4:d")
	put(e, log, get, "e")
	wantSince(t, e, log, get, 1, "not covered")
	wantSince(t, e, log, get, 2, "3:c 4:d 5:e")
	if st := e.Stats(); st.EvictedCount != 2 || st.Events != 3 || st.Bodies != 3 {
		t.Errorf("Stats = %+v", st)
	}
}

func TestBytesOfALog(t *testing.T) {
	e := NewEvents(EventsOptions{Bytes: 10})
	log, _ := put(e, 0, get, "12345")
	put(e, log, get, "6789")
	put(e, log, get, "0")
	put(e, log, get, "x")
	wantSince(t, e, log, get, 0, "not covered")
	wantSince(t, e, log, get, 1, "2:6789 3:0 4:x")
	put(e, log, get, "1234567890")
	wantSince(t, e, log, get, 4, "5:1234567890")
	if st := e.Stats(); st.EvictedBytes != 4 || st.Events != 1 || st.TooLarge != 0 {
		t.Errorf("Stats = %+v", st)
	}
	put(e, log, post, "p")
	// What is too long to be kept is lost, and what came before it is of no use.
	put(e, log, get, "12345678901")
	wantSince(t, e, log, get, 5, "not covered")
	wantSince(t, e, log, get, 7, "")
	wantSince(t, e, log, post, 0, "6:p") // of the other kind
	if st := e.Stats(); st.EvictedBytes != 5 || st.Events != 1 || st.TooLarge != 1 {
		t.Errorf("Stats = %+v", st)
	}
}

func TestNothingIsKept(t *testing.T) {
	e := NewEvents(EventsOptions{Count: -1})
	log, seq := put(e, 0, get, "a")
	if log == 0 || seq != 1 {
		t.Errorf("Append = %x, %d", log, seq)
	}
	put(e, log, get, "b")
	wantSince(t, e, log, get, 0, "not covered")
	wantSince(t, e, log, get, 1, "not covered")
	wantSince(t, e, log, get, 2, "")
	wantSince(t, e, log, post, 0, "")
	if st := e.Stats(); st.Events != 0 || st.Bodies != 0 || st.TooLarge != 0 {
		t.Errorf("Stats = %+v", st)
	}
}

func TestAge(t *testing.T) {
	c := new(clock)
	e := NewEvents(EventsOptions{Age: 1500 * time.Millisecond, Now: c.now})
	a, _ := put(e, 0, get, "old")
	put(e, a, post, "old")
	c.move(time.Second)
	put(e, a, get, "new")
	b, _ := put(e, 0, get, "new")
	c.move(time.Second)
	if n := e.Sweep(1000); n != 0 {
		t.Errorf("Sweep removed %d before their time", n)
	}
	c.move(time.Second)
	wantSince(t, e, a, get, 0, "1:old 3:new") // nobody has swept yet
	if n := e.Sweep(1000); n != 2 {
		t.Errorf("Sweep removed %d, want 2", n)
	}
	wantSince(t, e, a, get, 0, "not covered")
	wantSince(t, e, a, get, 1, "3:new")
	wantSince(t, e, a, post, 1, "not covered")
	wantSince(t, e, b, get, 0, "1:new")
	c.move(-time.Hour)
	if n := e.Sweep(1000); n != 0 {
		t.Errorf("Sweep removed %d when the clock went back", n)
	}
	put(e, b, get, "newest")
	c.move(2 * time.Hour)
	if n := e.Sweep(1000); n != 3 {
		t.Errorf("Sweep removed %d, want 3", n)
	}
	if a2, seq := e.Draw(a); a2 != a || seq != 4 {
		t.Errorf("Draw = %x, %d: the numbers of %x came back", a2, seq, a)
	}
	if st := e.Stats(); st.EvictedAge != 5 || st.Events != 0 || st.Bodies != 0 || st.Logs != 2 {
		t.Errorf("Stats = %+v", st)
	}
}

// Sweep visits as many logs as it is told and comes to all of them.
func TestSweepGoesOn(t *testing.T) {
	c := new(clock)
	e := NewEvents(EventsOptions{Now: c.now})
	const logs = 5000
	for range logs {
		put(e, 0, get, "x")
	}
	c.move(time.Hour)
	removed, calls := 0, 0
	for e.Stats().Events > 0 && calls <= logs/100 {
		n := e.Sweep(100)
		if n > 100 {
			t.Errorf("one call removed the events of %d logs", n)
		}
		removed += n
		calls++
	}
	if removed != logs {
		t.Errorf("%d of %d removed in %d calls", removed, logs, calls)
	}
	if e.Sweep(0) != 0 || e.Sweep(-1) != 0 {
		t.Error("Sweep of nothing removed something")
	}
}

func TestBudget(t *testing.T) {
	e := NewEvents(EventsOptions{Budget: 3*(cost(100)+entryBytes) + entryBytes})
	var logs []uint32
	for i := range 3 {
		log, _ := put(e, 0, get, fmt.Sprintf("%0100d", i))
		logs = append(logs, log)
	}
	for _, log := range logs {
		if got := since(t, e, log, get, 0); got == "not covered" {
			t.Errorf("%x is not covered within the budget", log)
		}
	}
	put(e, logs[2], get, strings.Repeat("y", 100))
	wantSince(t, e, logs[0], get, 0, "not covered")
	wantSince(t, e, logs[0], get, 1, "")
	if st := e.Stats(); st.EvictedBudget != 1 || st.Bodies != 3 || st.Events != 3 {
		t.Errorf("Stats = %+v", st)
	}
	// A message that the budget takes away before it is appended is lost there too.
	body := e.Keep([]byte("mine"))
	for range 4 {
		put(e, logs[1], get, strings.Repeat("z", 100))
	}
	if log, seq := e.Append(logs[0], get, body); log != logs[0] || seq != 2 {
		t.Errorf("Append = %x, %d", log, seq)
	}
	e.Release(body)
	wantSince(t, e, logs[0], get, 1, "not covered")
	wantSince(t, e, logs[0], get, 2, "")
	for _, log := range logs {
		e.Drop(log)
	}
	if used := e.bodies.used.Load(); used != 0 || e.bodies.condemned.Load() != 0 || e.bodies.held != 0 {
		t.Errorf("%d bytes used, %d references condemned, %d slots held by nothing", used, e.bodies.condemned.Load(), e.bodies.held)
	}
}

// References count too: a message to very many logs cannot go beyond the budget,
// and the entries of what was evicted do not pile up although nobody sweeps, not
// even in logs that are never used again.
func TestBudgetBoundsEntries(t *testing.T) {
	skipSize(t)
	t.Run("Append", func(t *testing.T) {
		budgetBoundsEntries(t, func(e *Events, log, _, body uint32) uint32 {
			log, _ = e.Append(log, get, body)
			return log
		})
	})
	t.Run("AppendAt", func(t *testing.T) {
		budgetBoundsEntries(t, func(e *Events, log, seq, body uint32) uint32 {
			log, _ = e.AppendAt(log, get, seq, body)
			return log
		})
	})
}

func budgetBoundsEntries(t *testing.T, add func(e *Events, log, seq, body uint32) (newLog uint32)) {
	const logs, rounds, budget = 500, 40, 1 << 17
	e := NewEvents(EventsOptions{Budget: budget, Count: 1 << 15})
	var worst, appended int64
	for range 10 { // each time other logs
		var numbers [logs]uint32
		for round := range uint32(rounds) {
			body := e.Keep([]byte("to all"))
			for i := range numbers {
				numbers[i] = add(e, numbers[i], round+1, body)
				if used := e.bodies.used.Load(); used > budget {
					t.Fatalf("%d bytes used of %d", used, budget)
				}
			}
			e.Release(body)
			appended += logs
			worst = max(worst, e.Stats().Events)
		}
	}
	t.Logf("%d events appended, at most %d entries, the budget is %d", appended, worst, budget/entryBytes)
	if worst > 2*budget/entryBytes {
		t.Errorf("%d entries for a budget of %d", worst, budget/entryBytes)
	}
}

// A log over its limit first gives up what is lost anyway.
func TestLimitsTakeTheLostFirst(t *testing.T) {
	c := new(clock)
	e := NewEvents(EventsOptions{Count: 3, Age: time.Second, Now: c.now})
	early := e.Keep([]byte("kept early"))
	c.move(3 * time.Second)
	log, _ := put(e, 0, post, "a")
	e.Append(log, get, early)
	e.Release(early)
	put(e, log, get, "c")
	e.bodies.evictAged() // nobody has swept the log yet
	put(e, log, get, "d")
	wantSince(t, e, log, post, 0, "1:a")
	wantSince(t, e, log, get, 2, "3:c 4:d")
	if st := e.Stats(); st.EvictedCount != 0 || st.EvictedAge != 1 {
		t.Errorf("Stats = %+v", st)
	}
}

// A store that has gone quiet gives its memory back, but for the heads of logs.
func TestQuietStoreIsSmall(t *testing.T) {
	c := new(clock)
	e := NewEvents(EventsOptions{Now: c.now})
	numbers := make([]uint32, 1000)
	for i := range 20 * len(numbers) {
		n := &numbers[i%len(numbers)]
		*n, _ = put(e, *n, get, strings.Repeat("x", 200))
	}
	busy := e.Stats().Bytes
	c.move(time.Hour)
	e.Sweep(100_000)
	e.Sweep(100_000)
	quiet := e.Stats()
	if quiet.Bytes > 100_000 || quiet.Logs != 1000 {
		t.Errorf("%d bytes busy, then %+v", busy, quiet)
	}
	put(e, numbers[0], get, "again")
	wantSince(t, e, numbers[0], get, 20, "21:again")
}

func TestEventsOptions(t *testing.T) {
	for _, c := range []struct {
		in     EventsOptions
		count  uint32
		bytes  uint32
		age    uint32
		budget int64
	}{
		{EventsOptions{}, 256, 256 << 10, 300, 64 << 20},
		{EventsOptions{Count: 5, Bytes: 6, Age: 1, Budget: 7}, 5, 6, 1, 7},
		{EventsOptions{Bytes: -1, Age: -1, Budget: -1}, 256, 256 << 10, 300, 64 << 20},
		{EventsOptions{Count: math.MaxInt, Bytes: math.MaxInt, Age: math.MaxInt64, Budget: math.MaxInt64}, eventsCountMax, eventsBytesMax, 1 << 31, budgetMax},
	} {
		e := NewEvents(c.in)
		s := &e.shards[3]
		if s.count != c.count || s.bytes != c.bytes || e.bodies.age != c.age || e.bodies.budget != c.budget || e.bodies.sizeMax != int(c.bytes) {
			t.Errorf("NewEvents(%+v): %d, %d, %d, %d", c.in, s.count, s.bytes, e.bodies.age, e.bodies.budget)
		}
	}
}
