package session

import (
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// NewID is asked for each session, with no lock held, and may say nonsense.
func TestNewID(t *testing.T) {
	var table *Table
	var give []ID // in turn; the last one for ever
	asked := 0
	next := func() ID {
		asked++
		table.Range(func(ref Ref, r Record) bool { table.Touch(ref); return true }) // locks, if any, would be held
		id := give[0]
		if len(give) > 1 {
			give = give[1:]
		}
		return id
	}
	a, b := ID{1}, ID{2}
	for _, c := range []struct {
		name  string
		give  []ID
		want  ID // zero: from crypto/rand
		asked int
	}{
		{"the first", []ID{a}, a, 1},
		{"another", []ID{b}, b, 1},
		{"zeros before", []ID{{}, {}, {3}}, ID{3}, 3},
		{"known ones before", []ID{a, {}, b, {4}}, ID{4}, 4},
		{"nothing but zeros", []ID{{}}, ID{}, newIDTries},
		{"nothing but known ones", []ID{a}, ID{}, newIDTries},
	} {
		if table == nil {
			table = NewTable(Options{NewID: next, Max: 6})
		}
		give, asked = c.give, 0
		id, ref := mustCreate(t, table, Record{Client: 7})
		if c.want != (ID{}) && id != c.want || c.want == (ID{}) && (id == a || id == (ID{})) || asked != c.asked {
			t.Errorf("%s: the id is %s, asked %d times", c.name, id, asked)
		}
		if r, ok := table.Load(ref); !ok || r.ID != id {
			t.Errorf("%s: Load = %+v, %v", c.name, r, ok)
		}
		if got, ok := table.Find(id); !ok || got != ref {
			t.Errorf("%s: Find = %x, %v", c.name, uint64(got), ok)
		}
	}
	asked = 0
	if _, _, err := table.Create(Record{}); !errors.Is(err, ErrFull) || asked != 0 {
		t.Errorf("Create in a full table = %v, asked %d times", err, asked)
	}
}

// A NewID that panics takes no slot with it.
func TestNewIDPanics(t *testing.T) {
	panics := true
	table := NewTable(Options{Max: 1, NewID: func() (id ID) {
		if panics {
			panic("f")
		}
		return ID{1}
	}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _, _ = table.Create(Record{})
	}()
	panics = false
	if mustCreate(t, table, Record{}); table.Len() != 1 || table.alloc.fresh != 1 {
		t.Errorf("Len %d, %d slots", table.Len(), table.alloc.fresh)
	}
}

// Many create at once with a source that repeats itself: each id is given once.
func TestNewIDConcurrently(t *testing.T) {
	const workers, each = 4, 500
	var n atomic.Uint32
	table := NewTable(Options{NewID: func() (id ID) {
		i := n.Add(1) / 2 // each twice
		if id = (ID{byte(i), byte(i >> 8), 1}); i%8 == 0 {
			_, _ = rand.Read(id[2:])
		}
		return id
	}})
	var seen sync.Map
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				id, ref, err := table.Create(Record{})
				if err != nil {
					t.Error(err)
				}
				if _, twice := seen.LoadOrStore(id, ref); twice {
					t.Errorf("%s was given twice", id)
				}
			}
		})
	}
	wg.Wait()
	if table.Len() != workers*each {
		t.Errorf("Len = %d", table.Len())
	}
}
