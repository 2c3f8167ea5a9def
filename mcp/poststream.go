package mcp

import (
	"sync"
	"time"
)

// This file makes the streams that answer POST requests of a session outlive
// their connection (2025-11-25, transports): what a call sends is numbered and
// kept, and the client takes the stream up again with a GET.

// postStream is the stream of one call, from its first message to its reply.
type postStream struct {
	s      *Server // immutable
	ref    uint64  // immutable
	stream uint32  // immutable
	// cut says that the response to the POST takes nothing more: its client is
	// gone, was sent away, or has come back on another connection. Guarded by
	// the session's delivery lock.
	cut bool
}

// posts finds the streams of running calls. The zero value is ready for use.
type posts struct {
	mu sync.Mutex
	m  map[postKey]*postStream // guarded by mu
}

type postKey struct {
	ref    uint64
	stream uint32
}

func (t *posts) add(p *postStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[postKey]*postStream)
	}
	t.m[postKey{p.ref, p.stream}] = p
}

func (t *posts) find(ref uint64, stream uint32) *postStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[postKey{ref, stream}]
}

func (t *posts) remove(p *postStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, postKey{p.ref, p.stream})
}

// openPost begins the stream of a call, nil if it cannot be taken up again: the
// client has no session or it has ended or moved, or nothing is kept.
func (s *Server) openPost(ref uint64) *postStream {
	if ref == 0 || s.o.Events == nil {
		return nil
	}
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Home != 0 {
		return nil
	}
	seq := s.draw(ref, &sess)
	if seq == 0 {
		return nil
	}
	p := &postStream{s: s, ref: ref, stream: postBit | seq}
	s.posts.add(p)
	return p
}

// number returns the number that the stream itself took, behind which its
// events stand.
func (p *postStream) number() uint32 { return p.stream &^ postBit }

// emit notes msg and sends it: into the response of the exchange, to the
// connection on which the client took the stream up again, or to nobody yet.
// The error says that it is lost.
func (p *postStream) emit(k *sink, msg []byte) error {
	delivery := p.s.delivery(p.ref)
	delivery.Lock()
	defer delivery.Unlock()
	seq, kept := p.note(msg)
	if p.cut {
		if h, ok := p.taker(); ok {
			err := p.s.o.Host.Send(h.st, p.frame(h.flags, seq, msg))
			kept = kept || err == nil
		}
		if !kept {
			return ErrNoStream
		}
		return nil
	}
	x := k.http
	x.Out = p.append(x.Out, !x.plain(), seq, msg)
	err := k.flush(&x.Out)
	if err != nil {
		p.cutOff(x)
		if kept {
			return nil
		}
	}
	return err
}

// note puts msg into the session's log. seq is 0 if the session has ended or
// moved; kept says that a client that comes back will get it.
func (p *postStream) note(msg []byte) (seq uint32, kept bool) {
	sess, ok := p.s.o.Sessions.Load(p.ref)
	if !ok || sess.Home != 0 {
		return 0, false
	}
	body := p.s.o.Events.Keep(msg)
	defer p.s.o.Events.Release(body)
	return p.s.note(p.ref, &sess, p.stream, body), body != 0
}

// taker returns the connection on which the client took the stream up again.
func (p *postStream) taker() (held, bool) {
	return p.s.held.find(p.ref, numbered(p.stream))
}

func (p *postStream) append(dst []byte, chunked bool, seq uint32, msg []byte) []byte {
	if seq == 0 {
		return appendEvent(dst, chunked, msg)
	}
	return appendNumbered(dst, chunked, p.stream, seq, 0, msg)
}

func (p *postStream) frame(flags uint8, seq uint32, msg []byte) []byte {
	return p.append(nil, flags&flagPlain == 0, seq, msg)
}

// cutOff ends what goes into the exchange's response. The connection closes
// with the exchange: the body has no proper end.
func (p *postStream) cutOff(x *Exchange) {
	p.cut = true
	x.Out, x.Close = x.Out[:0], true
}

// finish sends the reply of the call and ends the stream.
func (p *postStream) finish(x *Exchange, reply []byte) {
	delivery := p.s.delivery(p.ref)
	delivery.Lock()
	defer delivery.Unlock()
	defer p.s.posts.remove(p)
	seq, kept := p.note(reply)
	if !p.cut {
		x.Out = p.append(x.Out, !x.plain(), seq, reply)
		x.Out = appendEnd(x.Out, !x.plain())
		return
	}
	p.cutOff(x)
	if h, ok := p.s.letGo(p.ref, numbered(p.stream)); ok {
		err := p.s.o.Host.Send(h.st, p.frame(h.flags, seq, reply))
		kept = kept || err == nil
		p.s.endStream(h.st, h.flags)
	}
	if !kept {
		p.s.count.sendFailed.Add(1)
	}
}

// CloseStream ends the stream that answers this call's request and tells the
// client to come back for the rest after about retry: a call that takes long
// need not keep a connection open (2025-11-25, SEP-1699). The handler goes on;
// what it sends, and its result, are kept for the client. It is an error where
// a client could not come back: over TCP, for a revision before 2025-11-25 or
// without sessions, on the loop, and when the server keeps no events.
func (c *Call) CloseStream(retry time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return ErrCallOver
	}
	if c.moved() {
		return ErrMoved
	}
	k := &c.sink
	if k.http == nil || k.worker == nil || !k.canStream || !primes(c.rev) || c.rev.modern() {
		return ErrCannotResume
	}
	if !k.streaming {
		k.begin(c)
	}
	if k.post == nil {
		return ErrCannotResume
	}
	return k.post.sendAway(k, retry)
}

// sendAway ends the response that the client reads now.
func (p *postStream) sendAway(k *sink, retry time.Duration) error {
	delivery := p.s.delivery(p.ref)
	delivery.Lock()
	defer delivery.Unlock()
	if p.cut {
		if h, ok := p.s.letGo(p.ref, numbered(p.stream)); ok {
			_ = p.s.o.Host.Send(h.st, appendRetry(nil, h.flags&flagPlain == 0, retry)) // gone already: just as well
			p.s.endStream(h.st, h.flags)
		}
		return nil
	}
	x := k.http
	x.Out = appendEnd(appendRetry(x.Out, !x.plain(), retry), !x.plain())
	err := k.flush(&x.Out)
	p.cutOff(x)
	// The next request on this connection would wait for the handler.
	p.s.o.Host.End(x.Stream)
	if err != nil {
		p.s.count.sendFailed.Add(1)
	}
	return nil
}
