package rpc

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Flight is one call in flight. It is the context.Context its handler gets:
// values and deadline are the parent's, cancellation is the parent's or comes
// from Table.Cancel and Table.CancelScope; context.Cause tells which. After
// End it is cancelled, so that nothing a handler started outlives the call
// unnoticed.
//
// A Flight must not be copied or used for a second call: whoever kept the
// first call's context would see the second's cancellation.
type Flight struct {
	parent context.Context // immutable; never nil once started
	table  *Table          // immutable
	scope  Scope           // immutable

	// Guarded by the shard's lock while linked.
	id         []byte // of its scope; nil without one. The caller's bytes
	next, prev *Flight
	linked     bool
	peer       *Flight // list of CancelScope

	// inner is the standard library's cancellable context. It is made when
	// somebody asks for Done or when the call is cancelled, which is rare:
	// most calls end before anybody does.
	mu       sync.Mutex
	inner    context.Context         // guarded by mu
	undo     context.CancelCauseFunc // guarded by mu
	finished bool                    // guarded by mu
}

// Begin registers a call of a scope under its id, the raw JSON of the request,
// and returns its context. id is not copied and must not change until End.
// Without id or scope the call can be neither cancelled by id nor with its
// scope. The owner must call End.
func (t *Table) Begin(parent context.Context, scope Scope, id []byte) *Flight {
	f := new(Flight)
	t.Start(f, parent, scope, id)
	return f
}

// Start is Begin for a zero Flight that is part of the caller's own object.
func (t *Table) Start(f *Flight, parent context.Context, scope Scope, id []byte) {
	f.parent, f.table, f.scope, f.id = parent, t, scope, id
	t.inFlight.Add(1)
	if scope == 0 {
		return
	}
	s := t.of(scope)
	s.mu.Lock()
	if s.calls == nil {
		s.calls = make(map[Scope]*Flight)
	}
	if f.next = s.calls[scope]; f.next != nil {
		f.next.prev = f
	}
	s.calls[scope] = f
	f.linked = true
	s.mu.Unlock()
}

// unlink takes a linked flight out of its scope. The lock is held.
func (s *shard) unlink(f *Flight) {
	switch {
	case f.prev != nil:
		f.prev.next = f.next
	case f.next != nil:
		s.calls[f.scope] = f.next
	default:
		delete(s.calls, f.scope)
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.next, f.prev, f.linked, f.id = nil, nil, false, nil
}

// End unregisters the call and cancels its context. It may be called once.
func (f *Flight) End() {
	f.table.inFlight.Add(-1)
	if f.scope != 0 {
		s := f.table.of(f.scope)
		s.mu.Lock()
		if f.linked {
			s.unlink(f)
		}
		s.mu.Unlock()
	}
	f.mu.Lock()
	f.finished = true
	undo := f.undo
	f.mu.Unlock()
	if undo != nil {
		undo(context.Canceled)
	}
}

// Cancel cancels the call of that scope and id with cause, and reports whether
// there was one. Ids compare as raw JSON: 1 and "1" are different, and so are
// 1 and 1.0. It walks the calls of the scope and does not block.
func (t *Table) Cancel(scope Scope, id []byte, cause error) bool {
	if len(id) == 0 || scope == 0 {
		return false
	}
	s := t.of(scope)
	s.mu.Lock()
	f := s.calls[scope]
	for f != nil && !bytes.Equal(f.id, id) {
		f = f.next
	}
	if f != nil {
		s.unlink(f) // a second cancellation finds nothing
	}
	s.mu.Unlock()
	if f == nil {
		return false
	}
	f.cancel(cause)
	return true
}

// cancel makes the context cancelled; the first cause stays.
func (f *Flight) cancel(cause error) {
	_ = f.context()
	f.mu.Lock()
	undo := f.undo
	f.mu.Unlock()
	undo(cause) // outside the lock: it runs what others hung on the context
}

// context returns the inner context, made on first use.
func (f *Flight) context() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inner == nil {
		f.inner, f.undo = context.WithCancelCause(f.parent)
		if f.finished {
			f.undo(context.Canceled)
		}
	}
	return f.inner
}

// made returns the inner context if there is a need for it.
func (f *Flight) made() (inner context.Context, finished bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inner, f.finished
}

// Deadline implements context.Context.
func (f *Flight) Deadline() (deadline time.Time, ok bool) { return f.parent.Deadline() }

// Done implements context.Context. The first use allocates the channel.
func (f *Flight) Done() <-chan struct{} { return f.context().Done() }

// Err implements context.Context.
func (f *Flight) Err() error {
	inner, finished := f.made()
	switch {
	case inner != nil:
		return inner.Err()
	case finished:
		return context.Canceled
	default:
		return f.parent.Err()
	}
}

// Value implements context.Context. The inner context answers once it exists,
// so that context.Cause and derived contexts find it.
func (f *Flight) Value(key any) any {
	if inner, _ := f.made(); inner != nil {
		return inner.Value(key)
	}
	return f.parent.Value(key)
}
