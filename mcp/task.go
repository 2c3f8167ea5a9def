package mcp

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
)

// This file is what a program sees of tasks, the extension
// io.modelcontextprotocol/tasks of 2026-07-28 (SEP-2663): a tools/call is
// answered with a handle at once, its handler goes on, and the client polls
// tasks/get until the result is there. A question to the client waits in the
// task until tasks/update brings the answer.

// TaskSupport says whether calls of a tool become tasks.
type TaskSupport uint8

// Support for tasks. Whether a client can use them it says with each request.
const (
	TaskNever     TaskSupport = iota
	TaskOptional              // a task for clients that know tasks, the result itself for others
	TaskRequired              // a task; other clients are refused with CodeMissingCapability
	TaskByHandler             // the handler begins within the request and may call Call.AsTask
)

// TaskPolicy is how a tool uses tasks; the zero value is not at all.
type TaskPolicy struct {
	Support TaskSupport
	// TTL is how long the handler may take, and then again how long its result
	// is kept. 0: TaskOptions.TTL.
	TTL time.Duration
	// Poll is how often clients are asked to look. 0: TaskOptions.Poll.
	Poll time.Duration
}

// TaskOptions configures the server's tasks. A task lives in this process: a
// client must come back to the same one, for which Mcp-Name holds the task's
// id, and no task outlives it.
//
// When Count, Running or Bytes is used up, a call that would become a task is
// refused with codec.CodeOverloaded, which HTTP says as 503: what was promised
// to other clients is never dropped for it. A result that finds no room makes
// its task fail with that code.
type TaskOptions struct {
	// Run starts f on a goroutine that its owner waits for before the process
	// ends, or says why it cannot. It must not block. nil: no tasks.
	Run func(f func()) error

	Count   int           // tasks kept, running or not; 16,384
	Running int           // handlers at a time, those that wait for an answer included; 1,024
	Bytes   int64         // arguments, questions and results of all tasks; 64 MiB
	TTL     time.Duration // 10 minutes
	Poll    time.Duration // 1 second
	// Now is the clock; time.Now.
	Now func() time.Time
}

const (
	taskCountDefault   = 16_384
	taskRunningDefault = 1_024
	taskBytesDefault   = 64 << 20
	taskTTLDefault     = 10 * time.Minute
	taskPollDefault    = time.Second
)

func (o *TaskOptions) fill() {
	o.Count = positive(o.Count, taskCountDefault)
	o.Running = positive(o.Running, taskRunningDefault)
	if o.Bytes <= 0 {
		o.Bytes = taskBytesDefault
	}
	if o.TTL <= 0 {
		o.TTL = taskTTLDefault
	}
	if o.Poll <= 0 {
		o.Poll = taskPollDefault
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// check says what is wrong with the policy of a tool.
func (p TaskPolicy) check(run func(func()) error, inline bool) error {
	switch {
	case p.Support > TaskByHandler:
		return errors.New("unknown Task.Support")
	case p.TTL < 0 || p.Poll < 0:
		return errors.New("negative Task.TTL or Task.Poll")
	case p.Support != TaskNever && inline:
		return errors.New("an Inline tool is done before a task could begin")
	case p.Support != TaskNever && run == nil:
		return errors.New("tasks need Options.Tasks.Run")
	}
	return nil
}

// AsTask runs f as a task: the call is answered with its handle, and f goes on
// by itself. A handler ends with it:
//
//	return c.AsTask(ctx, func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) { … })
//
// whatever the handler returns afterwards is ignored. Within a task, for a
// client that does not know tasks and in a tool whose policy is TaskNever it
// just calls f with its own arguments. An error other than f's says that no
// task could begin.
//
// f gets a Call of its own, valid until f returns, and must not use the
// handler's. There Progress, Log and Notify have no effect, questions wait in
// the task for the client's answers, and SetStatus shows how far it is. Its
// context carries the values of ctx; it ends with tasks/cancel (ErrCancelled),
// when the policy's TTL is over (ErrTaskExpired) and with the server. What f
// returns becomes the task's result as it would become a call's; a
// *codec.Error or a panic makes the task fail.
func (c *Call) AsTask(ctx context.Context, f func(ctx context.Context, c *Call) (*ToolResult, error)) (*ToolResult, error) {
	if c.task != nil || !c.knowsTasks() || c.tool == nil || c.tool.task.Support == TaskNever {
		return f(ctx, c)
	}
	if c.made != nil {
		return nil, errTaskTwice
	}
	return nil, c.s.startTask(ctx, c, f)
}

// SetStatus tells those who look at the call's task what it is busy with. It
// does nothing in a call that is no task.
func (c *Call) SetStatus(message string) {
	if c.task != nil && c.s.tasks.setMessage(c.task, message) {
		c.s.tellTask(c.task)
	}
}

// knowsTasks reports whether the client takes a task for an answer. Only what
// the request itself declares counts.
func (c *Call) knowsTasks() bool { return c.rev.modern() && c.caps&CapTasksExtension != 0 }

// run calls the tool's handler, or begins a task that does.
func (t *tool) run(ctx context.Context, c *Call) (*ToolResult, error) {
	c.tool = t
	switch t.task.Support {
	case TaskRequired:
		if !c.knowsTasks() {
			return nil, MissingCapability(CapTasksExtension)
		}
		return c.AsTask(ctx, t.handle)
	case TaskOptional:
		return c.AsTask(ctx, t.handle)
	default:
		return t.handle(ctx, c)
	}
}

// forTask returns a Call that outlives c: it owns its memory, and nothing it
// sends goes anywhere.
func (c *Call) forTask(k *task) *Call {
	n := &Call{
		s: c.s, m: c.m, tool: c.tool, task: k, rev: c.rev, caps: c.caps,
		id: bytes.Clone(c.id), params: bytes.Clone(c.params), info: bytes.Clone(c.info),
		sink: sink{worker: taskWorker{}},
	}
	if i := bytes.Index(n.params, c.args); i >= 0 {
		n.args = slices.Clip(n.params[i : i+len(c.args)]) // as the client sent them
	} else {
		n.args = bytes.Clone(c.args)
	}
	return n
}

// taskWorker is the goroutine a task runs on, which is nobody else's.
type taskWorker struct{}

func (taskWorker) Leave(bool) error                 { return nil }
func (taskWorker) Return()                          {}
func (taskWorker) Flush(out []byte) ([]byte, error) { return out[:0], ErrNoStream }
