package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/loop"
)

// Errors of calls.
var (
	// ErrOnLoop is returned by methods that would block the loop of an inline handler.
	ErrOnLoop = errors.New("server: an inline handler must not wait")
	// ErrReplied is returned by a second reply to one request.
	ErrReplied = errors.New("server: request is already answered")
)

// Protocol errors that handlers cause without saying so.
var (
	errInternal      = &codec.Error{Code: codec.CodeInternal, Message: "Internal error"}
	errInvalidParams = &codec.Error{Code: codec.CodeInvalidParams, Message: "Invalid params"}
	errNoMethod      = &codec.Error{Code: codec.CodeMethodNotFound, Message: "Method not found"}
	errBatched       = &codec.Error{Code: codec.CodeInvalidRequest, Message: "Invalid Request: must not be part of a batch"}
	errGaveUp        = &codec.Error{Code: codeCancelled, Message: "Request cancelled"}
	errStopping      = &codec.Error{Code: codec.CodeOverloaded, Message: "Server is stopping"}
	errOverloaded    = &codec.Error{Code: codec.CodeOverloaded, Message: "Server overloaded"}
)

// codeCancelled is the code that the Language Server Protocol gives to requests
// whose client cancelled them; JSON-RPC itself knows no cancellation.
const codeCancelled = -32800

// errPanicked stands for a panic that was logged and counted.
var errPanicked = errors.New("server: handler panicked")

// A Call is one JSON-RPC request or notification being handled. It belongs to
// its handler and is valid until the handler returns, unless [Call.Context] was
// called: then it stays valid, but only its methods Conn, Notify and Context
// may be used after the return.
type Call struct {
	s      *Server
	conn   loop.Conn
	worker *worker // nil on the loop
	out    *[]byte // where replies are appended
	id     []byte  // raw; nil for a notification
	params []byte

	flight  rpc.Flight // registered while a request runs on a worker
	replied bool
	batched bool // the reply is an element of a batch: no newline behind it

	mu   sync.Mutex  // guards the following fields: handlers may use goroutines
	ctx  callContext // set when kept
	kept bool        // the context was given away: c is not used again
}

// callContext is a context that knows its call.
type callContext struct {
	context.Context
	call *Call
}

type callKey struct{}

func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c.call
	}
	return c.Context.Value(key)
}

// CallFrom returns the call whose handler received ctx, nil if there is none.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Params returns the raw JSON of the params, empty when they are absent. The
// bytes are borrowed: they are valid until the handler returns.
func (c *Call) Params() []byte { return c.params }

// ID returns the raw JSON of the request's id, empty for a notification; valid
// until the handler returns.
func (c *Call) ID() []byte { return c.id }

// Conn names the client's connection, for [Server.Notify] and for tables of
// the embedder. It is never used again for another client.
func (c *Call) Conn() ConnID { return c.conn.Handle() }

// Decode decodes the params into v; what does not fit is an error that is
// answered with -32602 when the handler returns it.
func (c *Call) Decode(v any) error {
	if len(c.params) == 0 {
		return nil
	}
	err := codec.Unmarshal(c.params, v)
	var e *codec.Error
	if err != nil && !errors.As(err, &e) {
		return errInvalidParams // by an UnmarshalJSON of the embedder's: its text may be private
	}
	return err
}

// Context ends when the client cancels the request or goes away, and when the
// server stops. Inline calls have the server's context only.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.kept {
		c.kept = true
		c.ctx = callContext{c.s.base, c}
		if c.worker != nil {
			c.ctx.Context = &c.flight
		}
	}
	return &c.ctx
}

// Result answers the request with raw JSON, which is copied; empty means null. On a notification
// it does nothing.
func (c *Call) Result(raw []byte) error {
	if c.id == nil {
		return nil
	}
	if c.replied {
		return ErrReplied
	}
	if len(raw) == 0 {
		raw = nil // null
	}
	c.replied = true
	*c.out = codec.AppendResult(*c.out, c.id, raw)
	c.endLine()
	return nil
}

// Reply answers the request with the JSON of v.
func (c *Call) Reply(v any) error {
	raw, err := codec.Marshal(v)
	if err != nil {
		return fmt.Errorf("server: encode result: %w", err)
	}
	return c.Result(raw)
}

func (c *Call) endLine() {
	if !c.batched {
		*c.out = append(*c.out, '\n')
	}
}

// finish answers what the handler left unanswered when it returned err.
func (c *Call) finish(err error) {
	if c.replied || c.id == nil {
		return
	}
	if err == nil {
		_ = c.Result(nil) // cannot fail: there is no reply yet
		return
	}
	c.replied = true
	*c.out = codec.AppendError(*c.out, c.id, wireError(err))
	c.endLine()
}

// wireError returns what a client may know of err.
func wireError(err error) *codec.Error {
	var e *codec.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, loop.ErrTooManyWaiting), errors.Is(err, rpc.ErrTooManyAsks):
		return errOverloaded
	case errors.Is(err, errCancelled):
		return errGaveUp
	case errors.Is(err, ErrClosed):
		return errStopping
	}
	return errInternal
}

// Notify sends a notification to the client at once: it overtakes the call's
// own result. params is encoded as JSON unless it is []byte or
// json.RawMessage; nil sends none. It may be called from any goroutine.
func (c *Call) Notify(method string, params any) error {
	return c.s.notify(c.conn, method, params)
}

// Ask sends a request to the client and waits for its answer: the raw result,
// which is the caller's, or a [*codec.Error] that the client answered with.
// Meanwhile the handler counts as waiting, not as running, and later requests
// of the connection are worked on. It fails when ctx ends, after
// [Options.AskTimeout] and when the client is gone. It may be called from several goroutines of
// a handler, but not from an inline one ([ErrOnLoop]).
func (c *Call) Ask(ctx context.Context, method string, params any) ([]byte, error) {
	if c.worker == nil {
		return nil, ErrOnLoop
	}
	raw, err := rawParams(params)
	if err != nil {
		return nil, err
	}
	q, err := c.s.rpc.Ask(rpc.Scope(c.conn.Handle()))
	if err != nil {
		return nil, err
	}
	defer q.Abandon()
	if err := c.Leave(true); err != nil {
		return nil, err
	}
	defer c.Return()
	var id [32]byte
	line := codec.AppendRequest(nil, q.AppendID(id[:0]), method, raw)
	c.s.metrics.pushed.Inc()
	if err := c.conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.s.opts.AskTimeout)
	defer cancel()
	answer, isError, err := q.Wait(ctx)
	if err != nil {
		return nil, err
	}
	if isError {
		return nil, decodeError(answer)
	}
	return answer, nil
}

// decodeError reads an error object that a client sent.
func decodeError(raw []byte) error {
	var e struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if codec.Unmarshal(raw, &e) != nil {
		return &codec.Error{Code: codec.CodeInternal, Message: "malformed error object"}
	}
	return &codec.Error{Code: e.Code, Message: e.Message, Data: e.Data}
}

// Leave says that the handler is going to wait for something else than the
// processor: it stops counting as one of [Options.Workers] until Return. With
// release, later requests of the connection are worked on meanwhile. The error
// says that [Options.WaitingMax] handlers wait already; a handler that returns
// it is answered with "overloaded".
func (c *Call) Leave(release bool) error {
	if c.worker == nil {
		return ErrOnLoop
	}
	return c.worker.Leave(release)
}

// Return ends what Leave began.
func (c *Call) Return() {
	if c.worker != nil {
		c.worker.Return()
	}
}
