package session

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const turn = 1 << epochShift

// logOf makes a log of some events of stream 1, each with its number as message
// and identity.
func logOf(e *Events, seqs ...uint32) (log uint32) {
	for _, seq := range seqs {
		log = enter(e, log, 1, seq)
	}
	return log
}

func enter(e *Events, log, stream, seq uint32) uint32 {
	body := e.KeepAs(numbered(seq), []byte{byte(seq)})
	log, _ = e.AppendAt(log, stream, seq, body)
	e.Release(body)
	return log
}

func numbered(seq uint32) Origin { return Origin{Peer: 7, Seq: uint64(seq)} }

func numbersOf(e *Events, log uint32) (seqs []uint32) {
	e.Each(log, func(seq, _, _ uint32, _ []byte) { seqs = append(seqs, seq) })
	return seqs
}

// A takeover sets the fork behind what the log has drawn; who comes raises it to
// behind what it has had, and what the log has, below the range.
func TestFork(t *testing.T) {
	e := NewEvents(EventsOptions{Peer: 1})
	log := logOf(e, 3, 5)
	e.Heard(log, 9)
	if got := e.Fork(log); got != 0 {
		t.Errorf("a log that was not taken over has fork %x", got)
	}
	log, _ = e.NextEpoch(log, 2)
	for i, c := range []struct{ put, heard, want uint32 }{
		{0, 1, 6}, {7, 1, 8}, {0, 11, 12}, {0, 10, 12},
		{0, turn | 4, turn | 5}, // of another home
		{2*turn | 1, 2*turn | 1, turn | 5},
	} {
		if c.put != 0 {
			enter(e, log, 1, c.put)
		}
		if e.Heard(log, c.heard); e.Fork(log) != c.want {
			t.Errorf("%d: fork %x, want %x", i, e.Fork(log), c.want)
		}
	}
	other := logOf(e, 1)
	if e.SetFork(other, 6); e.Fork(other) != 6 {
		t.Errorf("fork %x, not 6", e.Fork(other))
	}
	if e.SetFork(other, 4); e.Fork(other) != 6 {
		t.Errorf("fork %x falls", e.Fork(other))
	}
	e.Drop(other)
	e.SetFork(other, 9)
	e.SetFork(0, 9)
	if e.Fork(other) != 0 || e.Fork(0) != 0 {
		t.Error("a log that was dropped has a fork")
	}
	next, _ := e.NextEpoch(0, 1)
	if e.Fork(next) != 1 {
		t.Errorf("fork %x of a log that was empty", e.Fork(next))
	}
}

// Lacked takes events out and appends them, each once and in order.
func TestLacked(t *testing.T) {
	e := NewEvents(EventsOptions{Peer: 1})
	log := logOf(e, 3, 5, 6, 8)
	enter(e, log, 2, 7)
	e.NextEpoch(log, 2)
	enter(e, log, 1, 2*turn|1)
	var moved []byte
	for {
		seq, body := e.Lacked(log, 1, 5, turn)
		if seq == 0 {
			break
		}
		msg, _ := e.Message(body)
		moved = append(moved, msg...)
		if e.At(log, e.Origin(body)) != seq {
			t.Errorf("%x stands elsewhere", seq)
		}
		e.Release(body)
	}
	if !slices.Equal(moved, []byte{5, 6, 8}) {
		t.Errorf("moved %v", moved)
	}
	want := []uint32{3, 7, 2*turn | 1, 2*turn | 2, 2*turn | 3, 2*turn | 4}
	if got := numbersOf(e, log); !slices.Equal(got, want) || e.Last(log) != 2*turn|4 {
		t.Errorf("%x, last %x, want %x", got, e.Last(log), want)
	}
	// The latest event, and what comes behind it.
	e.Drop(log)
	log = logOf(e, 3, 9)
	e.NextEpoch(log, 2)
	for _, want := range []uint32{2 * turn, 0} {
		seq, body := e.Lacked(log, 1, 9, turn)
		if e.Release(body); seq != want {
			t.Errorf("moved to %x, want %x", seq, want)
		}
	}
	enter(e, log, 1, 2*turn|5)
	if got := numbersOf(e, log); !slices.Equal(got, []uint32{3, 2 * turn, 2*turn | 5}) {
		t.Errorf("%x", got)
	}
	if seq, _ := e.Lacked(0, 1, 0, turn); seq != 0 {
		t.Error("no log lacks something")
	}
	e.Drop(log)
	if st := e.Stats(); st.Bodies != 0 || st.Events != 0 {
		t.Errorf("left: %+v", st)
	}
}

