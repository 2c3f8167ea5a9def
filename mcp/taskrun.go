package mcp

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"

	"github.com/rookery-server/rookery/codec"
)

// Errors of tasks.
var (
	// ErrTaskExpired is the cause of a task's context whose time was over.
	ErrTaskExpired = errors.New("mcp: the task took too long")

	errTaskTwice  = errors.New("mcp: a call can become one task only")
	errTaskOver   = errors.New("mcp: the task is over")
	errNoSuchTask = refuse(codec.CodeInvalidParams, "task not found")

	errTooManyTasks    = refuse(codec.CodeOverloaded, "too many tasks")
	errNoRoomForResult = refuse(codec.CodeOverloaded, "no room for the task's result")
	errTaskExpiredRPC  = refuse(codec.CodeInternal, "the task took too long")

	noRoomForResult = appendTaskError(nil, errNoRoomForResult)
	taskExpired     = appendTaskError(nil, errTaskExpiredRPC)
)

// startTask makes c a task and leaves its handle as the call's result. The
// task exists before anybody can hear of it.
func (s *Server) startTask(ctx context.Context, c *Call, f func(context.Context, *Call) (*ToolResult, error)) error {
	if s.o.Context.Err() != nil {
		return errTooManyTasks // the server is about to end
	}
	own, cancel := context.WithCancelCause(s.o.Context)
	k, e := s.tasks.create(c.tool.task, int64(len(c.params)+len(c.args)), cancel)
	if e != nil {
		cancel(nil)
		return e
	}
	n := c.forTask(k)
	c.close(appendTask(c.openAs("task"), s.tasks.look(k)))
	err := s.o.Tasks.Run(func() {
		defer cancel(nil)
		s.runTask(taskContext{own, ctx}, n, f)
	})
	if err != nil {
		cancel(nil)
		s.tasks.withdraw(k)
		return errTooManyTasks
	}
	c.made = k
	return nil
}

// taskContext ends by itself, and has the values of the request it came from,
// which middleware may have set.
type taskContext struct {
	context.Context
	request context.Context
}

// Value implements context.Context.
func (c taskContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.request.Value(key)
}

// runTask runs a task's handler and records what it made.
func (s *Server) runTask(ctx context.Context, c *Call, f func(context.Context, *Call) (*ToolResult, error)) {
	c.reply = s.getBuffer()
	defer s.putBuffer(c.reply)
	status, message := taskCompleted, ""
	e := s.runTaskHandler(ctx, c, f)
	outcome := bytes.Clone(c.reply.b)
	if e != nil {
		status, message, outcome = taskFailed, e.Message, appendTaskError(nil, e)
	}
	c.finish()
	s.tasks.finish(c.task, status, message, outcome)
	s.tellTask(c.task)
}

// runTaskHandler leaves the result a call would have got in c.reply.
func (s *Server) runTaskHandler(ctx context.Context, c *Call, f func(context.Context, *Call) (*ToolResult, error)) (e *codec.Error) {
	defer func() {
		if p := recover(); p != nil {
			s.tasks.panicked()
			s.o.Logger.Error("mcp: a task panicked", "method", c.m.name, "panic", p, "stack", string(debug.Stack()))
			e = errInternal
		}
	}()
	r, err := f(ctx, c)
	if err != nil {
		if errors.As(err, &e) {
			return e
		}
		r = Errorf("%s", err.Error())
	}
	return wireError(c.toolResult(r, c.tool.output))
}

func (t *taskStore) panicked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Panicked++
}

// askInTask puts questions, {"method":…,"params":…}, to the client: they show
// in tasks/get until tasks/update answers them. It returns when all are
// answered; the answers are JSON objects.
func (c *Call) askInTask(ctx context.Context, requests [][]byte) ([][]byte, error) {
	asks, err := c.s.tasks.ask(c.task, requests)
	if err != nil {
		return nil, err
	}
	c.s.tellTask(c.task)
	ctx, cancel := context.WithTimeout(ctx, c.s.o.AskTimeout)
	defer cancel()
	defer c.s.tellTask(c.task)
	answers := make([][]byte, len(asks))
	for i, a := range asks {
		var open bool
		select {
		case answers[i], open = <-a.answer:
			if !open {
				return nil, errTaskOver
			}
		case <-ctx.Done():
			c.s.tasks.abandon(c.task, asks)
			return nil, context.Cause(ctx)
		}
	}
	return answers, nil
}

// appendInputRequest appends a question as it stands in inputRequests.
func appendInputRequest(b []byte, method string, params []byte) []byte {
	b = codec.AppendString(append(b, `{"method":`...), method)
	if params == nil {
		params = []byte("{}")
	}
	return append(append(appendKey(b, "params"), params...), '}')
}
