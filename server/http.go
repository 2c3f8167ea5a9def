package server

import (
	"encoding/binary"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// endpoint is the path of MCP Streamable HTTP.
const endpoint = "/mcp"

// wordClosing is the word of a connection whose last response waits for its
// turn: what arrives behind its request is thrown away.
const wordClosing = ^uint64(0)

// wordForward is the word of a connection on Hold whose request was forwarded:
// see forward.go. It is none of mcp's, whose word of a listen stream has lower
// bits as well.
const wordForward = 1 << 63

// web is HTTP/1.1 with MCP at /mcp. The word of a connection is
//
//	0            no stream is open
//	wordClosing  see there
//	wordForward  see there
//	other        what mcp said of the open stream (Exchange.Word)
//
// Responses leave in the order of their requests: while workers have earlier
// requests of a connection, those behind them become records too, and one that
// may open a stream waits until they are done.
type web struct {
	s      *Server
	limits codec.HTTPLimits
	date   codec.DateClock
	ahead  ahead
}

var _ loop.Protocol = (*web)(nil)

func newWeb(s *Server) *web {
	return &web{s: s, limits: codec.HTTPLimits{Body: s.opts.MessageMax}}
}

// exchange is one request being looked at, pooled.
type exchange struct {
	req codec.Request
	x   mcp.Exchange
}

// Open implements loop.Protocol.
func (p *web) Open(loop.Conn) {}

// Closed implements loop.Protocol.
func (p *web) Closed(h loop.Handle, word uint64, _ loop.Reason) {
	if word == wordClosing || word == wordForward {
		word = 0
	}
	if p.s.cluster != nil {
		p.s.cluster.closed(h)
	}
	if opened := p.ahead.forget(h); opened != 0 {
		word = opened // by a worker, perhaps too late for the loop to have seen it
	}
	p.s.rpc.CancelScope(rpc.Scope(h), errClientGone)
	p.s.mcp.StreamClosed(mcp.StreamID(h), word)
}

// Tick implements loop.Protocol: it keeps an open stream alive.
func (p *web) Tick(c loop.Conn) {
	if c.Word() == wordForward {
		p.s.cluster.keepAlive(c.Handle())
		return
	}
	p.send(c, p.s.mcp.AppendKeepAlive)
}

// Drain implements loop.Protocol: it ends an open stream in the ordinary way.
func (p *web) Drain(c loop.Conn) {
	if c.Word() == wordForward {
		p.s.cluster.goodbye(c.Handle())
		return
	}
	p.send(c, p.s.mcp.AppendGoodbye)
}

func (p *web) send(c loop.Conn, appendTo func(dst []byte, st mcp.StreamID, word uint64) []byte) {
	word := c.Word()
	if word == 0 || word == wordClosing {
		return
	}
	b := p.s.buffers.Get().(*buffer)
	defer p.s.putBuffer(b)
	if b.b = appendTo(b.b, mcp.StreamID(c.Handle()), word); len(b.b) > 0 {
		_ = c.Write(b.b) // a client that is gone has been counted
	}
}

// Step implements loop.Protocol.
func (p *web) Step(t *loop.Turn) loop.Verdict {
	t.Busy = t.Busy && p.ahead.any(t.Conn.Handle())
	v := p.step(t)
	if v == loop.Work {
		p.ahead.enter(t.Conn.Handle())
	}
	return v
}

// step looks at one request. t.Busy says that earlier ones are at workers.
func (p *web) step(t *loop.Turn) loop.Verdict {
	if t.EOF && t.Busy {
		// As in net/http, a client that finishes before it has its response
		// has lost interest; in the revision of 2026-07-28 it cancels so.
		p.s.mcp.StreamClosed(mcp.StreamID(t.Conn.Handle()), 0)
	}
	if t.Conn.Word() == wordClosing {
		t.N = len(t.In)
		return loop.More
	}
	e := p.s.exchanges.Get().(*exchange)
	defer p.s.putExchange(e)
	n, wants100, bad := codec.ParseRequest(t.In, t.Scan, &p.limits, &e.req)
	switch {
	case bad != nil:
		return p.refuse(t, bad)
	case n == 0:
		// A client that pipelines a request behind another may wait for
		// "100 Continue" in vain: it would stand before the earlier response.
		if wants100 && !t.Busy {
			t.Out = codec.AppendContinue(t.Out)
		}
		return loop.More
	}
	t.N = n
	p.s.metrics.requests.Inc()
	if t.Draining {
		e.req.Flags &^= codec.FlagKeepAlive // as if the client had asked for it
	}
	msg := t.In[:n:n]
	if string(e.req.Path.Of(msg)) != endpoint {
		return p.reply(t, p.elsewhere(nil, msg, &e.req), closes(&e.req))
	}
	return p.exchange(t, e, msg)
}

// closes reports whether the connection ends behind the response to r.
func closes(r *codec.Request) bool { return r.Flags&codec.FlagKeepAlive == 0 }

// refuse answers what is no request this server reads.
func (p *web) refuse(t *loop.Turn, bad *codec.HTTPError) loop.Verdict {
	p.s.metrics.malformedRequests.Inc()
	t.N, t.Reason = len(t.In), loop.ReasonProtocol
	if bad.Status == 413 || bad.Status == 414 || bad.Status == 431 {
		t.Reason = loop.ReasonTooLarge
	}
	return p.reply(t, bad.AppendResponse(nil), true)
}

// elsewhere answers a request for another path than the endpoint.
func (p *web) elsewhere(dst, msg []byte, r *codec.Request) []byte {
	res, text := codec.Response{Status: 404}, "not here: MCP is at "+endpoint+"\n"
	if string(r.Path.Of(msg)) == readyPath {
		res, text = p.readiness(r)
	}
	res.Proto10, res.Close, res.Date = r.Flags&codec.FlagHTTP10 != 0, closes(r), p.date.At(time.Now())
	res.ContentType, res.Length = "text/plain; charset=utf-8", len(text)
	if r.Method == codec.MethodOptions && string(r.Path.Of(msg)) == "*" {
		res.Status, res.ContentType, res.Length = 204, "", 0
		res.Extra = codec.AppendHeader(nil, "Allow", "GET, POST, DELETE, OPTIONS")
		return codec.AppendResponse(dst, &res)
	}
	dst = codec.AppendResponse(dst, &res)
	if r.Method == codec.MethodHead {
		return dst
	}
	return append(dst, text...)
}

// reply sends a finished response: now, or when those before it have left.
func (p *web) reply(t *loop.Turn, response []byte, last bool) loop.Verdict {
	kind := recordReply
	if last {
		kind = recordLast
	}
	if !t.Busy {
		p.s.metrics.responses.Inc()
	}
	switch {
	case t.Busy:
		t.Record = append(append(t.Record, byte(kind)), response...)
		if last {
			p.close(t)
		}
		return loop.Work
	case last:
		t.Out = append(t.Out, response...)
		if t.Reason == loop.ReasonNone {
			t.Reason = loop.ReasonDone
		}
		return loop.End
	}
	t.Out = append(t.Out, response...)
	return loop.Next
}

// close makes Step throw away what follows, until the worker has ended the
// connection.
func (p *web) close(t *loop.Turn) {
	t.N = len(t.In)
	t.Conn.SetWord(wordClosing)
}

// exchange sees to a request for the endpoint.
func (p *web) exchange(t *loop.Turn, e *exchange, msg []byte) loop.Verdict {
	e.x = mcp.Exchange{Stream: mcp.StreamID(t.Conn.Handle()), Req: &e.req, Msg: msg}
	x := &e.x
	if p.s.cluster != nil {
		if id, away := p.s.cluster.elsewhere(x); away {
			return p.away(t, x, id)
		}
	}
	where := p.s.mcp.Plan(x)
	if where == mcp.OnLoop && t.Busy && opensStream(x) {
		if v := p.keep(t, x); v != loop.More {
			return v
		}
	}
	switch {
	case where == mcp.OnLoop && !t.Busy:
		x.Out = t.Out
		p.s.timeMCP(p.s.metrics.mcpLoop, func() { p.s.mcp.ServeHTTP(x) })
		t.Out = x.Out
		p.s.metrics.responses.Inc()
		return p.served(t, x)
	case where == mcp.OnLoop && unblocks(x):
		// Somebody on a worker may wait for it, perhaps the very request that
		// keeps this connection busy: take effect now, respond in turn.
		p.s.timeMCP(p.s.metrics.mcpLoop, func() { p.s.mcp.ServeHTTP(x) })
		return p.reply(t, x.Out, x.Close)
	}
	if t.Overloaded {
		p.s.metrics.shedBudget.Inc()
		return p.reply(t, p.overloaded(nil, x), closes(&e.req))
	}
	t.Record = appendWebRecord(t.Record, x)
	if closes(&e.req) {
		p.close(t)
	}
	return loop.Work
}

// keep lets a request that may open a stream wait for those ahead of it. It
// returns More if none are ahead any more.
func (p *web) keep(t *loop.Turn, x *mcp.Exchange) loop.Verdict {
	if len(x.Msg) > keptMax {
		return p.reply(t, p.overloaded(nil, x), closes(x.Req))
	}
	if p.ahead.wait(t.Conn.Handle(), appendWebRecord(nil, x)) {
		return loop.Hold // and open does the rest
	}
	t.Busy = false // the last one ahead has left just now
	return loop.More
}

// away sees to a request for a session whose home is elsewhere.
func (p *web) away(t *loop.Turn, x *mcp.Exchange, id session.ID) loop.Verdict {
	switch {
	case x.Req.Method == codec.MethodGet:
		if t.Busy {
			if v := p.keep(t, x); v != loop.More {
				return v
			}
		}
		if len(t.Out) > 0 { // the response may come before this turn is over
			_ = t.Conn.Write(t.Out)
			t.Out = t.Out[:0]
		}
		p.s.cluster.forwardGet(t.Conn, id, x)
		return loop.Hold
	case t.Overloaded:
		p.s.metrics.shedBudget.Inc()
		p.s.mcp.Plan(x) // for the id
		return p.reply(t, p.overloaded(nil, x), closes(x.Req))
	case t.Busy && p.s.mcp.Plan(x) == mcp.OnLoop && unblocks(x): // as in exchange
		t.Record = append(t.Record, byte(recordSent))
		t.Record = binary.LittleEndian.AppendUint64(t.Record, p.s.cluster.forwardEarly(t.Conn, id, x))
	}
	t.Record = appendWebRecord(t.Record, x)
	if closes(x.Req) {
		p.close(t)
	}
	return loop.Work
}

// unblocks reports whether an exchange is an answer, a cancellation or another
// notification.
func unblocks(x *mcp.Exchange) bool {
	switch x.Env.Kind {
	case codec.KindResult, codec.KindError, codec.KindNotification:
		return true
	}
	return false
}

// opensStream reports whether the response may stay open.
func opensStream(x *mcp.Exchange) bool {
	return x.Req.Method == codec.MethodGet ||
		x.Env.Kind == codec.KindRequest && string(x.Env.Method.Of(x.Req.Body.Of(x.Msg))) == "subscriptions/listen"
}

// served turns what mcp decided into a verdict.
func (p *web) served(t *loop.Turn, x *mcp.Exchange) loop.Verdict {
	switch {
	case x.Hold:
		t.Conn.SetWord(x.Word)
		return loop.Hold
	case x.Close || closes(x.Req):
		t.Reason = loop.ReasonDone
		return loop.End
	}
	return loop.Next
}

// overloaded is the response to a request that is not served for want of
// capacity.
func (p *web) overloaded(dst []byte, x *mcp.Exchange) []byte {
	return p.failed(dst, x, 503, errOverloaded)
}

// refused is the response to a request that did not reach its session.
func (p *web) refused(dst []byte, x *mcp.Exchange, why cluster.Refusal) []byte {
	switch why {
	case cluster.RefusedLost:
		return p.failed(dst, x, 502, errPeerLost)
	case cluster.RefusedUnavailable:
		return p.failed(dst, x, 503, errUnavailable)
	default:
		return p.failed(dst, x, 503, errOverloaded)
	}
}

// Errors of requests for sessions elsewhere.
var (
	errPeerLost    = &codec.Error{Code: codec.CodeInternal, Message: "The server that had the request was lost; it may have been served"}
	errUnavailable = &codec.Error{Code: codec.CodeOverloaded, Message: "The session cannot be reached now"}
)

// failed is the response to a request that is not served; x is nil if it is not
// known. Status 503 asks the client to come again.
func (p *web) failed(dst []byte, x *mcp.Exchange, status int, e *codec.Error) []byte {
	res := codec.Response{Status: status, Close: true, ContentType: "application/json", Date: p.date.At(time.Now())}
	if status == 503 {
		res.Extra = codec.AppendHeader(nil, "Retry-After", "1")
	}
	var id []byte
	if x != nil {
		res.Proto10, res.Close = x.Req.Flags&codec.FlagHTTP10 != 0, closes(x.Req)
		if x.Env.Kind == codec.KindRequest {
			id = x.Env.ID.Of(x.Req.Body.Of(x.Msg))
		}
	}
	body := codec.AppendError(nil, id, e)
	res.Length = len(body)
	return append(codec.AppendResponse(dst, &res), body...)
}
