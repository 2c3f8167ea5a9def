package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
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
	sess    Session
	stream  StreamID
	rev     Revision
	caps    Capabilities
	level   Level  // least severe message the client wants; 0 none
	info    []byte // modern: raw clientInfo

	reply  *buffer // the response being written
	result int     // where in reply the result begins
	listen *filter // subscriptions/listen: what is asked for

	mu   sync.Mutex
	over bool // guarded by mu: the handler has returned
	sink sink // guarded by mu while the handler runs
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
		return c.s.o.Backend.ClientName(c.sess.Client)
	}
	if c.s.o.ClientName == nil || c.sess.Client == 0 {
		return ""
	}
	return c.s.o.ClientName(c.sess.Client)
}

// OnWorker reports whether the call runs on a worker, where it may block.
func (c *Call) OnWorker() bool { return c.sink.worker != nil }

// Result returns the raw JSON result the handlers inside have left, for
// middleware; nil before.
func (c *Call) Result() []byte {
	if len(c.reply.b) == c.result {
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

// cacheable appends the hints a modern client needs of results it may keep:
// ours are stale at once and the same for everybody.
func (c *Call) cacheable(b []byte) []byte {
	if !c.rev.modern() {
		return b
	}
	b = append(appendKey(b, "ttlMs"), '0')
	return append(appendKey(b, "cacheScope"), `"public"`...)
}

// Progress tells the client how far the call is; total 0 and message "" are
// left out. It does nothing if the client did not ask. An error means that
// nothing reached the client, and seldom matters to a handler.
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
	return c.notify("notifications/progress", append(b, '}'))
}

// Log sends a log message about the call to the client if it asked for
// messages of that severity; data is encoded as JSON. logger may be "".
func (c *Call) Log(l Level, logger string, data any) error {
	if c.level == 0 || l < c.level {
		return nil
	}
	b := append([]byte(nil), `{"level":"`...)
	b = append(append(b, l.String()...), '"')
	b = appendStringMember(b, "logger", logger)
	b, err := codec.AppendJSON(appendKey(b, "data"), data)
	if err != nil {
		return err
	}
	return c.notify("notifications/message", append(b, '}'))
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
	if c.over {
		return ErrCallOver
	}
	return c.count(c.sink.emit(c, msg))
}

func (c *Call) count(err error) error {
	if err == nil {
		c.s.count.sent.Add(1)
	} else {
		c.s.count.sendFailed.Add(1)
	}
	return err
}

// finish ends the time in which the handler may send.
func (c *Call) finish() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
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

// Ask sends a request to the client and waits for its answer, which it returns
// as raw JSON. The handler leaves its worker meanwhile, so that any number may
// wait; they are bounded by the loop's and the call table's own limits. An
// error answer comes back as *codec.Error; other errors are those of ctx, the
// limits, and ErrCannotAsk, ErrNoStream, ErrSessionEnded. A request the client
// did not declare to understand is not sent.
func (c *Call) Ask(ctx context.Context, method string, params any) ([]byte, error) {
	if c.session == 0 || c.sink.worker == nil {
		return nil, ErrCannotAsk
	}
	if need := neededFor(method); need&^c.caps != 0 {
		return nil, MissingCapability(need)
	}
	raw, err := rawJSON(params)
	if err != nil {
		return nil, err
	}
	if string(raw) == "null" {
		raw = nil
	}
	q, err := c.s.o.Calls.Ask(c.scope())
	if err != nil {
		return nil, err
	}
	defer q.Abandon()
	msg := codec.AppendRequest(nil, q.AppendID(nil), method, raw)
	if err := c.sendAndLeave(msg); err != nil {
		return nil, err
	}
	defer c.comeBack()
	ctx, cancel := context.WithTimeout(ctx, c.s.o.AskTimeout)
	defer cancel()
	answer, isError, err := q.Wait(ctx)
	if err != nil {
		return nil, err
	}
	if isError {
		return nil, parseError(answer)
	}
	return answer, nil
}

// neededFor returns what a client must have declared to be asked.
func neededFor(method string) Capabilities {
	switch method {
	case "sampling/createMessage":
		return CapSampling
	case "elicitation/create":
		return CapElicitation
	case "roots/list":
		return CapRoots
	}
	return 0
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

func (c *Call) sendAndLeave(msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return ErrCallOver
	}
	if err := c.sink.leave(); err != nil {
		return err
	}
	if err := c.count(c.sink.emit(c, msg)); err != nil {
		c.sink.comeBack()
		return err
	}
	return nil
}

func (c *Call) comeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink.comeBack()
}
