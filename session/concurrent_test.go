package session

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stamp fills every field that an owner may set with one number, so that a
// mixture of two records shows.
func stamp(r *Record, n uint64) {
	r.Stream = n
	r.Client, r.Topics, r.Log, r.Epoch, r.Home = uint32(n), uint32(n), uint32(n), uint32(n), uint32(n)
	r.Caps, r.Gets = uint16(n), uint16(n)
	r.Protocol, r.State, r.LogLevel, r.Kind = uint8(n), uint8(n), uint8(n), uint8(n)
}

// stamped reports whether all of r was written by one stamp.
func stamped(r Record) bool {
	want := Record{ID: r.ID, LastUsed: r.LastUsed}
	stamp(&want, r.Stream)
	return r == want
}

// TestLoadIsConsistent has readers look for mixtures while writers change every
// word of the same few records.
func TestLoadIsConsistent(t *testing.T) {
	table := NewTable(Options{})
	var refs [4]Ref
	for i := range refs {
		_, refs[i] = mustCreate(t, table, Record{})
	}
	const writers, rounds = 3, 20_000
	var stop atomic.Bool
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range rounds {
				n := rng.Uint64()
				table.Update(refs[rng.IntN(len(refs))], func(r *Record) { stamp(r, n) })
				table.Touch(refs[rng.IntN(len(refs))])
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for !stop.Load() && !t.Failed() {
				for _, ref := range refs {
					if r, ok := table.Load(ref); !ok || !stamped(r) {
						t.Errorf("a mixture: %+v, %v", r, ok)
					}
				}
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
}

// TestUpdatesAreSerial counts in a record from many goroutines: none is lost.
func TestUpdatesAreSerial(t *testing.T) {
	table := NewTable(Options{})
	_, ref := mustCreate(t, table, Record{})
	const workers, each = 6, 3000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				table.Update(ref, func(r *Record) { r.Topics++; r.Stream++ })
			}
		})
	}
	wg.Wait()
	if r, _ := table.Load(ref); r.Topics != workers*each || r.Stream != workers*each {
		t.Errorf("%d and %d updates of %d", r.Topics, r.Stream, workers*each)
	}
}

// TestStaleUnderReuse has slots change hands as fast as they can while others
// use every Ref they have seen: what they read, and change, is the session the
// Ref was given for.
func TestStaleUnderReuse(t *testing.T) {
	const max, workers = 16, 4
	rounds := 30_000
	if raceEnabled {
		rounds = 5000
	}
	table := NewTable(Options{Max: max})
	type known struct {
		id  ID
		ref Ref
	}
	var board [64]atomic.Pointer[known] // what has been created, live or not
	var created, deleted atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(4, uint64(w)))
			for range rounds {
				at := &board[rng.IntN(len(board))]
				k := at.Load()
				switch rng.IntN(4) {
				case 0:
					id, ref, err := table.Create(Record{})
					if err == nil {
						created.Add(1)
						at.Store(&known{id, ref})
					} else if !errors.Is(err, ErrFull) {
						t.Error(err)
					}
				case 1:
					if k == nil {
						continue
					}
					if r, ok := table.Delete(k.ref); ok {
						deleted.Add(1)
						if r.ID != k.id {
							t.Errorf("deleted %s by a Ref of %s", r.ID, k.id)
						}
					}
				default:
					if k != nil {
						useRef(t, table, k.ref, k.id, rng.Uint64())
					}
				}
				if n := table.Len(); n < 0 || n > max {
					t.Errorf("Len = %d, Max %d", n, max)
				}
			}
		})
	}
	wg.Wait()
	if n := created.Load() - deleted.Load(); int64(table.Len()) != n {
		t.Errorf("Len = %d, want %d", table.Len(), n)
	}
	table.Range(func(ref Ref, r Record) bool {
		if got, ok := table.Find(r.ID); !ok || got != ref {
			t.Errorf("Find(%s) = %x, %v, want %x", r.ID, uint64(got), ok, uint64(ref))
		}
		return true
	})
	if n := table.ids.Len(); n != table.Len() {
		t.Errorf("%d ids are registered for %d sessions", n, table.Len())
	}
}

