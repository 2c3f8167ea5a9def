package session

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move. It is safe for concurrent use.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time        { return time.Unix(1_000_000, c.ns.Load()) }
func (c *clock) move(by time.Duration) { c.ns.Add(int64(by)) }

func mustCreate(t rapid.TB, table *Table, r Record) (ID, Ref) {
	t.Helper()
	id, ref, err := table.Create(r)
	if err != nil {
		t.Fatal(err)
	}
	return id, ref
}

func TestLifeOfASession(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{Now: c.now})
	c.move(7 * time.Second)
	id, ref := mustCreate(t, table, Record{Client: 5, Caps: 3, ID: ID{1}, LastUsed: 99})
	if id == (ID{1}) || id == (ID{}) {
		t.Errorf("Create took the id %s", id)
	}
	if got, ok := table.Find(id); !ok || got != ref {
		t.Errorf("Find = %x, %v, want %x", got, ok, ref)
	}
	want := Record{ID: id, Client: 5, Caps: 3, LastUsed: 7}
	if r, ok := table.Load(ref); !ok || r != want {
		t.Errorf("Load = %+v, %v, want %+v", r, ok, want)
	}
	if !table.Update(ref, func(r *Record) { r.State, r.ID = 2, ID{9} }) {
		t.Error("Update says the session is gone")
	}
	want.State = 2
	c.move(3 * time.Second)
	table.Touch(ref)
	want.LastUsed = 10
	if r, _ := table.Load(ref); r != want {
		t.Errorf("Load = %+v, want %+v", r, want)
	}
	if r, ok := table.Delete(ref); !ok || r != want {
		t.Errorf("Delete = %+v, %v, want %+v", r, ok, want)
	}
	if _, ok := table.Find(id); ok || table.Len() != 0 {
		t.Error("the session is still there")
	}
	assertStale(t, table, ref)
}

// assertStale checks that no method takes ref for a session.
func assertStale(t rapid.TB, table *Table, ref Ref) {
	t.Helper()
	if r, ok := table.Load(ref); ok || r != (Record{}) {
		t.Errorf("Load of the stale %x gave %+v", uint64(ref), r)
	}
	if table.Update(ref, func(*Record) { t.Errorf("Update of the stale %x called f", uint64(ref)) }) {
		t.Errorf("Update of the stale %x succeeded", uint64(ref))
	}
	table.Touch(ref)
	if _, ok := table.Delete(ref); ok {
		t.Errorf("Delete of the stale %x succeeded", uint64(ref))
	}
}

// A slot is reused at once, and the old Ref does not reach its new session.
func TestStaleRefs(t *testing.T) {
	table := NewTable(Options{})
	var stale []Ref
	for i := range 100 {
		_, ref := mustCreate(t, table, Record{Client: uint32(i)})
		if i > 0 && ref.index() != stale[0].index() {
			t.Fatalf("slot %d used, %d was free", ref.index(), stale[0].index())
		}
		for _, old := range stale {
			assertStale(t, table, old)
		}
		if r, ok := table.Load(ref); !ok || r.Client != uint32(i) {
			t.Fatalf("Load = %+v, %v", r, ok)
		}
		table.Delete(ref)
		stale = append(stale, ref)
	}
}

// Refs that no Create returned are stale, whatever their bits.
func TestForgedRefs(t *testing.T) {
	empty, table := NewTable(Options{}), NewTable(Options{})
	_, live := mustCreate(t, table, Record{})
	_, dead := mustCreate(t, table, Record{})
	table.Delete(dead)
	for _, ref := range []Ref{
		0, 1, math.MaxUint64, 1 << 63, 1<<63 | live, live + 1<<32, live + 2<<32, live + 5, live + chunkRecords,
		makeRef(0, 0), makeRef(7, 0), makeRef(7, 1), makeRef(math.MaxUint32, 1), dead + 1<<32, dead &^ (1<<32 - 1) >> 32,
	} {
		assertStale(t, table, ref)
		assertStale(t, empty, ref)
	}
	if _, ok := table.Load(live); !ok {
		t.Error("the live session was hurt")
	}
}

