package session

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

const (
	get  = uint32(1)         // a stream of one kind
	post = uint32(1<<31 | 7) // and one of the other
)

// put keeps msg, appends it and lets go of it.
func put(e *Events, log, stream uint32, msg string) (newLog, seq uint32) {
	body := e.Keep([]byte(msg))
	defer e.Release(body)
	return e.Append(log, stream, body)
}

// since returns "seq:message seq:message", or "not covered".
func since(t rapid.TB, e *Events, log, stream, after uint32) string {
	t.Helper()
	var got []string
	ok := e.Since(log, stream, after, func(seq uint32, msg []byte) { got = append(got, fmt.Sprintf("%d:%s", seq, msg)) })
	if !ok {
		if got != nil {
			t.Errorf("Since called f and then said not covered: %v", got)
		}
		return "not covered"
	}
	return strings.Join(got, " ")
}

func wantSince(t rapid.TB, e *Events, log, stream, after uint32, want string) {
	t.Helper()
	if got := since(t, e, log, stream, after); got != want {
		t.Errorf("Since(%x, %x, %d) = %q, want %q", log, stream, after, got, want)
	}
}

func TestEventSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"entry", unsafe.Sizeof(entry{}), 16},
		{"eventLog", unsafe.Sizeof(eventLog{}), 32},
		{"body", unsafe.Sizeof(body{}), 32},
		{"chunk of bodies and its header", 8 + unsafe.Sizeof([bodiesChunk]body{}), 8168},
	} {
		if c.got != c.want {
			t.Errorf("a %s has %d bytes, want %d", c.name, c.got, c.want)
		}
	}
}

func TestLifeOfALog(t *testing.T) {
	e := NewEvents(EventsOptions{})
	wantSince(t, e, 0, get, 0, "")
	wantSince(t, e, 0, get, 1, "not covered")
	log, seq := put(e, 0, get, "one")
	if log == 0 || seq != 1 {
		t.Fatalf("Append = %x, %d", log, seq)
	}
	put(e, log, post, "two")
	if l, seq := e.Draw(log); l != log || seq != 3 {
		t.Errorf("Draw = %x, %d", l, seq)
	}
	put(e, log, get, "four")
	put(e, log, get, "")
	wantSince(t, e, log, get, 0, "1:one 4:four 5:")
	wantSince(t, e, log, get, 1, "4:four 5:")
	wantSince(t, e, log, get, 3, "4:four 5:")
	wantSince(t, e, log, get, 5, "")
	wantSince(t, e, log, get, 6, "not covered")
	wantSince(t, e, log, get, math.MaxUint32, "not covered")
	wantSince(t, e, log, post, 0, "2:two")
	wantSince(t, e, log, get+1, 0, "")
	if e.Last(log) != 5 || e.Last(0) != 0 {
		t.Errorf("Last = %d, %d", e.Last(log), e.Last(0))
	}
	if st := e.Stats(); st.Logs != 1 || st.Events != 4 || st.Bodies != 4 {
		t.Errorf("Stats = %+v", st)
	}
	e.Drop(log)
	e.Drop(log)
	e.Drop(0)
	wantSince(t, e, log, get, 0, "not covered")
	if l, seq := put(e, log, get, "late"); l != log || seq != 0 || e.Last(log) != 0 {
		t.Errorf("Append to a dropped log = %x, %d", l, seq)
	}
	if l, seq := e.Draw(log); l != log || seq != 0 {
		t.Errorf("Draw from a dropped log = %x, %d", l, seq)
	}
	if st := e.Stats(); st.Logs != 0 || st.Events != 0 || st.Bodies != 0 {
		t.Errorf("Stats = %+v", st)
	}
	if used := e.bodies.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget are used by nothing", used)
	}
}

// The number of a dropped log does not lead to the log that has its place.
func TestStaleLogs(t *testing.T) {
	e := NewEvents(EventsOptions{})
	dropped := map[uint32]bool{}
	for range 100_000 {
		log, _ := e.Draw(0)
		if dropped[log] {
			t.Fatalf("the number %x came back after %d others", log, len(dropped))
		}
		e.Drop(log)
		dropped[log] = true
	}
	if n := e.Stats().Bytes; n > 200_000 {
		t.Errorf("%d bytes for no log", n)
	}
	live, _ := put(e, 0, get, "secret")
	for log := range dropped {
		if e.Last(log) != 0 || since(t, e, log, get, 0) != "not covered" {
			t.Fatalf("the dropped %x leads to %x", log, live)
		}
	}
}

// Generations wrap around and leave 0 out: no log has the number 0.
func TestLogGenerationsWrap(t *testing.T) {
	e := NewEvents(EventsOptions{})
	const lives = 255 * (logsResting + 1) * logShards
	seen := make(map[uint32]bool, lives)
	for range lives + lives/8 {
		log, _ := e.Draw(0)
		if log>>(logShardBits+logIndexBits) == 0 {
			t.Fatalf("a log has the number %x", log)
		}
		e.Drop(log)
		seen[log] = true
	}
	if len(seen) != lives {
		t.Errorf("%d numbers were given, want %d", len(seen), lives)
	}
}

