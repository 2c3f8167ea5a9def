package session

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAdopt(t *testing.T) {
	c := new(clock)
	from, to := NewTable(Options{}), NewTable(Options{Max: 2, Now: c.now})
	c.move(5 * time.Second)
	id, ref := mustCreate(t, from, Record{Client: 4, State: 2, Gets: 3, Log: 9})
	r, _ := from.Load(ref)
	got, err := to.Adopt(id, r)
	if err != nil {
		t.Fatal(err)
	}
	want := r
	want.LastUsed = 5 // by the clock of the table that adopts
	if back, ok := to.Load(got); !ok || back != want {
		t.Errorf("Load = %+v, %v, want %+v", back, ok, want)
	}
	if found, ok := to.Find(id); !ok || found != got {
		t.Errorf("Find = %x, %v, want %x", uint64(found), ok, uint64(got))
	}
	if ref, err := to.Adopt(id, r); !errors.Is(err, ErrExists) || ref != 0 {
		t.Errorf("a second Adopt = %x, %v", uint64(ref), err)
	}
	if ref, err := to.Adopt(ID{}, r); !errors.Is(err, ErrNoID) || ref != 0 {
		t.Errorf("Adopt of the zero id = %x, %v", uint64(ref), err)
	}
	if _, err := to.Adopt(ID{1}, r); err != nil {
		t.Error(err)
	}
	if ref, err := to.Adopt(ID{2}, r); !errors.Is(err, ErrFull) || ref != 0 {
		t.Errorf("Adopt beyond Max = %x, %v", uint64(ref), err)
	}
	to.Delete(got)
	assertStale(t, to, got)
	if _, err := to.Adopt(id, r); err != nil {
		t.Errorf("Adopt of an id whose session is gone: %v", err)
	}
	if to.Len() != 2 {
		t.Errorf("Len = %d", to.Len())
	}
}

// Many adopt the same ids at once: one of them succeeds, and the slots of the
// others are not lost.
func TestAdoptConcurrently(t *testing.T) {
	const workers, ids, rounds = 4, 16, 200
	table := NewTable(Options{})
	for round := range rounds {
		var adopted atomic.Int64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range ids {
					switch ref, err := table.Adopt(ID{byte(i + 1), 15: 1}, Record{Client: uint32(w)}); {
					case err == nil:
						adopted.Add(1)
						if r, ok := table.Load(ref); !ok || r.Client != uint32(w) {
							t.Errorf("Load = %+v, %v", r, ok)
						}
					case !errors.Is(err, ErrExists):
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if adopted.Load() != ids || table.Len() != ids {
			t.Fatalf("round %d: %d adopted, Len %d, want %d", round, adopted.Load(), table.Len(), ids)
		}
		table.Range(func(ref Ref, _ Record) bool { table.Delete(ref); return true })
	}
	if n := table.alloc.fresh; n > workers*ids {
		t.Errorf("%d slots for %d sessions", n, ids)
	}
}

func TestVersion(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{Now: c.now})
	_, ref := mustCreate(t, table, Record{})
	version := func() uint32 {
		v, ok := table.Version(ref)
		if !ok {
			t.Fatal("the session is gone")
		}
		return v
	}
	v := version()
	for _, step := range []struct {
		name string
		do   func()
		more bool
	}{
		{"Update", func() { table.Update(ref, func(r *Record) { r.State++ }) }, true},
		{"Update without a change", func() { table.Update(ref, func(*Record) {}) }, false},
		{"Update of Log", func() { table.Update(ref, func(r *Record) { r.Log++ }) }, true},
		{"Touch in the same second", func() { table.Touch(ref) }, false},
		{"Touch a second later", func() { c.move(time.Second); table.Touch(ref) }, true},
		{"Load", func() { table.Load(ref) }, false},
		{"the end of the count", func() {
			s := table.slot(ref.index())
			s.state.Store(s.state.Load() | 0xfffffffe)
			v = version()
			table.Update(ref, func(r *Record) { r.State++ })
		}, true},
	} {
		step.do()
		now := version()
		if more := int32(now-v) > 0; more != step.more || !more && now != v {
			t.Errorf("%s: version %d after %d", step.name, now, v)
		}
		v = now
	}
	table.slot(ref.index()).state.Add(writing)
	if now := version(); now != v {
		t.Errorf("version %d in the middle of a write, %d before it", now, v)
	}
	table.slot(ref.index()).state.Add(writing)
	table.Delete(ref)
	_, other := mustCreate(t, table, Record{})
	for _, stale := range []Ref{ref, 0, other + 1<<20} {
		if v, ok := table.Version(stale); ok || v != 0 {
			t.Errorf("Version of the stale %x = %d", uint64(stale), v)
		}
	}
}

// A version that was read before a record never is newer than it.
func TestVersionBesideWriters(t *testing.T) {
	table := NewTable(Options{})
	_, ref := mustCreate(t, table, Record{})
	base, _ := table.Version(ref)
	var wg sync.WaitGroup
	var stop atomic.Bool
	wg.Go(func() {
		for !stop.Load() {
			table.Update(ref, func(r *Record) { r.Topics++ })
		}
	})
	last := uint32(0)
	for range 50_000 {
		v, _ := table.Version(ref)
		r, _ := table.Load(ref)
		if writes := (v - base) / 2; r.Topics < writes || int32(v-last) < 0 && last != 0 {
			t.Fatalf("%d writes are in the record, version %d after %d", r.Topics, v, last)
		}
		last = v
	}
	stop.Store(true)
	wg.Wait()
}
