package server

import (
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// Work implements loop.Protocol.
func (p *web) Work(j *loop.Job) {
	switch kind := recordKind(j.Record[0]); kind {
	case recordReply, recordLast:
		j.Out = append(j.Out, j.Record[1:]...)
		if kind == recordLast {
			j.End, j.Reason = true, loop.ReasonDone
		}
	default:
		p.request(j)
	}
	p.s.metrics.responses.Inc()
	_ = j.Flush() // what comes after leave may be written by others
	if kept := p.ahead.leave(j.Conn.Handle()); kept != nil && !j.End {
		p.open(j.Conn, kept)
	}
}

// request serves one request on a worker.
func (p *web) request(j *loop.Job) {
	w := p.s.startWork(j)
	defer p.s.stopWork(w)
	p.s.metrics.queueWait.observe(j.Wait)
	e := p.s.exchanges.Get().(*exchange)
	defer p.s.putExchange(e)
	x := e.load(j.Conn, j.Record)
	x.Out, x.Worker = w.out, w
	if p.s.late(j.Wait) {
		p.s.metrics.shedDeadline.Inc()
		x.Out = p.overloaded(x.Out, x)
	} else {
		p.s.timeMCP(p.s.metrics.mcpWorker, func() { p.s.mcp.ServeHTTP(x) })
	}
	w.out = x.Out
	if x.Close || closes(x.Req) {
		j.End, j.Reason = true, loop.ReasonDone
	}
}

// open serves a request that was kept because it may open a stream. Everything
// ahead of it has been written, and the connection is on Hold.
func (p *web) open(c loop.Conn, record []byte) {
	e := p.s.exchanges.Get().(*exchange)
	defer p.s.putExchange(e)
	x := e.load(c, record)
	p.s.timeMCP(p.s.metrics.mcpWorker, func() { p.s.mcp.ServeHTTP(x) }) // it does not block
	p.s.metrics.responses.Inc()
	if x.Hold {
		if p.ahead.opened(c.Handle(), x.Word) {
			c.SetWord(x.Word)
		} else {
			p.s.mcp.StreamClosed(x.Stream, x.Word) // Closed came too early to know
		}
		return
	}
	p.ahead.opened(c.Handle(), 0)
	_ = c.Write(x.Out) // a client that is gone needs no response
	if x.Close {
		c.End(loop.ReasonDone)
	} else {
		c.Release()
	}
}

// putExchange gives e back, with nothing in it that it could keep alive.
func (s *Server) putExchange(e *exchange) {
	e.x = mcp.Exchange{}
	s.exchanges.Put(e)
}
