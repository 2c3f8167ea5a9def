package session

import (
	"fmt"
	"math"
	"strings"
	"testing"
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
		{"body", unsafe.Sizeof(body{}), 56},
		{"chunk of bodies and its header", 8 + unsafe.Sizeof([bodiesChunk]body{}), 8184},
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
	skipSize(t)
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
	body := e.Keep([]byte("x"))
	if log, added := e.AppendAt(0, get, 7, body); log != 0 || added {
		t.Errorf("AppendAt = %x, %v", log, added)
	}
	if log, last := e.NextEpoch(0, 0); log != 0 || last != 0 {
		t.Errorf("NextEpoch = %x, %d", log, last)
	}
	if lift, floors := e.Lift(0, 7), e.SetFloors(0, [2]uint32{7, 7}); lift != 0 || floors != 0 {
		t.Errorf("Lift = %x, SetFloors = %x", lift, floors)
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
	o, last := e.Origin(body), uint32(100_000)
	others := make([]uint32, 32)
	for i := range others {
		others[i] = e.Keep([]byte("another"))
	}
	n, seen, given := 0, 0, 0
	each := func(_, _, _ uint32, _ []byte) { given++ }
	f := func(uint32, []byte) { seen++ }
	for name, call := range map[string]func(){
		"Append": func() { e.Append(logs[n%len(logs)], get, body); n++ },
		"Draw":   func() { e.Draw(logs[0]) },
		"Last":   func() { e.Last(logs[0]) },
		"Since":  func() { e.Since(logs[n%len(logs)], get, e.Last(logs[n%len(logs)])-5, f); n++ },
		"Sweep":  func() { e.Sweep(1000) },
		"AppendAt": func() {
			log, body := logs[n%len(logs)], others[n/len(logs)%len(others)]
			last++
			e.AppendAt(log, get, last, body)   // where each comes again when it has gone
			e.AppendAt(log, get, last-3, body) // twice
			n++
		},
		"KeepAs":    func() { e.Release(e.KeepAs(o, nil)) },
		"Has":       func() { e.Has(logs[n%len(logs)], o) },
		"Restream":  func() { e.Restream(logs[0], get, get+1, 3) },
		"SetFloors": func() { e.SetFloors(logs[0], [2]uint32{1, 1}) },
		"Each":      func() { e.Each(logs[n%len(logs)], each); n++ },
		"a log":     func() { log, _ := e.Draw(0); e.Drop(log) },
	} {
		for range 3000 {
			call() // reach the steady state
		}
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	if seen == 0 || given == 0 {
		t.Error("nothing was replayed")
	}
}
