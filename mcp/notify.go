package mcp

import (
	"context"
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// This file is how an app tells its clients something outside of calls.
//
// What has a key may be published again under the same key, from another process
// too, after an error for instance: a session that has the event in its log, or
// whose log still remembers it, does not get a second one. Streams of 2026-07-28
// and TCP sessions without a log do.

// ResourceUpdated tells those who subscribed to uri, of both eras and on all
// servers of the cluster, that it changed, and returns to how many clients the
// message went or for how many it is kept. It may be called from any goroutine
// and yields the processor now and then; it takes a few microseconds a client,
// so do not call it from an Inline handler, which would keep its event loop
// that long.
// No lock is held while it writes; a slow or closed client costs the others
// nothing. A session whose stream broke finds the message in its event log; one
// that never had a stream hears nothing.
//
// In a cluster in acked mode it waits until copies hold the events, and does not
// say if they do not; ResourceUpdatedKey does.
func (s *Server) ResourceUpdated(uri string) (delivered int) {
	delivered, _ = s.ResourceUpdatedKey(s.o.Context, "", uri) // says nothing of what it could not do
	return delivered
}

// ResourceUpdatedKey is ResourceUpdated with an idempotency key, "" for none. In
// a cluster in acked mode it returns when the copies of all events are held or
// ctx is done; the error is ErrNotHeld then.
func (s *Server) ResourceUpdatedKey(ctx context.Context, key, uri string) (delivered int, err error) {
	params := append(codec.AppendString([]byte(`{"uri":`), uri), '}')
	return s.send(ctx, &Publication{Audience: ToSubscribers, Topic: uri, Method: "notifications/resources/updated", Params: params, Key: key})
}

// Publish sends a notification of another method to those who subscribed to
// uri, as ResourceUpdated does. params is encoded as JSON and must become an
// object without _meta, which belongs to the protocol, or null. Clients ignore
// methods they do not know.
func (s *Server) Publish(uri, method string, params any) (delivered int, err error) {
	return s.PublishKey(s.o.Context, "", uri, method, params)
}

// PublishKey is Publish with an idempotency key and a context, as
// ResourceUpdatedKey has them.
func (s *Server) PublishKey(ctx context.Context, key, uri, method string, params any) (delivered int, err error) {
	raw, err := paramsObject(params)
	if err != nil {
		return 0, err
	}
	if member(raw, "_meta") != nil {
		return 0, errors.New("mcp: params of a publication must not have _meta")
	}
	return s.send(ctx, &Publication{Audience: ToSubscribers, Topic: uri, Method: method, Params: raw, Key: key})
}

// Broadcast sends a log message to every session that lets its level through:
// on the TCP connection or the latest GET stream of each, or kept for a client
// whose stream broke; one that never had a stream hears nothing, nor do clients
// of 2026-07-28, whose streams carry only what they asked for. data is encoded
// as JSON, logger may be "". key, ctx and what is returned are as with
// ResourceUpdatedKey.
func (s *Server) Broadcast(ctx context.Context, key string, level Level, logger string, data any) (delivered int, err error) {
	if level.String() == "" {
		return 0, errors.New("mcp: a log message needs a level")
	}
	params, err := appendLogMessage(nil, level, logger, data)
	if err != nil {
		return 0, err
	}
	return s.send(ctx, &Publication{Audience: ToSessions, Level: level, Method: "notifications/message", Params: params, Key: key})
}

// appendLogMessage appends the params of notifications/message.
func appendLogMessage(dst []byte, l Level, logger string, data any) ([]byte, error) {
	dst = append(append(append(dst, `{"level":"`...), l.String()...), '"')
	dst = appendStringMember(dst, "logger", logger)
	dst, err := codec.AppendJSON(appendKey(dst, "data"), data)
	return append(dst, '}'), err
}

// send brings p to its audience, through the cluster if there is one.
func (s *Server) send(ctx context.Context, p *Publication) (delivered int, err error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	if s.o.Replicas != nil {
		return s.o.Replicas.Publish(ctx, p)
	}
	return s.spreadHere(p), nil
}

// Notify sends a notification to one session, over its open stream or its TCP
// connection, or keeps it for a client whose stream broke. params is encoded as
// JSON and must become an object or null. In a cluster session may name a copy.
func (s *Server) Notify(session uint64, method string, params any) error {
	return s.NotifyKey(s.o.Context, "", session, method, params)
}

// NotifyKey is Notify with an idempotency key and a context, as
// ResourceUpdatedKey has them.
func (s *Server) NotifyKey(ctx context.Context, key string, session uint64, method string, params any) error {
	raw, err := paramsObject(params)
	if err != nil {
		return err
	}
	p := &Publication{Audience: ToSession, Method: method, Params: raw, Key: key}
	if err := p.check(); err != nil {
		return err
	}
	if s.o.Replicas != nil {
		if sess, ok := s.o.Sessions.Load(session); ok && !sess.Bound() {
			return s.o.Replicas.Notify(ctx, sess.ID, p)
		}
	}
	n := p.notice()
	defer n.release(s.o.Events)
	n.origin, n.again = p.KeyOrigin()
	err = s.sendToSession(session, n)
	if errors.Is(err, errHasIt) {
		return nil
	}
	s.countSent(err)
	return err
}

// paramsObject encodes params, which must become an object or null: nil.
func paramsObject(params any) ([]byte, error) {
	raw, err := rawJSON(params)
	if err != nil {
		return nil, err
	}
	if string(raw) == "null" {
		return nil, nil
	}
	if !isObject(raw) {
		return nil, errors.New("mcp: params of a notification must be an object")
	}
	return raw, nil
}
