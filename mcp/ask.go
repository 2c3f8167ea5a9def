package mcp

import (
	"context"
	"fmt"
	"slices"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

// This file asks clients. A client with a session is sent a request on the
// stream of the call and the handler waits for its answer (2025-11-25,
// client features). A later one takes no requests: input.go ends the call with
// the questions, and the client calls again with the answers (SEP-2322).

// Question is what a handler may ask: [ElicitRequest], [CreateMessageRequest]
// or [RootsRequest].
type Question interface {
	// query checks the question and prepares it for a client of that revision.
	query(rev Revision) (query, error)
}

// query is a question on its way to the client.
type query struct {
	key    string // of the user's choice; "": numbered
	method string
	need   Capabilities // what the client must have declared
	params []byte       // raw JSON object, nil if the method needs none
	read   func(raw []byte) (Answer, error)
}

// Answer is a client's answer: the field of the kind asked for is set.
type Answer struct {
	Elicit  *ElicitResult
	Message *CreateMessageResult
	Roots   []Root
}

// AskAll asks several questions at once and returns the answers in their order.
// It asks nothing if one needs a capability the client lacks
// ([MissingCapability]). An error answer to one gives up the others; see
// [Call.Elicit] for what else may go wrong and for how handlers are run again
// in the era without sessions.
func (c *Call) AskAll(ctx context.Context, questions ...Question) ([]Answer, error) {
	all := make([]query, len(questions))
	for i, q := range questions {
		var err error
		if all[i], err = q.query(c.rev); err != nil {
			return nil, err
		}
	}
	raws, err := c.askAll(ctx, all)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, len(all))
	for i := range all {
		if answers[i], err = all[i].read(raws[i]); err != nil {
			return nil, c.badAnswer(&all[i], err)
		}
	}
	return answers, nil
}

// askOne is AskAll for one.
func (c *Call) askOne(ctx context.Context, q Question) (Answer, error) {
	answers, err := c.AskAll(ctx, q)
	if err != nil {
		return Answer{}, err
	}
	return answers[0], nil
}

// Ask asks the client by method and params, which are encoded as JSON, and
// returns its answer as raw JSON. With a session any method may be asked; the
// era without knows only elicitation/create, sampling/createMessage and
// roots/list. Neither params nor answer are checked; otherwise it is
// [Call.Elicit].
func (c *Call) Ask(ctx context.Context, method string, params any) ([]byte, error) {
	q := query{method: method}
	raw, err := rawJSON(params)
	if err != nil {
		return nil, err
	}
	if string(raw) != "null" {
		q.params = raw
	}
	q.need = neededFor(method, q.params)
	if q.need == 0 && c.rev.modern() {
		return nil, ErrCannotAsk
	}
	raws, err := c.askAll(ctx, []query{q})
	if err != nil {
		return nil, err
	}
	return raws[0], nil
}

// neededFor returns what a client must have declared to be asked.
func neededFor(method string, params []byte) Capabilities {
	switch method {
	case methodCreateMessage:
		return CapSampling
	case methodElicit:
		if mode, _ := text(member(params, "mode")); string(mode) == "url" {
			return CapElicitation | CapElicitationURL
		}
		return CapElicitation | CapElicitationForm
	case methodListRoots:
		return CapRoots
	}
	return 0
}

const (
	methodElicit        = "elicitation/create"
	methodCreateMessage = "sampling/createMessage"
	methodListRoots     = "roots/list"
)

// askAll returns the raw answers to all. In the era without sessions they are
// objects of the request's memory.
func (c *Call) askAll(ctx context.Context, all []query) ([][]byte, error) {
	need := Capabilities(0)
	for i := range all {
		need |= all[i].need
	}
	if missing := need &^ c.caps; missing != 0 {
		return nil, MissingCapability(missing)
	}
	if c.task != nil {
		requests := make([][]byte, len(all))
		for i := range all {
			requests[i] = appendInputRequest(nil, all[i].method, all[i].params)
		}
		return c.askInTask(ctx, requests)
	}
	if c.rev.modern() {
		return c.inputs(all)
	}
	return c.askOnStream(ctx, all)
}

// badAnswer is the error for an answer that is not what was asked for.
func (c *Call) badAnswer(q *query, err error) error {
	if c.rev.modern() && c.task == nil {
		return refuse(codec.CodeInvalidParams, fmt.Sprintf("invalid input response to %s: %s", q.method, err))
	}
	return fmt.Errorf("mcp: the client's answer to %s: %w", q.method, err)
}

// askOnStream sends all and waits for the answers. The handler leaves its
// worker meanwhile, so that any number may wait; they are bounded by the
// loop's and the call table's own limits.
func (c *Call) askOnStream(ctx context.Context, all []query) ([][]byte, error) {
	if c.session == 0 || c.sink.worker == nil {
		return nil, ErrCannotAsk
	}
	asked := make([]*rpc.Question, 0, len(all))
	defer func() {
		for _, q := range asked {
			q.Abandon() // nothing to one that was answered
		}
	}()
	msgs := make([][]byte, len(all))
	for i := range all {
		q, err := c.s.o.Calls.Ask(c.scope())
		if err != nil {
			return nil, err
		}
		asked = append(asked, q)
		msgs[i] = codec.AppendRequest(nil, q.AppendID(nil), all[i].method, all[i].params)
	}
	if err := c.sendAndLeave(msgs); err != nil {
		return nil, err
	}
	defer c.comeBack()
	ctx, cancel := context.WithTimeout(ctx, c.s.o.AskTimeout)
	defer cancel()
	answers := make([][]byte, len(all))
	for i, q := range asked {
		answer, isError, err := q.Wait(ctx)
		if err != nil {
			c.withdraw(asked[i:])
			return nil, err
		}
		if isError {
			c.withdraw(asked[i+1:])
			return nil, parseError(answer)
		}
		answers[i] = answer
	}
	return answers, nil
}

// withdraw tells the client that nobody waits for its answers any more, so that
// it need not bother its user, unless the client has caused it.
func (c *Call) withdraw(asked []*rpc.Question) {
	if c.flight.Err() != nil {
		return
	}
	for _, q := range asked {
		params := q.AppendID([]byte(`{"requestId":`))
		_ = c.notify("notifications/cancelled", append(params, '}')) // counted; a client that is gone does not mind
	}
}

// parseError decodes a client's error object.
func parseError(raw []byte) *codec.Error {
	var e struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if codec.Unmarshal(raw, &e) != nil {
		e.Code, e.Message = codec.CodeInternal, "the client answered with a malformed error"
	}
	return &codec.Error{Code: e.Code, Message: e.Message, Data: slices.Clone(member(raw, "data"))}
}

func (c *Call) sendAndLeave(msgs [][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return ErrCallOver
	}
	if c.moved() {
		return ErrMoved
	}
	if err := c.sink.leave(); err != nil {
		return err
	}
	for _, msg := range msgs {
		if err := c.count(c.sink.emit(c, msg)); err != nil {
			c.sink.comeBack()
			return err
		}
	}
	return nil
}

func (c *Call) comeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over { // else finish has done it
		c.sink.comeBack()
	}
}
