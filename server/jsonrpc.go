package server

import (
	"bytes"
	"encoding/json"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// lines is JSON-RPC 2.0 with one message a line. The word of a connection is
// what mcp remembers of it (RPC.Session): its session, 0 before initialize.
type lines struct {
	s      *Server
	limits codec.Limits
}

var _ loop.Protocol = (*lines)(nil)

func newLines(s *Server) *lines {
	return &lines{s: s, limits: codec.Limits{Depth: s.opts.DepthMax, Batch: s.opts.BatchMax}}
}

// Open implements loop.Protocol.
func (p *lines) Open(c loop.Conn) { p.s.roster.add(c.Handle()) }

// Closed implements loop.Protocol.
func (p *lines) Closed(h loop.Handle, word uint64, _ loop.Reason) {
	p.s.roster.remove(h)
	p.s.cancels.Add(1)
	defer p.s.cancels.Add(-1)
	p.s.rpc.CancelScope(rpc.Scope(h), errClientGone)
	p.s.mcp.ConnClosed(mcp.StreamID(h), word)
}

// Tick implements loop.Protocol; these connections are never on Hold.
func (p *lines) Tick(loop.Conn) {}

// Drain implements loop.Protocol; JSON-RPC has no goodbye.
func (p *lines) Drain(loop.Conn) {}

// Step implements loop.Protocol.
func (p *lines) Step(t *loop.Turn) loop.Verdict {
	start := len(t.Out)
	v := p.step(t)
	if len(t.Out) > start {
		p.s.metrics.replies.Add(bytes.Count(t.Out[start:], newline))
	}
	return v
}

var newline = []byte{'\n'}

// step looks at one line. A last one without a newline counts when the peer has
// finished behind it.
func (p *lines) step(t *loop.Turn) loop.Verdict {
	if t.Scan[0] == 0 {
		t.N = leadingSpace(t.In)
	}
	in := t.In[t.N:]
	if len(in) == 0 {
		return loop.More
	}
	line, n, err := codec.NextLine(in, &t.Scan[0], p.s.opts.MessageMax)
	switch {
	case err != nil:
		return p.tooLong(t)
	case n == 0 && t.EOF:
		line, n = in, len(in)
	case n == 0:
		return loop.More
	}
	t.N += n
	p.s.metrics.lines.Inc()
	var env codec.Envelope
	if e := codec.ParseEnvelope(line, &p.limits, &env); e != nil {
		return p.malformed(t, line, &env, e)
	}
	if env.Kind == codec.KindBatch {
		return p.batch(t, line)
	}
	return p.message(t, line, &env)
}

// leadingSpace counts the blanks and empty lines before a message.
func leadingSpace(b []byte) int {
	for i, c := range b {
		if c != '\n' && c != '\r' && c != ' ' && c != '\t' {
			return i
		}
	}
	return len(b)
}

// tooLong answers a line whose end is out of reach.
func (p *lines) tooLong(t *loop.Turn) loop.Verdict {
	p.s.metrics.malformedLines.Inc()
	t.Out = appendErrorLine(t.Out, nil, &codec.Error{Code: codec.CodeInvalidRequest, Message: "Invalid Request: message too long"})
	t.N, t.Reason = len(t.In), loop.ReasonTooLarge
	return loop.End
}

// malformed answers what is no message. The connection goes on: the next line
// is known to begin behind this one.
func (p *lines) malformed(t *loop.Turn, line []byte, env *codec.Envelope, e *codec.Error) loop.Verdict {
	p.s.metrics.malformedLines.Inc()
	t.Out = appendErrorLine(t.Out, env.ID.Of(line), e)
	if t.EOF && !t.Busy && t.N == len(t.In) && e.Code == codec.CodeParse {
		t.Reason = loop.ReasonTruncated
		return loop.End
	}
	return loop.Next
}

func appendErrorLine(dst, id []byte, e *codec.Error) []byte {
	return append(codec.AppendError(dst, id, e), '\n')
}

// message sees to one message that is no batch.
func (p *lines) message(t *loop.Turn, line []byte, env *codec.Envelope) loop.Verdict {
	if p.now(t, line, env) {
		return loop.Next
	}
	name := env.MethodName(line)
	if m := p.s.methods.find(name); m != nil {
		if m.inline && (m.urgent || !t.Busy) {
			p.s.run(m, p.s.call(t.Conn, nil, &t.Out, requestID(line, env), env.Params.Of(line)))
			t.Late = true // nobody else has to do with this exchange
			return loop.Next
		}
		return p.queue(t, env, line, appendCallRecord(t.Record, m, line, env))
	}
	known, inline := p.s.mcp.Knows(name)
	switch {
	case !known:
		if env.Kind == codec.KindRequest {
			p.s.metrics.unknownMethods.Inc()
			t.Out = appendErrorLine(t.Out, env.ID.Of(line), errNoMethod)
		}
		return loop.Next
	case inline && (!t.Busy || urgentMCP(name)) && !p.s.mcp.Fetches(name, env.Params.Of(line)):
		t.Out = p.serveMCP(t.Conn, nil, t.Out, line, env)
		return loop.Next
	}
	return p.queue(t, env, line, append(appendPlain(append(t.Record, byte(recordMCP)), env), line...))
}

// queue hands a record to a worker unless the process is out of memory for it.
func (p *lines) queue(t *loop.Turn, env *codec.Envelope, line, record []byte) loop.Verdict {
	if t.Overloaded {
		p.s.metrics.shedBudget.Inc()
		if env.Kind != codec.KindNotification {
			t.Out = appendErrorLine(t.Out, env.ID.Of(line), errOverloaded)
		}
		return loop.Next
	}
	t.Record = record
	return loop.Work
}

// requestID returns the raw id of a request, nil for a notification.
func requestID(msg []byte, env *codec.Envelope) []byte {
	if env.Kind != codec.KindRequest {
		return nil
	}
	return env.ID.Of(msg)
}

// urgentMCP names what of MCP may not wait behind a running call: pings, and
// what changes the connection's word, so that it is changed on the loop only.
func urgentMCP(name []byte) bool { return string(name) == "ping" || changesWord(name) }

// changesWord reports whether a request of MCP's may change what the connection
// remembers. (A cancellation may too; it is always handled on the loop.)
func changesWord(name []byte) bool {
	return string(name) == "initialize" || string(name) == "subscriptions/listen"
}

// now handles what must never wait for a worker, because a worker may be
// waiting for it: answers to questions and cancellations. It reports whether
// the message was one.
func (p *lines) now(t *loop.Turn, msg []byte, env *codec.Envelope) bool {
	switch env.Kind {
	case codec.KindResult, codec.KindError:
		p.answer(t, msg, env)
		return true
	case codec.KindNotification:
		return p.cancelled(t, msg, env)
	}
	return false
}

// answer delivers an answer to the handler that asked.
func (p *lines) answer(t *loop.Turn, msg []byte, env *codec.Envelope) {
	payload, isError := env.Result, false
	if env.Kind == codec.KindError {
		payload, isError = env.Error, true
	}
	if !p.s.rpc.Answer(rpc.Scope(t.Conn.Handle()), env.ID.Of(msg), payload.Of(msg), isError) {
		t.Out = p.serveMCP(t.Conn, nil, t.Out, msg, env) // questions of MCP are the session's
	}
}

// The notifications with which clients cancel: that of MCP and that of the
// Language Server Protocol, which many JSON-RPC clients send.
const (
	mcpCancelled = "notifications/cancelled"
	lspCancelled = "$/cancelRequest"
)

func isCancellation(method []byte) bool {
	return string(method) == mcpCancelled || string(method) == lspCancelled
}

// cancelled cancels the call that a notification names.
func (p *lines) cancelled(t *loop.Turn, msg []byte, env *codec.Envelope) bool {
	name := env.MethodName(msg)
	if !isCancellation(name) {
		return false
	}
	p.s.cancels.Add(1)
	defer p.s.cancels.Add(-1)
	var params struct {
		RequestID json.RawMessage `json:"requestId"`
		ID        json.RawMessage `json:"id"`
	}
	_ = codec.Unmarshal(env.Params.Of(msg), &params) // without an id there is nothing to cancel
	id := params.RequestID
	if string(name) == lspCancelled {
		id = params.ID
	}
	if p.s.rpc.Cancel(rpc.Scope(t.Conn.Handle()), id, errCancelled) {
		p.s.metrics.cancellations.Inc()
	} else if string(name) == mcpCancelled {
		t.Out = p.serveMCP(t.Conn, nil, t.Out, msg, env)
	}
	return true
}

// serveMCP lets mcp serve one message and returns out with its replies.
func (p *lines) serveMCP(c loop.Conn, w *worker, out, msg []byte, env *codec.Envelope) []byte {
	x := p.s.rpcs.Get().(*mcp.RPC)
	word := c.Word()
	*x = mcp.RPC{Stream: mcp.StreamID(c.Handle()), Msg: msg, Env: *env, Session: word, Out: out}
	took := p.s.metrics.mcpLoop
	if w != nil {
		x.Worker, took = w, p.s.metrics.mcpWorker
	}
	p.s.timeMCP(took, func() { p.s.mcp.ServeRPC(x) })
	if x.Session != word && !c.SetWord(x.Session) {
		// On the loop Closed comes later: see changesWord. A worker may have
		// fetched a session for a connection that has closed meanwhile.
		p.s.mcp.ConnClosed(x.Stream, x.Session)
	}
	out = x.Out
	*x = mcp.RPC{}
	p.s.rpcs.Put(x)
	return out
}
