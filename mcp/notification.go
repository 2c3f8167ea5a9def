package mcp

import (
	"context"
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// notified handles a notification of a client with a session. Those it does
// not know are ignored, as JSON-RPC asks.
func (s *Server) notified(ref uint64, name, params []byte) {
	s.count.notifications.Add(1)
	switch string(name) {
	case "notifications/initialized":
		_ = s.updateHome(ref, func(sess *Session) { sess.State = StateReady }) // a notification has no answer
	case "notifications/cancelled":
		s.o.Calls.Cancel(sessionScope(ref), member(params, "requestId"), ErrCancelled)
	}
}

// answered handles a client's answer to one of our questions.
func (s *Server) answered(ref uint64, msg []byte, env *codec.Envelope) {
	s.count.answers.Add(1)
	payload, isError := env.Result, false
	if env.Kind == codec.KindError {
		payload, isError = env.Error, true
	}
	if !s.o.Calls.Answer(sessionScope(ref), env.ID.Of(msg), payload.Of(msg), isError) {
		s.count.answersUnknown.Add(1)
	}
}

func serveSubscribe(_ context.Context, c *Call) error {
	uri, ok := subscribable(member(c.params, "uri"))
	if !ok {
		return errBadURI
	}
	err := c.s.subs.subscribe(c.s.o.Sessions, c.session, uri, c.s.o.SubscriptionsMax)
	if errors.Is(err, errNoSession) {
		return errUnknownSession
	}
	if err != nil {
		return err
	}
	c.close(c.open())
	return nil
}

func serveUnsubscribe(_ context.Context, c *Call) error {
	uri, ok := subscribable(member(c.params, "uri"))
	if !ok {
		return errBadURI
	}
	c.s.subs.unsubscribe(c.s.o.Sessions, c.session, uri)
	c.close(c.open())
	return nil
}
