package mcp

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

// Call is one request being handled: what the client asked, who it is, and
// the way back to it. It and the slices it hands out are valid until the
// handler returns. Its methods may be used by several goroutines of a handler
// at once, save SetResult.
type Call struct {
	flight rpc.Flight // begun for methods that run user code
	s      *Server
	m      *method

	id      []byte // raw JSON
	params  []byte // raw JSON object, nil if absent
	args    []byte // tools/call: the validated arguments
	token   []byte // raw JSON progress token, nil if the client wants none
	session uint64 // 0 in a stateless call
	who     identity
	stream  StreamID
	result  uint32 // where in reply the result begins
	caps    Capabilities
	rev     Revision
	level   Level  // least severe message the client wants; 0 none
	info    []byte // modern: raw clientInfo

	reply  *buffer // the response being written
	listen *filter // subscriptions/listen: what is asked for
	tool   *tool   // tools/call
	task   *task   // what the handler runs as, nil outside of a task
	made   *task   // what the call was answered with

	mu   sync.Mutex
	over bool  // guarded by mu: the handler has returned
	talk *talk // guarded by mu; nil as long as there was none
	sink sink  // guarded by mu while the handler runs
}

// identity is what a call keeps of its session's record; zero without one.
type identity struct {
	id       [16]byte
	client   uint32
	logLevel Level
}

// Method returns the request's method.
func (c *Call) Method() string { return c.m.name }

// Params returns the raw params object, nil if there is none.
func (c *Call) Params() []byte { return c.params }

// Arguments returns a tool's arguments as raw JSON: an object that satisfies
// the input schema, with defaults filled in.
func (c *Call) Arguments() []byte { return c.args }

// Decode decodes a tool's arguments into v, which keeps nothing of the
// request's memory.
func (c *Call) Decode(v any) error { return codec.Unmarshal(c.args, v) }

// Session returns the reference of the client's session, 0 for a call of the
// era without sessions.
func (c *Call) Session() uint64 { return c.session }

// Revision returns the revision of the protocol the client speaks.
func (c *Call) Revision() Revision { return c.rev }

// Capabilities returns what the client declared it can do.
func (c *Call) Capabilities() Capabilities { return c.caps }

// Client returns the client's "name/version" as far as it was kept, else "".
func (c *Call) Client() string {
	if c.session == 0 {
		return clientName(c.info)
	}
	if c.s.o.Backend != nil {
		return c.s.o.Backend.ClientName(c.who.client)
	}
	if c.s.o.ClientName == nil || c.who.client == 0 {
		return ""
	}
	return c.s.o.ClientName(c.who.client)
}

// OnWorker reports whether the call runs on a worker, where it may block.
func (c *Call) OnWorker() bool { return c.sink.worker != nil }

// Result returns the raw JSON result the handlers inside have left, for
// middleware; nil before.
func (c *Call) Result() []byte {
	if len(c.reply.b) == int(c.result) {
		return nil
	}
	return c.reply.b[c.result:]
}

// SetResult replaces the result by raw, which must be a JSON object; it is
// copied.
func (c *Call) SetResult(raw json.RawMessage) error {
	line, err := json.Marshal(raw) // checked, and on one line
	if err != nil || !isObject(line) {
		return errors.New("mcp: a result must be a JSON object")
	}
	c.reply.b = append(c.reply.b[:c.result], line...)
	return nil
}

// open begins the result object; close ends it. Between them members are
// appended with appendKey.
func (c *Call) open() []byte {
	b := append(c.reply.b[:c.result], '{')
	if c.rev.modern() {
		b = append(b, c.s.tail...)
	}
	return b
}

// openMeta is open with a _meta of the handler's.
func (c *Call) openMeta(meta map[string]any) ([]byte, error) {
	if len(meta) == 0 {
		return c.open(), nil
	}
	raw, err := codec.Marshal(meta)
	if err != nil {
		return nil, err
	}
	b := append(c.reply.b[:c.result], '{')
	if !c.rev.modern() {
		return append(appendKey(b, "_meta"), raw...), nil
	}
	b = append(b, c.s.tail[:len(c.s.tail)-1]...) // inside its _meta
	return append(append(b, ','), raw[1:]...), nil
}

func (c *Call) close(b []byte) { c.reply.b = append(b, '}') }

// Progress tells the client how far the call is; total 0 and message "" are
// left out. It does nothing if the client did not ask, or if progress has not
// grown since the last time, as it must (progress). An error means that nothing
// reached the client, and seldom matters to a handler.
func (c *Call) Progress(progress, total float64, message string) error {
	if c.token == nil {
		return nil
	}
	b := append([]byte(nil), `{"progressToken":`...)
	b = append(b, c.token...)
	b = appendFloat(appendKey(b, "progress"), progress)
	if total > 0 {
		b = appendFloat(appendKey(b, "total"), total)
	}
	b = appendStringMember(b, "message", message)
	msg := codec.AppendNotification(nil, "notifications/progress", append(b, '}'))
	c.mu.Lock()
	defer c.mu.Unlock()
	talk := c.talking()
	if talk.moved && progress <= talk.progress {
		return nil
	}
	talk.moved, talk.progress = true, progress
	return c.emit(msg)
}

// Log sends a log message about the call to the client if it asked for
// messages of that severity; data is encoded as JSON. logger may be "".
func (c *Call) Log(l Level, logger string, data any) error {
	if c.level == 0 || l < c.level {
		return nil
	}
	b, err := appendLogMessage(nil, l, logger, data)
	if err != nil {
		return err
	}
	return c.notify("notifications/message", b)
}

// Notify sends a notification that belongs to this call. params is encoded as
// JSON and must become an object.
func (c *Call) Notify(method string, params any) error {
	raw, err := rawJSON(params)
	if err != nil {
		return err
	}
	return c.notify(method, raw)
}

func (c *Call) notify(method string, params []byte) error {
	msg := codec.AppendNotification(nil, method, params)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.emit(msg)
}

// emit sends a message of the call. The caller holds c.mu.
func (c *Call) emit(msg []byte) error {
	if c.over {
		return ErrCallOver
	}
	if c.moved() {
		return ErrMoved
	}
	return c.count(c.sink.emit(c, msg))
}

// moved reports whether the home of the call's session is elsewhere by now.
func (c *Call) moved() bool {
	if c.session == 0 || c.s.o.Replicas == nil {
		return false
	}
	sess, ok := c.s.o.Sessions.Load(c.session)
	return ok && sess.Home != 0
}

func (c *Call) count(err error) error {
	if err == nil {
		c.s.count.sent.Add(1)
	} else {
		c.s.count.sendFailed.Add(1)
	}
	return err
}

// finish ends the time in which the handler may send. A goroutine that it left
// behind with a question is none of the worker's business any more: the worker
// serves somebody else next.
func (c *Call) finish() {
	c.mu.Lock()
	c.over = true
	if c.sink.waiting > 0 {
		c.sink.waiting = 0
		c.sink.worker.Return()
	}
	streaming := c.sink.streaming
	c.mu.Unlock()
	if streaming {
		c.s.beating.remove(c)
	}
}

// scope says whose request ids these are.
func (c *Call) scope() rpc.Scope {
	if c.session != 0 {
		return sessionScope(c.session)
	}
	return streamScope(c.stream)
}

func sessionScope(ref uint64) rpc.Scope { return rpc.Scope(ref | 1<<63) }
func streamScope(st StreamID) rpc.Scope { return rpc.Scope(st) }