// A slot whose generations are used up is not used again; its last Ref stays
// stale, and the table goes on.
func TestGenerationsEnd(t *testing.T) {
	table := NewTable(Options{Max: 1})
	_, ref := mustCreate(t, table, Record{})
	table.Delete(ref)
	const last = generationMax
	table.slot(ref.index()).state.Store((last - 1) << 32)
	_, ref = mustCreate(t, table, Record{Client: 1})
	if ref.generation() != last || ref>>63 != 0 {
		t.Fatalf("Ref %x, want generation %d and bit 63 clear", uint64(ref), last)
	}
	if r, ok := table.Load(ref); !ok || r.Client != 1 {
		t.Fatalf("Load = %+v, %v", r, ok)
	}
	if _, ok := table.Delete(ref); !ok {
		t.Fatal("Delete refused")
	}
	_, other := mustCreate(t, table, Record{})
	if other.index() == ref.index() {
		t.Error("the slot is used again")
	}
	assertStale(t, table, ref)
}

func TestFull(t *testing.T) {
	table := NewTable(Options{Max: 3})
	var refs []Ref
	for range 3 {
		_, ref := mustCreate(t, table, Record{})
		refs = append(refs, ref)
	}
	for range 2 {
		id, ref, err := table.Create(Record{})
		if !errors.Is(err, ErrFull) || id != (ID{}) || ref != 0 {
			t.Errorf("Create beyond Max = %s, %x, %v", id, uint64(ref), err)
		}
	}
	table.Delete(refs[1])
	mustCreate(t, table, Record{})
	if table.Len() != 3 {
		t.Errorf("Len = %d", table.Len())
	}
}

func TestSlotsRunOut(t *testing.T) {
	table := NewTable(Options{})
	table.alloc.fresh = math.MaxUint32
	if _, _, err := table.Create(Record{}); !errors.Is(err, ErrFull) {
		t.Errorf("Create = %v", err)
	}
	if table.Len() != 0 {
		t.Errorf("Len = %d", table.Len())
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		in   Options
		max  int64
		idle uint32
	}{
		{Options{}, MaxDefault, 0},
		{Options{Max: -1, IdleTimeout: -1}, MaxDefault, 0},
		{Options{Max: math.MaxInt, IdleTimeout: 1}, maxLimit, 1},
		{Options{Max: 5, IdleTimeout: time.Second}, 5, 1},
		{Options{Max: 5, IdleTimeout: 1001 * time.Millisecond}, 5, 2},
		{Options{IdleTimeout: math.MaxInt64 - time.Second}, MaxDefault, 1 << 31},
	} {
		if table := NewTable(c.in); table.max != c.max || table.idle != c.idle {
			t.Errorf("NewTable(%+v): max %d, idle %d, want %d, %d", c.in, table.max, table.idle, c.max, c.idle)
		}
	}
}

// An id that exists already is drawn again.
func TestCollidingIDs(t *testing.T) {
	table := NewTable(Options{})
	reads := byte(0)
	table.alloc.ids.read = func(b []byte) (int, error) {
		reads++
		for i := range b {
			b[i] = max(1, reads/2) // the first two reads are the same
		}
		return len(b), nil
	}
	first, ref1 := mustCreate(t, table, Record{Client: 1})
	table.alloc.ids.unread = 0
	second, ref2 := mustCreate(t, table, Record{Client: 2})
	if first == second {
		t.Fatal("two sessions share an id")
	}
	for id, ref := range map[ID]Ref{first: ref1, second: ref2} {
		if got, ok := table.Find(id); !ok || got != ref {
			t.Errorf("Find(%s) = %x, %v, want %x", id, uint64(got), ok, uint64(ref))
		}
	}
}

