package rpc

import (
	"context"
	"errors"
)

// Scope says whose ids are meant: a connection or a session.
type Scope uint64

// ErrTooManyAsks says that the bound of open questions is reached.
var ErrTooManyAsks = errors.New("rpc: too many open questions")

// Table holds the calls in flight and the open questions.
type Table struct{ maxAsks int }

// NewTable returns a Table that allows maxAsks open questions.
func NewTable(maxAsks int) *Table { return &Table{maxAsks: maxAsks} }

// Flight is one call in flight.
type Flight struct{ context.Context }

// Begin registers a call.
func (t *Table) Begin(parent context.Context, scope Scope, id []byte) *Flight {
	return &Flight{parent}
}

// Start registers a call whose Flight is the caller's own memory.
func (t *Table) Start(f *Flight, parent context.Context, scope Scope, id []byte) { f.Context = parent }

// End unregisters the call.
func (f *Flight) End() {}

// Cancel cancels the call.
func (t *Table) Cancel(scope Scope, id []byte, cause error) bool { return false }

// CancelScope cancels all calls and questions of a scope.
func (t *Table) CancelScope(scope Scope, cause error) int { return 0 }

// Question is a request sent to the peer.
type Question struct{}

// Ask opens a question.
func (t *Table) Ask(scope Scope) (*Question, error) { return nil, ErrTooManyAsks }

// AppendID appends the question's id as raw JSON.
func (q *Question) AppendID(dst []byte) []byte { return dst }

// Wait blocks until the answer.
func (q *Question) Wait(ctx context.Context) (raw []byte, isError bool, err error) {
	return nil, false, ErrTooManyAsks
}

// Abandon gives the question up.
func (q *Question) Abandon() {}

// Answer delivers an answer.
func (t *Table) Answer(scope Scope, id []byte, payload []byte, isError bool) bool { return false }

// InFlight returns the calls in flight.
func (t *Table) InFlight() int { return 0 }

// Asks returns the open questions.
func (t *Table) Asks() int { return 0 }
