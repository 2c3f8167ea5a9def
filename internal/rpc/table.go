package rpc

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Errors of this package.
var (
	// ErrTooManyAsks says that the table's bound of open questions is reached.
	ErrTooManyAsks = errors.New("rpc: too many open questions")
	// ErrAbandoned is what Wait returns for a question that Abandon ended.
	ErrAbandoned = errors.New("rpc: question abandoned")
)

// Scope says whose ids are meant: a connection handle or a session reference.
// The caller keeps the two kinds apart, by the top bit for instance. Scope 0
// is nobody's: calls begun in it are counted but cannot be cancelled by id.
type Scope uint64

// shards is the number of independent locks, a power of two. A lock is held
// for a map access and a few pointer writes; 32 keep the loops and workers of
// one process from meeting often, at 1.5 KB for an empty table.
const shards = 32

// Table holds the calls in flight and the open questions of any number of
// scopes. It is safe for concurrent use.
type Table struct {
	maxAsks  int64
	inFlight atomic.Int64
	asks     atomic.Int64
	shard    [shards]shard
}

// shard is one lock and the scopes that hash to it. Memory is that of the
// busiest moment of the maps' buckets; entries are removed with the last call
// or question of their scope.
type shard struct {
	mu        sync.Mutex
	calls     map[Scope]*Flight    // guarded by mu; head of the scope's list
	questions map[uint64]*Question // guarded by mu; by question id
	asked     map[Scope]*Question  // guarded by mu; head of the scope's list
}

// NewTable returns a Table that allows maxAsks open questions; 0 allows none.
func NewTable(maxAsks int) *Table { return &Table{maxAsks: int64(maxAsks)} }

// of returns the shard of a scope. Scopes are handles and references, dense in
// their low bits, so a multiplicative hash spreads them (Fibonacci hashing).
func (t *Table) of(s Scope) *shard {
	return &t.shard[(uint64(s)*0x9e3779b97f4a7c15)>>59]
}

// InFlight returns the number of calls that have begun and not ended.
func (t *Table) InFlight() int { return int(t.inFlight.Load()) }

// Asks returns the number of open questions.
func (t *Table) Asks() int { return int(t.asks.Load()) }

// CancelScope cancels all calls of a scope and fails its questions with cause,
// because the connection or session is gone. It returns how many calls and
// questions there were, and does not block.
func (t *Table) CancelScope(scope Scope, cause error) int {
	s := t.of(scope)
	s.mu.Lock()
	n := 0
	var cancelled *Flight // linked by peer, which is free for use once unlinked
	for f := s.calls[scope]; f != nil; f = s.calls[scope] {
		s.unlink(f)
		f.peer, cancelled = cancelled, f
		n++
	}
	var asked *Question // linked by next, likewise
	for q := s.asked[scope]; q != nil; q = s.asked[scope] {
		s.drop(q)
		q.next, asked = asked, q
		t.asks.Add(-1)
		n++
	}
	s.mu.Unlock()
	// First the calls: who waits for an answer sees that its call is over too.
	for f := cancelled; f != nil; {
		next := f.peer
		f.peer = nil
		f.cancel(cause)
		f = next
	}
	for q := asked; q != nil; {
		next := q.next
		q.next = nil
		q.done <- answer{err: cause} // capacity 1 and unlinked: never blocks
		q = next
	}
	return n
}

// Busy reports whether a scope has calls in flight or open questions.
func (t *Table) Busy(scope Scope) bool {
	s := t.of(scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[scope] != nil || s.asked[scope] != nil
}