// An update that panics changes nothing and locks nothing.
func TestUpdatePanics(t *testing.T) {
	table := NewTable(Options{})
	_, ref := mustCreate(t, table, Record{Client: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		table.Update(ref, func(r *Record) {
			r.Client = 2
			panic("f")
		})
	}()
	if r, ok := table.Load(ref); !ok || r.Client != 1 {
		t.Errorf("Load = %+v, %v", r, ok)
	}
	if !table.Update(ref, func(r *Record) { r.Client = 3 }) {
		t.Error("Update refused after a panic")
	}
}

// A clock that goes back ages nobody and makes nobody younger.
func TestClockGoesBack(t *testing.T) {
	c := new(clock)
	table := NewTable(Options{Now: c.now, IdleTimeout: time.Second})
	c.move(10 * time.Second)
	_, ref := mustCreate(t, table, Record{})
	c.move(-20 * time.Second)
	table.Touch(ref)
	if n := table.Sweep(chunkRecords, nil, nil); n != 0 {
		t.Errorf("Sweep removed %d", n)
	}
	if r, _ := table.Load(ref); r.LastUsed != 10 {
		t.Errorf("LastUsed = %d, want 10", r.LastUsed)
	}
}

func TestRangeMayUseTheTable(t *testing.T) {
	table := NewTable(Options{})
	const n = 3 * chunkRecords / 2
	for range n {
		mustCreate(t, table, Record{})
	}
	visited := 0
	table.Range(func(Ref, Record) bool { visited++; return visited < 5 })
	if visited != 5 {
		t.Errorf("Range went on to %d after false at 5", visited)
	}
	visited = 0
	table.Range(func(ref Ref, r Record) bool {
		visited++
		if got, ok := table.Delete(ref); !ok || got != r {
			t.Errorf("Delete within Range = %+v, %v", got, ok)
		}
		return true
	})
	if visited != n || table.Len() != 0 {
		t.Errorf("visited %d of %d, %d left", visited, n, table.Len())
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := new(clock)
	table := NewTable(Options{Now: c.now, IdleTimeout: time.Hour})
	id, ref := mustCreate(t, table, Record{})
	f := func(r *Record) { r.Topics++ }
	for name, call := range map[string]func(){
		"Find":   func() { table.Find(id) },
		"Load":   func() { table.Load(ref) },
		"Update": func() { table.Update(ref, f) },
		"Touch":  func() { c.move(time.Second); table.Touch(ref) },
		"Sweep":  func() { table.Sweep(chunkRecords, nil, nil) },
		"Create and Delete": func() {
			_, ref, _ := table.Create(Record{})
			table.Delete(ref)
		},
	} {
		if n := testing.AllocsPerRun(200, call); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// TestRangeFrom: a walk that is taken up again visits what is left, in order.
func TestRangeFrom(t *testing.T) {
	const sessions = 3*chunkRecords + 5
	table := NewTable(Options{})
	var refs []Ref
	for range sessions {
		_, ref, err := table.Create(Record{})
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	for _, ref := range refs[:sessions/2] {
		if ref.index()%3 == 0 {
			table.Delete(ref)
		}
	}
	refs = slices.DeleteFunc(refs, func(r Ref) bool { _, ok := table.Load(r); return !ok })
	for _, from := range []uint32{0, 1, chunkRecords - 1, chunkRecords, 2*chunkRecords + 7, sessions - 1, sessions, 1 << 20} {
		var want, got []Ref
		for _, r := range refs {
			if r.index() >= from {
				want = append(want, r)
			}
		}
		table.RangeFrom(from, func(r Ref, _ Record) bool { got = append(got, r); return true })
		slices.SortFunc(want, func(a, b Ref) int { return cmp.Compare(a.index(), b.index()) })
		if !slices.Equal(got, want) {
			t.Errorf("from %d: %d sessions, want %d in order", from, len(got), len(want))
		}
	}
}
