package server

import (
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// Work implements loop.Protocol.
func (p *web) Work(j *loop.Job) {
	p.s.metrics.responses.Inc()
	kind := recordKind(j.Record[0])
	switch kind {
	case recordReply, recordLast:
		j.Out = append(j.Out, j.Record[1:]...)
		if kind == recordLast {
			j.End, j.Reason = true, loop.ReasonDone
		}
		return
	}
	w := p.s.startWork(j)
	defer p.s.stopWork(w)
	p.s.metrics.queueWait.observe(j.Wait)
	e := p.s.exchanges.Get().(*exchange)
	defer func() {
		e.x = mcp.Exchange{}
		p.s.exchanges.Put(e)
	}()
	p.load(e, w, j)
	x := &e.x
	if p.s.late(j.Wait) {
		p.s.metrics.shedDeadline.Inc()
		x.Out = p.overloaded(x.Out, x)
	} else {
		p.s.timeMCP(w, func() { p.s.mcp.ServeHTTP(x) })
	}
	w.out = x.Out
	if x.Close || closes(&e.req) {
		j.End, j.Reason = true, loop.ReasonDone
	}
}

// load makes of a record what Step had.
func (p *web) load(e *exchange, w *worker, j *loop.Job) {
	var spans webSpans
	e.x = mcp.Exchange{Stream: mcp.StreamID(j.Conn.Handle()), Req: &e.req, Out: w.out, Worker: w}
	e.x.Msg = loadPlain(&spans, j.Record[1:])
	e.req, e.x.Env = spans.req, spans.env
}
