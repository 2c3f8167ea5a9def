package session

import (
	"math"
	"testing"
	"time"
)

// sweepAll passes over the whole table once.
func sweepAll(table *Table, gone func(Ref, Record)) int {
	return table.Sweep(len(*table.chunks.Load())*chunkRecords, nil, gone)
}

// A session is removed when it has not been used for IdleTimeout, at the latest
// a second after, and not a nanosecond before.
func TestSweepWaitsForTheTimeout(t *testing.T) {
	for _, born := range []time.Duration{0, time.Nanosecond, 999 * time.Millisecond, 1500 * time.Millisecond} {
		c := new(clock)
		table := NewTable(Options{IdleTimeout: 10 * time.Second, Now: c.now})
		c.move(born)
		_, ref := mustCreate(t, table, Record{})
		c.move(10*time.Second - time.Nanosecond)
		if sweepAll(table, nil) != 0 {
			t.Errorf("born %v: removed before its time", born)
		}
		c.move(time.Second + time.Nanosecond)
		if sweepAll(table, nil) != 1 {
			t.Errorf("born %v: not removed a second after its time", born)
		}
		assertStale(t, table, ref)
	}
}

func TestSweepSparesWhatIsUsed(t *testing.T) {
	for _, c := range []struct {
		name string
		keep func(*Record) bool
		use  func(*Table, Ref)
		want int
	}{
		{"idle", nil, func(*Table, Ref) {}, 1},
		{"touched", nil, func(table *Table, ref Ref) { table.Touch(ref) }, 0},
		{"loaded only", nil, func(table *Table, ref Ref) { table.Load(ref) }, 1},
		{"updated only", nil, func(table *Table, ref Ref) { table.Update(ref, func(r *Record) { r.State = 1 }) }, 1},
		{"stream opened", nil, setStream(3), 0},
		{"stream just ended", nil, func(table *Table, ref Ref) { setStream(3)(table, ref); setStream(0)(table, ref) }, 0},
		{"kept", func(*Record) bool { return true }, func(*Table, Ref) {}, 0},
		{"not kept", func(*Record) bool { return false }, func(*Table, Ref) {}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := new(clock)
			table := NewTable(Options{IdleTimeout: time.Second, Now: clk.now})
			_, ref := mustCreate(t, table, Record{})
			clk.move(5 * time.Second)
			c.use(table, ref)
			if n := table.Sweep(chunkRecords, c.keep, nil); n != c.want {
				t.Errorf("Sweep = %d, want %d", n, c.want)
			}
			if table.Len() != 1-c.want {
				t.Errorf("Len = %d", table.Len())
			}
		})
	}
}

func setStream(to uint64) func(*Table, Ref) {
	return func(table *Table, ref Ref) { table.Update(ref, func(r *Record) { r.Stream = to }) }
}

// An open stream keeps a session as long as it lasts, unless the owner's rule
// says that the stream is not what it was.
func TestSweepAndStreams(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{IdleTimeout: time.Second, Now: c.now})
	_, ref := mustCreate(t, table, Record{Stream: 3})
	c.move(time.Hour)
	if sweepAll(table, nil) != 0 {
		t.Fatal("removed with an open stream")
	}
	if n := table.Sweep(chunkRecords, func(r *Record) bool { return r.Stream == 4 }, nil); n != 1 {
		t.Fatal("kept against the rule of the owner")
	}
	assertStale(t, table, ref)
}

func TestSweepWithoutTimeout(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{Now: c.now})
	mustCreate(t, table, Record{})
	c.move(1000 * time.Hour)
	if n := sweepAll(table, nil); n != 0 {
		t.Errorf("Sweep = %d", n)
	}
}

// Small steps cover the table: after as many records as there are slots, every
// session was looked at, wherever the steps began.
func TestSweepInSteps(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{IdleTimeout: time.Second, Now: c.now})
	const n = chunkRecords + 300
	for range n {
		mustCreate(t, table, Record{})
	}
	table.Sweep(777, nil, nil)
	c.move(time.Minute)
	gone := map[Ref]bool{}
	removed, slots := 0, len(*table.chunks.Load())*chunkRecords
	for done := 0; done < slots; {
		step := min(100, slots-done)
		k := table.Sweep(step, nil, func(ref Ref, r Record) {
			if gone[ref] {
				t.Errorf("%x gone twice", uint64(ref))
			}
			gone[ref] = true
			if _, ok := table.Find(r.ID); ok {
				t.Errorf("%s is still found when gone is called", r.ID)
			}
			assertStale(t, table, ref)
		})
		if k > step {
			t.Fatalf("a step of %d removed %d", step, k)
		}
		removed += k
		done += step
	}
	if removed != n || len(gone) != n || table.Len() != 0 {
		t.Errorf("removed %d, told of %d, %d left, of %d", removed, len(gone), table.Len(), n)
	}
}

func TestSweepOfNothing(t *testing.T) {
	table := NewTable(Options{IdleTimeout: time.Second})
	for _, n := range []int{-1, 0, 1, math.MaxInt} {
		if got := table.Sweep(n, nil, nil); got != 0 {
			t.Errorf("Sweep(%d) of an empty table = %d", n, got)
		}
	}
}