// useRef checks that ref, live or stale, leads to the session id or nowhere.
func useRef(t *testing.T, table *Table, ref Ref, id ID, n uint64) {
	if r, ok := table.Load(ref); ok && (r.ID != id || !stamped(r)) {
		t.Errorf("a Ref of %s led to %+v", id, r)
	}
	table.Update(ref, func(r *Record) {
		if r.ID != id {
			t.Errorf("an update for %s reached %s", id, r.ID)
		}
		stamp(r, n)
	})
	if got, ok := table.Find(id); ok && got != ref {
		t.Errorf("%s is found at %x, created at %x", id, uint64(got), uint64(ref))
	}
	table.Touch(ref)
}

// TestSweepBesideUse has two sweepers run while sessions come, are used and go:
// a session that was touched in time is never removed, and each removal is told
// once.
func TestSweepBesideUse(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{IdleTimeout: time.Second, Now: c.now})
	var busy []Ref
	for range 50 {
		_, ref := mustCreate(t, table, Record{})
		busy = append(busy, ref)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	var told atomic.Int64
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				table.Sweep(100, func(*Record) bool { return false }, func(Ref, Record) { told.Add(1) })
			}
		})
	}
	idle := int64(0)
	for range 200 {
		for range 5 {
			mustCreate(t, table, Record{})
			idle++
		}
		c.move(time.Second) // not more at once than the timeout
		for _, ref := range busy {
			table.Touch(ref)
		}
	}
	stop.Store(true)
	wg.Wait()
	c.move(time.Hour)
	for _, ref := range busy {
		table.Touch(ref)
		if _, ok := table.Load(ref); !ok {
			t.Errorf("%x was removed in spite of its use", uint64(ref))
		}
	}
	told.Add(int64(sweepAll(table, nil)))
	if told.Load() != idle || table.Len() != len(busy) {
		t.Errorf("%d removed of %d, %d left", told.Load(), idle, table.Len())
	}
}

// TestRangeBesideWriters checks the promise of Range.
func TestRangeBesideWriters(t *testing.T) {
	table := NewTable(Options{})
	stable := map[Ref]ID{}
	for range 1500 {
		id, ref := mustCreate(t, table, Record{})
		stable[ref] = id
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			var refs []Ref
			for range 200 {
				_, ref, err := table.Create(Record{})
				if err != nil {
					t.Error(err)
				}
				refs = append(refs, ref)
			}
			for _, ref := range refs {
				table.Delete(ref)
			}
		}
	})
	for range 20 {
		seen := map[Ref]bool{}
		found := 0
		table.Range(func(ref Ref, r Record) bool {
			if seen[ref] {
				t.Errorf("%x visited twice", uint64(ref))
			}
			seen[ref] = true
			if id, ok := stable[ref]; ok {
				found++
				if id != r.ID {
					t.Errorf("%x is %s, want %s", uint64(ref), r.ID, id)
				}
			}
			return true
		})
		if found != len(stable) {
			t.Errorf("%d of %d sessions visited", found, len(stable))
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestLoadWaitsForASuspendedWriter stops a writer between two words. Load does
// not return half a record, and does not spin for ever: it waits in line.
func TestLoadWaitsForASuspendedWriter(t *testing.T) {
	for _, c := range []struct {
		name   string
		finish func(s *slot) // what the writer does when it goes on
		want   bool
	}{
		{"the write completes", func(*slot) {}, true},
		{"the session ends", (*slot).shut, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(Options{})
			_, ref := mustCreate(t, table, Record{})
			s := table.slot(ref.index())
			old := s.read()
			r := old.unpack()
			stamp(&r, 7)
			next := r.pack()

			st := table.lock(ref)
			s.state.Add(writing)
			s.words[wordID+2].Store(next[2])
			type answer struct {
				r  Record
				ok bool
			}
			got := make(chan answer)
			go func() {
				r, ok := table.Load(ref)
				got <- answer{r, ok}
			}()
			for range 100 {
				runtime.Gosched() // let it try; it has nothing to return yet
			}
			select {
			case a := <-got:
				t.Fatalf("Load returned %+v in the middle of a write", a)
			default:
			}
			for i := range s.words {
				s.words[i].Store(next[i])
			}
			s.state.Add(writing)
			c.finish(s)
			st.mu.Unlock()
			if a := <-got; a.ok != c.want || c.want && a.r != r {
				t.Errorf("Load = %+v, %v, want %+v, %v", a.r, a.ok, r, c.want)
			}
		})
	}
}
