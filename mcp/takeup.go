package mcp

import (
	"context"
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// This file is the extension rookery/resume: a session over TCP that outlives
// its connection. A client asks for it in the _meta of initialize; what it is
// sent outside of calls has a number, and a later connection takes the session
// up again behind the last number the client saw. See docs/resume-tcp.md.

const (
	metaResume  = "rookery/resume"
	metaEventID = "rookery/eventId"

	// tcpStream is the number of the one stream such a session has.
	tcpStream = 1
)

var (
	errBadResume  = refuse(codec.CodeInvalidParams, metaResume+` must be {} or have "sessionId", 32 hex digits, and "lastEventId" as in `+metaEventID)
	errEndedThere = refuse(CodeSessionNotFound, "no such session, or one that cannot be taken up: begin a new one")
)

// resumption is what a client asks for.
type resumption struct {
	wanted bool
	id     []byte // raw JSON, nil: a new session
	last   []byte // likewise, the last event's id
}

// resumption reads it from the _meta of initialize.
func (c *Call) resumption(meta []byte) (r resumption, err error) {
	raw := member(meta, metaResume)
	if raw == nil || c.sink.tcp == nil || c.s.o.Events == nil {
		return r, nil
	}
	if !isObject(raw) {
		return r, errBadResume
	}
	r.wanted = true
	r.id, r.last, _, _ = pick(raw, "sessionId", "lastEventId", "\x00", "\x00")
	return r, nil
}

// Fetches reports whether a request over TCP may block although Knows calls it
// inline: it takes up a session that may have to be fetched (Options.Fetch), or
// begins one of which copies are made (Options.Copied). Served without a Worker
// the first is refused unless the session is here, and the second does not wait.
func (s *Server) Fetches(method, params []byte) bool {
	if s.o.Fetch == nil && s.o.Copied == nil || string(method) != "initialize" {
		return false
	}
	resume := member(member(params, "_meta"), metaResume)
	return resume != nil && (s.o.Copied != nil || member(resume, "sessionId") != nil)
}

// takeUp makes an earlier session that of the call. What it agreed on then
// stays. The connection becomes the session's with the reply, see attachTCP.
func (c *Call) takeUp(ctx context.Context, r resumption) error {
	hex, _ := text(r.id)
	id, ok := parseSessionID(hex)
	if !ok {
		return errBadResume
	}
	after, fork := uint32(0), uint32(0) // no event seen: all are missed
	if r.last != nil {
		var stream uint32
		word, _ := text(r.last)
		if stream, after, fork, ok = parseEventID(word); !ok || stream != tcpStream {
			return errBadResume
		}
	}
	ref, sess, e := c.s.fetch(ctx, id, c.sink.worker != nil)
	if e != nil {
		return e
	}
	if sess.Flags&kindFlags != kindFlags {
		c.s.count.sessionsUnknown.Add(1)
		return errEndedThere
	}
	c.s.o.Sessions.Touch(ref)
	c.of(ref, sess)
	c.sink.tcp.taken, c.sink.tcp.after, c.sink.tcp.fork = true, after, fork
	return nil
}

// fetch finds a session or, if it may block, brings it here.
func (s *Server) fetch(ctx context.Context, id [16]byte, mayBlock bool) (ref uint64, sess Session, e *codec.Error) {
	ref, sess, known := s.find(id)
	if known && sess.Home == 0 {
		return ref, sess, nil
	}
	if s.o.Fetch != nil && mayBlock {
		var err error
		if ref, err = s.o.Fetch(ctx, id); err != nil {
			if errors.As(err, &e) {
				return 0, sess, e
			}
			return 0, sess, errElsewhere
		}
		if sess, known = s.o.Sessions.Load(ref); known && sess.Home == 0 {
			return ref, sess, nil
		}
	}
	if known || s.o.Fetch != nil && !mayBlock {
		return 0, sess, errElsewhere
	}
	s.count.sessionsUnknown.Add(1)
	return 0, sess, errEndedThere
}

// find looks a session up.
func (s *Server) find(id [16]byte) (ref uint64, sess Session, ok bool) {
	if ref, ok = s.o.Sessions.Find(id); ok {
		sess, ok = s.o.Sessions.Load(ref)
	}
	return ref, sess, ok
}

// attachTCP makes the connection that of the session it takes up: the reply,
// then what was missed, then what follows. An earlier connection ends, with its
// calls.
func (s *Server) attachTCP(x *RPC, c *Call) {
	before, e := s.replaceTCP(x, c)
	switch {
	case e != nil:
		x.Session = 0
		x.Out = append(codec.AppendError(x.Out, c.id, e), '\n')
	case before != 0:
		s.o.Calls.CancelScope(sessionScope(c.session), ErrClientGone)
	}
}

func (s *Server) replaceTCP(x *RPC, c *Call) (before StreamID, e *codec.Error) {
	delivery := s.delivery(c.session)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(c.session)
	if !ok {
		return 0, errEndedThere
	}
	if sess.Home != 0 {
		return 0, errElsewhere
	}
	if s.outrun(&sess, x.after) || s.ahead(c.session, &sess, x.after) {
		return 0, errElsewhere
	}
	s.settle(c.session, &sess, x.after, x.fork)
	mark := len(x.Out)
	x.Out = append(append(x.Out, c.reply.b...), '\n')
	covered := s.catchUp(c.session, &sess, tcpStream, x.after, x.fork)
	s.heard(&sess, x.after)
	events, forks := uint64(0), s.numbering(sess.Log, x.after, x.fork)
	covered = covered && s.o.Events.Since(sess.Log, tcpStream, x.after, func(seq uint32, msg []byte) {
		x.Out = appendStamped(x.Out, msg, tcpStream, seq, forks.next(seq))
		events++
	})
	if !covered || !s.o.Sessions.Update(c.session, func(now *Session) { now.Stream = x.Stream }) {
		x.Out = x.Out[:mark]
		s.count.resumesRefused.Add(1)
		return 0, errNotCovered
	}
	s.came(c.session, &sess, x.after)
	s.count.replayed.Add(events)
	s.count.streamsResumed.Add(1)
	if sess.Stream != 0 { // its client lost it without our knowing
		s.count.streamsReplaced.Add(1)
		s.o.Host.End(sess.Stream)
	}
	if x.flush(s.o.Host) != nil {
		s.o.Sessions.Update(c.session, func(now *Session) { now.Stream = 0 })
	}
	return sess.Stream, nil
}

// detach leaves a session whose connection is gone to its client, which may come
// back, and ends its calls. One that has another connection already goes on.
func (s *Server) detach(ref uint64, st StreamID) {
	delivery := s.delivery(ref)
	delivery.Lock()
	latest := false
	s.o.Sessions.Update(ref, func(now *Session) {
		if latest = now.Stream == st; latest {
			now.Stream = 0
		}
	})
	delivery.Unlock()
	if latest {
		s.o.Calls.CancelScope(sessionScope(ref), ErrClientGone)
	}
}

// appendStamped appends a notification as a line, its event id in params._meta.
// msg is one of codec.AppendNotification: params come last.
func appendStamped(dst, msg []byte, stream, seq, fork uint32) []byte {
	params := member(msg, "params")
	if params == nil {
		dst = append(append(dst, msg[:len(msg)-1]...), `,"params":{"_meta":{`...)
		return append(appendEventStamp(dst, stream, seq, fork), "}}}\n"...)
	}
	at, open, closing := len(msg)-len(params), `"_meta":{`, "}" // behind the brace of params
	for o := members(params); ; {
		key, val, ok := o.next()
		if !ok {
			break
		}
		if string(key) == "_meta" && isObject(val) {
			at, open, closing = at+o.i-len(val), "", ""
			break
		}
	}
	dst = append(append(dst, msg[:at]...), open...)
	dst = append(appendEventStamp(dst, stream, seq, fork), closing...)
	if msg[skipSpace(msg, at)] != '}' {
		dst = append(dst, ',')
	}
	return append(append(dst, msg[at:]...), '\n')
}

func appendEventStamp(dst []byte, stream, seq, fork uint32) []byte {
	dst = append(dst, `"`+metaEventID+`":"`...)
	return append(appendEventID(dst, stream, seq, fork), '"')
}
