package server

import (
	"bytes"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
)

// Work implements loop.Protocol.
func (p *lines) Work(j *loop.Job) {
	w := p.s.startWork(j)
	defer func() {
		p.s.metrics.replies.Add(bytes.Count(w.out, newline))
		p.s.stopWork(w)
	}()
	p.s.metrics.queueWait.observe(j.Wait)
	if p.s.late(j.Wait) {
		p.shed(w, j.Record)
		return
	}
	kind := recordKind(j.Record[0])
	if kind == recordBatch {
		b := batch{p: p, conn: j.Conn, w: w, out: &w.out}
		b.run(j.Record[1:])
		return
	}
	var env codec.Envelope
	if kind == recordMCP {
		msg := loadPlain(&env, j.Record[1:])
		w.out = p.serveMCP(j.Conn, w, w.out, msg, &env)
		return
	}
	index, msg := loadCallRecord(j.Record, &env)
	p.s.run(p.s.methods.at(index), p.s.call(j.Conn, w, &w.out, requestID(msg, &env), env.Params.Of(msg)))
}

// shed answers what waited too long for a worker. Notifications have no answer.
func (p *lines) shed(w *worker, rec []byte) {
	p.s.metrics.shedDeadline.Inc()
	var env codec.Envelope
	switch recordKind(rec[0]) {
	case recordCall:
		_, msg := loadCallRecord(rec, &env)
		w.out = appendShed(w.out, msg, &env)
	case recordMCP:
		msg := loadPlain(&env, rec[1:])
		w.out = appendShed(w.out, msg, &env)
	case recordBatch:
		b := batch{p: p, conn: w.job.Conn, w: w, out: &w.out}
		b.shed(rec[1:])
	}
}

func appendShed(out, msg []byte, env *codec.Envelope) []byte {
	if env.Kind != codec.KindRequest {
		return out
	}
	return appendErrorLine(out, env.ID.Of(msg), errOverloaded)
}
