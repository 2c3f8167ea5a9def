package rpc

import (
	"context"
	"math/rand/v2"
	"slices"
)

// Question is a request sent to the other side whose answer is awaited. Its
// owner calls Wait once, or Abandon if the question could not be sent; both
// release it.
type Question struct {
	table *Table // immutable
	scope Scope  // immutable
	id    uint64 // immutable; random

	next, prev *Question // guarded by the shard's lock
	open       bool      // guarded by the shard's lock

	// done has room for the one outcome; whoever unlinks the question sends it.
	done chan answer
}

type answer struct {
	raw     []byte
	isError bool
	err     error
}

// questionIDLen is the length of an id as raw JSON: "q" and 16 hex digits in
// quotes. The letter keeps it from looking like the ids of clients in logs.
const questionIDLen = 1 + 1 + 16 + 1

const hexDigits = "0123456789abcdef"

// Ask opens a question to the other side of scope. Its id is drawn at random
// from 2^64, so that it cannot be guessed or meet one of an earlier process
// that served the same session.
func (t *Table) Ask(scope Scope) (*Question, error) {
	if t.asks.Add(1) > t.maxAsks {
		t.asks.Add(-1)
		return nil, ErrTooManyAsks
	}
	q := &Question{table: t, scope: scope, open: true, done: make(chan answer, 1)}
	s := t.of(scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.questions == nil {
		s.questions = make(map[uint64]*Question)
		s.asked = make(map[Scope]*Question)
	}
	q.id = rand.Uint64()
	for s.questions[q.id] != nil {
		q.id = rand.Uint64()
	}
	s.questions[q.id] = q
	if q.next = s.asked[scope]; q.next != nil {
		q.next.prev = q
	}
	s.asked[scope] = q
	return q, nil
}

// drop unlinks an open question. The lock is held; the caller sends the
// outcome and counts the question out.
func (s *shard) drop(q *Question) {
	delete(s.questions, q.id)
	switch {
	case q.prev != nil:
		q.prev.next = q.next
	case q.next != nil:
		s.asked[q.scope] = q.next
	default:
		delete(s.asked, q.scope)
	}
	if q.next != nil {
		q.next.prev = q.prev
	}
	q.next, q.prev, q.open = nil, nil, false
}

// AppendID appends the question's id as raw JSON, a string.
func (q *Question) AppendID(dst []byte) []byte {
	dst = append(dst, '"', 'q')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[q.id>>shift&15])
	}
	return append(dst, '"')
}

// parseQuestionID reads what AppendID wrote.
func parseQuestionID(raw []byte) (id uint64, ok bool) {
	if len(raw) != questionIDLen || raw[0] != '"' || raw[1] != 'q' || raw[questionIDLen-1] != '"' {
		return 0, false
	}
	for _, c := range raw[2 : questionIDLen-1] {
		switch {
		case '0' <= c && c <= '9':
			id = id<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			id = id<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return id, true
}

// Wait blocks until the answer is there, ctx is done or the scope is gone, and
// releases the question. raw is the result or, with isError, the error object,
// and belongs to the caller. err is the context's cause, that of CancelScope,
// or ErrAbandoned.
func (q *Question) Wait(ctx context.Context) (raw []byte, isError bool, err error) {
	select {
	case a := <-q.done:
		return a.raw, a.isError, a.err
	case <-ctx.Done():
	}
	q.end(context.Cause(ctx))
	a := <-q.done // ours, or an answer that was a moment faster
	return a.raw, a.isError, a.err
}

// Abandon gives the question up; a Wait that runs returns ErrAbandoned. It may
// be called at any time and more than once.
func (q *Question) Abandon() { q.end(ErrAbandoned) }

func (q *Question) end(cause error) {
	s := q.table.of(q.scope)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !q.open {
		return
	}
	s.drop(q)
	q.table.asks.Add(-1)
	q.done <- answer{err: cause}
}

// Answer delivers the answer to the question of that scope and id: a copy of
// payload, the raw result or, with isError, the raw error object. It reports
// whether there was such a question and never blocks.
func (t *Table) Answer(scope Scope, id, payload []byte, isError bool) bool {
	n, ok := parseQuestionID(id)
	if !ok {
		return false
	}
	s := t.of(scope)
	s.mu.Lock()
	q := s.questions[n]
	if q == nil || q.scope != scope {
		s.mu.Unlock()
		return false
	}
	s.drop(q)
	s.mu.Unlock()
	t.asks.Add(-1)
	q.done <- answer{raw: slices.Clone(payload), isError: isError}
	return true
}