func TestLogsRunOut(t *testing.T) {
	e := NewEvents(EventsOptions{})
	first, _ := e.Draw(0)
	for i := range e.shards {
		e.shards[i].logs.fresh = logsMax
	}
	if log, seq := put(e, 0, get, "x"); log != 0 || seq != 0 {
		t.Errorf("Append = %x, %d", log, seq)
	}
	if log, seq := e.Draw(0); log != 0 || seq != 0 {
		t.Errorf("Draw = %x, %d", log, seq)
	}
	if log := e.Import(LogSnapshot{Last: 1}); log != 0 {
		t.Errorf("Import = %x", log)
	}
	e.Drop(first) // a full shard uses dead logs without a rest
	e.turn.Store(first%logShards - 1)
	if log, seq := e.Draw(0); log == 0 || log == first || seq != 1 {
		t.Errorf("Draw = %x, %d after %x was dropped", log, seq, first)
	}
}

func TestNumbersRunOut(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := e.Draw(0)
	e.shard(log).find(log).seq = math.MaxUint32 - 1
	if _, seq := put(e, log, get, "last"); seq != math.MaxUint32 {
		t.Errorf("seq = %d", seq)
	}
	for range 2 {
		if _, seq := put(e, log, get, "beyond"); seq != 0 {
			t.Errorf("seq = %d", seq)
		}
	}
	wantSince(t, e, log, get, math.MaxUint32-1, "4294967295:last")
	if n := e.Stats().Bodies; n != 1 {
		t.Errorf("%d bodies", n)
	}
}

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
	const logs, rounds, budget = 500, 40, 1 << 17
	e := NewEvents(EventsOptions{Budget: budget, Count: 1 << 20})
	var worst, appended int64
	for range 10 { // each time other logs
		var numbers [logs]uint32
		for range rounds {
			body := e.Keep([]byte("to all"))
			for i := range numbers {
				numbers[i], _ = e.Append(numbers[i], get, body)
			}
			e.Release(body)
			appended += logs
			if used := e.bodies.used.Load(); used > budget {
				t.Fatalf("%d bytes used of %d", used, budget)
			}
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

// A replay of any length is whole; memory for a long one is not held.
func TestLongReplay(t *testing.T) {
	const events = 4 * replayedMax
	e := NewEvents(EventsOptions{Count: events})
	log := uint32(0)
	for range events {
		log, _ = put(e, log, get, "x")
	}
	last := uint32(0)
	if !e.Since(log, get, 0, func(seq uint32, _ []byte) {
		if last++; seq != last {
			t.Fatalf("event %d after %d", seq, last-1)
		}
	}) || last != events {
		t.Errorf("%d events of %d", last, events)
	}
	if s := e.shard(log).scratch; s != nil {
		t.Errorf("room for %d is held", cap(s))
	}
}

// Whoever publishes lets go: the body lives as long as the logs that have it.
func TestBodiesAreShared(t *testing.T) {
	e := NewEvents(EventsOptions{})
	body := e.Keep([]byte("for all"))
	var logs []uint32
	for range 100 {
		log, _ := e.Append(0, get, body)
		logs = append(logs, log)
	}
	e.Release(body)
	e.Release(0)
	for i, log := range logs {
		wantSince(t, e, log, get, 0, "1:for all")
		if n := e.Stats().Bodies; n != 1 {
			t.Fatalf("%d bodies at log %d", n, i)
		}
		e.Drop(log)
	}
	if n := e.Stats().Bodies; n != 0 {
		t.Errorf("%d bodies without a log", n)
	}
}

// What f is given stays what it was when the store has long let go of it.
func TestMessagesOutliveEviction(t *testing.T) {
	e := NewEvents(EventsOptions{})
	msg := []byte("hello")
	body := e.Keep(msg)
	log, _ := e.Append(0, get, body)
	e.Release(body)
	copy(msg, "HELLO")
	var got []byte
	e.Since(log, get, 0, func(_ uint32, msg []byte) { got = msg })
	e.Drop(log)
	for range 1000 {
		put(e, 0, get, "other")
	}
	if string(got) != "hello" || cap(got) != 5 {
		t.Errorf("%q, capacity %d", got, cap(got))
	}
}

// An f that panics leaves the log unlocked and whole.
func TestSincePanics(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := put(e, 0, get, "a")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		e.Since(log, get, 0, func(uint32, []byte) { panic("f") })
	}()
	wantSince(t, e, log, get, 0, "1:a")
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

func TestEventsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	e := NewEvents(EventsOptions{Count: 16})
	body := e.Keep([]byte("message"))
	logs := make([]uint32, 64)
	for range 100 {
		for i := range logs {
			logs[i], _ = e.Append(logs[i], get, body)
		}
	}
	n, seen := 0, 0
	f := func(uint32, []byte) { seen++ }
	for name, call := range map[string]func(){
		"Append": func() { e.Append(logs[n%len(logs)], get, body); n++ },
		"Draw":   func() { e.Draw(logs[0]) },
		"Last":   func() { e.Last(logs[0]) },
		"Since":  func() { e.Since(logs[n%len(logs)], get, e.Last(logs[n%len(logs)])-5, f); n++ },
		"Sweep":  func() { e.Sweep(1000) },
		"a log":  func() { log, _ := e.Draw(0); e.Drop(log) },
	} {
		for range 3000 {
			call() // reach the steady state
		}
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	if seen == 0 {
		t.Error("nothing was replayed")
	}
}