// Move is Renumber in both directions.
func TestMove(t *testing.T) {
	for _, c := range []struct {
		from, to uint32
		want     []uint32
		ok       bool
	}{
		{10, 25, []uint32{20, 25, 30}, true},
		{10, 35, []uint32{20, 30, 35}, true},
		{10, 15, []uint32{15, 20, 30}, true},
		{20, 25, []uint32{10, 25, 30}, true},
		{30, 50, []uint32{10, 20, 50}, true},
		{30, 5, []uint32{5, 10, 20}, true},
		{20, 30, []uint32{10, 20, 30}, false},
		{20, 20, []uint32{10, 20, 30}, false},
		{40, 50, []uint32{10, 20, 30}, false},
	} {
		e := NewEvents(EventsOptions{Peer: 1})
		log := logOf(e, 10, 20, 30)
		if ok := e.Move(log, c.to, numbered(c.from)); ok != c.ok {
			t.Errorf("%d to %d: %v", c.from, c.to, ok)
		}
		last := max(30, slices.Max(c.want))
		if e.Last(log) != last {
			t.Errorf("%d to %d: last %d", c.from, c.to, e.Last(log))
		}
		body := e.Keep([]byte("x"))
		e.Append(log, 1, body) // goes behind the last
		e.Release(body)
		if got := numbersOf(e, log); !slices.Equal(got, append(c.want, last+1)) {
			t.Errorf("%d to %d: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// Only logs that were taken over pay for the fork, and get it back.
func TestBytesOfForks(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps shadow memory on the heap")
	}
	const logs = 100_000
	e := NewEvents(EventsOptions{Peer: 1})
	all := make([]uint32, logs)
	for i := range all {
		all[i] = logOf(e, 1)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, told := heap(), e.Stats().Bytes
	for _, log := range all {
		e.NextEpoch(log, 1)
	}
	each := float64(heap()-before) / logs
	t.Logf("%.1f bytes a log on the heap, %d by Bytes", each, (e.Stats().Bytes-told)/logs)
	if each > 22 {
		t.Errorf("a fork takes %.1f bytes", each)
	}
	if said := e.Stats().Bytes - told; said != logs*forkBytes {
		t.Errorf("Bytes says %d", said)
	}
	for _, log := range all {
		e.Drop(log)
	}
	for i := range e.shards {
		if e.shards[i].forks != nil {
			t.Error("the memory is kept")
		}
	}
}

// TestForkAgainstSlice moves events to and fro and appends beside it: a log keeps
// what a sorted slice of numbers does.
func TestForkAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := NewEvents(EventsOptions{Peer: 1})
		log, last := e.Lift(0, 1), uint32(1)
		is := map[uint32]uint32{} // identity by number
		small := rapid.Uint32Range(2, 40)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				last++
				body := e.KeepAs(numbered(last), []byte{1})
				e.Append(log, 1, body)
				e.Release(body)
				is[last] = last
			},
			"append at": func(t *rapid.T) {
				seq := small.Draw(t, "number")
				_, taken := is[seq]
				taken = taken || e.Has(log, numbered(seq))
				if enter(e, log, 1, seq); !taken {
					is[seq] = seq
				}
				last = max(last, seq)
			},
			"move": func(t *rapid.T) {
				to, o := small.Draw(t, "to"), small.Draw(t, "identity")
				from := e.At(log, numbered(o))
				if _, taken := is[to]; e.Move(log, to, numbered(o)) != (from != 0 && !taken) {
					t.Fatalf("move of %d to %d", from, to)
				} else if from != 0 && !taken {
					is[to] = is[from]
					delete(is, from)
					last = max(last, to)
				}
			},
			"lacked": func(t *rapid.T) {
				least, below := small.Draw(t, "least"), small.Draw(t, "below")
				from := uint32(0)
				for seq := range is {
					if seq >= least && seq < below && (from == 0 || seq < from) {
						from = seq
					}
				}
				seq, body := e.Lacked(log, 1, least, below)
				e.Release(body)
				if from == 0 {
					if seq != 0 {
						t.Fatalf("%d is lacked", seq)
					}
					return
				}
				last++
				is[last] = is[from]
				delete(is, from)
				if seq != last {
					t.Fatalf("moved to %d, not %d", seq, last)
				}
			},
			"": func(t *rapid.T) {
				want := slices.Sorted(maps.Keys(is))
				if got := numbersOf(e, log); !slices.Equal(got, want) || e.Last(log) != last {
					t.Fatalf("%v, last %d; want %v, %d", got, e.Last(log), want, last)
				}
				for seq, o := range is {
					if e.At(log, numbered(o)) != seq {
						t.Fatalf("%d stands at %d, not %d", o, e.At(log, numbered(o)), seq)
					}
				}
			},
		})
		e.Drop(log)
		if st := e.Stats(); st.Bodies != 0 || st.Events != 0 {
			t.Fatalf("left: %+v", st)
		}
	})
}
