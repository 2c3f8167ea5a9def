package mcp

import (
	"bytes"
	"context"

	"github.com/rookery-server/rookery/codec"
)

// This file opens streams of subscriptions/listen with a Backend. Whether a
// client may hear of a resource is decided by user code, which may block, and a
// stream is opened by an event loop, which must not. So the loop sends the head
// of the response, and a goroutine of the Backend's the acknowledgement, when
// it has the Backend's leave. Until then the stream hears nothing.

// serveBackedListen is serveListen with what the Backend offers.
func serveBackedListen(_ context.Context, c *Call) error {
	o := c.s.o.Backend.Offer()
	var offered listKind
	for kind, has := range map[listKind]bool{toolList: o.Tools, promptList: o.Prompts, resourceList: o.Resources} {
		if has {
			offered |= kind
		}
	}
	return c.readFilter(offered, o.Subscribe)
}

// listenLater opens the stream and leaves its acknowledgement to the Backend.
func (s *Server) listenLater(x *Exchange, c *Call, flags uint8) {
	opened := make(chan owner, 1)
	later := c.detached(x)
	if !s.o.Backend.Go(func(ctx context.Context) {
		if ref := <-opened; ref != 0 {
			s.acknowledge(ctx, later, ref, flags)
		}
	}) {
		x.refuse(503, c.id, refuse(codec.CodeOverloaded, "too many streams are being opened"))
		return
	}
	x.appendHeldHead()
	ref, ok := s.openListen(x.Stream, c, flags|flagPending, 0, func() error { return x.flush(s.o.Host) })
	opened <- ref
	if !ok {
		x.Close = true
		return
	}
	x.Hold, x.Word = true, ref
}

// detached returns a copy of the call that outlives the request's memory and
// cannot send.
func (c *Call) detached(x *Exchange) *Call {
	req, msg := *x.Req, bytes.Clone(x.Msg)
	return &Call{
		s: c.s, m: c.m, id: bytes.Clone(c.id), params: bytes.Clone(c.params), info: bytes.Clone(c.info),
		stream: c.stream, rev: c.rev, caps: c.caps, level: c.level, listen: c.listen, over: true,
		sink: sink{http: &Exchange{Stream: x.Stream, Req: &req, Msg: msg}},
	}
}

// acknowledge asks the Backend for leave and starts the stream, or ends it with
// the Backend's error.
func (s *Server) acknowledge(ctx context.Context, c *Call, ref owner, flags uint8) {
	for _, uri := range c.listen.uris {
		err := s.o.Backend.Permit(ctx, c, uri)
		if err == nil {
			err = s.o.Backend.Watch(ctx, uri)
		}
		if err != nil {
			s.refuseListen(c, ref, flags, wireError(err))
			return
		}
	}
	opening := s.openingLock(c.stream)
	opening.Lock()
	defer opening.Unlock()
	if !s.subs.starting(ref) {
		return // closed meanwhile
	}
	s.countSent(s.o.Host.Send(c.stream, appendEvent(nil, flags&flagPlain == 0, c.appendAcknowledgement(nil))))
	s.subs.opened(ref)
}

// refuseListen ends a stream that was never acknowledged.
func (s *Server) refuseListen(c *Call, ref owner, flags uint8, e *codec.Error) {
	if _, ok := s.subs.unlisten(ref); !ok {
		return // closed meanwhile, and its connection may be another's
	}
	s.countSent(s.o.Host.Send(c.stream, appendEvent(nil, flags&flagPlain == 0, codec.AppendError(nil, c.id, e))))
	s.endStream(c.stream, flags)
}

// starting turns a pending stream into one that is being opened, and reports
// whether it is still there.
func (t *subscriptions) starting(ref owner) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, _ := t.lookup(ref)
	if l != nil {
		l.flags = l.flags&^flagPending | flagOpening
	}
	return l != nil
}
