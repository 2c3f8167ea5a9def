package server

import (
	"bytes"
	"strconv"
	"sync"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// This file is the side of a forwarded request that has the connection. A
// request whose session is not at home here goes to the core, which finds the
// home, and its response comes back as bytes (replica.go calls deliver).
//
// A POST or DELETE waits on a worker that has left the count of those that run,
// as a handler does that waits for its client: responses leave in turn, a
// shutdown lets it finish, and answers on the same connection are looked at
// meanwhile. A GET is put on Hold by the loop, because its response stays open.

// forward is one exchange on its way to another peer. The core knows it by its
// token, which is never used again: what comes late for one exchange cannot
// reach the next on the same connection.
type forward struct {
	token  uint64    // immutable
	conn   loop.Conn // immutable
	plain  bool      // immutable; streams are not chunked (HTTP/1.0)
	record []byte    // immutable; GET: the request, in case it is to be served here

	// done tells the worker that waits how the exchange ended; nil for GET.
	done chan outcome

	mu        sync.Mutex
	waiting   bool   // POST: it is not the response's turn; bytes gather in early
	early     []byte // see waiting
	begun     bool   // bytes of the response were written
	cut       bool   // they end in the middle of a write of the home's
	streaming bool   // the response stays open
	closed    bool   // the exchange is over
}

// outcome says how an exchange that was forwarded ended.
type outcome struct {
	kind outcomeKind
	why  cluster.Refusal // with outcomeRefused
}

type outcomeKind uint8

const (
	outcomeLast    outcomeKind = iota + 1 // the response is complete
	outcomeClose                          // the connection is to be closed behind it
	outcomeRefused                        // it did not reach its session, or not for long
	outcomeHere                           // the session's home is here
	outcomeGone                           // nobody waits for the response
)

// earlyMax bounds the bytes of a response that cannot be written yet: it is
// that of an answer or a notification, which is a status line.
const earlyMax = 64 << 10

// elsewhere returns the session that a request names, and true if this peer is
// not its home: another is, or it is not known here at all.
func (c *clustering) elsewhere(x *mcp.Exchange) (id session.ID, away bool) {
	switch r := x.Req; {
	case r.SessionID.Off == 0, r.Method != codec.MethodPost && r.Method != codec.MethodGet && r.Method != codec.MethodDelete,
		withoutSessions(r.ProtocolVersion.Of(x.Msg)):
		return id, false
	}
	id, ok := session.ParseID(x.Req.SessionID.Of(x.Msg))
	if !ok {
		return id, false // no peer has it
	}
	ref, ok := c.s.metrics.lookups.find(c.s.sessions, id)
	if !ok {
		return id, true
	}
	rec, ok := c.s.sessions.Load(ref)
	return id, !ok || rec.Home != 0
}

// withoutSessions reports whether a version of the protocol, known or not,
// belongs to the era without sessions. Versions are dates and compare as strings.
func withoutSessions(version []byte) bool { return string(version) >= mcp.Revision20260728.String() }

// route hands an exchange to the core. The response may have come when it
// returns.
func (c *clustering) route(f *forward, id session.ID, x *mcp.Exchange) {
	c.count.forwarded.Inc()
	b := c.s.buffers.Get().(*buffer)
	defer c.s.putBuffer(b)
	msg := x.Msg
	if x.Req.Flags&codec.FlagChunked != 0 {
		b.b = appendWhole(b.b, x)
		msg = b.b
	}
	c.core.Route(f.token, id, msg, x.Req.Method == codec.MethodGet)
}

// appendWhole appends a request whose body came in chunks, and has been put
// together, as one with a length.
func appendWhole(dst []byte, x *mcp.Exchange) []byte {
	r := x.Req
	dst = append(dst, x.Msg[:int(r.Target.Off+r.Target.Len)+len(" HTTP/1.1\r\n")]...)
	r.EachHeader(x.Msg, func(name, value []byte) bool {
		switch {
		case bytes.EqualFold(name, []byte("Transfer-Encoding")), bytes.EqualFold(name, []byte("Trailer")):
		default:
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
		return true
	})
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendUint(dst, uint64(r.Body.Len), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, r.Body.Of(x.Msg)...)
}

// forwardGet forwards a request for a stream whose connection is, or is about
// to be, on Hold.
func (c *clustering) forwardGet(conn loop.Conn, id session.ID, x *mcp.Exchange) {
	f := &forward{conn: conn, plain: x.Req.Flags&codec.FlagHTTP10 != 0, record: appendWebRecord(nil, x)}
	c.forwards.add(f)
	if !conn.SetWord(wordForward) {
		c.forwards.remove(f) // closed has been called, or finds nothing
		return
	}
	c.route(f, id, x)
}

// forwardEarly forwards what unblocks others before it is its turn to respond.
// It returns the token for the record.
func (c *clustering) forwardEarly(conn loop.Conn, id session.ID, x *mcp.Exchange) uint64 {
	f := &forward{conn: conn, done: make(chan outcome, 1), waiting: true}
	c.forwards.add(f)
	c.route(f, id, x)
	return f.token
}

// forwardAndWait forwards a request from a worker and returns when the response
// has been written.
func (c *clustering) forwardAndWait(j *loop.Job, id session.ID, x *mcp.Exchange) outcome {
	if j.Leave(false) != nil {
		c.count.refused[cluster.RefusedBusy].Inc()
		return outcome{outcomeRefused, cluster.RefusedBusy}
	}
	defer j.Return()
	f := &forward{conn: j.Conn, done: make(chan outcome, 1)}
	c.forwards.add(f)
	if !isOpen(j.Conn) { // see add
		c.forwards.remove(f)
		return outcome{kind: outcomeGone}
	}
	c.route(f, id, x)
	return c.await(f)
}

// takeTurn writes the response of an exchange that was forwarded early, now that
// it is its turn, and returns when it is complete.
func (c *clustering) takeTurn(j *loop.Job, token uint64) outcome {
	f := c.forwards.get(token)
	if f == nil {
		return outcome{kind: outcomeGone} // with its connection
	}
	if j.Leave(false) != nil {
		c.abandon(f)
		return outcome{outcomeRefused, cluster.RefusedBusy}
	}
	defer j.Return()
	f.turn()
	return c.await(f)
}

// await returns how an exchange ended, once it has or the server stops.
func (c *clustering) await(f *forward) outcome {
	defer c.forwards.remove(f)
	select {
	case o := <-f.done:
		return o
	case <-c.s.base.Done():
		c.abandon(f)
		return outcome{kind: outcomeGone}
	}
}

// abandon ends an exchange for which nobody waits any more.
func (c *clustering) abandon(f *forward) {
	f.mu.Lock()
	was := f.closed
	f.closed = true
	f.mu.Unlock()
	c.forwards.remove(f)
	if !was {
		c.core.ConnGone(f.token)
		f.finish(outcome{kind: outcomeGone})
	}
}

// isOpen reports whether bytes can be written to a connection.
func isOpen(c loop.Conn) bool { return c.Write(nil) == nil }

// finish wakes the worker that waits, if one does.
func (f *forward) finish(o outcome) {
	if f.done != nil {
		f.done <- o // capacity 1, and only who sets closed comes here
	}
}

// turn begins to write the response of an exchange that was forwarded early.
func (f *forward) turn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = false
	if len(f.early) > 0 {
		f.begun = true
		_ = f.conn.Write(f.early) // who is gone is told to the core by Closed
		f.early = nil
	}
}

// deliver writes bytes of a response. Those of an exchange that is over are
// dropped.
func (c *clustering) deliver(token uint64, flags cluster.ReplyFlags, p []byte) {
	f := c.forwards.get(token)
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	flags |= f.take(p, flags)
	f.closed = flags&(cluster.ReplyLast|cluster.ReplyClose) != 0
	over := f.closed
	f.mu.Unlock()
	if over {
		c.over(f, flags)
	}
}

// take writes p, and returns ReplyClose if that cannot go on. mu is held.
func (f *forward) take(p []byte, flags cluster.ReplyFlags) cluster.ReplyFlags {
	f.cut = flags&cluster.ReplyPart != 0
	f.streaming = f.streaming || flags&cluster.ReplyHold != 0
	switch {
	case len(p) == 0:
	case !f.waiting:
		f.begun = true
		_ = f.conn.Write(p) // who is gone, or too slow, is told to the core by Closed
	case len(f.early)+len(p) > earlyMax:
		return cluster.ReplyClose
	default:
		f.early = append(f.early, p...)
	}
	return 0
}

// settled forgets a GET that is over. Others are forgotten by the worker that
// waits for them, which may not have come to them yet.
func (c *clustering) settled(f *forward) {
	if f.done == nil {
		c.forwards.remove(f)
	}
}

// over ends an exchange whose response is complete, or cut off.
func (c *clustering) over(f *forward, flags cluster.ReplyFlags) {
	c.settled(f)
	last := flags&cluster.ReplyLast != 0
	if !last {
		c.core.ConnGone(f.token)
	}
	ends := flags&cluster.ReplyClose != 0
	switch {
	case f.done != nil && ends:
		f.finish(outcome{kind: outcomeClose})
	case f.done != nil:
		f.finish(outcome{kind: outcomeLast})
	case ends:
		f.conn.End(loop.ReasonDone)
	default:
		f.conn.SetWord(0)
		f.conn.Release()
	}
}

// refuse answers an exchange that did not reach its session, or ends one whose
// home was lost: its client tries again, or takes its stream up elsewhere. It
// reports whether the exchange was still under way.
func (c *clustering) refuse(token uint64, why cluster.Refusal) bool {
	f := c.forwards.get(token)
	if f == nil {
		return false
	}
	if why == cluster.RefusedUnknown && !c.joined() {
		why = cluster.RefusedUnavailable // those who may know it are not found yet
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	f.closed = true
	begun := f.begun
	if f.streaming && !f.cut {
		_ = f.conn.Write(f.appendEnd(nil, lostRetry)) // gone already: just as well
	}
	f.mu.Unlock()
	c.settled(f)
	if int(why) < len(c.count.refused) {
		c.count.refused[why].Inc()
	}
	unknown := why == cluster.RefusedUnknown // to say that is mcp's
	switch {
	case begun && f.done != nil:
		f.finish(outcome{kind: outcomeClose})
	case begun:
		f.conn.End(loop.ReasonDone)
	case f.done != nil && unknown:
		f.finish(outcome{kind: outcomeHere})
	case f.done != nil:
		f.finish(outcome{outcomeRefused, why})
	case unknown:
		c.serveGet(f)
	default:
		c.refuseGet(f, why)
	}
	return true
}

// refuseGet responds to a GET that was not served.
func (c *clustering) refuseGet(f *forward, why cluster.Refusal) {
	e := c.s.exchanges.Get().(*exchange)
	defer c.s.putExchange(e)
	x := e.load(mcp.StreamID(f.conn.Handle()), f.record)
	c.s.metrics.responses.Inc()
	_ = f.conn.Write(c.web.refused(nil, x, why)) // a client that is gone needs none
	if closes(x.Req) {
		f.conn.End(loop.ReasonDone)
		return
	}
	f.conn.SetWord(0)
	f.conn.Release()
}

// here serves an exchange whose session has come home to this peer.
func (c *clustering) here(token uint64) {
	f := c.forwards.get(token)
	if f == nil {
		return
	}
	f.mu.Lock()
	was := f.closed
	f.closed = true
	f.mu.Unlock()
	if was {
		return
	}
	c.settled(f)
	if f.done != nil {
		f.finish(outcome{kind: outcomeHere})
		return
	}
	c.serveGet(f)
}

// serveGet opens the stream of a GET here that was forwarded.
func (c *clustering) serveGet(f *forward) {
	if c.web.ahead.reserve(f.conn) { // else it has closed
		f.conn.SetWord(0)
		c.web.openHere(f.conn, f.record)
	}
}

// closed ends the exchanges of a connection that has closed.
func (c *clustering) closed(h ConnID) {
	for _, f := range c.forwards.of(h) {
		c.abandon(f)
	}
}
