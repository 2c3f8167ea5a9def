package session

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twin is what a table does, in the most obvious way: a map of records, and
// every Ref that was ever given.
type twin struct {
	max  int
	idle uint32
	now  uint32
	live map[Ref]Record
	all  []Ref
}

func (w *twin) stale(ref Ref) bool { _, ok := w.live[ref]; return !ok }

// TestTableAgainstTwin runs random operations, with live and stale Refs, on a
// table and on its twin.
func TestTableAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := new(clock)
		w := &twin{
			max:  rapid.IntRange(1, 30).Draw(t, "max"),
			idle: rapid.Uint32Range(1, 5).Draw(t, "idle"),
			live: map[Ref]Record{},
		}
		table := NewTable(Options{Max: w.max, IdleTimeout: time.Duration(w.idle) * time.Second, Now: c.now, Class: oddClass})
		m := &machine{twin: w, table: table, clock: c}
		t.Repeat(map[string]func(*rapid.T){
			"create": m.create,
			"update": m.update,
			"touch":  m.touch,
			"delete": m.delete,
			"sweep":  m.sweep,
			"wait": func(t *rapid.T) {
				n := rapid.Uint32Range(1, 3).Draw(t, "seconds")
				c.move(time.Duration(n) * time.Second)
				w.now += n
			},
			"": m.check,
		})
	})
}

type machine struct {
	*twin
	table *Table
	clock *clock
}

// ref draws one of the Refs given so far, live or stale.
func (m *machine) ref(t *rapid.T) Ref {
	if len(m.all) == 0 {
		t.Skip("no session yet")
	}
	return rapid.SampledFrom(m.all).Draw(t, "ref")
}

func (m *machine) create(t *rapid.T) {
	r := drawRecord(t)
	id, ref, err := m.table.Create(r)
	if len(m.live) >= m.max {
		if !errors.Is(err, ErrFull) {
			t.Fatalf("Create = %v with %d of %d", err, len(m.live), m.max)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.ID, r.LastUsed = id, m.now
	m.live[ref] = r
	m.all = append(m.all, ref)
}

func (m *machine) update(t *rapid.T) {
	ref, to := m.ref(t), drawRecord(t)
	if rapid.Bool().Draw(t, "keep the stream") {
		to.Stream = m.live[ref].Stream
	}
	if m.table.Update(ref, func(r *Record) { *r = to }) == m.stale(ref) {
		t.Fatalf("Update(%x) = %v", ref, m.stale(ref))
	}
	if m.stale(ref) {
		return
	}
	if to.Stream != m.live[ref].Stream {
		to.LastUsed = max(to.LastUsed, m.now)
	}
	to.ID = m.live[ref].ID
	m.live[ref] = to
}

func (m *machine) touch(t *rapid.T) {
	ref := m.ref(t)
	m.table.Touch(ref)
	if r, ok := m.live[ref]; ok {
		r.LastUsed = max(r.LastUsed, m.now)
		m.live[ref] = r
	}
}

func (m *machine) delete(t *rapid.T) {
	ref := m.ref(t)
	r, ok := m.table.Delete(ref)
	if ok == m.stale(ref) || r != m.live[ref] {
		t.Fatalf("Delete(%x) = %+v, %v, want %+v", ref, r, ok, m.live[ref])
	}
	delete(m.live, ref)
}

func (m *machine) sweep(t *rapid.T) {
	spared := rapid.Byte().Draw(t, "spared state") // a rule of the owner's
	gone := map[Ref]Record{}
	n := m.table.Sweep(chunkRecords, func(r *Record) bool { return r.State >= spared }, func(ref Ref, r Record) {
		gone[ref] = r
	})
	for ref, r := range m.live {
		if m.now > r.LastUsed && m.now-r.LastUsed > m.idle && r.State < spared {
			if got, ok := gone[ref]; !ok || got != r {
				t.Fatalf("Sweep left %+v (%+v)", r, got)
			}
			delete(m.live, ref)
			delete(gone, ref)
			n--
		}
	}
	if n != 0 || len(gone) != 0 {
		t.Fatalf("Sweep removed too much: %v", gone)
	}
}

func (m *machine) check(t *rapid.T) {
	if m.table.Len() != len(m.live) {
		t.Fatalf("Len = %d, want %d", m.table.Len(), len(m.live))
	}
	for _, ref := range m.all {
		want, live := m.live[ref]
		if r, ok := m.table.Load(ref); ok != live || r != want {
			t.Fatalf("Load(%x) = %+v, %v, want %+v, %v", ref, r, ok, want, live)
		}
		if live {
			if got, ok := m.table.Find(want.ID); !ok || got != ref {
				t.Fatalf("Find(%s) = %x, %v, want %x", want.ID, got, ok, ref)
			}
		}
	}
	seen := 0
	m.table.Range(func(ref Ref, r Record) bool {
		if r != m.live[ref] {
			t.Fatalf("Range gave %x %+v, want %+v", ref, r, m.live[ref])
		}
		seen++
		return true
	})
	if seen != len(m.live) {
		t.Fatalf("Range gave %d sessions of %d", seen, len(m.live))
	}
	var classes [Classes]int
	for _, r := range m.live {
		classes[oddClass(r.Home, r.Kind)]++
	}
	if got := m.table.Count(); got != classes {
		t.Fatalf("Count = %v, want %v", got, classes)
	}
}

func oddClass(home uint32, kind uint8) int { return int(home%2) + 2*int(kind%2) }
