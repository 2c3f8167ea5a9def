package mcp

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/rookery-server/rookery/codec"
)

// This file is what clients see of tasks.

// extensionTasks names the extension in capabilities.
const extensionTasks = "io.modelcontextprotocol/tasks"

// taskView is a task as it stands at one moment. Its bytes never change.
type taskView struct {
	id               [16]byte
	status           taskStatus
	message          string
	created, updated time.Time
	ttl, poll        time.Duration
	outcome          []byte
	inputRequests    []byte // nil if no question is open
}

// look returns a task as it stands.
func (t *taskStore) look(k *task) taskView {
	t.mu.Lock()
	defer t.mu.Unlock()
	return k.view()
}

// find is look by id.
func (t *taskStore) find(id [16]byte) (v taskView, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.byID[id]
	if k == nil {
		return v, false
	}
	return k.view(), true
}

// view is called with the store's lock held.
func (k *task) view() taskView {
	v := taskView{
		id: k.id, status: k.status, message: k.message, created: k.created, updated: k.updated,
		ttl: k.expires.Sub(k.created), poll: k.poll, outcome: k.outcome,
	}
	if len(k.asks) > 0 {
		b := []byte{'{'}
		for _, a := range k.asks {
			b = append(appendKey(b, a.key), a.request...)
		}
		v.inputRequests = append(b, '}')
	}
	return v
}

// statusWord returns the status on the wire.
func (v *taskView) statusWord() string {
	switch {
	case v.status == taskCompleted:
		return "completed"
	case v.status == taskFailed:
		return "failed"
	case v.status == taskCancelled:
		return "cancelled"
	case v.inputRequests != nil:
		return "input_required"
	default:
		return "working"
	}
}

// appendTask appends the members of a Task.
func appendTask(b []byte, v taskView) []byte {
	b = append(appendKey(b, "taskId"), '"')
	b = append(hex.AppendEncode(b, v.id[:]), '"')
	b = append(append(append(appendKey(b, "status"), '"'), v.statusWord()...), '"')
	b = appendStringMember(b, "statusMessage", v.message)
	b = appendTime(appendKey(b, "createdAt"), v.created)
	b = appendTime(appendKey(b, "lastUpdatedAt"), v.updated)
	b = appendMillis(appendKey(b, "ttlMs"), v.ttl)
	return appendMillis(appendKey(b, "pollIntervalMs"), v.poll)
}

// appendDetailedTask appends a Task and what belongs to its status.
func appendDetailedTask(b []byte, v taskView) []byte {
	b = appendTask(b, v)
	switch {
	case v.inputRequests != nil:
		b = append(appendKey(b, "inputRequests"), v.inputRequests...)
	case v.status == taskCompleted:
		b = append(appendKey(b, "result"), v.outcome...)
	case v.status == taskFailed:
		b = append(appendKey(b, "error"), v.outcome...)
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), "2006-01-02T15:04:05.000Z"), '"')
}

// appendMillis appends a duration in whole milliseconds, at least one.
func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, max(1, d.Milliseconds()), 10)
}

// appendTaskError appends a JSON-RPC error object.
func appendTaskError(b []byte, e *codec.Error) []byte {
	b = strconv.AppendInt(append(b, `{"code":`...), int64(e.Code), 10)
	b = codec.AppendString(appendKey(b, "message"), e.Message)
	if e.Data != nil {
		b = append(appendKey(b, "data"), e.Data...)
	}
	return append(b, '}')
}

// openAs is open for a result of another type than "complete".
func (c *Call) openAs(resultType string) []byte {
	const complete = `"resultType":"complete"`
	b := append(append(c.reply.b[:c.result], `{"resultType":"`...), resultType...)
	return append(append(b, '"'), c.s.tail[len(complete):]...)
}

// taskID reads the task a request is about. Who does not know tasks has none.
func (c *Call) taskID() (id [16]byte, e *codec.Error) {
	if !c.knowsTasks() {
		return id, MissingCapability(CapTasksExtension)
	}
	word, ok := text(member(c.params, "taskId"))
	if !ok {
		return id, refuse(codec.CodeInvalidParams, "taskId must be a string")
	}
	if id, ok = parseSessionID(word); !ok { // the same 32 hex digits
		return id, errNoSuchTask
	}
	return id, nil
}

func serveGetTask(_ context.Context, c *Call) error {
	id, e := c.taskID()
	if e != nil {
		return e
	}
	v, ok := c.s.tasks.find(id)
	if !ok {
		return errNoSuchTask
	}
	c.close(appendDetailedTask(c.open(), v))
	return nil
}

// serveUpdateTask takes answers. Those to no open question are ignored.
func serveUpdateTask(_ context.Context, c *Call) error {
	id, e := c.taskID()
	if e != nil {
		return e
	}
	answers := member(c.params, "inputResponses")
	if !isObject(answers) {
		return refuse(codec.CodeInvalidParams, "inputResponses must be an object")
	}
	for o := members(answers); ; {
		_, raw, more := o.next()
		if !more {
			break
		}
		if !isObject(raw) {
			return refuse(codec.CodeInvalidParams, "a response in inputResponses must be an object")
		}
	}
	if !c.s.tasks.answer(id, members(answers)) {
		return errNoSuchTask
	}
	c.close(c.open())
	return nil
}

// serveCancelTask acknowledges; a task that is over stays as it is.
func serveCancelTask(_ context.Context, c *Call) error {
	id, e := c.taskID()
	if e != nil {
		return e
	}
	if !c.s.tasks.cancelTask(id) {
		return errNoSuchTask
	}
	c.close(c.open())
	return nil
}

// appendExtensions adds what the era without sessions extends to the
// capabilities object that b ends with.
func (r *registry) appendExtensions(b []byte) []byte {
	for _, e := range r.tools.all {
		if e.v.task.Support != TaskNever {
			b = appendKey(b[:len(b)-1], "extensions")
			return append(b, `{"`+extensionTasks+`":{}}}`...)
		}
	}
	return b
}
