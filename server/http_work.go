package server

import (
	"encoding/binary"

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
	record, sent := j.Record, uint64(0)
	if recordKind(record[0]) == recordSent {
		sent = binary.LittleEndian.Uint64(record[1:])
		record = record[1+8:]
	}
	x := e.load(mcp.StreamID(j.Conn.Handle()), record)
	x.Out, x.Worker = w.out, w
	switch {
	case sent == 0 && p.s.late(j.Wait):
		p.s.metrics.shedDeadline.Inc()
		x.Out = p.overloaded(x.Out, x)
	case p.s.cluster == nil || p.forwarded(j, x, sent):
		p.s.timeMCP(p.s.metrics.mcpWorker, func() { p.s.mcp.ServeHTTP(x) })
	}
	w.out = x.Out
	if x.Close || closes(x.Req) {
		j.End, j.Reason = true, loop.ReasonDone
	}
}

// forwarded brings a request to its session if that is elsewhere, and writes its
// response, or waits for that of one that was sent ahead. It reports true if the
// request is to be served here.
func (p *web) forwarded(j *loop.Job, x *mcp.Exchange, sent uint64) (here bool) {
	c := p.s.cluster
	var o outcome
	if sent != 0 {
		o = c.takeTurn(j, sent)
	} else if id, away := c.elsewhere(x); away {
		o = c.forwardAndWait(j, id, x)
	} else {
		return true
	}
	switch o.kind {
	case outcomeHere:
		return true
	case outcomeRefused:
		p.s.mcp.Plan(x) // for the id
		x.Out = p.refused(x.Out, x, o.why)
	case outcomeClose, outcomeGone:
		x.Close = true
	}
	return false
}

// open serves a request that was kept because it may open a stream. Everything
// ahead of it has been written, and the connection is on Hold.
func (p *web) open(c loop.Conn, record []byte) {
	if p.s.cluster == nil || !p.forwardKept(c, record) {
		p.openHere(c, record)
	}
}

// forwardKept forwards a request whose session is elsewhere, and reports whether
// it is.
func (p *web) forwardKept(c loop.Conn, record []byte) bool {
	e := p.s.exchanges.Get().(*exchange)
	defer p.s.putExchange(e)
	x := e.load(mcp.StreamID(c.Handle()), record)
	id, away := p.s.cluster.elsewhere(x)
	if away && p.ahead.opened(c.Handle(), 0) { // else it has closed
		p.s.cluster.forwardGet(c, id, x)
	}
	return away
}

// openHere is open for a session at home here.
func (p *web) openHere(c loop.Conn, record []byte) {
	e := p.s.exchanges.Get().(*exchange)
	defer p.s.putExchange(e)
	x := e.load(mcp.StreamID(c.Handle()), record)
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
