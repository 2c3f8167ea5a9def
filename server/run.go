package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/loop"
)

// errClientGone is the cause with which the calls of a closed connection end.
var errClientGone = errors.New("server: client is gone")

// errCancelled is the cause with which a call ends that its client cancelled.
var errCancelled = errors.New("server: cancelled by the client")

// call returns a pooled Call; run gives it back.
func (s *Server) call(conn loop.Conn, w *worker, out *[]byte, id, params []byte) *Call {
	c := s.calls.Get().(*Call)
	c.s, c.conn, c.worker, c.out = s, conn, w, out
	c.id, c.params = id, params
	return c
}

// run runs a method to its end: context, panic, reply, latency. c is not ours
// any more when it returns.
func (s *Server) run(m *method, c *Call) {
	began := time.Now()
	if c.worker == nil {
		c.finish(s.judge(m, nil, s.protect(m, c)))
		s.metrics.methodLoop.observe(time.Since(began))
	} else {
		s.rpc.Start(&c.flight, s.base, rpc.Scope(c.conn.Handle()), c.id)
		c.finish(s.judge(m, &c.flight, s.protect(m, c)))
		c.flight.End()
		s.metrics.methodWorker.observe(time.Since(began))
	}
	// A canceller takes a flight out of the table and cancels it afterwards, so
	// while one is at work it may still hold ours: see cancels.
	if !c.kept && s.cancels.Load() == 0 {
		*c = Call{}
		s.calls.Put(c)
	}
}

// protect runs the handler and turns its panic into an error.
func (s *Server) protect(m *method, c *Call) (err error) {
	done := false
	defer func() {
		if !done {
			s.panicked("method "+m.name, recover())
			err = errPanicked
		}
	}()
	err = m.run(c)
	done = true
	return err
}

// judge counts and logs an error of a handler and returns what to answer. That
// a handler gave up because its context ended is not a failure of its own.
func (s *Server) judge(m *method, ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *codec.Error
	if ctx != nil && ctx.Err() != nil && !errors.As(err, &e) && !errors.Is(err, errPanicked) {
		s.log.Debug("method ended with its context", slog.String("method", m.name), slog.Any("error", err))
		return context.Cause(ctx)
	}
	s.metrics.failures.Inc()
	if wireError(err) == errInternal && !errors.Is(err, errPanicked) { // which is logged
		s.log.Error("method failed", slog.String("method", m.name), slog.Any("error", err))
	}
	return err
}

func (s *Server) panicked(what string, value any) {
	s.metrics.panics.Inc()
	s.log.Error("handler panicked", slog.String("handler", what),
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
}
